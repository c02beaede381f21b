"""A swapped model or verifier: the owner changes what an open job runs, costs or is checked by

The owner, or whoever takes the model over, hopes that requesters get something else than they paid for.
"""

import ape
import pytest
from eth_utils import keccak
from system import ETHER, MODEL_PRICE, terms, version

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def asked(system, provider):
    """A job that is open while the owner changes things."""
    return system.request()


def test_swap__of_a_version__adds_another(system, provider, asked, model_owner):
    before = system.registry.version(system.model_id, 1)

    system.registry.addVersion(system.model_id, version(keccak(b"worse")), sender=model_owner)

    assert system.registry.version(system.model_id, 1) == before
    assert asked.job["version"] == 1
    with ape.reverts(system.router.RouterJobMismatch):
        system.answer(type(asked)(asked.id, asked.job | {"version": 2}, None), provider)


def test_swap__of_the_terms__does_not_reach_open_jobs(
    system, provider, asked, model_owner, stranger
):
    """Neither price nor royalty nor receiver of what was asked before."""
    system.registry.openTerms(
        system.model_id, terms(stranger, 9 * MODEL_PRICE, 5_000), sender=model_owner
    )

    system.answer(asked, provider)
    system.router.claim(provider.offer, system.market, sender=stranger)

    assert system.free(stranger) == 0
    assert system.free(model_owner) > 0


def test_swap__of_the_verifier__does_not_reach_open_jobs(
    system, provider, asked, model_owner, project, stranger
):
    """A verifier that believes everything is allowed later; the job keeps its own."""
    lax = stranger.deploy(project.MockVerifier)
    policy = (lax.address, *("0x" + "00" * 20,) * 2)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)

    for job in (asked.job, asked.job | {"verifier": lax.address}):
        error = (
            system.router.RouterProofInvalid
            if job is asked.job
            else system.router.RouterJobMismatch
        )
        with ape.reverts(error):
            system.answer(type(asked)(asked.id, job, None), provider, proofs=[b"nonsense"])


def test_swap__by_a_new_owner__needs_both_sides(system, model_owner, stranger, accounts):
    with ape.reverts(system.registry.RegistryNotOwner):
        system.registry.startTransfer(system.model_id, stranger, sender=stranger)
    system.registry.startTransfer(system.model_id, stranger, sender=model_owner)

    with ape.reverts(system.registry.RegistryNotPendingOwner):
        system.registry.acceptTransfer(system.model_id, sender=accounts[7])

    assert system.registry.model(system.model_id).owner == model_owner.address


def test_swap__by_retiring_and_deprecating__leaves_open_jobs_alone(
    system, provider, asked, model_owner
):
    """No new requests; what was paid for is answered and paid."""
    system.registry.deprecate(system.model_id, sender=model_owner)
    with ape.reverts(system.registry.RegistryDeprecated):
        system.request()

    system.answer(asked, provider)

    assert system.state(asked.id) == "Settled"
    assert system.router.offer(provider.offer).earned == asked.job["price"] < ETHER
