"""Handles for the deployed contracts: ABI from the committed manifest, addresses from the deployment record.

`manifest.json` is written by `ape run manifest`, the record by `ape run deploy`. Nothing else names an address, and
every error of a contract is decoded with its arguments from one flat table, since the contracts prefix their names.
"""

import contextlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from eth_abi.abi import encode as encode_values
from eth_abi.exceptions import DecodingError
from web3 import Web3
from web3.contract import Contract
from web3.exceptions import BadFunctionCallOutput

from oracle.chain.abi import Event, hash_of, type_of
from oracle.chain.reverts import meaning_of
from oracle.chain.rpc import Rpc, Web3Provider
from oracle.errors import DeploymentMismatch, RawRevert, Reverted, RpcRefused

MANIFEST = Path(__file__).parent.parent / "manifest.json"

_SOLIDITY_ERRORS = [
    {"type": "error", "name": "Error", "inputs": [{"name": "message", "type": "string"}]},
    {"type": "error", "name": "Panic", "inputs": [{"name": "code", "type": "uint256"}]},
]


@dataclass(frozen=True, slots=True)
class Deployed:
    """Where a contract is: `address` with checksum, `block` number it was created in."""

    address: str
    block: int


@dataclass(frozen=True, slots=True)
class Deployment:
    """The deployment record of one chain.

    Args:
        chain_id: Chain id.
        genesis: Hash of block 0, 0x and 64 hex digits; tells apart chains with one id.
        contracts: Contracts by name.
    """

    chain_id: int
    genesis: str
    contracts: Mapping[str, Deployed]

    @classmethod
    def read(cls, path: Path) -> "Deployment":
        """Read the record that `ape run deploy` wrote.

        Raises:
            DeploymentMismatch: there is no such file, or it is not a record.
        """
        try:
            record = json.loads(path.read_text())
            contracts = {
                name: Deployed(Web3.to_checksum_address(entry["address"]), int(entry["block"]))
                for name, entry in record["contracts"].items()
            }
            return cls(int(record["chain_id"]), str(record["genesis"]), contracts)
        except FileNotFoundError:
            raise DeploymentMismatch(
                f"there is no deployment record at {path}: deploy with `ape run deploy`, or name another file"
            ) from None
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise DeploymentMismatch(
                f"{path} is not a deployment record: {type(error).__name__} {error}"
            ) from None

    def at(self, name: str) -> Deployed:
        """Return where `name` is.

        Raises:
            DeploymentMismatch: the record does not name it.
        """
        try:
            return self.contracts[name]
        except KeyError:
            known = ", ".join(sorted(self.contracts))
            raise DeploymentMismatch(
                f"the deployment record has no {name}, it has {known}"
            ) from None


def read_manifest(path: Path = MANIFEST) -> dict[str, list[dict[str, Any]]]:
    """Return the ABI of each contract by its name.

    Raises:
        DeploymentMismatch: the file is missing or is not a manifest.
    """
    try:
        contracts = json.loads(path.read_text())["contracts"]
        return {name: entry["abi"] for name, entry in contracts.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DeploymentMismatch(
            f"{path} is not a manifest (`ape run manifest`): {error}"
        ) from None


class Contracts:
    """The contracts of one deployment, as web3.py handles.

    Args:
        rpc: Endpoints; give it the chain id and genesis of `deployment`, so that it refuses other chains.
        deployment: Addresses.
    """

    def __init__(self, rpc: Rpc, deployment: Deployment) -> None:
        self.rpc = rpc
        self.deployment = deployment
        self._abis = read_manifest()
        self._web3 = Web3(Web3Provider(rpc), middleware=[])
        self._handles: dict[str, Contract] = {}
        self._functions: dict[tuple[str, str], tuple[dict[str, Any], bytes]] = {}
        self._errors = error_table(self._abis)

    def handle(self, name: str) -> Contract:
        """Return the web3.py contract of `name`; made once.

        Raises:
            DeploymentMismatch: manifest or record do not know it.
        """
        if name not in self._handles:
            if name not in self._abis:
                raise DeploymentMismatch(f"the manifest has no {name}; run `ape run manifest`")
            at = self.deployment.at(name)
            self._handles[name] = self._web3.eth.contract(address=at.address, abi=self._abis[name])  # type: ignore[call-overload]
        return self._handles[name]

    def address(self, name: str) -> str:
        """Return the address of `name`, with checksum."""
        return self.deployment.at(name).address

    def events(self, name: str) -> list[Event]:
        """Return the events of `name`."""
        return [Event(entry) for entry in self._abis[name] if entry["type"] == "event"]

    def event(self, name: str, event: str) -> Event:
        """Return one event of `name`.

        Raises:
            DeploymentMismatch: the manifest has no such event.
        """
        for entry in self._abis.get(name, []):
            if (entry["type"], entry.get("name")) == ("event", event):
                return Event(entry)
        raise DeploymentMismatch(
            f"the manifest has no event {name}.{event}: run `ape run manifest`"
        )

    def encode(self, name: str, function: str, *arguments: Any) -> bytes:
        """Return the calldata of a call; structs are maps by member name.

        Not by web3.py's own `encode_abi`, which takes 4 ms for an answer instead of 0.3.

        Raises:
            DeploymentMismatch: the manifest has no such function.
        """
        entry, selector = self._function(name, function)
        types = [type_of(item) for item in entry["inputs"]]
        values = [
            _ordered(item, value) for item, value in zip(entry["inputs"], arguments, strict=True)
        ]
        return selector + encode_values(types, values)

    def _function(self, name: str, function: str) -> tuple[dict[str, Any], bytes]:
        """ABI entry and selector of a function."""
        if (name, function) not in self._functions:
            entries = [
                entry
                for entry in self._abis.get(name, [])
                if entry["type"] == "function" and entry["name"] == function
            ]
            if not entries:
                raise DeploymentMismatch(
                    f"the manifest has no function {name}.{function}: run `ape run manifest`"
                )
            self._functions[name, function] = entries[0], hash_of(entries[0])[:4]
        return self._functions[name, function]

    def read(self, name: str, function: str, *arguments: Any, block: int | None = None) -> Any:
        """Call a view function at a block, by default the latest. A struct comes back as a map by member name.

        Raises:
            Reverted: the contract refused. RpcError: the chain could not be asked.
        """
        self._function(name, function)
        bound = self.handle(name).get_function_by_name(function)(*arguments)
        try:
            value = bound.call(block_identifier="latest" if block is None else block)
        except RawRevert as error:
            raise self.decode(error) from None
        except BadFunctionCallOutput:
            self.rpc.recheck()  # it may be another chain by now
            text = f"no {name} answers at {self.address(name)}: the node is behind, or serves another chain"
            raise RpcRefused("eth_call", 0, text) from None
        outputs = bound.abi["outputs"]
        if len(outputs) == 1 and outputs[0]["type"] == "tuple":
            return _named(outputs[0]["components"], value)
        return value

    def simulate(self, sender: str, to: str, data: bytes, value: int = 0) -> int:
        """Return the gas that a call would need if it were in the next block.

        One endpoint says so, or, with a quorum, the middle of what all say: one that lies could let it run out of gas.

        Raises:
            Reverted: it would fail. RpcError: the chain could not be asked.
        """
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}
        try:
            said = self.rpc.ask_all("eth_estimateGas", call, "pending")
            return sorted(int(gas, 16) for gas in said)[len(said) // 2]
        except RawRevert as error:
            raise self.decode(error) from None

    def simulate_surely(self, sender: str, to: str, data: bytes, block: int, value: int = 0) -> int:
        """As `simulate`, for what is given up when it fails: one endpoint that is behind, or lies, does not decide.

        An endpoint that does not have `block`, the newest that we have read, is behind.

        Raises:
            Reverted: it would fail, also right after that block. RpcRefused: it would fail only in the next block, or
                the endpoint is behind: try again later. RpcError: the chain could not be asked.
        """
        try:
            return self.simulate(sender, to, data, value)
        except Reverted as error:
            first = error
        call = {"from": sender, "to": to, "data": "0x" + data.hex(), "value": hex(value)}

        def ask(tag: str) -> int:
            gas = self.rpc.agreed("eth_estimateGas", call, tag, what_counts=lambda _: "succeeds")
            return int(gas, 16)

        try:
            if self.rpc.quorum > 1:
                with contextlib.suppress(RawRevert):
                    return ask("pending")
            ask(hex(block))
        except RawRevert as error:
            raise self.decode(error) from None
        raise RpcRefused("eth_estimateGas", 0, f"it would fail in the next block only: {first}")

    def decode(self, revert: RawRevert) -> Reverted:
        """Return a revert with the name and the arguments of its error, and what to do about it."""
        name, arguments = self._decode_data(revert.data)
        if name == "Unknown" and not revert.data:
            arguments = {"message": str(revert)}
        return Reverted(name, arguments, meaning_of(name).advice)

    def _decode_data(self, data: bytes) -> tuple[str, dict[str, Any]]:
        entry = self._errors.get(data[:4])
        if entry is None:
            return "Unknown", {"data": "0x" + data.hex()}
        inputs = entry["inputs"]
        try:
            values = self._web3.codec.decode([item["type"] for item in inputs], data[4:])
        except DecodingError:
            return "Unknown", {"data": "0x" + data.hex()}
        shown = ("0x" + value.hex() if isinstance(value, bytes) else value for value in values)
        return entry["name"], {
            item["name"]: value for item, value in zip(inputs, shown, strict=True)
        }


def error_table(abis: Mapping[str, list[dict[str, Any]]]) -> dict[bytes, dict[str, Any]]:
    """Return every error of all contracts by its selector, 4 bytes."""
    entries = [entry for abi in abis.values() for entry in abi if entry["type"] == "error"]
    return {hash_of(entry)[:4]: entry for entry in [*entries, *_SOLIDITY_ERRORS]}


def _ordered(item: Mapping[str, Any], value: Any) -> Any:
    """`value` with structs as tuples, in the order of their members."""
    if item["type"] == "tuple":
        return tuple(_ordered(part, value[part["name"]]) for part in item["components"])
    return value


def _named(components: list[dict[str, Any]], values: Any) -> dict[str, Any]:
    if isinstance(values, Mapping):
        return dict(values)
    return {item["name"]: value for item, value in zip(components, values, strict=True)}
