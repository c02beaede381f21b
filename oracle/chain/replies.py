"""What a reply of an endpoint has to look like, so that whoever reads one may rely on it: nonsense is a failure."""

import re
from collections.abc import Callable
from typing import Any

_NUMBER = re.compile(r"0x[0-9a-fA-F]{1,64}")
_DATA = re.compile(r"0x(?:[0-9a-fA-F]{2})*")
_REVERTED = re.compile(r"reverted:? *(0x[0-9a-f]*)", re.IGNORECASE)

_BLOCK = ("number", "hash", "parentHash", "timestamp")
_RECEIPT = ("blockNumber", "blockHash", "status", "gasUsed")
_LOG = ("address", "data", "blockNumber", "blockHash", "transactionHash", "logIndex")


def _number(reply: Any) -> bool:
    return isinstance(reply, str) and _NUMBER.fullmatch(reply) is not None


def _data(reply: Any) -> bool:
    return isinstance(reply, str) and _DATA.fullmatch(reply) is not None


def _texts(reply: Any, names: tuple[str, ...]) -> bool:
    return isinstance(reply, dict) and all(isinstance(reply.get(name), str) for name in names)


def _logs(reply: Any) -> bool:
    return isinstance(reply, list) and all(
        _texts(log, _LOG) and isinstance(log.get("topics"), list) for log in reply
    )


_SHAPES: dict[str, Callable[[Any], bool]] = {
    **dict.fromkeys(
        ("eth_chainId", "eth_blockNumber", "eth_getTransactionCount", "eth_estimateGas"), _number
    ),
    **dict.fromkeys(("eth_getBalance", "eth_gasPrice"), _number),
    **dict.fromkeys(("eth_call", "eth_getCode", "eth_sendRawTransaction"), _data),
    "eth_getBlockByNumber": lambda reply: reply is None or _texts(reply, _BLOCK),
    "eth_getTransactionReceipt": lambda reply: reply is None or _texts(reply, _RECEIPT),
    "eth_getLogs": _logs,
    "eth_feeHistory": lambda reply: isinstance(reply, dict),
}


def is_json_rpc(answer: Any) -> bool:
    """Whether this is a reply of JSON-RPC at all: with a result, or with an error that is a map."""
    if not isinstance(answer, dict):
        return False
    error = answer.get("error")
    return isinstance(error, dict) or (error is None and "result" in answer)


def asks_for_fewer(error: dict[str, Any]) -> bool:
    """Whether a JSON-RPC error asks for fewer requests. -32005 alone may also be a range of logs that is too long."""
    code, text = error.get("code"), str(error.get("message", ""))
    return code == 429 or (code == -32005 and "rate" in text.lower())


def fits(method: str, reply: Any) -> bool:
    """Whether a result is of the kind that a method gives."""
    shape = _SHAPES.get(method)
    return shape is None or shape(reply)


def tidy(method: str, reply: Any) -> Any:
    """A result; None for the receipt that some nodes give for a transaction before it is mined."""
    pending = method == "eth_getTransactionReceipt" and isinstance(reply, dict)
    return None if pending and reply.get("blockNumber", "") is None else reply


def revert_of(error: dict[str, Any]) -> bytes | None:
    """Return data of the revert that a JSON-RPC error tells of, or None when it tells of something else.

    Geth, Nethermind, Besu, Anvil and Hardhat each have their own way of saying it.
    """
    code, text, data = error.get("code"), str(error.get("message", "")), error.get("data")
    if isinstance(data, dict):  # some nodes wrap it once more
        data = data.get("data") or data.get("result")
    if isinstance(data, str) and (found := _REVERTED.match(data)):
        data, code = found[1], 3
    failed = "vm execution error" in text.lower() and isinstance(data, str)
    if code != 3 and "revert" not in text.lower() and not failed:
        return None
    return bytes.fromhex(str(data)[2:]) if _data(data) else b""
