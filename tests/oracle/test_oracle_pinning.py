"""services.pinning and `lattice pin`: a real chain, a real gateway, a funder, and pinners with and without the data.

manager
├── offered: the most profitable first, none that are full or ours
├── take: fetches, checks root and size, joins once; refuses a version whose root is not that of its bytes
├── take: of a deal that is full fetches nothing
├── tick: answers what is asked, once, after a restart too; does nothing when nothing is asked
├── take: while a version is fetched, challenges of other places are answered
├── run --take: a deal whose event an endpoint left out is found when all are read again
├── run --take: a deal that could not be taken for now is tried again, a bad one is left alone
├── tick: what a node refuses for one place does not keep the others waiting
├── tick: an event that an endpoint left out is found when all are read again
├── tick: old events are read once, new ones and those of a block that was undone are not missed
├── tick: a pinner that lost the data misses, and is noted
├── at the end it claims pay and bond, and everything adds up
└── held: what is owed is what a claim then pays
command line
├── add, export, import, share, fund, deals, join, status, stats, claim: the way of a deal
└── check: a peer that has it, one that lies, one that has nothing
audit
└── of a peer that lacks some leaves finds that out
"""

import asyncio
import json
import shutil
import sys

import pytest
from ipfs_server import IpfsServer
from live_chain import NATIVE
from live_pinning import CONTRACT, RATE, Pinner, open_deal, register

from offchain_worker.errors import BadArtifact, PeerFailed
from offchain_worker.storage.audit import audit
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.store import EmbeddedStore
from oracle.cli import main, pin_deals
from oracle.errors import Reverted, RpcRefused, RpcUnreachable
from oracle.services.pin_places import UNSURE_BLOCKS, answer_gas
from oracle.services.pinning import beside


@pytest.fixture
def files(tmp_path):
    folder = tmp_path / "files"
    folder.mkdir()
    (folder / "weights").write_bytes(bytes(range(256)) * 1200)
    (folder / "manifest.json").write_bytes(b"{}")
    return folder


@pytest.fixture
def gateway(tmp_path, files):
    server = IpfsServer(EmbeddedStore(tmp_path / "origin"))
    server.scan = server.store.add(files)
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


def test_offered__names_the_most_profitable_first(chain, gateway, deal, pinner):
    model_id = chain.read(
        "ModelRegistry", "modelIdOf", chain.accounts[1], gateway.scan.cid.data[4:]
    )
    better = open_deal(chain, model_id, gateway.scan.size_bytes, rate=2 * RATE, copies=1)

    offered = pinner.places.offered()

    assert [(offer.deal_id, offer.places_left) for offer in offered] == [(better, 1), (deal, 2)]
    assert offered[1].cid == gateway.scan.cid
    assert 0 < offered[1].profit_wei < 12 * offered[1].pay_wei
    pinner.take(better, gateway)
    assert [offer.deal_id for offer in pinner.places.offered()] == [deal]


def test_answer_gas__is_a_little_above_what_was_measured():
    assert 96_470 <= answer_gas(1, 1 << 30) <= 100_000
    assert 609_970 <= answer_gas(8, 1 << 30) <= 640_000


def test_take__when_the_deal_is_full__fetches_nothing(chain, gateway, pinner):
    model = register(chain, gateway.scan)
    deal = open_deal(chain, model, gateway.scan.size_bytes, copies=1)
    bond = chain.read(CONTRACT, "deal", deal)["bond"]
    chain.send(CONTRACT, "join", deal, sender=chain.accounts[5], value=bond)

    with pytest.raises(Reverted, match="IncentivesDealFull"):
        pinner.take(deal, gateway)

    assert not pinner.store.has(gateway.scan.cid)
    assert pinner.rows() == []


@pytest.mark.parametrize("wrong", ["root", "size"])
def test_take__when_the_version_cannot_be_proved__refuses(chain, gateway, pinner, wrong):
    scan = gateway.scan
    lie = {"root": b"\x01" * 32} if wrong == "root" else {"size": scan.size_bytes + 1}
    model_id = register(chain, scan, **lie)
    deal = open_deal(chain, model_id, scan.size_bytes + (wrong == "size"))

    with pytest.raises(BadArtifact, match="do not join it"):
        pinner.take(deal, gateway)

    assert pinner.place(deal).round == 0
    assert pinner.store.pins.all() == []


def test_tick__answers_once_and_after_a_restart(chain, gateway, deal, pinner):
    pinner.take(deal, gateway)
    assert pinner.tick() == 0
    for proved in (1, 2):
        pinner.to_challenge(deal)
        pinner.start()
        assert pinner.tick() == 1
        assert pinner.tick() == 0
        assert (pinner.place(deal).proved, pinner.place(deal).missed) == (proved, 0)


def test_take__while_a_version_is_fetched__answers_what_others_ask(chain, gateway, pinner):
    model, size = register(chain, gateway.scan), gateway.scan.size_bytes
    first, second = open_deal(chain, model, size), open_deal(chain, model, size)
    pinner.take(first, gateway)
    pinner.to_challenge(first)
    answered = []

    async def slow(cid, most_bytes):
        while not answered:
            await asyncio.sleep(0.01)
        return pinner.store.verify(cid, most_bytes)

    def tick():
        if pinner.tick():
            answered.append(pinner.place(first).proved)

    async def run():
        return await beside(pinner.manager.take(second, slow), tick, 0.01)

    pinner.sender.wait(asyncio.run(run()))

    assert answered == [1]
    assert pinner.place(second).round > 0


def test_beside__when_the_other_fails__gives_the_work_up():
    ended = []

    async def work():
        try:
            await asyncio.Event().wait()
        finally:
            ended.append(True)

    def fail():
        raise RpcUnreachable("the endpoint is away")

    with pytest.raises(RpcUnreachable):
        asyncio.run(beside(work(), fail, 0.01))

    assert ended == [True]


@pytest.mark.parametrize(
    ("error", "left_alone"),
    [
        (PeerFailed("the gateway is away"), set()),
        (RpcUnreachable("the endpoint is away"), set()),
        (BadArtifact("another root"), {7}),
        (ZeroDivisionError("a mistake"), {7}),
    ],
)
def test_try_to_take__when_it_only_failed_for_now__is_tried_again(
    error, left_alone, pinner, monkeypatch
):
    def fails(*_):
        raise error

    refused = set()
    monkeypatch.setattr(pin_deals, "_take", fails)

    pin_deals._try_to_take(pinner.manager, pinner.store, 7, (), refused)

    assert refused == left_alone


def test_tick__when_the_node_refuses_one_answer__gives_the_others(
    chain, gateway, pinner, monkeypatch
):
    model, size = register(chain, gateway.scan), gateway.scan.size_bytes
    first, second = open_deal(chain, model, size), open_deal(chain, model, size)
    for deal in (first, second):
        pinner.take(deal, gateway)
    pinner.to_challenge(second)
    queue = pinner.sender.queue

    def refused(call):
        if call.arguments[0] == first:
            raise RpcRefused("eth_estimateGas", -32000, "request entity too large")
        return queue(call)

    monkeypatch.setattr(pinner.sender, "queue", refused)

    assert pinner.tick() == 1
    assert (pinner.place(first).proved, pinner.place(second).proved) == (0, 1)


def test_tick__when_an_endpoint_left_an_event_out__finds_it_when_it_reads_again(
    chain, gateway, deal, pinner, monkeypatch
):
    pinner.take(deal, gateway)
    chain.mine(UNSURE_BLOCKS + 10)
    pinner.start()
    rpc = pinner.places._contracts.rpc
    call = rpc.call
    monkeypatch.setattr(rpc, "call", lambda m, *p: [] if m == "eth_getLogs" else call(m, *p))
    assert pinner.tick() == 0
    monkeypatch.undo()
    assert pinner.tick() == 0

    pinner.places._read_at = float("-inf")

    assert pinner.tick() == 1


def test_take_profitable__when_an_endpoint_left_a_deal_out__finds_it_when_it_reads_again(
    chain, deal, pinner, monkeypatch
):
    tried = []
    monkeypatch.setattr(
        pin_deals, "_try_to_take", lambda manager, store, found, *_: tried.append(found)
    )
    chain.mine(UNSURE_BLOCKS + 10)
    rpc = pinner.places._contracts.rpc
    call = rpc.call
    with monkeypatch.context() as patch:
        patch.setattr(rpc, "call", lambda m, *p: [] if m == "eth_getLogs" else call(m, *p))
        pin_deals._take_profitable(pinner.manager, pinner.store, (), set(), pin_deals.MOST_BYTES)
    assert tried == []

    pinner.places._read_at = float("-inf")
    pinner.tick()
    pin_deals._take_profitable(pinner.manager, pinner.store, (), set(), pin_deals.MOST_BYTES)

    assert tried == [deal]


def test_tick__reads_old_events_once_and_misses_no_new_ones(chain, gateway, pinner, monkeypatch):
    model, size = register(chain, gateway.scan), gateway.scan.size_bytes
    deal = open_deal(chain, model, size)
    pinner.take(deal, gateway)
    chain.mine(UNSURE_BLOCKS + 10)
    pinner.tick()
    asked = []
    call = pinner.places._contracts.rpc.call

    def spy(method, *arguments, **options):
        if method == "eth_getLogs":
            asked.append(int(arguments[0]["fromBlock"], 16))
        return call(method, *arguments, **options)

    monkeypatch.setattr(pinner.places._contracts.rpc, "call", spy)
    pinner.tick()
    snapshot = chain("evm_snapshot")
    undone = open_deal(chain, model, size)
    (first,) = pinner.places.offered()
    chain("evm_revert", snapshot)
    nobody = pinner.places.offered()
    again = open_deal(chain, model, size, copies=3)
    (second,) = pinner.places.offered()

    assert asked
    assert min(asked) > chain.head() - UNSURE_BLOCKS - 20
    assert (first.deal_id, first.places_left, nobody) == (undone, 2, [])
    assert (second.deal_id, second.places_left) == (again, 3)
    assert [held.deal_id for held in pinner.places.held()] == [deal]


def test_tick__to_the_end_is_paid_in_full(chain, gateway, deal, pinner):
    pinner.take(deal, gateway)
    pay = chain.read(CONTRACT, "deal", deal)["pay"]
    for _ in range(12):
        pinner.to_challenge(deal)
        assert pinner.tick() == 1
    (held,) = pinner.places.held()
    assert (held.proved, held.missed, held.ended, held.settled) == (12, 0, True, False)

    assert (pinner.tick(), pinner.tick()) == (1, 0)

    assert chain.read("Vault", "free", pinner.address, NATIVE) == held.owed_wei == 24 * pay
    (after,) = pinner.places.held()
    assert (after.owed_wei, after.earned_wei, after.settled) == (0, 12 * pay, True)


def test_tick__without_the_data_misses_and_loses_the_bond(chain, gateway, deal, pinner):
    pinner.take(deal, gateway)
    shutil.rmtree(pinner.home / "store/packs")
    pinner.start()
    for missed in (1, 2, 3):
        pinner.to_challenge(deal)
        assert pinner.tick() == 0
        pinner.past_window(deal)
        assert pinner.tick() == 1
        assert pinner.place(deal).missed == missed

    assert pinner.tick() == 1

    assert pinner.place(deal).settled
    assert chain.read("Vault", "free", pinner.address, NATIVE) == 0


@pytest.fixture
def node(tmp_path):
    """A Kubo node and pinning service that has nothing yet."""
    server = IpfsServer(EmbeddedStore(tmp_path / "node"))
    yield server
    server.stop()


def test_command_line__goes_the_way_of_a_deal(
    chain, gateway, node, tmp_path, monkeypatch, capsys, files
):
    pinner = Pinner(chain, tmp_path / "home")
    monkeypatch.setenv("LATTICE_KEY", pinner.key)
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))

    def lattice(*words, home=("--home", str(tmp_path / "home"))):
        with pytest.raises(SystemExit) as end:
            sys.exit(main([*map(str, words), *home]))
        shown = capsys.readouterr()
        assert not end.value.code, shown.err
        return shown.out

    lattice("init", "--rpc", chain.url, "--deployment", chain.record, "--key-env", "LATTICE_KEY")
    added = json.loads(lattice("pin", "add", files, "--json"))
    assert added["cid"] == str(gateway.scan.cid)
    assert added["possession_root"] == "0x" + gateway.scan.tree.root.hex()
    lattice("pin", "export", added["cid"], tmp_path / "model.car")
    lattice("pin", "rm", added["cid"])
    assert lattice("pin", "import", tmp_path / "model.car").strip() == added["cid"]
    shared = lattice("pin", "share", added["cid"], "--kubo", node.url, "--service", node.url)
    assert shared.count("keeps it") == 2
    assert node.store.pins.all() == [Cid.parse(added["cid"])]
    lattice("pin", "rm", added["cid"])
    model_id = register(chain, gateway.scan)
    terms = ("--rate", "100ether", "--period-s", 480, "--window-s", 180, "--copies", 1)
    opened = json.loads(lattice("pin", "fund", "0x" + model_id.hex(), *terms, "--json"))
    deal = opened["deal"]
    assert [row["deal_id"] for row in json.loads(lattice("pin", "deals", "--json"))] == [deal]
    lattice("pin", "join", deal, "--from", gateway.url)
    pinner.to_challenge(deal)
    pinner.start()
    pinner.tick()
    pinner.end()
    (status,) = json.loads(lattice("pin", "status", "--json"))
    assert (status["deal_id"], status["proved"], status["missed"]) == (deal, 1, 0)
    lattice("pin", "claim", deal)
    assert lattice("pin", "claim", deal).strip() == f"nothing is owed for deal {deal}"
    stats = json.loads(lattice("pin", "stats", "--json"))
    assert stats["earned_wei"] == status["owed_wei"] > 0
    assert (stats["places"], stats["challenges_proved"], stats["pins"]) == (1, 1, 1)
    words = ("pin", "check", added["cid"], "--at", gateway.url, "--json")
    checked = json.loads(lattice(*words, home=()))
    assert (checked["asked"], checked["held"]) == (20, 20)


def audited(server, cid, samples=60):
    async def run():
        async with Gateway(server.url) as peer:
            return await audit(peer, cid, samples)

    return asyncio.run(run())


def test_audit__of_a_peer_that_lacks_leaves_finds_that_out(tmp_path):
    server = IpfsServer(EmbeddedStore(tmp_path / "theirs"))
    (tmp_path / "file").write_bytes(bytes(3 << 20) + b"x" * (3 << 20))
    scan = server.store.add(tmp_path / "file")
    whole = audited(server, scan.cid)
    server.change = lambda cid, block: block[:-1] + b"?" if block[-1:] == b"x" else block
    lying = audited(server, scan.cid)
    server.stop()

    assert (whole.held, whole.reasons) == (60, ())
    assert 0 < lying.held < 60
    assert "other bytes" in lying.reasons[0]
