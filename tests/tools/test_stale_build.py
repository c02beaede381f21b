"""drop_stale_build

drop_stale_build
├── when a contract or the configuration changed, or a contract came or went
│   └── it removes what was compiled
├── when Ape has read the old one
│   └── Ape compiles anew
└── when nothing changed, or Ape copied a dependency
    └── it leaves it alone
"""

import os
import subprocess
import sys

import pytest

from scripts._support.build import ROOT, drop_stale_build


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


def test_drop__when_ape_copied_a_dependency__leaves_it_alone(root):
    (root / "contracts/.cache/openzeppelin").mkdir(parents=True)
    (root / "contracts/.cache/openzeppelin/ERC20.sol").write_text("contract ERC20 {}")

    assert not drop_stale_build(root)


def test_drop__when_nothing_changed__leaves_it_alone(root):
    assert not drop_stale_build(root)
    assert (root / ".build" / "__local__.json").exists()


USED_BY_ANOTHER = """
import sys
from pathlib import Path

from ape import project

from scripts._support.build import drop_stale_build

drop_stale_build(Path.cwd())
before = project.Uses.contract_type.runtime_bytecode.bytecode
library = Path("contracts/Library.sol")
library.write_text(library.read_text().replace("return 1", "return 2"))
assert drop_stale_build(Path.cwd())
after = project.Uses.contract_type.runtime_bytecode.bytecode
sys.exit(before == after)
"""


def test_drop_stale_build__when_ape_has_read_the_old_one__ape_compiles_anew(tmp_path):
    """As in `ape run deploy`, which opens the project before our code runs."""
    folder = tmp_path / "contracts"
    folder.mkdir()
    (tmp_path / "ape-config.yaml").write_text("solidity:\n  version: 0.8.37\n")
    head = "// SPDX-License-Identifier: Apache-2.0\npragma solidity 0.8.37;\n"
    one = "library Library { function one() internal pure returns (uint256) { return 1; } }"
    (folder / "Library.sol").write_text(head + one)
    uses = (
        "contract Uses { function f() external pure returns (uint256) { return Library.one(); } }"
    )
    (folder / "Uses.sol").write_text(head + 'import {Library} from "./Library.sol";\n' + uses)

    done = subprocess.run(
        [sys.executable, "-c", USED_BY_ANOTHER],
        cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
    )

    assert done.returncode == 0, done.stderr
