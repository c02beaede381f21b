"""All mutants of a Solidity file: one small change each, made by a fixed list of operators.

Places come from the compiler's syntax tree, so a change never lands in a comment or a string.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

Node = dict[str, Any]

BINARY = {
    "<": ("<=", ">="),
    "<=": ("<", ">"),
    ">": (">=", "<="),
    ">=": (">", "<"),
    "==": ("!=",),
    "!=": ("==",),
    "&&": ("||",),
    "||": ("&&",),
    "+": ("-",),
    "-": ("+",),
    "*": ("/",),
    "/": ("*",),
    "%": ("*",),
    "<<": (">>",),
    ">>": ("<<",),
    "&": ("|",),
    "|": ("&",),
    "^": ("&",),
}
ASSIGNMENT = {"+=": ("=", "-="), "-=": ("=", "+="), "|=": ("=",), "*=": ("=",)}
NAMES = {"min": "max", "max": "min", "Ceil": "Floor"}
"""Members of the library Math, and of types: `type(uint96).max`."""


@dataclass(frozen=True, slots=True)
class Mutant:
    """The bytes from `start` to `end` of the file at `path` become `text`, by the operator of that name."""

    path: str
    start: int
    end: int
    text: str
    operator: str

    def apply(self, source: bytes) -> bytes:
        """Return `source` with the change."""
        return source[: self.start] + self.text.encode() + source[self.end :]

    def diff(self, source: bytes) -> str:
        """Return the change as a unified diff without context."""
        before, after = (text.decode().splitlines() for text in (source, self.apply(source)))
        lines = list(difflib.unified_diff(before, after, self.path, self.path, n=0, lineterm=""))
        return "\n".join(lines[2:])


def mutants(path: str, source: bytes, tree: Node) -> list[Mutant]:
    """Return every mutant of the file at `path` with this syntax tree, in the order of the file."""
    found = []
    for node in walk(tree):
        for start, end, text, operator in changes(node, source):
            found.append(Mutant(path, start, end, text, operator))
    return sorted(set(found), key=lambda m: (m.start, m.end, m.text))


def walk(node: Any) -> Iterator[Node]:
    """Yield every node of a tree that can be changed: what only declares types is left out."""
    if isinstance(node, list):
        for child in node:
            yield from walk(child)
    elif isinstance(node, dict):
        kind = node.get("nodeType", "")
        if kind in ("ImportDirective", "PragmaDirective", "InlineAssembly") or "TypeName" in kind:
            return
        if kind:
            yield node
        for child in node.values():
            yield from walk(child)


def changes(node: Node, source: bytes) -> Iterator[tuple[int, int, str, str]]:
    """Yield what the operators make of one node: start, end, new text, name of the operator."""
    start, end = span(node)
    match node["nodeType"]:
        case "BinaryOperation":
            left, right = span(node["leftExpression"])[1], span(node["rightExpression"])[0]
            yield from between(source, left, right, node["operator"], BINARY, "binary operator")
        case "Assignment":
            left, right = span(node["leftHandSide"])[1], span(node["rightHandSide"])[0]
            yield from between(source, left, right, node["operator"], ASSIGNMENT, "assignment")
        case "UnaryOperation" if node["operator"] == "!":
            yield start, start + 1, "", "negation removed"
        case "UnaryOperation" if node["operator"] in ("++", "--"):
            swapped = source[start:end].decode().replace("++", "\0").replace("--", "++")
            yield start, end, swapped.replace("\0", "--"), "step"
        case "ExpressionStatement" | "EmitStatement":
            end += source[end : end + 1] == b";"
            yield start, end, "{}", "require deleted" if is_require(node) else "statement deleted"
        case "IfStatement":
            first, last = span(node["condition"])
            yield first, last, f"!({source[first:last].decode()})", "condition negated"
        case "Conditional":
            first, last = span(node["condition"])
            yield first, last, f"!({source[first:last].decode()})", "condition negated"
        case "ModifierInvocation" if node.get("kind") == "modifierInvocation":
            yield start, end, "", "modifier removed"
        case "MemberAccess" if node["memberName"] in NAMES:
            member = len(node["memberName"])
            yield end - member, end, NAMES[node["memberName"]], "library function"
        case "Literal" if node.get("kind") == "number":
            yield from literal(node, start, end, source)
        case "Literal" if node.get("kind") == "bool":
            yield start, end, "false" if node["value"] == "true" else "true", "true or false"


def span(node: Node) -> tuple[int, int]:
    """Return first byte and end of a node."""
    start, length, _ = map(int, node["src"].split(":"))
    return start, start + length


def between(
    source: bytes,
    left: int,
    right: int,
    operator: str,
    table: dict[str, tuple[str, ...]],
    name: str,
) -> Iterator[tuple[int, int, str, str]]:
    """Yield the swaps of an operator that stands somewhere between two operands."""
    if (at := source.find(operator.encode(), left, right)) >= 0:
        for other in table.get(operator, ()):
            yield at, at + len(operator), other, name


def literal(node: Node, start: int, end: int, source: bytes) -> Iterator[tuple[int, int, str, str]]:
    """Yield a whole number one higher and one lower; its unit stays."""
    words = source[start:end].decode().split()
    if not re.fullmatch(r"[0-9_]+|0x[0-9a-fA-F_]+", words[0]) or len(words[0]) > 40:
        return  # a fraction, or an address
    value = int(words[0].replace("_", ""), 0)
    for other in (value + 1, value - 1):
        if other >= 0:
            yield start, end, " ".join([str(other), *words[1:]]), "constant"


def is_require(node: Node) -> bool:
    """Say whether a statement is a call of `require`."""
    call = node.get("expression") or {}
    return (call.get("expression") or {}).get("name") == "require"
