"""lattice pin, lattice model: mistakes in a command

any
├── when a number is out of range: it says which are not, and nothing is begun
├── pin get --to a place that is taken: it says so before anything is fetched
└── when an amount is none: it says what one looks like
"""

import pytest

from oracle.cli import main

CID = "bafkreigh2akiscaildcqabsyg3dfr6chu3fgpregiymsck7e7aqa4s52zy"
MODEL = "0x" + "11" * 32


@pytest.mark.parametrize(
    "command",
    [
        ["pin", "check", CID, "--at", "http://127.0.0.1:1", "--samples", "0"],
        ["pin", "get", CID, "--max-bytes", "-1"],
        ["pin", "import", __file__, "--max-bytes", "-1"],
        ["pin", "fund", MODEL, "--rate", "1gwei", "--copies", "0"],
        ["pin", "fund", MODEL, "--rate", "1gwei", "--copies", "65536"],
        ["pin", "fund", MODEL, "--rate", "1gwei", "--samples", "256"],
        ["pin", "fund", MODEL, "--rate", "1gwei", "--challenges", "-1"],
        ["pin", "fund", MODEL, "--rate", "1gwei", "--join-days", "-1"],
        ["pin", "run", "--every-s", "-1"],
        ["model", "register", ".", "--royalty-bps", "-1"],
        ["model", "register", ".", "--royalty-bps", "10001"],
    ],
)
def test_any__when_a_number_is_out_of_range__says_which_are_not(command, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(command)

    assert end.value.code == 2
    assert "is not in the range" in capsys.readouterr().err


@pytest.mark.parametrize("amount", ["nan", "-1", "0.5", "inf", "1e80", "ten", "1 gwei gwei", ""])
def test_any__when_an_amount_is_none__says_what_one_looks_like(amount, capsys):
    with pytest.raises(SystemExit) as end:
        main(["pin", "fund", MODEL, "--rate", amount])

    assert end.value.code == 2
    assert "expected an amount such as 1000 (wei), 5gwei or 0.1ether" in capsys.readouterr().err


def test_pin_get__to_a_place_that_is_taken__says_so_first(tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        main(["pin", "get", CID, "--to", str(tmp_path), "--home", str(tmp_path / "none")])

    assert end.value.code == 1
    assert f"expected nothing at {tmp_path}" in capsys.readouterr().err
