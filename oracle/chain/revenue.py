"""What a model has earned, from the router and the modules that pay offers."""

from dataclasses import dataclass

from oracle.chain.contracts import Contracts
from oracle.chain.offers import Offer, find_offers

MODULES = ("SignedRequests", "Batches", "ResultCache")
"""Where offers earn beside the router."""


@dataclass(frozen=True, slots=True)
class EpochRevenue:
    """What a model earned under one epoch of its terms, everywhere. Amounts in the smallest unit of `token`.

    Args:
        claimed: Claimed and split so far, whole.
        units: Units of work that this paid for.
        unclaimed: Earned by offers and not claimed yet, whole.
        fees: The protocol's share of what was claimed that waits to be collected.
    """

    epoch: int
    token: str
    claimed: int
    units: int
    unclaimed: int
    fees: int


def revenue_of(
    contracts: Contracts, model_id: bytes, range_blocks: int = 1000
) -> list[EpochRevenue]:
    """Return what a model earned, epoch by epoch, the oldest first. Reads all offers of the history.

    Raises:
        Reverted: there is no such model. RpcError: the chain could not be asked.
    """
    epochs = contracts.read("ModelRegistry", "model", model_id)["epoch"]
    offers = [
        offer
        for offer in find_offers(contracts, range_blocks=range_blocks)
        if offer.market["modelId"] == model_id
    ]
    return [_epoch(contracts, model_id, epoch, offers) for epoch in range(1, epochs + 1)]


def _epoch(contracts: Contracts, model_id: bytes, epoch: int, offers: list[Offer]) -> EpochRevenue:
    found = [
        contracts.read(place, "revenueOf", model_id, epoch)
        for place in ("InferenceRouter", *MODULES)
    ]
    return EpochRevenue(
        epoch=epoch,
        token=contracts.read("ModelRegistry", "terms", model_id, epoch)["token"],
        claimed=sum(each["earned"] for each in found),
        units=sum(each["units"] for each in found),
        unclaimed=sum(
            _unclaimed(contracts, offer.offer_id)
            for offer in offers
            if offer.market["epoch"] == epoch
        ),
        fees=sum(each["fees"] for each in found),
    )


def _unclaimed(contracts: Contracts, offer_id: int) -> int:
    in_modules = sum(contracts.read(module, "earnedBy", offer_id) for module in MODULES)
    return int(contracts.read("InferenceRouter", "offer", offer_id)["earned"] + in_modules)
