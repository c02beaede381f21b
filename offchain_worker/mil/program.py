"""Reads the ML program of a Core ML package, and runs it operator by operator."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import coremltools as ct
import numpy as np
import torch
from coremltools.converters.mil.frontend.milproto.load import load as load_program
from coremltools.converters.mil.mil import types

from offchain_worker.backends.coreml_package import tensors_of
from offchain_worker.errors import BadModel, one_line
from offchain_worker.mil.operators import OPERATORS
from offchain_worker.mil.values import DTYPES, Arguments, as_tensor

MODEL = "Data/com.apple.CoreML/model.mlmodel"
WEIGHTS = "Data/com.apple.CoreML/weights"

_MAX_SPEC_BYTES = 64 << 20
_MAX_VALUE_BYTES = 2 << 30


class Program:
    """The function `main` of a program, ready to run. Not thread-safe."""

    def __init__(self, package: Path) -> None:
        """Read `package`, a folder such as `model.mlpackage`.

        Raises:
            BadModel: It is no ML program, or uses what this reader does not know; the message names it.
        """
        spec = _read(package)
        self.inputs = tensors_of(spec.description.input)
        self.outputs = tensors_of(spec.description.output)
        try:
            program = load_program(
                spec,
                specification_version=spec.specificationVersion,
                file_weights_dir=str(package / WEIGHTS),
            )
            self._main = program.functions["main"]
            self._constants: dict[Any, Any] = {}
            self._steps = []
            for operation in self._main.operations:
                if operation.op_type == "const":
                    self._constants[operation.outputs[0]] = _constant(operation.outputs[0].val)
                elif operation.op_type.startswith(
                    "constexpr_"
                ):  # compressed weights: unpacked once
                    value = operation.materialized_val_inference()
                    self._constants[operation.outputs[0]] = as_tensor(value)
                elif operation.op_type in OPERATORS:
                    self._steps.append(operation)
                else:
                    raise BadModel(
                        f"expected operators that this reader knows, got {operation.op_type!r}: add it to "
                        "mil/operators.py, or run the model on a Mac"
                    )
        except BadModel:
            raise
        except Exception as error:  # the reader has no common root for what it raises
            raise BadModel(f"expected a Core ML program, got: {one_line(error)}") from error
        self._last_uses = self._find_last_uses()

    def run(self, inputs: Mapping[str, np.ndarray[Any, Any]]) -> dict[str, np.ndarray[Any, Any]]:
        """Run once.

        Args:
            inputs: All of `self.inputs`, by name.

        Returns:
            All of `self.outputs`, by name, in the dtypes that the program computes them in.
        """
        values = dict(self._constants)
        for name, variable in self._main.inputs.items():
            values[variable] = as_tensor(inputs[name]).to(DTYPES[_dtype(variable)])
        with torch.inference_mode():
            for at, operation in enumerate(self._steps):
                given = {
                    name: _resolve(argument, values)
                    for name, argument in operation.inputs.items()
                    if argument is not None
                }
                found = OPERATORS[operation.op_type](Arguments(given))
                results = found if isinstance(found, list) else [found]
                for variable, result in zip(operation.outputs, results, strict=True):
                    values[variable] = result.to(DTYPES[_dtype(variable)])
                for variable in self._last_uses[at]:
                    values.pop(variable, None)
        return {variable.name: values[variable].numpy() for variable in self._main.outputs}

    def _find_last_uses(self) -> list[list[Any]]:
        """Return for each step the variables that nobody needs after it."""
        kept = set(self._main.outputs) | set(self._constants)
        seen: set[Any] = set()
        last: list[list[Any]] = []
        for operation in reversed(self._steps):
            used = [
                *operation.outputs,
                *(v for a in operation.inputs.values() for v in _variables(a)),
            ]
            fresh = [v for v in dict.fromkeys(used) if v not in seen and v not in kept]
            seen.update(fresh)
            last.append(fresh)
        return last[::-1]


def _read(package: Path) -> Any:
    file = package / MODEL
    if not file.is_file():
        raise BadModel(f"expected {MODEL} in {package.name}, which is missing")
    if (size := os.path.getsize(file)) > _MAX_SPEC_BYTES:
        raise BadModel(f"expected {MODEL} of at most {_MAX_SPEC_BYTES} bytes, got {size}")
    spec = ct.proto.Model_pb2.Model()
    try:
        spec.ParseFromString(file.read_bytes())
    except Exception as error:  # protobuf's own errors differ by implementation
        raise BadModel(f"expected a Core ML model in {MODEL}, got: {one_line(error)}") from None
    if spec.WhichOneof("Type") != "mlProgram":
        raise BadModel(f"expected an ML program in {MODEL}, got {spec.WhichOneof('Type')!r}")
    for function in spec.mlProgram.functions.values():
        for block in function.block_specializations.values():
            for operation in block.operations:
                for output in operation.outputs:
                    _check_size(output, operation.type)
    return spec


def _check_size(output: Any, operator: str) -> None:
    """Refuse a value that would take too much memory, before anything computes it."""
    size = 4
    for dimension in output.type.tensorType.dimensions:
        size *= max(1, dimension.constant.size)
    if size > _MAX_VALUE_BYTES:
        raise BadModel(
            f"expected values of at most {_MAX_VALUE_BYTES} bytes, got {size} from operator {operator!r}"
        )


def _constant(value: Any) -> Any:
    return value if isinstance(value, str) else as_tensor(value)


def _variables(argument: Any) -> list[Any]:
    return list(argument) if isinstance(argument, list | tuple) else [argument]


def _resolve(argument: Any, values: Mapping[Any, Any]) -> Any:
    if isinstance(argument, list | tuple):
        return [_resolve(item, values) for item in argument]
    if argument in values:
        return values[argument]
    return argument.val  # computed by coremltools from constants while it read the program


def _dtype(variable: Any) -> str:
    return str(types.builtin_to_string(variable.dtype))
