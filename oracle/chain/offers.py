"""The offers of a provider, from the events that opened them."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from web3 import Web3

from oracle.chain.contracts import Contracts
from oracle.chain.history import read_logs


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
    opened = contracts.event("InferenceRouter", "OfferOpened")
    topics = [opened.topic, None, None if provider is None else f"0x{provider:064x}"]
    router = contracts.deployment.at("InferenceRouter")
    last = int(contracts.rpc.call("eth_blockNumber"), 16)
    ranges = read_logs(contracts.rpc, router.address, topics, router.block, last, range_blocks)
    return [_offer(opened.read(log)) for _, logs in ranges for log in logs]


def _offer(opened: Mapping[str, Any]) -> Offer:
    market = dict(opened["market"])
    for name in ("token", "verifier", "secondVerifier", "resolution"):
        market[name] = Web3.to_checksum_address(market[name])
    return Offer(opened["offerId"], opened["provider"], market, opened["terms"], opened["price"])
