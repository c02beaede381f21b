"""Runs slither over the contracts and fails on a finding that tools/static_analysis.toml does not explain.

Slither gets the syntax trees from the project's own compiler, so it needs no other one. Without code generation that
takes seconds. An explanation that no finding needs any more fails too, so the list says what is true today.
"""

from __future__ import annotations

import inspect
import json
import subprocess
import sys
import tomllib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
EXPLANATIONS = ROOT / "tools/static_analysis.toml"
REMAPPING = "@openzeppelin/contracts=node_modules/@openzeppelin/contracts"
NOT_DEPLOYED = ("mocks", ".cache")
"""Folders under contracts/ that are left out: what only tests use, and Ape's copy of the dependencies."""


@dataclass(frozen=True, slots=True)
class Finding:
    """One report of slither: the `check` that it comes from, `where` as `Contract.function`, and its `text`."""

    check: str
    where: str
    text: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why findings of `check` are no fault: all of them, or those at `where` when it is not `*`."""

    check: str
    where: str
    reason: str

    def covers(self, finding: Finding) -> bool:
        """Say whether this explains `finding`."""
        return self.check == finding.check and self.where in ("*", finding.where)


def read_explanations(path: Path) -> list[Explanation]:
    """Return what the file at `path` explains: `[check]` tables of `"where" = "reason"`.

    Raises:
        ValueError: an explanation has no reason.
    """
    found = []
    for check, reasons in tomllib.loads(path.read_text()).items():
        for where, reason in reasons.items():
            if not reason.strip():
                raise ValueError(f"{path.name}: expected a reason for {check} at {where}, got none")
            found.append(Explanation(check, where, reason))
    return found


def judge(findings: Iterable[Finding], explanations: list[Explanation]) -> Iterator[str]:
    """Yield a complaint for each finding without an explanation, and for each explanation without a finding."""
    needed = set()
    for finding in findings:
        covering = [e for e in explanations if e.covers(finding)]
        needed.update(covering)
        if not covering:
            yield f"{finding.check} at {finding.where}: {finding.text}"
    for explanation in explanations:
        if explanation not in needed:
            yield f"{explanation.check} at {explanation.where} is explained, but slither does not find it: remove it"


def syntax_trees() -> dict[str, Any]:
    """Return the compiler's standard output for all contracts that are deployed: trees and ABIs, no code.

    Raises:
        RuntimeError: the contracts do not compile.
    """
    version = json.loads((ROOT / "package.json").read_text())["dependencies"]["solc"]
    sources = {
        str(path.relative_to(ROOT)): {"content": path.read_text()}
        for path in sorted((ROOT / "contracts").rglob("*.sol"))
        if not set(NOT_DEPLOYED) & set(path.relative_to(ROOT).parts)
    }
    settings = {
        "evmVersion": "prague",
        "remappings": [REMAPPING],
        "outputSelection": {"*": {"*": ["abi"], "": ["ast"]}},
    }
    answer = subprocess.run(
        [ROOT / f".solcx/solc-v{version}", "--standard-json", "--base-path", ROOT],
        input=json.dumps({"language": "Solidity", "sources": sources, "settings": settings}),
        stdout=subprocess.PIPE,
        text=True,
        check=True,
        cwd=ROOT,
    )
    output: dict[str, Any] = json.loads(answer.stdout)
    errors = [e["formattedMessage"] for e in output.get("errors", []) if e["severity"] == "error"]
    if errors:
        raise RuntimeError("the contracts do not compile:\n" + "\n".join(errors))
    return output | {"version": version}


def run_slither(output: dict[str, Any]) -> Iterator[Finding]:
    """Yield what all detectors of slither find in the compiler's `output`, code of the dependencies left out."""
    from crytic_compile import CryticCompile
    from crytic_compile.compilation_unit import CompilationUnit
    from crytic_compile.compiler.compiler import CompilerVersion
    from crytic_compile.platform.solc_standard_json import (
        SolcStandardJson,
        parse_standard_json_output,
    )
    from slither import Slither
    from slither.detectors import all_detectors
    from slither.detectors.abstract_detector import AbstractDetector

    class Compiled(SolcStandardJson):
        """A compilation that has been done."""

        def compile(self, crytic_compile: CryticCompile, **_: Any) -> None:
            unit = CompilationUnit(crytic_compile, "lattice")
            unit.compiler_version = CompilerVersion("solc", output["version"], optimized=True)
            parse_standard_json_output(output, unit)

    no_code = {
        "object": "",
        "sourceMap": "",
    }  # the reader wants the entries; no detector needs what is in them
    for contracts in output["contracts"].values():
        for contract in contracts.values():
            contract["evm"] = {"bytecode": no_code, "deployedBytecode": no_code}
    slither = Slither(CryticCompile(Compiled({})), filter_paths=["node_modules"])
    for _, detector in inspect.getmembers(all_detectors, inspect.isclass):
        if issubclass(detector, AbstractDetector):
            slither.register_detector(detector)
    for results in slither.run_detectors():
        for result in results:
            yield Finding(
                result["check"], where_of(result), " ".join(result["description"].split())
            )


def where_of(result: dict[str, Any]) -> str:
    """Return `Contract.function` (or `Contract.variable`, or a file's name) of slither's `result`."""
    names: list[str] = []
    element = result["elements"][0] if result["elements"] else None
    while element and element["type"] in ("contract", "function", "variable", "event", "struct"):
        names.insert(0, element["name"])
        element = element.get("type_specific_fields", {}).get("parent")
    return ".".join(names) or (element or {"name": "somewhere"})["name"]


def main() -> int:
    """Print what is wrong; return the exit status."""
    findings = list(run_slither(syntax_trees()))
    complaints = list(judge(findings, read_explanations(EXPLANATIONS)))
    for complaint in complaints:
        print(complaint, file=sys.stderr)
    if complaints:
        print(
            f"{len(complaints)} complaints: mend the contract, or explain in {EXPLANATIONS.name} why it is no fault",
            file=sys.stderr,
        )
        return 1
    print(f"slither: {len(findings)} findings, all explained in tools/{EXPLANATIONS.name}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
