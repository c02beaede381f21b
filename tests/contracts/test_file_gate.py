"""FileGate, the example of a contract that asks: nobody's money stays in it

ask
├── when too much was paid
│   └── the rest goes back to who asked, at once, and nothing of anybody else
└── when the answer comes
    └── it keeps the label, and nothing comes back
takeBack
├── when the job is under way, answered, undelivered, taken back already, or not the gate's
│   └── it reverts with GateNothingBack(jobId, state)
└── the price of a refunded job goes to who asked, also when the router has forgotten the job
onInference
└── when the caller is not the router
    └── it reverts with GateNotRouter(caller, router)
"""

import ape
import pytest
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, STATES, Asked, deploy_system, plain

PRICE = ASK + MODEL_PRICE
FILE = b"print('hello')\n"
ANSWER = b"\xa1\x65label\x66python"


@pytest.fixture
def gate(system, project, accounts):
    return accounts[0].deploy(project.FileGate, system.router, system.vault)


def ask(system, gate, sender, value=PRICE):
    deadline = ape.chain.pending_timestamp + 600
    receipt = gate.ask(system.market, FILE, ETHER, deadline, value=value, sender=sender)
    (event,) = receipt.events.filter(system.router.InferenceRequested)
    return Asked(event.jobId, plain(event.job), receipt)


def refund(system, asked, sender):
    ape.chain.pending_timestamp = asked.job["deadline"] + 1
    system.router.refund(asked.id, asked.job, sender=sender)


def nothing_back(system, gate, job_id, state, sender):
    expected = {"jobId": job_id, "state": STATES.index(state)}
    with ape.reverts(gate.GateNothingBack, **expected):
        gate.takeBack(job_id, sender=sender)


def test_ask__when_too_much_was_paid__gives_the_rest_back(
    system, provider, gate, requester, stranger
):
    refund(system, ask(system, gate, requester), stranger)
    kept = system.free(gate)  # another's, whose job nobody answered
    before = stranger.balance

    asked = ask(system, gate, stranger, value=ETHER)

    assert stranger.balance == before - PRICE - asked.receipt.total_fees_paid
    assert system.free(gate) == kept == PRICE


def test_ask__keeps_the_answer(system, provider, gate, requester):
    asked = ask(system, gate, requester)

    system.answer(asked, provider, output=ANSWER)

    assert gate.typeOf(gate.fileOf(asked.id)) == "python"
    assert system.free(gate) == 0
    nothing_back(system, gate, asked.id, "Settled", requester)


def test_take_back__of_a_refunded_job__pays_who_asked(system, provider, gate, requester, stranger):
    asked = ask(system, gate, requester)
    nothing_back(system, gate, asked.id, "Assigned", requester)
    refund(system, asked, stranger)
    before = requester.balance

    gate.takeBack(asked.id, sender=stranger)

    assert requester.balance == before + PRICE
    assert system.free(gate) == system.vault.locked(system.router, NATIVE) == 0
    nothing_back(system, gate, asked.id, "Refunded", requester)


def test_take_back__of_what_is_not_the_gates__reverts(system, provider, gate, requester, stranger):
    other = system.request()
    refund(system, other, stranger)

    nothing_back(system, gate, other.id, "Refunded", requester)
    nothing_back(system, gate, other.id + 1, "None", requester)


def test_take_back__of_an_undelivered_answer__reverts(system, provider, gate, requester):
    asked = ask(system, gate, requester)
    system.answer(asked, provider, output=OUTPUT)  # no map with a text

    nothing_back(system, gate, asked.id, "SettledUndelivered", requester)


def test_take_back__when_the_router_has_forgotten_the_job__pays_all_the_same(
    accounts, project, requester, stranger
):
    small = deploy_system(accounts, project, ring_bits=1)
    small.open_offer(small.provider(accounts[4], accounts[5], accounts[6]))
    gate = accounts[0].deploy(project.FileGate, small.router, small.vault)
    asked = ask(small, gate, requester)
    refund(small, asked, stranger)
    for _ in range(2):
        ask(small, gate, stranger)
    assert small.state(asked.id) == "Archived"
    before = requester.balance

    gate.takeBack(asked.id, sender=stranger)

    assert requester.balance == before + PRICE


def test_on_inference__when_not_the_router__reverts(system, gate, stranger):
    expected = {"caller": stranger.address, "router": system.router.address}
    with ape.reverts(gate.GateNotRouter, **expected):
        gate.onInference(1, ANSWER, sender=stranger)
