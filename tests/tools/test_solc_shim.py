"""tools/solc-shim.cjs: the npm compiler behind the native command line

solc
├── with an option it does not know, or nothing to do → it exits 1 and says so
├── --version → it gives the long version
└── --standard-json
    ├── with a source that does not compile → it exits 0 and the error is in the output, like native
    ├── with an import from outside the base path → that error is in the output
    ├── with an import under the base path, an include path, or an allowed path → it compiles
    └── with a file name instead of standard input → it reads the file
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
COMMAND = [
    Path(sys.prefix) / "bin/node",
    ROOT / "tools/solc-shim.cjs",
    ROOT / "node_modules/solc",
    "0.8.37+commit",
]
LIBRARY = "pragma solidity 0.8.37; uint256 constant ANSWER = 42;"


def solc(*options: object, stdin: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, *map(str, options)], input=stdin, capture_output=True, text=True
    )


def standard_json(source: str) -> str:
    settings = {"outputSelection": {"*": {"*": ["evm.bytecode.object"]}}}
    return json.dumps(
        {"language": "Solidity", "sources": {"C.sol": {"content": source}}, "settings": settings}
    )


def importing(name: object) -> str:
    return standard_json(
        f'pragma solidity 0.8.37; import "{name}"; contract C {{ uint256 public answer = ANSWER; }}'
    )


def errors(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert done.returncode == 0, done.stderr
    told = json.loads(done.stdout).get("errors", [])
    return [error["message"] for error in told if error["severity"] == "error"]


@pytest.mark.parametrize("options", [["--bin"], []])
def test_solc__when_asked_for_something_else__says_what_it_can_do(options):
    done = solc(*options)

    assert done.returncode == 1
    assert "--standard-json" in done.stderr


def test_solc__gives_its_long_version():
    assert solc("--version").stdout.splitlines()[-1] == "Version: 0.8.37+commit"


def test_standard_json__when_the_source_is_wrong__reports_it_in_the_output():
    assert errors(solc("--standard-json", stdin=standard_json("contract {"))) != []


def test_standard_json__when_the_import_is_outside__refuses_it(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "Library.sol").write_text(LIBRARY)

    (told,) = errors(
        solc(
            "--standard-json",
            "--base-path",
            tmp_path / "base",
            stdin=importing(tmp_path / "Library.sol"),
        )
    )

    assert "File outside of allowed directories." in told


def test_standard_json__imports_from_base_include_and_allowed_paths(tmp_path):
    (tmp_path / "base").mkdir()
    (tmp_path / "more").mkdir()
    (tmp_path / "more/Library.sol").write_text(LIBRARY)
    base = f"--base-path={tmp_path / 'base'}"

    from_base = solc(
        "--standard-json", "--base-path", tmp_path / "more", stdin=importing("Library.sol")
    )
    included = solc(
        "--standard-json",
        base,
        f"--include-path={tmp_path / 'more'}",
        stdin=importing("Library.sol"),
    )
    allowed = solc(
        "--standard-json",
        base,
        "--allow-paths",
        f"{tmp_path / 'more'},",
        stdin=importing(tmp_path / "more/Library.sol"),
    )

    assert [errors(from_base), errors(included), errors(allowed)] == [[], [], []]


def test_standard_json__reads_a_file_when_one_is_named(tmp_path):
    (tmp_path / "input.json").write_text(standard_json("pragma solidity 0.8.37; contract C {}"))

    done = solc("--standard-json", tmp_path / "input.json")

    assert errors(done) == []
    assert json.loads(done.stdout)["contracts"]["C.sol"]["C"]["evm"]["bytecode"]["object"]
