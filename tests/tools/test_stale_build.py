"""drop_stale_build

drop_stale_build
├── when a contract or the configuration changed, or a contract came or went
│   └── it removes what was compiled
└── when nothing changed
    └── it leaves it alone
"""

import pytest

from scripts._support.build import drop_stale_build


@pytest.fixture
def root(tmp_path):
    """A project that was compiled."""
    (tmp_path / "contracts" / "libraries").mkdir(parents=True)
    (tmp_path / "ape-config.yaml").write_text("name: x\n")
    (tmp_path / "contracts" / "A.sol").write_text("contract A {}")
    drop_stale_build(tmp_path)
    (tmp_path / ".build" / "__local__.json").write_text("{}")
    return tmp_path


@pytest.mark.parametrize(
    "name", ["ape-config.yaml", "contracts/A.sol", "contracts/libraries/New.sol"]
)
def test_drop__when_a_file_changed__removes_what_was_compiled(root, name):
    (root / name).write_text("changed")

    assert drop_stale_build(root)
    assert not (root / ".build" / "__local__.json").exists()


def test_drop__when_a_contract_went__removes_what_was_compiled(root):
    (root / "contracts" / "A.sol").unlink()

    assert drop_stale_build(root)


def test_drop__when_nothing_changed__leaves_it_alone(root):
    assert not drop_stale_build(root)
    assert (root / ".build" / "__local__.json").exists()
