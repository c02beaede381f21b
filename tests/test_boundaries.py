"""What may import what, and what a file of this repository may be.

boundaries
├── offchain_worker
│   ├── it imports nothing of the chain side
│   └── importing it loads no runtime and no chain library
├── oracle
│   └── it imports neither scripts nor tests
├── tests
│   └── no folder has an __init__.py (it would hide the real package of that name)
└── files of this repository
    ├── none is longer than 600 lines
    ├── none names a path of somebody's machine
    └── none names a host that packages come from
"""

import ast
import json
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent

CHAIN = {"ape", "ape_ethereum", "ape_foundry", "web3", "eth_account", "oracle", "scripts", "tests"}
RUNTIMES = {"onnxruntime", "torch", "mlx", "coremltools", "transformers", "huggingface_hub"}

LONGEST_FILE_LINES = 600
NOT_WRITTEN_BY_HAND = {"LICENSE", "package-lock.json", "oracle/manifest.json"}

MACHINE_PATH = re.compile(r"(?<![\w.~/$}-])/(?:root|work|home|Users)/\w")
PACKAGE_HOST = re.compile(
    r"https?://[^/\s]*(?:pypi|npm|registry|pythonhosted|artifactory|nexus|mirror)"
)


def own_files() -> list[Path]:
    """Return the files that git tracks or would add."""
    command = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True).stdout
    return [
        ROOT / name for name in sorted(set(listed.split("\0"))) if name and (ROOT / name).is_file()
    ]


def own_texts() -> Iterator[tuple[str, str]]:
    """Yield name and text of each of our files that is text."""
    for file in own_files():
        data = file.read_bytes()
        if b"\0" not in data:
            yield file.relative_to(ROOT).as_posix(), data.decode(errors="replace")


def imports(package: str) -> Iterator[tuple[str, str]]:
    """Yield (file and line, top-level name) for each absolute import in `package`."""
    for file in sorted((ROOT / package).rglob("*.py")):
        for node in ast.walk(ast.parse(file.read_text(), filename=str(file))):
            if isinstance(node, ast.Import):
                names = [alias.name for alias in node.names]
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                names = [node.module]
            else:
                continue
            for name in names:
                yield f"{file.relative_to(ROOT)}:{node.lineno}", name.split(".")[0]


@pytest.mark.parametrize(
    ("package", "forbidden"), [("offchain_worker", CHAIN), ("oracle", {"scripts", "tests"})]
)
def test_imports__point_one_way(package, forbidden):
    wrong = [f"{place} imports {name}" for place, name in imports(package) if name in forbidden]

    assert (ROOT / package).is_dir()
    assert wrong == []


def test_import_offchain_worker__loads_no_runtime_and_no_chain_library():
    program = "import json, sys, offchain_worker; print(json.dumps(sorted(sys.modules)))"
    shown = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, check=True, capture_output=True, text=True
    ).stdout
    loaded = {name.split(".")[0] for name in json.loads(shown)}

    assert loaded & (RUNTIMES | CHAIN) == set()


def test_tests__have_no_init_file():
    assert [str(file.relative_to(ROOT)) for file in (ROOT / "tests").rglob("__init__.py")] == []


def test_files__are_at_most_600_lines():
    lines = {
        name: text.count("\n") for name, text in own_texts() if name not in NOT_WRITTEN_BY_HAND
    }

    assert {name: count for name, count in lines.items() if count > LONGEST_FILE_LINES} == {}


@pytest.mark.parametrize(
    "pattern", [MACHINE_PATH, PACKAGE_HOST], ids=["machine path", "package host"]
)
def test_files__name_no_machine_path_and_no_package_host(pattern):
    found = [
        f"{name}:{number}: {match[0]}"
        for name, text in own_texts()
        for number, line in enumerate(text.splitlines(), start=1)
        if (match := pattern.search(line))
    ]

    assert found == []
