"""A graph of integer operators: read strictly from its two files, and run.

`model.json` holds `{"nodes": [{"operator", "inputs", "output", "numbers"}, ...]}`, in the order in which they run. Each
value has the name that its node gives it. `weights.safetensors` holds the tensors of all nodes, named
`<output of the node>.<role>`.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from offchain_worker import safe_json
from offchain_worker.backends.base import Arrays
from offchain_worker.errors import BadModel, did_you_mean
from offchain_worker.integer.operators import OPERATORS, Arguments, Run

GRAPH_FILE, WEIGHTS_FILE = "model.json", "weights.safetensors"
MAX_NODES = 10_000
ZEROS = {"add": ("first_zero", "second_zero")}
"""Which tensors say the dtypes of a node's inputs, where that is not `input_zero`."""

_KEYS = {"operator", "inputs", "output", "numbers"}
_BYTES = ("uint8", "int8")


@dataclass(frozen=True, slots=True)
class Node:
    """One operator, where its inputs come from, and the name of its output."""

    operator: str
    inputs: tuple[str, ...]
    output: str
    numbers: Mapping[str, Any] = field(default_factory=dict)


def to_json(nodes: Sequence[Node]) -> bytes:
    """Return the bytes of `model.json`; the same graph gives the same bytes."""
    plain = [
        {
            "operator": node.operator,
            "inputs": list(node.inputs),
            "output": node.output,
            "numbers": dict(node.numbers),
        }
        for node in nodes
    ]
    return (json.dumps({"nodes": plain}, indent=1, sort_keys=True) + "\n").encode()


def from_json(data: bytes) -> tuple[Node, ...]:
    """Read `model.json`.

    Raises:
        BadModel: It is malformed.
    """
    try:
        found = safe_json.loads(data)
    except ValueError as error:
        raise BadModel(f"expected {GRAPH_FILE} in JSON, got: {error}") from None
    nodes = found.get("nodes") if isinstance(found, dict) and set(found) == {"nodes"} else None
    if not isinstance(nodes, list) or not 0 < len(nodes) <= MAX_NODES:
        raise BadModel(f"expected {GRAPH_FILE} with a list of 1 to {MAX_NODES} nodes")
    return tuple(_node(node) for node in nodes)


class Graph:
    """A graph that is ready to run."""

    def __init__(
        self,
        nodes: Sequence[Node],
        tensors: Arrays,
        inputs: Mapping[str, str],
        outputs: Mapping[str, str],
    ) -> None:
        """Check and prepare every node.

        Args:
            nodes: In the order in which they run.
            tensors: All tensors of the nodes.
            inputs: dtype of each input, by name.
            outputs: dtype of each output, by name.

        Raises:
            BadModel: A node is malformed or unknown, takes what is not there yet or of another dtype, or gives what
                there is already; or the graph has not these outputs.
        """
        parts: dict[str, Arrays] = {}
        for name, tensor in tensors.items():
            output, _, role = name.rpartition(".")
            parts.setdefault(output, {})[role] = tensor
        dtypes = dict(inputs)
        self._outputs = tuple(outputs)
        self._steps: list[tuple[Run, Node]] = []
        for node in nodes:
            if node.output in dtypes:
                raise BadModel(f"expected a new name for each value, got {node.output!r} again")
            own = parts.pop(node.output, {})
            prepare, count = _operator(node)
            _check_inputs(node, count, own, dtypes)
            run = prepare(Arguments(node.output, node.numbers, own))
            dtypes[node.output] = _dtype(node, own, dtypes)
            self._steps.append((run, node))
        if parts:
            raise BadModel(f"expected tensors of nodes only, got some of {min(parts)!r}")
        found = {name: dtypes.get(name) for name in outputs}
        if found != dict(outputs):
            raise BadModel(f"expected the outputs {dict(outputs)}, got {found}")

    def run(self, inputs: Arrays) -> Arrays:
        """Return the outputs for these inputs, which have the dtypes that were announced.

        Raises:
            BadModel: An operator cannot take the shape that another one gives it.
        """
        values = dict(inputs)
        for run, node in self._steps:
            try:
                values[node.output] = run(*(values[name] for name in node.inputs))
            except (ValueError, IndexError) as error:
                shapes = [values[name].shape for name in node.inputs]
                raise BadModel(
                    f"expected shapes that fit node {node.output!r} ({node.operator}), got {shapes}: {error}"
                ) from None
        return {name: values[name] for name in self._outputs}


def _operator(node: Node) -> tuple[Any, int]:
    if node.operator not in OPERATORS:
        hint = did_you_mean(node.operator, OPERATORS)
        raise BadModel(
            f"expected an operator of {', '.join(OPERATORS)}, got {node.operator!r}{hint}"
        )
    return OPERATORS[node.operator]


def _check_inputs(node: Node, count: int, own: Arrays, dtypes: Mapping[str, str]) -> None:
    if len(node.inputs) != count:
        raise BadModel(f"expected {count} inputs of node {node.output!r}, got {len(node.inputs)}")
    for at, name in enumerate(node.inputs):
        if name not in dtypes:
            raise BadModel(
                f"expected inputs of node {node.output!r} that come before it, got {name!r}"
            )
        zero = own.get(ZEROS.get(node.operator, ("input_zero",))[at])
        if node.operator == "quantize":
            allowed: tuple[str, ...] = ("float32",)
        elif node.operator == "reshape":
            allowed = (*_BYTES, "float32")
        else:
            allowed = _BYTES if zero is None else (zero.dtype.name,)
        if dtypes[name] not in allowed:
            raise BadModel(
                f"expected input {name!r} of node {node.output!r} of {' or '.join(allowed)}, got {dtypes[name]}"
            )


def _dtype(node: Node, own: Arrays, dtypes: Mapping[str, str]) -> str:
    """The dtype of a node's output, whose tensors were checked."""
    if node.operator == "dequantize":
        return "float32"
    for role in ("output_zero", "table"):
        if role in own:
            return np.dtype(own[role].dtype).name
    return dtypes[node.inputs[0]]


def _node(found: Any) -> Node:
    if not isinstance(found, dict) or set(found) != _KEYS:
        raise BadModel(f"expected a node with {', '.join(sorted(_KEYS))}, got {str(found)[:80]!r}")
    inputs, numbers = found["inputs"], found["numbers"]
    texts = [found["operator"], found["output"], *(inputs if isinstance(inputs, list) else [None])]
    if not all(isinstance(text, str) for text in texts) or not isinstance(numbers, dict):
        raise BadModel(f"expected names and a map of numbers in a node, got {str(found)[:80]!r}")
    return Node(found["operator"], tuple(inputs), found["output"], numbers)
