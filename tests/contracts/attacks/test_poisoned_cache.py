"""A poisoned cache: a provider pays itself for a wrong answer, and puts it into the cache

The attacker hopes that others are served, and pay for, what only he says.
"""

import ape
import pytest
from eth_utils import keccak
from system import ETHER, INPUT, OUTPUT

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
