"""A pinner is killed at each step, its endpoint loses replies, and the chain takes back what it said.

join, answer, claim
└── when killed before or after the commit, after the broadcast, after it was mined or final: each is sent once
answer
├── when the reply of the endpoint is lost: it is sent once
├── when a reorg removes it: the same bytes are sent again
├── when a reorg changes what the challenge asks for: the old answer is withdrawn, the new one counts, nothing reverts
└── when it is not mined within the window: it is withdrawn, and the miss is noted
two processes
└── one at a time: the second is told who runs
"""

import contextlib

import pytest
from fault_proxy import lose_reply
from fault_steps import killed, wait_for
from ipfs_server import IpfsServer
from live_chain import NATIVE
from live_pinning import CONTRACT, Pinner, open_deal, register

from offchain_worker.storage.store import EmbeddedStore
from oracle.errors import HomeInUse
from oracle.node import connect, open_pin_sender

LABELS = ("queued", "signed", "broadcast", "mined", "final")


@pytest.fixture
def gateway(tmp_path):
    (tmp_path / "files").mkdir()
    (tmp_path / "files/weights").write_bytes(bytes(range(256)) * 1200)
    server = IpfsServer(EmbeddedStore(tmp_path / "origin"))
    server.scan = server.store.add(tmp_path / "files")
    yield server
    server.stop()


@pytest.fixture
def deal(chain, gateway):
    return open_deal(chain, register(chain, gateway.scan), gateway.scan.size_bytes)


@pytest.fixture
def pinner(chain, tmp_path):
    ready = Pinner(chain, tmp_path / "pinner").start()
    yield ready
    ready.end()


@pytest.fixture
def joined(pinner, gateway, deal, chain):
    """A pinner that has joined, for good."""
    pinner.take(deal, gateway)
    chain.mine(5)
    pinner.tick()
    assert pinner.rows() == [("pin-join", 0, "final")]
    return pinner


def run_until(pinner, condition, *words):
    """Let its process run until something is true and all it sent is final; the next challenge is only blocks away."""
    pinner.run(*words)
    wait_for(condition)
    pinner.chain.mine(4)
    wait_for(lambda: {state for _, _, state in pinner.rows()} == {"final"})
    pinner.chain.end_workers()


def die(pinner, process, label):
    """Wait until the process has killed itself."""
    if label == "final":
        sent = pinner.sent()
        wait_for(lambda: pinner.sent() > sent)
        pinner.chain.mine(4)
    killed(process)


@pytest.mark.parametrize("label", LABELS)
def test_join__when_killed__is_sent_once(label, pinner, deal, gateway, chain):
    pinner.end()
    words = ("--take", "--from", gateway.url)
    die(pinner, pinner.run(*words, crash_at=label), label)

    run_until(pinner, lambda: pinner.place(deal).round, *words)

    assert pinner.sent() == 1
    assert chain.read("Vault", "locked", chain.contracts.address(CONTRACT), NATIVE) == (
        3 * chain.read(CONTRACT, "deal", deal)["bond"]  # one bond, and the pay of two places
    )


@pytest.mark.parametrize("label", LABELS)
def test_answer__when_killed__is_sent_once(label, joined, deal):
    joined.to_challenge(deal)
    joined.end()
    die(joined, joined.run(crash_at=label), label)

    run_until(joined, lambda: joined.place(deal).proved == 1)

    assert joined.sent() == 2
    assert joined.place(deal).missed == 0


@pytest.mark.parametrize("label", LABELS)
def test_claim__when_killed__is_sent_once(label, joined, deal, chain):
    for _ in range(12):
        joined.to_challenge(deal)
        assert joined.tick() == 1
    chain.mine(5)
    joined.sender.check()
    joined.end()
    die(joined, joined.run(crash_at=label), label)

    run_until(joined, lambda: joined.place(deal).settled)

    assert joined.sent() == 14
    pay = chain.read(CONTRACT, "deal", deal)["pay"]
    assert chain.read("Vault", "free", joined.address, NATIVE) == 24 * pay


def test_answer__when_the_reply_is_lost__is_sent_once(joined, deal, proxy):
    joined.start(**{"chain.rpc_urls": [proxy.url]})
    joined.to_challenge(deal)
    proxy.add(lose_reply, "eth_sendRawTransaction", times=2)

    with contextlib.suppress(Exception):  # it is not known whether the chain has it
        joined.tick()
    wait_for(lambda: joined.tick() or joined.place(deal).proved == 1)

    assert proxy.count("eth_sendRawTransaction") >= 2
    assert joined.sent() == 2
    assert [word for word, _, _ in joined.rows()] == ["pin-join", "pin-answer"]


def test_answer__when_a_reorg_removes_it__is_sent_again_as_it_was(joined, deal, chain):
    joined.to_challenge(deal)
    assert joined.tick() == 1
    before = joined.hashes()
    chain.reorg(1)
    assert joined.place(deal).proved == 0

    joined.tick()
    chain.mine(4)
    joined.tick()

    assert joined.hashes() == before
    assert (joined.place(deal).proved, joined.sent()) == (1, 2)
    assert joined.rows() == [("pin-join", 0, "final"), ("pin-answer", 1, "final")]


def test_answer__when_a_reorg_changes_the_question__is_withdrawn_for_another(joined, deal, chain):
    joined.to_challenge(deal)
    chain("evm_setAutomine", False)
    joined.tick()
    asked = joined.questions()
    chain("anvil_dropAllTransactions")
    chain.reorg(3)

    joined.tick()
    chain("evm_setAutomine", True)
    for _ in range(6):
        chain.mine()
        joined.tick()

    assert len(asked) == 1
    assert len(joined.questions()) == 2
    assert (joined.place(deal).proved, joined.place(deal).missed) == (1, 0)
    assert [row for row in joined.rows() if row[2] == "reverted"] == []
    assert joined.rows()[1:] == [("pin-answer", 1, "cancelled"), ("pin-answer", 2, "final")]


def test_answer__when_the_window_passes_before_it_is_mined__is_withdrawn(joined, deal, chain):
    joined.to_challenge(deal)
    chain("evm_setAutomine", False)
    joined.tick()
    chain("anvil_dropAllTransactions")
    joined.past_window(deal)

    joined.tick()
    chain("evm_setAutomine", True)
    for _ in range(6):
        chain.mine()
        joined.tick()

    assert (joined.place(deal).proved, joined.place(deal).missed) == (0, 1)
    assert joined.rows()[1:] == [("pin-answer", 1, "cancelled"), ("pin-missed", 2, "final")]


def test_open__while_another_runs__says_who(joined):
    settings = joined.settings()

    with pytest.raises(HomeInUse, match="running with the pins"):
        open_pin_sender(settings, connect(settings)).__enter__()
