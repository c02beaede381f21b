"""A copied answer: somebody sees an answer on its way and sends it first

The attacker hopes to be paid for work that another provider did.
"""

import ape
import pytest
from eth_utils import keccak
from system import OUTPUT


@pytest.fixture
def copier(system, accounts):
    """A second provider in the same market."""
    ready = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(ready)
    return ready


@pytest.fixture
def asked(system, provider, copier):
    """A job of the honest provider."""
    return system.request(offerId=provider.offer)


def test_copied_answer__sent_by_another_operator__reverts(system, provider, copier, asked):
    proofs = [system.sign(asked, provider.operator)]

    expected = {"caller": copier.operator.address, "operator": provider.operator.address}
    with ape.reverts(system.router.RouterNotOperator, **expected):
        system.answer(asked, copier, proofs=proofs)

    system.answer(asked, provider, proofs=proofs)  # which the copy has not used up
    assert system.router.offer(provider.offer).earned == asked.job["price"]
    assert system.router.offer(copier.offer).earned == 0


def test_copied_answer__with_the_copiers_name_in_the_job__reverts(system, provider, copier, asked):
    changed = {"provider": copier.number, "offerId": copier.offer}
    digest = system.router.answerDigest(asked.id, asked.job | changed, 1, keccak(OUTPUT))
    asked.job |= changed

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id}):
        system.answer(asked, copier, proofs=[digest + bytes(33)])


def test_copied_answer__by_taking_the_job_over_at_once__reverts(system, copier, asked):
    expected = {"from": asked.job["exclusiveUntil"] + 1}
    with ape.reverts(system.router.RouterTooEarly, **expected):
        system.take(asked, copier, value=asked.job["price"])


def test_copied_proof__for_another_job__reverts(system, provider, asked):
    """The provider itself sends one proof twice: it is bound to its job."""
    second = system.request(offerId=provider.offer)
    proofs = [system.sign(asked, provider.operator)]

    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(second, provider, proofs=proofs)
