"""A poisoned cache: a provider pays itself for a wrong answer, and puts it into the cache

The attacker hopes that others are served, and pay for, what only he says. Or it caches what is right at a price that
nobody pays, for a month: whoever asks again has to ask a provider, such as itself, at the full price.
"""

from types import SimpleNamespace

import ape
import pytest
from eth_utils import keccak
from system import ASK, ETHER, INPUT, NATIVE, OUTPUT

LIE = b"\xa1\x61y\x00"


@pytest.fixture
def poisoned(system, accounts, provider, requester):
    """A second provider that asked itself, answered wrongly, and cached that; first in the cache."""
    liar = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(liar)
    asked = system.request(sender=liar.owner, value=ETHER, offerId=liar.offer)
    system.answer(asked, liar, output=LIE)
    system.cache.store(asked.id, asked.job, 1, 1, LIE, sender=liar.owner)
    system.vault.allowModule(system.cache, True, sender=requester)
    return liar


def query(system, provider):
    return {
        "market": system.market,
        "units": 1,
        "inputHash": keccak(INPUT),
        "provider": provider.number,
    }


def test_poisoned_cache__reaches_only_those_who_trust_the_liar(
    system, provider, poisoned, requester
):
    with ape.reverts(system.cache.CacheMiss):
        system.cache.hit(query(system, provider), ETHER, LIE, sender=requester)

    asked = system.request(offerId=provider.offer)
    system.answer(asked, provider)
    system.cache.store(asked.id, asked.job, 1, 1, OUTPUT, sender=requester)  # the place is its own
    with ape.reverts(system.cache.CacheOutputMismatch):
        system.cache.hit(query(system, provider), ETHER, LIE, sender=requester)
    system.cache.hit(query(system, provider), ETHER, OUTPUT, sender=requester)

    assert system.cache.earnedBy(poisoned.offer) == 0
    assert system.cache.earnedBy(provider.offer) == asked.job["price"] // 10


def test_poisoned_cache__with_the_honest_provider_in_the_job__reverts(system, provider, poisoned):
    """The liar names the honest provider as the one who answered its job."""
    asked = system.request(offerId=poisoned.offer)
    system.answer(asked, poisoned, output=LIE)
    asked.job |= {"provider": provider.number, "offerId": provider.offer}

    with ape.reverts(system.cache.CacheNotSettled):
        system.cache.store(asked.id, asked.job, 1, 1, LIE, sender=poisoned.owner)


def test_poisoned_cache__with_an_answer_that_was_refunded__reverts(
    system, accounts, project, provider, poisoned, requester
):
    """Under a policy that decides later, an answer that lost its dispute is no result."""
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, "0x" + "00" * 20, resolution.address)
    system.registry.allowPolicy(
        system.model_id, system.policy_id(policy), True, sender=system.model_owner
    )
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(poisoned, market)
    asked = system.request(market=market)
    system.answer(asked, poisoned, output=LIE, proofs=[b"", b"claim"])
    resolution.decide(system.router, asked.id, 2, sender=requester)
    system.settle(asked, requester, output=LIE)

    with ape.reverts(system.cache.CacheNotSettled):
        system.cache.store(asked.id, asked.job, 1, 1, LIE, sender=poisoned.owner)


@pytest.fixture
def proved(system, accounts, project, model_owner, provider, requester):
    """A market whose policy proves answers, so that its cache has one place for all providers."""
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    system.vault.allowModule(system.cache, True, sender=requester)

    def cache(ready, sender, output=OUTPUT):
        """Asks, answers, settles and stores; returns the price of the job."""
        asked = system.request(sender=sender, value=ETHER, market=market, offerId=ready.offer)
        system.answer(asked, ready, output=output, proofs=[b"", b"claim"])
        resolution.decide(system.router, asked.id, 1, sender=sender)
        system.settle(asked, sender, output=output)
        system.cache.store(asked.id, asked.job, 1, 1, output, sender=sender)
        return asked.job["price"]

    asked = {"market": market, "units": 1, "inputHash": keccak(INPUT), "provider": 0}
    return SimpleNamespace(market=market, query=asked, cache=cache)


@pytest.fixture
def dear(system, accounts, provider, proved):
    """A second provider that asked itself at a hundred times the price, and cached that first."""
    ready = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(ready, proved.market, ask=100 * ASK)
    proved.cache(ready, ready.owner)
    return ready


def test_dear_cache__gives_way_to_the_same_output_of_a_cheaper_job(
    system, provider, proved, dear, requester
):
    blocked = system.cache.entryOf(proved.query)
    assert blocked.price > system.router.offer(provider.offer).price  # to ask again is cheaper

    price = proved.cache(provider, requester)

    system.cache.hit(proved.query, price // 10, OUTPUT, sender=requester)
    assert system.cache.earnedBy(provider.offer) == price // 10
    assert system.cache.earnedBy(dear.offer) == 0
    assert system.vault.locked(system.cache, NATIVE) == price // 10
    with ape.reverts(system.cache.CacheOccupied):
        proved.cache(dear, dear.owner)  # and does not come back
    with ape.reverts(system.cache.CacheOccupied):
        proved.cache(provider, requester)  # nor for the same price, to last longer


def test_cheaper_cache__of_another_output__takes_nobodys_place(
    system, provider, proved, dear, requester
):
    before = system.cache.entryOf(proved.query)

    with ape.reverts(system.cache.CacheOccupied):
        proved.cache(provider, requester, output=LIE)

    assert system.cache.entryOf(proved.query) == before
