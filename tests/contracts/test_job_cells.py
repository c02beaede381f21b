"""The ring of job cells, on a router whose ring has two places

a new job
├── when the job in its place is settled or refunded
│   └── it takes the place, and the earlier job is Archived
├── when the job in its place is open, answered or undelivered
│   └── it gets a cell of its own, and both go on
└── any number of rounds later
    └── an archived job can be neither answered, refunded nor settled again: RouterJobMismatch(jobId, state)
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, Asked, deploy_system, plain

PRICE = ASK + MODEL_PRICE


@pytest.fixture
def small(accounts, project):
    """A system whose router has a ring of two places."""
    ready = deploy_system(accounts, project, ring_bits=1)
    ready.vault.deposit(ready.requester, NATIVE, ETHER, value=ETHER, sender=ready.requester)
    ready.vault.allowModule(ready.router, True, sender=ready.requester)
    return ready


@pytest.fixture
def server(small, accounts):
    """A provider in it."""
    ready = small.provider(accounts[4], accounts[5], accounts[6])
    small.open_offer(ready)
    return ready


def test_new_job__when_the_job_in_its_place_is_settled__archives_it(small, server):
    first = small.request()
    small.answer(first, server)
    second, third = small.request(), small.request()

    assert small.state(first.id) == "Archived"
    assert small.router.commitmentOf(first.id) == bytes(32)
    assert not small.router.isSettledWith(first.id, first.job, 1, OUTPUT)
    assert (small.state(second.id), small.state(third.id)) == ("Assigned", "Assigned")


def test_new_job__when_the_job_in_its_place_is_refunded__archives_it(
    small, server, chain, stranger
):
    first = small.request()
    chain.pending_timestamp = first.job["deadline"] + 1
    small.router.refund(first.id, first.job, sender=stranger)
    small.request()
    third = small.request()

    assert (small.state(first.id), small.state(third.id)) == ("Archived", "Assigned")


def test_new_job__when_the_job_in_its_place_is_open__both_go_on(small, server):
    jobs = [small.request() for _ in range(6)]

    assert [small.state(job.id) for job in jobs] == ["Assigned"] * 6
    for job in reversed(jobs):
        small.answer(job, server)
    assert [small.state(job.id) for job in jobs] == ["Settled"] * 6
    assert small.router.offer(server.offer).earned == 6 * PRICE
    assert small.vault.locked(small.router, NATIVE) == 6 * PRICE


def test_new_job__when_the_job_in_its_place_is_undelivered__keeps_the_right_to_redeliver(
    small, server, accounts, project, requester
):
    consumer = accounts[0].deploy(project.MockConsumer, small.router)
    consumer.setMood(1, sender=requester)
    receipt = consumer.ask(small.asking(callbackGas=100_000), value=PRICE, sender=requester)
    (event,) = receipt.events.filter(small.router.InferenceRequested)
    first = Asked(event.jobId, plain(event.job), receipt)
    small.answer(first, server)
    for _ in range(4):
        small.answer(small.request(), server)

    assert small.state(first.id) == "SettledUndelivered"
    consumer.setMood(0, sender=requester)
    consumer.redeliver(first.id, first.job, 1, OUTPUT, sender=requester)
    assert (small.state(first.id), consumer.calls()) == ("Settled", 1)


@pytest.mark.parametrize("rounds", [1, 2, 5])
def test_archived_job__can_do_nothing_again(small, server, chain, stranger, rounds):
    first = small.request()
    proof = small.sign(first, server.operator)
    small.answer(first, server)
    for _ in range(2 * rounds):
        small.answer(small.request(), server)
    assert small.state(first.id) == "Archived"

    for attempt in (
        lambda: small.answer(first, server, proofs=[proof]),
        lambda: small.router.refund(first.id, first.job, sender=stranger),
        lambda: small.settle(first, stranger),
        lambda: small.router.redeliver(first.id, first.job, 1, OUTPUT, sender=stranger),
        lambda: small.router.take(first.id, first.job, server.offer, sender=server.operator),
        lambda: small.router.decline(first.id, first.job, sender=server.operator),
    ):
        with ape.reverts(small.router.RouterJobMismatch, **{"jobId": first.id, "state": 0}):
            attempt()


def test_state__of_a_job_that_never_was__is_none(small, server):
    small.request()

    assert [small.state(job_id) for job_id in (0, 2, 3, 99)] == ["None"] * 4
