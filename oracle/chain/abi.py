"""What the entries of an ABI say about bytes: selectors, topics, and what a log holds.

Own code because web3.py takes several times as long for a log, and every event of a job comes by here.
"""

from collections.abc import Mapping
from typing import Any

from eth_abi.abi import decode
from web3 import Web3

Entry = Mapping[str, Any]
"""A function, event or error of an ABI, or one of its inputs."""


def type_of(item: Entry) -> str:
    """Return the canonical type of an input; structs as tuples, also in arrays."""
    if not item["type"].startswith("tuple"):
        return str(item["type"])
    return f"({','.join(map(type_of, item['components']))}){item['type'].removeprefix('tuple')}"


def hash_of(entry: Entry) -> bytes:
    """Return the hash of an entry's signature, 32 bytes: its first 4 are the selector of a function or an error."""
    return bytes(Web3.keccak(text=f"{entry['name']}({','.join(map(type_of, entry['inputs']))})"))


class Event:
    """An event of a contract.

    Args:
        entry: Its entry in the ABI. What is indexed has to be of a type that fits into a word.
    """

    def __init__(self, entry: Entry) -> None:
        self.name = str(entry["name"])
        self.topic = "0x" + hash_of(entry).hex()
        """First topic of its logs, 0x hex."""
        self._indexed = [item for item in entry["inputs"] if item["indexed"]]
        self._others = [item for item in entry["inputs"] if not item["indexed"]]
        self._types = [type_of(item) for item in self._others]

    def read(self, log: Mapping[str, Any]) -> dict[str, Any]:
        """Return the arguments of a log of `eth_getLogs` by their Solidity names.

        Bytes are bytes, addresses are in lower case, and structs are maps by member name.
        """
        words = [bytes.fromhex(topic[2:]) for topic in log["topics"][1:]]
        found = {
            item["name"]: decode([item["type"]], word)[0]
            for item, word in zip(self._indexed, words, strict=True)
        }
        values = decode(self._types, bytes.fromhex(log["data"][2:]))
        return found | {
            item["name"]: _named(item, value)
            for item, value in zip(self._others, values, strict=True)
        }


def _named(item: Entry, value: Any) -> Any:
    if item["type"] != "tuple":
        return value
    return {
        part["name"]: _named(part, inner)
        for part, inner in zip(item["components"], value, strict=True)
    }
