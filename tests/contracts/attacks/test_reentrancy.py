"""Reentrancy: a second call before the first has ended

The attacker hopes to be paid twice for one balance, or to be credited twice for one deposit.
"""

import pytest
from system import ETHER, NATIVE, OUTPUT, plain


@pytest.fixture
def thief(system, project, stranger):
    """A contract with an ether in the Vault, beside ten of somebody else."""
    thief = stranger.deploy(project.MockThief)
    system.vault.deposit(thief, NATIVE, ETHER, value=ETHER, sender=stranger)
    return thief


def test_withdraw__entered_again_while_paying__pays_once(system, thief, stranger):
    take = system.vault.withdraw.encode_input(NATIVE, ETHER, thief)
    before = system.vault.balance

    thief.execute(system.vault, take, take, sender=stranger)

    assert (thief.tries(), thief.worked()) == (1, False)
    assert before - system.vault.balance == thief.balance == ETHER
    assert system.vault.accounted(NATIVE) == system.vault.balance


def test_withdraw__entered_again_by_another_door__pays_once(system, thief, stranger):
    """Deposits are refused too while a payment is under way, so nothing can be counted between the two."""
    take = system.vault.withdraw.encode_input(NATIVE, ETHER // 2, thief)
    put = system.vault.deposit.encode_input(thief, NATIVE, 0)

    thief.execute(system.vault, take, put, sender=stranger)

    assert (thief.tries(), thief.worked()) == (1, False)
    assert system.free(thief) == ETHER // 2


def test_withdraw__spent_while_paying__cannot_be_spent_twice(system, provider, thief, stranger):
    """Locking is no payment and may happen inside one, but only with what is left."""
    system.vault.deposit(stranger, NATIVE, ETHER, value=ETHER, sender=stranger)
    take = system.vault.withdraw.encode_input(NATIVE, ETHER, thief)
    allow = system.vault.allowModule.encode_input(system.router, True)
    thief.execute(system.vault, allow, b"", sender=stranger)
    before = system.vault.locked(system.router, NATIVE)

    thief.execute(
        system.vault, take, system.vault.delay.encode_input(NATIVE, ETHER), sender=stranger
    )

    assert (thief.tries(), thief.worked()) == (1, False)
    assert (system.free(thief), system.vault.delayed(thief, NATIVE)) == (0, 0)
    assert system.vault.locked(system.router, NATIVE) == before


def test_token_deposit__entered_again_by_the_token__credits_once(system, project, thief, stranger):
    """The Vault credits what arrived between two looks at its balance: a deposit inside another would count twice."""
    token = stranger.deploy(project.MockHostileToken)
    token.mint(thief, 10, sender=stranger)
    token.setThief(thief, sender=stranger)
    thief.execute(token, token.approve.encode_input(system.vault, 10), b"", sender=stranger)
    put = system.vault.deposit.encode_input(thief, token, 5)

    thief.execute(system.vault, put, put, sender=stranger)

    assert (thief.tries(), thief.worked()) == (1, False)
    assert system.free(thief, token) == 5 == token.balanceOf(system.vault)
    assert system.vault.accounted(token) == 5


@pytest.mark.parametrize("second", ["answer", "refund", "decline", "redeliver"])
def test_callback__entered_again_into_the_router__finds_the_job_over(
    system, provider, thief, stranger, second
):
    """The thief asks, operates the provider that answers, and tries a second end to the job from its callback."""
    system.staking.setOperator(provider.number, thief, sender=provider.owner)
    allow = system.vault.allowModule.encode_input(system.router, True)
    thief.execute(system.vault, allow, b"", sender=stranger)
    ask = system.router.request.encode_input(system.asking(callbackGas=200_000))
    receipt = thief.execute(system.router, ask, b"", sender=stranger)
    (asked,) = receipt.events.filter(system.router.InferenceRequested)
    job, price = plain(asked.job), plain(asked.job)["price"]
    arguments = {
        "answer": (asked.jobId, job, 1, OUTPUT, [b""]),
        "refund": (asked.jobId, job),
        "decline": (asked.jobId, job),
        "redeliver": (asked.jobId, job, 1, OUTPUT),
    }
    answer = system.router.answer.encode_input(*arguments["answer"])
    again = getattr(system.router, second).encode_input(*arguments[second])

    thief.execute(system.router, answer, again, sender=stranger)

    assert (thief.tries(), thief.worked()) == (1, False)
    assert system.state(asked.jobId) == "Settled"
    assert system.router.offer(provider.offer).earned == price
    assert system.vault.locked(system.router, NATIVE) == price
    assert system.free(thief) == ETHER - price
