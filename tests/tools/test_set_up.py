"""tools/: what the set-up promises

find-python
├── when no Python fits, or the named one does not → it fails with one line that says what to do
└── when one fits → it prints the interpreter outside any virtual environment
launcher
└── it passes on arguments with spaces and quotes
virtual environment
└── its Python finds compiler and anvil with no variable exported, and respects an exported one
native compiler
├── one that does not start, is another version, or is npm's behind a launcher → it is not taken
└── one of our version → it is found in the exported folder, in ~/.solcx and on PATH, in this order
pins
├── ape-config.yaml and package.json name the same versions
├── package-lock.json has anvil for every platform, and names no place
└── constraints.txt is names and versions, and nothing else
"""

import importlib.util
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
FIND_PYTHON = ROOT / "tools/find-python"


@pytest.fixture
def set_up():
    """The module tools/set_up.py."""
    spec = importlib.util.spec_from_file_location("set_up", ROOT / "tools/set_up.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def find_python(path: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["/bin/sh", FIND_PYTHON, *arguments],
        env={"PATH": str(path)},
        capture_output=True,
        text=True,
    )


def fake_program(folder: Path, name: str, body: str) -> None:
    (folder / name).write_text(f"#!/bin/sh\n{body}\n")
    (folder / name).chmod(0o755)


@pytest.mark.parametrize(
    ("programs", "told"),
    [
        ({}, "needs Python 3.11 or 3.12 and found neither"),
        ({"python3": "exit 3"}, "needs Python 3.11 or 3.12 and found neither"),
        (
            {"python3.11": "exit 4", "python3": "exit 3"},
            "python3.11 cannot make virtual environments",
        ),
    ],
)
def test_find_python__when_none_fits__says_what_to_do_in_one_line(tmp_path, programs, told):
    for name, body in programs.items():
        fake_program(tmp_path, name, body)

    done = find_python(tmp_path)

    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (1, "", 1)
    assert told in done.stderr


def test_find_python__when_one_is_named__tries_no_other(tmp_path):
    (tmp_path / "python3.11").symlink_to(sys.executable)

    assert find_python(tmp_path, "python9").returncode == 1


def test_find_python__prints_the_interpreter_outside_the_environment(tmp_path):
    fake_program(tmp_path, "python3.11", "exit 3")
    fake_program(tmp_path, "python3", f'exec "{sys.executable}" "$@"')

    done = find_python(tmp_path)

    assert done.returncode == 0
    assert not Path(done.stdout.strip()).is_relative_to(sys.prefix)


def test_launcher__passes_on_arguments_as_they_are(set_up, tmp_path):
    script = tmp_path / "it's here"

    set_up.launcher(script, sys.executable, "-c", "import sys; print(sys.argv[1:])", "a 'b'")

    assert set_up.run(script, "c d", "$HOME").strip() == str(["a 'b'", "c d", "$HOME"])


@pytest.mark.parametrize("tool", ["anvil", "node", "forge"])
def test_environment__finds_the_tools_with_no_variable_exported(tool):
    program = f"import shutil; print(shutil.which('{tool}'))"
    found = subprocess.run(
        [sys.executable, "-c", program],
        env={"PATH": "/nowhere"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.strip()

    assert found == str(Path(sys.prefix) / "bin" / tool)


@pytest.mark.parametrize(
    ("exported", "expected"),
    [({}, str(ROOT / ".solcx")), ({"SOLCX_BINARY_PATH": "/other"}, "/other")],
)
def test_environment__names_our_compiler_unless_another_is_exported(exported, expected):
    program = "import os; print(os.environ['SOLCX_BINARY_PATH'])"
    found = subprocess.run(
        [sys.executable, "-c", program], env=exported, capture_output=True, text=True, check=True
    ).stdout.strip()

    assert found == expected


def fake_solc(path: Path, version: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    fake_program(path.parent, path.name, f"echo 'Version: {version}'")
    return path


@pytest.fixture
def places(monkeypatch, tmp_path):
    """Where a native compiler is looked for, best first; all empty."""
    monkeypatch.setenv("SOLCX_BINARY_PATH", str(tmp_path / "exported"))
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    name = "solc-v0.8.37"
    return [tmp_path / "exported" / name, tmp_path / "home/.solcx" / name, tmp_path / "bin/solc"]


@pytest.mark.parametrize(
    "version", ["0.8.36+commit.1.Linux.g++", "0.8.37+commit.1.Emscripten.clang"]
)
def test_find_native__when_it_is_another_compiler__takes_none(set_up, places, version):
    for place in places:
        fake_solc(place, version)

    assert set_up.find_native("0.8.37") is None


def test_find_native__when_it_does_not_start__takes_none(set_up, places):
    fake_solc(places[0], "0.8.37+commit.1.Linux.g++").chmod(0o644)

    assert set_up.find_native("0.8.37") is None


def test_find_native__takes_the_best_place(set_up, places):
    for place in reversed(places):
        fake_solc(place, "0.8.37+commit.1.Linux.g++")

        assert set_up.find_native("0.8.37") == place


def test_pins__are_the_same_in_ape_config_and_package_json():
    ape = yaml.safe_load((ROOT / "ape-config.yaml").read_text())
    npm = json.loads((ROOT / "package.json").read_text())["dependencies"]

    named = {package["npm"]: package["version"] for package in ape["dependencies"]}
    named["solc"] = ape["solidity"]["version"]

    assert named == {name: npm[name] for name in named}


def test_package_lock__has_anvil_for_every_platform_and_names_no_place():
    lock = json.loads((ROOT / "package-lock.json").read_text())["packages"]
    platforms = ("linux-amd64", "linux-arm64", "darwin-amd64", "darwin-arm64")

    assert {f"node_modules/@foundry-rs/anvil-{name}" for name in platforms} <= set(lock)
    assert [name for name, package in lock.items() if "resolved" in package] == []


def test_constraints__are_names_and_versions_and_nothing_else():
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    pins = [line for line in lines if line and not line.startswith("#")]

    assert [pin for pin in pins if not re.fullmatch(r"[a-z0-9-]+==[0-9][a-z0-9.]*", pin)] == []


def test_make__alone_prints_every_target():
    make = shutil.which("make")
    env = {key: value for key, value in os.environ.items() if not key.startswith("MAKE")}
    printed = subprocess.run(
        [make], cwd=ROOT, env=env, capture_output=True, text=True, check=True
    ).stdout
    phony = re.search(r"^\.PHONY: (.*)$", (ROOT / "Makefile").read_text(), re.MULTILINE)[1].split()

    assert [line.split()[1] for line in printed.splitlines()] == phony
