"""lattice pin: mistakes in a command

any
└── when a number is out of range: it says which are not, and nothing is begun
"""

import pytest

from oracle.cli import main

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
MODEL = "0x" + "11" * 32


@pytest.mark.parametrize(
    "command",
    [
        ["check", CID, "--at", "http://127.0.0.1:1", "--samples", "0"],
        ["get", CID, "--max-bytes", "-1"],
        ["import", __file__, "--max-bytes", "-1"],
        ["fund", MODEL, "--rate", "1gwei", "--copies", "0"],
        ["fund", MODEL, "--rate", "1gwei", "--copies", "65536"],
        ["fund", MODEL, "--rate", "1gwei", "--samples", "256"],
        ["fund", MODEL, "--rate", "1gwei", "--challenges", "-1"],
        ["fund", MODEL, "--rate", "1gwei", "--join-days", "-1"],
        ["run", "--every-s", "-1"],
    ],
)
def test_any__when_a_number_is_out_of_range__says_which_are_not(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["pin", *command])

    assert end.value.code == 2
    assert "is not in the range" in capsys.readouterr().err
