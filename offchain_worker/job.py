"""What comes in and what goes out: `Job`, `Inference`, `Result`, and their JSON.

Plain Python only. Hashes and inputs are `bytes` (hex in JSON), addresses are text, times are Unix time in seconds, and
amounts of money are in the smallest unit of the job's token. The contract's words for the same things are in
`contracts/interfaces/IInferenceRouter.sol`.
"""

import json
import math
import re
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from typing import Any, Self

from offchain_worker import safe_json
from offchain_worker.errors import BadInput, did_you_mean

NO_ADDRESS = "0x" + "00" * 20

_ADDRESS = re.compile(r"0x[0-9a-fA-F]{40}")
_HEX = re.compile(r"0x(?:[0-9a-fA-F]{2})*")

# What each field may hold: a number of bits for an unsigned integer, or one of the words that `_problem` knows.
_RULES: dict[str, int | str] = {
    "chain_id": 256,
    "router": "address",
    "job_id": 256,
    "model_id": "bytes32",
    "version": 32,
    "offer_id": 32,
    "provider": 32,
    "units": 32,
    "callback_gas": 32,
    "exclusive_until_s": 40,
    "deadline_s": 40,
    "requester": "address",
    "token": "address",
    "price": 96,
    "bond": 96,
    "input_hash": "bytes32",
    "verifier": "address",
    "second_verifier": "address",
    "resolution": "address",
    "input": "bytes",
    "model_cid": "text",
    "output": "bytes",
    "output_hash": "bytes32",
    "proofs": "list of bytes",
    "backend": "text",
    "device": "text",
    "duration_ms": "duration",
    "batch": 32,
    "memory_bytes": 64,
    "answer": "map",
}


def _problem(rule: int | str, value: object) -> str | None:
    """Return what was expected when `value` breaks `rule`, else None."""
    if isinstance(rule, int):
        fits = isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << rule
        return None if fits else f"an integer from 0 to 2^{rule} - 1"
    if rule == "address":
        fits = isinstance(value, str) and _ADDRESS.fullmatch(value) is not None
        return None if fits else "an address, 0x and 40 hex digits"
    if rule == "bytes32":
        return None if isinstance(value, bytes) and len(value) == 32 else "32 bytes"
    if rule == "bytes":
        return None if isinstance(value, bytes) else "bytes"
    if rule == "text":
        return None if isinstance(value, str) and value else "text that is not empty"
    if rule == "list of bytes":
        fits = isinstance(value, tuple) and all(isinstance(item, bytes) for item in value)
        return None if fits else "a tuple of bytes"
    if rule == "duration":
        fits = isinstance(value, float) and math.isfinite(value) and value >= 0
        return None if fits else "a finite float of at least 0"
    return None if isinstance(value, dict) else "a map"


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def _to_plain(value: object) -> object:
    if isinstance(value, bytes):
        return "0x" + value.hex()
    if isinstance(value, tuple):
        return [_to_plain(item) for item in value]
    return value


def _from_plain(name: str, value: object) -> object:
    """Turn the JSON form of field `name` into its Python form. What does not fit is left for the check."""
    rule = _RULES[name]
    if rule in ("bytes32", "bytes"):
        if not isinstance(value, str) or not _HEX.fullmatch(value):
            raise BadInput(f"expected {name} as hex that starts with 0x, got {_short(value)}")
        return bytes.fromhex(value[2:])
    if rule == "list of bytes" and isinstance(value, list):
        if not all(isinstance(item, str) and _HEX.fullmatch(item) for item in value):
            raise BadInput(f"expected {name} as a list of hex texts, got {_short(value)}")
        return tuple(bytes.fromhex(item[2:]) for item in value)
    if rule == "duration" and isinstance(value, int) and not isinstance(value, bool):
        return float(value)
    return value


class _Message:
    """JSON and checks that the three messages share. Each subclass is a frozen dataclass of fields in `_RULES`."""

    def __post_init__(self) -> None:
        for name in self._names():
            value = getattr(self, name)
            if expected := _problem(_RULES[name], value):
                raise BadInput(f"expected {name} to be {expected}, got {_short(value)}")

    @classmethod
    def _names(cls) -> list[str]:
        return [field.name for field in fields(cls)]  # type: ignore[arg-type]

    @classmethod
    def from_json(cls, text: str | bytes | Mapping[str, Any]) -> Self:
        """Read a message from JSON text, or from a map that JSON gave.

        Raises:
            BadInput: The text is not JSON, or a field is missing, unknown or of the wrong kind.
        """
        if isinstance(text, str | bytes):
            try:
                text = safe_json.loads(text)
            except ValueError as error:
                raise BadInput(
                    f"expected {cls.__name__} as JSON, got text that is not: {error}"
                ) from None
        if not isinstance(text, Mapping):
            raise BadInput(f"expected {cls.__name__} as a JSON object, got {_short(text)}")
        names = cls._names()
        needed = [item.name for item in fields(cls) if item.default is MISSING]  # type: ignore[arg-type]
        if missing := [name for name in needed if name not in text]:
            raise BadInput(f"expected {cls.__name__} with field {missing[0]!r}, which is missing")
        if extra := [name for name in text if name not in names]:
            hint = did_you_mean(extra[0], names)
            raise BadInput(f"expected only known fields of {cls.__name__}, got {extra[0]!r}{hint}")
        return cls(**{name: _from_plain(name, text[name]) for name in names if name in text})

    def to_json(self) -> str:
        """Return the message as JSON with two spaces of indent; the same message gives the same text."""
        return json.dumps(
            {name: _to_plain(getattr(self, name)) for name in self._names()}, indent=2
        )


@dataclass(frozen=True, slots=True)
class Job(_Message):
    """One inference to run, as the router committed to it, with its input.

    Raises:
        BadInput: A field is out of its range; the message names it.
    """

    chain_id: int
    router: str
    """Address of the InferenceRouter that holds the job."""
    job_id: int
    model_id: bytes
    """Model, 32 bytes."""
    version: int
    offer_id: int
    provider: int
    units: int
    """Most units of work that are paid for. What a unit is stands in the model's manifest."""
    callback_gas: int
    exclusive_until_s: int
    """Until when nobody else may take the job, Unix time."""
    deadline_s: int
    """After which it may be refunded, Unix time."""
    requester: str
    token: str
    """ERC-20 address, or the zero address for the native token."""
    price: int
    """Amount in escrow for all units, in the smallest unit of `token`."""
    bond: int
    """Amount that a provider that took the job put at risk, in the smallest unit of `token`."""
    input_hash: bytes
    """Keccak-256 of `input`, 32 bytes."""
    verifier: str
    second_verifier: str
    """Address, or the zero address for none."""
    resolution: str
    """Address, or the zero address for none."""
    input: bytes
    """Canonical input bytes, see `payload.py`."""
    model_cid: str
    """CID of the version's artifact folder."""


@dataclass(frozen=True, slots=True)
class Inference(_Message):
    """What the model said, not yet signed. Store it durably before `Worker.prove`: no job is signed in two ways."""

    job_id: int
    units: int
    """Units of work to charge for, 1 to the job's `units`."""
    output: bytes
    """Canonical output bytes, see `payload.py`."""
    output_hash: bytes
    """Keccak-256 of `output`, 32 bytes."""
    backend: str
    device: str
    duration_ms: float
    """Time inside the model only, of the whole batch. 0 when the answer was known without running it."""
    answer: dict[str, Any]
    """The output decoded for people: JSON values, bytes as hex."""
    batch: int = field(default=1, kw_only=True)
    """How many jobs shared the run."""
    memory_bytes: int = field(default=0, kw_only=True)
    """What the process of the model had in memory after it; 0 where that was not measured."""


@dataclass(frozen=True, slots=True)
class Result(Inference):
    """An inference with its proofs: what the chain side submits."""

    proofs: tuple[bytes, ...]
    """One for the job's verifier, then one for the second verifier if there is one."""
