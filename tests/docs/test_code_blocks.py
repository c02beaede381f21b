"""Every code block of the README and the docs is run, or at least checked.

a code block
├── python                  → it runs, in the root of the repository
├── bash, sh, console
│   ├── of make, lattice, ape   → each names something that exists (they are slow, or need a chain)
│   └── of anything else        → it runs, in the root of the repository
├── json, yaml, toml        → it parses
├── solidity
│   ├── a whole file (has a pragma) → it compiles, as if it lay in contracts/
│   └── a piece of one      → it parses
├── text, mermaid, none     → nothing to check
├── another language        → it fails: nobody checks it
└── after `<!-- not run: reason -->` → it is listed with its reason, and that is all
"""

import json
import os
import re
import shlex
import subprocess
import sys
import tomllib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
import solcx
import yaml

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").rglob("*.md"))]
TIMEOUT_S = 120

FENCE = re.compile(r"^ *(```+|~~~+) *([\w+-]*)")
NOT_RUN = re.compile(r"<!--\s*not run:\s*(.*?)\s*-->")
TARGET = re.compile(r"^([a-z][a-z-]*):", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """One fenced code block; `reason` is set when it says why it is not run."""

    place: str
    language: str
    text: str
    reason: str | None = None


def blocks_of(text: str, page: str) -> list[Block]:
    """Return the code blocks of a Markdown `text`; `page` is its name."""
    found: list[Block] = []
    lines = iter(enumerate(text.splitlines(), start=1))
    reason = None
    for number, line in lines:
        if fence := FENCE.match(line):
            body = []
            for _, inner in lines:
                if inner.strip() == fence[1]:
                    break
                body.append(inner)
            found.append(
                Block(f"{page}:{number}", fence[2].lower(), "\n".join(body) + "\n", reason)
            )
        if line.strip():
            marked = NOT_RUN.search(line)
            reason = marked[1] if marked else None
    return found


def commands_of(block: Block) -> list[list[str]]:
    """Return the words of each command; in `console` blocks only lines after `$` are commands."""
    lines = block.text.replace("\\\n", " ").splitlines()
    if block.language == "console":
        lines = [line.removeprefix("$ ") for line in lines if line.startswith("$ ")]
    commands: list[list[str]] = [[]]
    for line in lines:
        words = shlex.shlex(line, posix=True, punctuation_chars="&|;")
        words.whitespace_split = True
        for word in words:
            if set(word) <= set("&|;"):
                commands.append([])
            else:
                commands[-1].append(word)
        commands.append([])
    return [command for command in commands if command]


def check_make(words: list[str]) -> None:
    targets = {word for word in words[1:] if "=" not in word}
    assert targets <= set(TARGET.findall((ROOT / "Makefile").read_text()))


def check_lattice(words: list[str]) -> None:
    # `--help` at the end: click still refuses a command or an option that it does not know.
    start([str(Path(sys.executable).parent / "lattice"), *words[1:], "--help"])


def check_ape(words: list[str]) -> None:
    if words[1] == "run":
        assert (ROOT / "scripts" / f"{words[2]}.py").is_file(), f"no scripts/{words[2]}.py"
    else:
        assert words[1] in {"accounts", "compile", "console", "networks", "test"}
    check_paths(words[2:])


def check_paths(words: list[str]) -> None:
    missing = [word for word in words if "/" in word and not (ROOT / word.split("::")[0]).exists()]
    assert missing == []


SLOW: dict[str, Callable[[list[str]], None]] = {
    "make": check_make,
    "lattice": check_lattice,
    "ape": check_ape,
    "pytest": lambda words: check_paths(words[1:]),
}
FREE = {".", "cd", "export", "git", "pip", "source"}
"""What may stand beside slow commands without a check of its own."""


def start(command: list[str], stdin: str | None = None, home: Path | None = None) -> None:
    """Run a command in the root of the repository; fail with all that it printed when it fails."""
    env = {**os.environ}
    if home is not None:  # a block may not leave anything with the person who runs the tests
        env |= {
            "HOME": str(home),
            "APE_DATA_FOLDER": os.environ.get("APE_DATA_FOLDER", str(Path.home() / ".ape")),
        }
    done = subprocess.run(
        command,
        input=stdin or "",
        cwd=ROOT,
        env=env,
        text=True,
        capture_output=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, (
        f"{shlex.join(command)} exited {done.returncode}\n{done.stdout}{done.stderr}"
    )


def check_shell(block: Block, home: Path) -> None:
    commands = commands_of(block)
    if not any(words[0] in SLOW for words in commands):
        text = block.text if block.language != "console" else "\n".join(map(shlex.join, commands))
        return start(["bash", "-euo", "pipefail", "-s"], stdin=text, home=home)
    for words in commands:
        assert words[0] in SLOW or words[0] in FREE, f"neither run nor checked: {shlex.join(words)}"
        if words[0] in SLOW:
            SLOW[words[0]](words)


def check_solidity(text: str) -> None:
    whole = "pragma solidity" in text
    attempts = (
        [text]
        if whole
        else [
            text,
            f"contract C {{ {text} }}",
            f"contract C {{ function f() public {{ {text} }} }}",
        ]
    )
    problems = [solidity_errors(attempt, parse_only=not whole) for attempt in attempts]
    assert [] in problems, problems[0]


def solidity_errors(text: str, *, parse_only: bool) -> list[str]:
    """Return what the compiler has against `text`, were it a file in contracts/."""
    settings = {
        "remappings": [
            "@openzeppelin/=node_modules/@openzeppelin/",
            "solady/=node_modules/solady/src/",
        ]
    }
    settings |= (
        {"stopAfter": "parsing"} if parse_only else {"outputSelection": {"*": {"*": ["abi"]}}}
    )
    sources = {"contracts/Block.sol": {"content": text}}
    command = [solcx.install.get_executable("0.8.37"), "--standard-json", "--base-path", ROOT]
    done = subprocess.run(
        command,
        input=json.dumps({"language": "Solidity", "sources": sources, "settings": settings}),
        text=True,
        capture_output=True,
        check=True,
    )
    told = json.loads(done.stdout).get("errors", [])
    return [error["formattedMessage"] for error in told if error["severity"] == "error"]


def check(block: Block, home: Path) -> None:
    """Run or check one block."""
    match block.language:
        case "python":
            start([sys.executable, "-"], stdin=block.text, home=home)
        case "bash" | "sh" | "shell" | "console":
            check_shell(block, home)
        case "json":
            json.loads(block.text)
        case "yaml":
            yaml.safe_load(block.text)
        case "toml":
            tomllib.loads(block.text)
        case "solidity":
            check_solidity(block.text)
        case "" | "text" | "mermaid":
            pass
        case other:
            pytest.fail(f"nobody checks blocks of {other!r}: add a check here, or call it text")


BLOCKS = [
    block
    for page in PAGES
    if page.exists()
    for block in blocks_of(page.read_text(), page.relative_to(ROOT).as_posix())
]


def name_of(block: Block) -> str:
    return block.place if block.reason is None else f"{block.place} is not run: {block.reason}"


@pytest.mark.parametrize("block", BLOCKS, ids=name_of)
def test_block__does_what_the_page_says(block, tmp_path):
    if block.reason is None:
        check(block, home=tmp_path)
    else:
        assert block.reason, "expected a reason after `not run:`"


BROKEN = [
    ("python", "import no_such_module"),
    ("bash", "false\ntrue"),
    ("bash", "make no-such-target"),
    ("bash", "make demo\nrm -rf /nothing"),
    ("bash", "ape run no_such_script"),
    ("bash", "lattice no-such-command"),
    ("bash", "pytest tests/no_such_folder"),
    ("json", "{"),
    ("yaml", "a: ]"),
    ("toml", "a ="),
    ("solidity", "function f( external;"),
    ("solidity", "pragma solidity 0.8.37; contract C { uint256 constant X = nothing; }"),
    ("fortran", "PRINT *, 1"),
]


@pytest.mark.parametrize(("language", "text"), BROKEN)
def test_check__when_a_block_is_wrong__fails(language, text, tmp_path):
    outcome = (Exception, pytest.fail.Exception)
    with pytest.raises(outcome):
        check(Block("page.md:1", language, text), home=tmp_path)


def test_blocks_of__finds_language_text_place_and_reason():
    marked = "<!-- not run: needs a GPU -->\n\n  ```python\nx = 1\n  ```\n"
    page = "# Title\n\n```bash\nls\n```\n\n" + marked + "```\nplain\n```\n"

    assert blocks_of(page, "a.md") == [
        Block("a.md:3", "bash", "ls\n"),
        Block("a.md:9", "python", "x = 1\n", reason="needs a GPU"),
        Block("a.md:12", "", "plain\n"),
    ]
