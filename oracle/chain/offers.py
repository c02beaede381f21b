"""The offers of a provider, from the events that opened them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from eth_abi.abi import decode
from web3 import Web3

from oracle.chain.contracts import Contracts
from oracle.chain.history import read_logs

_MARKET = "(bytes32,uint32,uint32,address,address,address,address)"
_TERMS = "(uint80,uint16,uint8,uint16,string)"
_OPENED = f"OfferOpened(uint32,uint32,bytes32,{_MARKET},{_TERMS},uint256)"
_MARKET_FIELDS = (
    "modelId",
    "version",
    "epoch",
    "token",
    "verifier",
    "secondVerifier",
    "resolution",
)
_TERMS_FIELDS = ("ask", "capacity", "inputUnits", "minWindow", "backend")


@dataclass(frozen=True, slots=True)
class Offer:
    """An offer as it was opened.

    Args:
        offer_id: Its number.
        provider: Who made it.
        market: The contract's `Market` by member names.
        terms: The contract's `OfferTerms` by member names.
        price: What a requester pays per unit, in the token's smallest unit.
    """

    offer_id: int
    provider: int
    market: Mapping[str, Any]
    terms: Mapping[str, Any]
    price: int


def find_offers(
    contracts: Contracts, *, provider: int | None = None, range_blocks: int = 1000
) -> list[Offer]:
    """Return the offers of one provider, or of all, open and closed, oldest first. Reads the whole history.

    Raises:
        RpcError: the chain could not be asked.
    """
    topics: list[str | list[str] | None] = [
        "0x" + Web3.keccak(text=_OPENED).hex().removeprefix("0x"),
        None,
        None if provider is None else f"0x{provider:064x}",
    ]
    router = contracts.deployment.at("InferenceRouter")
    last = int(contracts.rpc.call("eth_blockNumber"), 16)
    ranges = read_logs(contracts.rpc, router.address, topics, router.block, last, range_blocks)
    return [_offer(log) for _, logs in ranges for log in logs]


def _offer(log: Mapping[str, Any]) -> Offer:
    market, terms, price = decode([_MARKET, _TERMS, "uint256"], bytes.fromhex(log["data"][2:]))
    named = dict(zip(_MARKET_FIELDS, market, strict=True))
    for name in _MARKET_FIELDS[3:]:
        named[name] = Web3.to_checksum_address(named[name])
    return Offer(
        int(log["topics"][1], 16),
        int(log["topics"][2], 16),
        named,
        dict(zip(_TERMS_FIELDS, terms, strict=True)),
        price,
    )
