"""The mutants of a contract: each is one small change that the operators name, and nothing else is changed.

mutants
├── of a contract                     → every operator finds its places, in the order of the file
├── of comments, strings and imports  → none
└── each                              → compiles, or is refused by the compiler with a reason

Mutant
└── diff → the one line before and after
"""

import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PATH = "contracts/Counter.sol"
SOURCE = b"""// a + b < 1
pragma solidity 0.8.37;
contract Counter {
    uint256 public total; // total += 2
    modifier small(uint256 amount) { require(amount < 1 days, "too large: 5"); _; }
    function add(uint256 amount, bool twice) external small(amount) {
        total += amount;
        if (twice && !false) ++total;
    }
}
"""


@pytest.fixture(scope="module")
def tools():
    """The modules of tools/mutation, which is a folder of scripts and no package."""
    sys.path.insert(0, str(ROOT / "tools/mutation"))
    try:
        import compiler
        import operators
    finally:
        sys.path.pop(0)
    return compiler, operators


@pytest.fixture(scope="module")
def compiler(tools):
    running = tools[0].Compiler()
    yield running
    running.close()


@pytest.fixture(scope="module")
def found(tools, compiler):
    answer = compiler.ask({PATH: SOURCE.decode()}, {"*": {"": ["ast"]}}, {})
    return tools[1].mutants(PATH, SOURCE, answer["sources"][PATH]["ast"])


def test_mutants__of_a_contract__are_what_the_operators_say(found):
    changes = [(SOURCE[m.start : m.end].decode(), m.text) for m in found]

    assert changes == [
        ('require(amount < 1 days, "too large: 5");', "{}"),
        ("<", "<="),
        ("<", ">="),
        ("1 days", "0 days"),
        ("1 days", "2 days"),
        ("small(amount)", ""),
        ("total += amount;", "{}"),
        ("+=", "-="),
        ("+=", "="),
        ("twice && !false", "!(twice && !false)"),
        ("&&", "||"),
        ("!", ""),
        ("false", "true"),
        ("++total", "--total"),
        ("++total;", "{}"),
    ]


def test_mutants__of_a_contract__all_compile_to_other_code(found, compiler):
    plain = compiler.code(PATH, "Counter", "legacy", {PATH: SOURCE.decode()})

    for mutant in found:
        changed = {PATH: mutant.apply(SOURCE).decode()}
        assert compiler.code(PATH, "Counter", "legacy", changed) != plain, mutant


def test_compiler__when_the_source_is_no_solidity__says_why(tools, compiler):
    with pytest.raises(tools[0].CompileError, match="Expected"):
        compiler.code(PATH, "Counter", "legacy", {PATH: "contract {"})


def test_diff__of_a_mutant__is_the_line_before_and_after(found):
    assert found[1].diff(SOURCE).splitlines()[1:] == [
        '-    modifier small(uint256 amount) { require(amount < 1 days, "too large: 5"); _; }',
        '+    modifier small(uint256 amount) { require(amount <= 1 days, "too large: 5"); _; }',
    ]
