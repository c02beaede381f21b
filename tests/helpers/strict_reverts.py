"""`ape.reverts`, without what it lets pass.

Ape's own takes every revert that it cannot decode for the expected error, such as one of a contract that the called one
calls, and leaves out expected values whose names it does not know. Here both are failures.
"""

from __future__ import annotations

import ast
from types import TracebackType
from typing import Any

import ape
from ape.exceptions import ContractLogicError, CustomError
from ape.pytest.contextmanagers import RevertsContextManager
from eth_abi.abi import decode
from eth_utils import keccak, to_checksum_address


class StrictReverts(RevertsContextManager):
    """Expects a revert with one error and, as far as they are given, its values by name."""

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc_value: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        """Compare.

        Raises:
            AssertionError: Nothing reverted, or something else did.
        """
        super().__exit__(exc_type, exc_value, traceback)
        expected = self.expected_message
        if isinstance(expected, type) and issubclass(expected, CustomError):
            assert isinstance(exc_value, ContractLogicError)  # as the base class made sure
            check(expected.abi, self.error_inputs, exc_value)
        return True


def check(abi: Any, values: dict[str, Any], error: ContractLogicError) -> None:
    """Raise AssertionError unless `error` is that of `abi` with these values."""
    names = [argument.name for argument in abi.inputs]
    unknown = set(values) - set(names)
    assert not unknown, f"{abi.name} has {names}, not {sorted(unknown)}"
    if isinstance(error, CustomError):
        assert error.abi.selector == abi.selector, f"expected {abi.name}, got {error.abi.name}"
        found = error.inputs
    else:
        data, selector = raw(error.revert_message), keccak(text=abi.selector)[:4]
        assert data[:4] == selector, f"expected {abi.name}, got {error.revert_message[:200]}"
        types = [argument.canonical_type for argument in abi.inputs]
        found = dict(zip(names, map(plain, types, decode(types, data[4:])), strict=True))
    wrong = {name: found[name] for name in values if found[name] != values[name]}
    assert not wrong, f"expected {abi.name} with {values}, got {wrong}"


def raw(message: str) -> bytes:
    """Return the data of a revert that Ape did not decode: it says it in hex or as Python writes bytes."""
    if message.startswith("0x"):
        return bytes.fromhex(message[2:])
    return ast.literal_eval(message) if message.startswith(("b'", 'b"')) else b""


def plain(kind: str, value: Any) -> Any:
    """Return a decoded value as Ape gives it: addresses with their checksum."""
    return to_checksum_address(value) if kind == "address" else value


ape.reverts = StrictReverts
