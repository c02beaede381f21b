"""storage.service: store, retrieve, pin, unpin, stat and verify, over the embedded store and over peers by HTTP.

retrieve
├── when something is at the place: it raises FileExistsError and fetches nothing
├── from a gateway by blocks, by CAR, and from a Kubo node: the same files
├── when a peer flips a byte, truncates or lengthens a block: it is found at that block
│   ├── alone: it raises ArtifactMissing, says who lied, and nothing is at the place
│   └── beside an honest one: the files come from the other
├── when a block is missing everywhere, or many are: it raises one ArtifactMissing
├── when a peer is slow: the next one is asked
├── when the peer dies in the middle: what came is kept, and the next call fetches only the rest
├── when a CAR lies, ends early or is of another root: the rest comes block by block
├── when a CAR comes in drops, or has blocks of something else: it is left, and nothing of the else is kept
├── when a CAR has a block twice: it is taken
├── when there is more than allowed: it raises ArtifactTooLarge
└── when a block of ours is damaged: it is fetched anew
pin, unpin
├── unpin deletes what no other root needs, and only that
├── when the fetch fails, or is given up: it is not pinned; what came is kept for the next try, and unpin deletes it
└── pinners: Kubo and a pinning service keep it, let it go, and say no when it fails
    └── when they answer with something else than their API: it raises PeerFailed
peers
├── with an address that is none: it raises PeerFailed at once
├── when they lead elsewhere: it is said where, and not followed
└── they are asked not to pack what they send, and what is packed is not unpacked: a little may become very much
push
├── a Kubo node gets the whole graph and pins it, and may take its time to pin
└── when it answers with something else than its API: it raises PeerFailed
stat, verify
└── count what is there; a damaged block is named
"""

import asyncio
import contextlib
import gc
import gzip
import itertools
import time

import numpy as np
import pytest
from ipfs_server import PLENTY, IpfsServer
from store_damage import cut, lose

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, CorruptedBlock, PeerFailed
from offchain_worker.storage.car import write_car
from offchain_worker.storage.chunking import scan
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.fetch import Limits
from offchain_worker.storage.peers.gateway import Gateway
from offchain_worker.storage.peers.kubo import Kubo
from offchain_worker.storage.peers.pinning_service import PinningService
from offchain_worker.storage.service import StorageService
from offchain_worker.storage.store import EmbeddedStore

MIB = 1 << 20
QUICK = Limits(parallel=4, block_timeout_s=20.0, tries=2, pause_s=0.01)


@pytest.fixture
def model(tmp_path):
    folder = tmp_path / "model"
    (folder / "deep/deeper").mkdir(parents=True)
    (folder / "deep/weights").write_bytes(np.random.default_rng(5).bytes(12 * MIB + 3))
    (folder / "deep/deeper/empty").write_bytes(b"")
    (folder / "manifest.json").write_bytes(b"{}")
    return folder


@pytest.fixture
def node(tmp_path, model):
    """A node that has the model; `node.root` is its CID."""
    server = IpfsServer(EmbeddedStore(tmp_path / "theirs"), car=False)
    server.root = server.store.add(model).cid
    yield server
    server.stop()


@pytest.fixture
def second(tmp_path, model):
    server = IpfsServer(EmbeddedStore(tmp_path / "second"), car=False)
    server.root = server.store.add(model).cid
    yield server
    server.stop()


@pytest.fixture
def ours(tmp_path):
    return EmbeddedStore(tmp_path / "ours")


def using(store, *peers, pinners=(), limits=QUICK, do):
    """Run `do(service)` with peers that are closed afterwards."""

    async def run():
        for peer in (*peers, *pinners):
            await peer.__aenter__()
        try:
            return await do(StorageService(store, peers, pinners, limits))
        finally:
            for peer in (*peers, *pinners):
                await peer.__aexit__(None, None, None)

    return asyncio.run(run())


def retrieve(store, cid, to, *peers, limits=QUICK, max_bytes=PLENTY, progress=lambda *_: None):
    using(store, *peers, limits=limits, do=lambda s: s.retrieve(cid, to, max_bytes, progress))


@pytest.mark.parametrize("kind", ["blocks", "car", "kubo"])
def test_retrieve__from_a_node__gives_the_same_files(node, ours, model, tmp_path, kind):
    node.car = kind == "car"
    peer = Kubo(node.url) if kind == "kubo" else Gateway(node.url)
    seen = []

    retrieve(ours, node.root, tmp_path / "copy", peer, progress=lambda *now: seen.append(now))

    assert scan(tmp_path / "copy") == scan(model)
    assert seen == sorted(seen)
    assert seen[-1][1] > 12 * MIB
    assert (not node.asked) == (kind == "car")


def test_retrieve__when_something_is_there__raises_and_fetches_nothing(node, ours, tmp_path):
    (tmp_path / "copy").write_bytes(b"mine")

    with pytest.raises(FileExistsError):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert (node.asked, (tmp_path / "copy").read_bytes()) == ([], b"mine")


LIES = [
    lambda _, block: block[:-1] + bytes([block[-1] ^ 1]) if block else b"?",
    lambda _, block: block[: len(block) // 2] or b"?",
    lambda _, block: block + b"\0",
    lambda _, block: bytes(3 * MIB),
]


@pytest.mark.parametrize("lie", LIES)
def test_retrieve__when_the_only_peer_lies__says_so_and_writes_nothing(node, ours, tmp_path, lie):
    node.change = lie

    with pytest.raises(ArtifactMissing, match=r"other bytes|got more"):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert not (tmp_path / "copy").exists()
    assert not ours.has(node.root)


@pytest.mark.parametrize("lie", LIES)
def test_retrieve__when_one_of_two_lies__takes_it_from_the_other(
    node, second, ours, model, tmp_path, lie
):
    node.change = lie

    retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url), Gateway(second.url))

    assert scan(tmp_path / "copy") == scan(model)


def test_retrieve__when_a_block_is_missing_everywhere__raises(node, ours, model, tmp_path):
    missing = max(scan(model).shards, key=lambda shard: shard.size_bytes)
    inner = next(link for link in blocks_below(node, missing.cid))
    lose(node.store, inner)

    with pytest.raises(ArtifactMissing, match=rf"{inner}.*404"):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert not (tmp_path / "copy").exists()


def blocks_below(node, cid):
    from offchain_worker.storage.dag import decode

    return [link.cid for link in decode(cid, node.store.get(cid)).links]


def test_retrieve__when_many_blocks_fail_at_once__raises_one_error_and_logs_no_other(
    node, ours, tmp_path, caplog
):
    class Folders:
        """Gives all but leaves; those that are asked for it refuses all at once."""

        name = "folders"
        asked = 0
        enough = asyncio.Event()

        async def block(self, cid):
            if cid.codec != RAW:
                return node.store.get(cid)
            self.asked += 1
            if self.asked == 8:
                self.enough.set()
            await self.enough.wait()
            raise PeerFailed("no leaves here")

    service = StorageService(ours, [Folders()], limits=Limits(tries=1))

    with pytest.raises(ArtifactMissing, match="no leaves here"):
        asyncio.run(service.retrieve(node.root, tmp_path / "copy", PLENTY))

    gc.collect()
    assert caplog.records == []


def test_retrieve__when_a_peer_is_slow__asks_the_next(node, second, ours, model, tmp_path):
    node.pause_s = 3600.0
    limits = Limits(parallel=8, block_timeout_s=2.0, tries=8, pause_s=0.01)

    retrieve(
        ours, node.root, tmp_path / "copy", Gateway(node.url), Gateway(second.url), limits=limits
    )

    assert scan(tmp_path / "copy") == scan(model)


def test_retrieve__when_the_peer_dies_in_the_middle__goes_on_where_it_was(
    node, ours, model, tmp_path
):
    node.blocks_left = 9

    with pytest.raises(ArtifactMissing):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))
    here = [cid for cid in dict.fromkeys(node.asked) if ours.has(cid)]
    node.blocks_left, node.asked = PLENTY, []
    retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert here
    assert not set(here) & set(node.asked)
    assert scan(tmp_path / "copy") == scan(model)


@pytest.mark.parametrize("fault", ["lie", "early end", "another root"])
def test_retrieve__when_a_car_is_bad__takes_the_rest_by_block(
    node, second, ours, model, tmp_path, fault
):
    node.car = True
    if fault == "lie":
        node.change = lambda _, piece: piece[:-1] + b"?" if len(piece) == MIB + 39 else piece
    elif fault == "early end":
        node.car_bytes_left = 5 * MIB
    else:
        node.change = lambda cid, piece: piece[:-20] + bytes(20) if cid.data in piece else piece

    retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url), Gateway(second.url))

    assert scan(tmp_path / "copy") == scan(model)


class CarOnly:
    """Gives one CAR, and no blocks."""

    name = "car only"

    def __init__(self, pieces):
        self._pieces = pieces

    async def block(self, cid):
        raise PeerFailed("no single blocks")

    async def car(self, cid):
        for piece in self._pieces:
            yield piece
            await asyncio.sleep(0)


def section(block):
    cid = Cid.of(RAW, block)
    length = len(cid.data) + len(block)
    assert length < 128
    return bytes([length]) + cid.data + block


def test_retrieve__when_a_car_comes_in_drops__leaves_it(node, ours, model, tmp_path):
    class Drops(CarOnly):
        async def car(self, cid):
            for byte in b"".join(self._pieces):
                yield bytes([byte])
                await asyncio.sleep(0.01)

    pieces = write_car(node.root, node.store.get, PLENTY)
    limits = Limits(block_timeout_s=2.0, tries=8, pause_s=0.01)

    retrieve(
        ours, node.root, tmp_path / "copy", Near(Drops(pieces)), Gateway(node.url), limits=limits
    )

    assert scan(tmp_path / "copy") == scan(model)


class Near:
    """A peer that is a context, as those by HTTP are."""

    def __init__(self, peer):
        self._peer = peer

    def __getattr__(self, name):
        return getattr(self._peer, name)

    async def __aenter__(self):
        return self

    async def __aexit__(self, *_):
        pass


@pytest.mark.parametrize("other", [b"", b"of something else"])
def test_retrieve__when_a_car_has_other_blocks__leaves_it(node, ours, tmp_path, other):
    header, root, *_ = write_car(node.root, node.store.get, PLENTY)
    pieces = itertools.chain([header, root], itertools.repeat(section(other)))

    with pytest.raises(ArtifactMissing, match=r"of something else|no single blocks"):
        retrieve(ours, node.root, tmp_path / "copy", Near(CarOnly(pieces)))

    assert not ours.has(Cid.of(RAW, other))
    assert ours.has(node.root)


def test_retrieve__when_a_car_has_blocks_twice__takes_them(node, ours, model, tmp_path):
    header, *blocks = write_car(node.root, node.store.get, PLENTY)
    pieces = [header, *(block for block in blocks for _ in range(2))]

    retrieve(ours, node.root, tmp_path / "copy", Near(CarOnly(pieces)))

    assert scan(tmp_path / "copy") == scan(model)


def test_retrieve__when_there_is_more_than_allowed__raises(node, ours, tmp_path):
    with pytest.raises(ArtifactTooLarge):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url), max_bytes=8 * MIB)

    assert not (tmp_path / "copy").exists()


def test_retrieve__when_a_block_of_ours_is_damaged__fetches_it_anew(node, ours, model, tmp_path):
    ours.add(model)
    cut(ours, node.root, 5)

    retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert node.asked == [node.root]
    assert scan(tmp_path / "copy") == scan(model)


def test_unpin__deletes_what_no_other_root_needs(ours, model, tmp_path):
    (tmp_path / "other").mkdir()
    (tmp_path / "other/weights").write_bytes((model / "deep/weights").read_bytes())

    async def play(service):
        first = await service.store(model)
        other = await service.store(tmp_path / "other")
        deleted = await service.unpin(first.cid)
        again = await service.unpin(first.cid)
        return first, other, deleted, again, await service.verify(other.cid, PLENTY)

    first, other, deleted, again, left = using(ours, do=play)

    assert (deleted, again) == (5, 0)  # three folders, manifest.json and the empty file
    assert (left.files, left.size_bytes) == (1, 12 * MIB + 3)
    with pytest.raises(ArtifactMissing):
        ours.verify(first.cid, PLENTY)
    assert ours.pins.all() == [other.cid]


def test_pin__when_the_fetch_fails__is_not_pinned(node, ours):
    node.blocks_left = 7

    with pytest.raises(ArtifactMissing):
        using(ours, Gateway(node.url), do=lambda s: s.pin(node.root, PLENTY))

    assert ours.pins.all() == []


def test_pin__when_it_is_given_up__is_not_pinned(node, ours):
    node.pause_s = 3600.0

    async def give_up(service):
        pinning = asyncio.create_task(service.pin(node.root, PLENTY))
        while not ours.pins.all():
            await asyncio.sleep(0.001)
        pinning.cancel()
        with pytest.raises(asyncio.CancelledError):
            await pinning

    using(ours, Gateway(node.url), do=give_up)

    assert ours.pins.all() == []


def test_unpin__of_what_a_fetch_left__deletes_it(node, ours):
    node.blocks_left = 7
    with pytest.raises(ArtifactMissing):
        using(ours, Gateway(node.url), do=lambda s: s.pin(node.root, PLENTY))
    assert ours.has(node.root)

    deleted = ours.unpin(node.root)

    assert deleted > 1
    assert not ours.has(node.root)
    assert ours.unpin(node.root) == 0


def test_pin__keeps_it_here_and_with_all_pinners(node, second, ours):
    service_token = "secret"
    second.token = service_token
    remote = PinningService(second.url, service_token, poll_interval_s=0.01)
    kubo = Kubo(node.url)
    node.store.pins.remove(node.root)

    async def play(service):
        kept = await service.pin(node.root, PLENTY)
        while_kept = [await pinner.is_pinned(node.root) for pinner in (kubo, remote)]
        await service.unpin(node.root)
        await service.unpin(node.root)
        return kept, while_kept, [await pinner.is_pinned(node.root) for pinner in (kubo, remote)]

    kept, while_kept, afterwards = using(ours, Gateway(node.url), pinners=(kubo, remote), do=play)

    assert (kept.files, kept.size_bytes) == (3, 12 * MIB + 5)
    assert (while_kept, afterwards) == ([True, True], [False, False])
    assert not ours.has(node.root)


def test_pin__when_a_pinning_service_fails__raises(node, second, ours):
    second.pin_outcome = "failed"
    remote = PinningService(second.url, "", poll_interval_s=0.01)

    with pytest.raises(PeerFailed, match=r"did not pin .* it is failed"):
        using(ours, Gateway(node.url), pinners=(remote,), do=lambda s: s.pin(node.root, PLENTY))


def test_pin__when_the_token_is_wrong__raises(node, second, ours):
    second.token = "right"

    with pytest.raises(PeerFailed, match="401: no token"):
        using(
            ours,
            Gateway(node.url),
            pinners=(PinningService(second.url, "wrong"),),
            do=lambda s: s.pin(node.root, PLENTY),
        )


NO_API = [
    b"<html>busy</html>",
    b"\xff",
    b"[]",
    b"null",
    b"{}",
    b'{"results": null}',
    b'{"results": {"0": 1}}',
    b'{"results": [null]}',
    b'{"results": [{"status": "pinned"}]}',
    b'{"results": [{"requestid": "r", "status": 7}]}',
    b'{"Keys": null}',
    b'{"Keys": 7}',
    b"[" * 100_000,
]


@pytest.mark.parametrize("answer", NO_API)
@pytest.mark.parametrize("kind", [Kubo, lambda url: PinningService(url, "", poll_interval_s=0.0)])
@pytest.mark.parametrize("act", ["pin", "is_pinned"])
def test_pin__when_the_answer_is_of_no_api__raises(node, kind, answer, act):
    node.handle = lambda request: node.reply(request, 200, answer)

    async def play():
        async with kind(node.url) as pinner:
            return await getattr(pinner, act)(node.root)

    with pytest.raises(PeerFailed, match="no answer of its API"):
        asyncio.run(play())


@pytest.mark.parametrize("answer", [b"<html>", b'{"Root": null}\n', b'{"Root": 7}', b"[]", b""])
def test_push__when_the_answer_is_of_no_api__raises(node, ours, answer):
    node.handle = lambda request: (
        node.read_body(request),
        node.reply(request, 200, answer),
    )
    root = ours.add_bytes(b"x")

    async def push():
        async with Kubo(node.url) as kubo:
            await kubo.push(write_car(root, ours.get, PLENTY))

    with pytest.raises(PeerFailed, match="no answer of its API"):
        asyncio.run(push())


ADDRESSES = [
    "",
    "localhost:8080",
    "ftp://x",
    "http://",
    "http://[::1",
    "http://a:99999",
    "http://a b",
]


@pytest.mark.parametrize("address", ADDRESSES)
def test_peers__with_an_address_that_is_none__raise_at_once(address):
    with pytest.raises(PeerFailed, match="expected an address such as http://"):
        Gateway(address)


def test_peers__that_lead_elsewhere__are_not_followed(node, ours, tmp_path):
    def handle(request):
        request.send_response(301)
        request.send_header("Location", "http://bafy.ipfs.localhost:8080/")
        request.send_header("Content-Length", "0")
        request.end_headers()

    node.handle = handle

    with pytest.raises(ArtifactMissing, match=r"301.*leads to http://bafy\.ipfs\.localhost:8080/"):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))


def test_peers__that_pack_what_they_send__are_not_unpacked(node, ours, tmp_path):
    bomb, asked = gzip.compress(bytes(512 * MIB), 1), []

    def handle(request):
        asked.append(request.headers["Accept-Encoding"])
        request.send_response(200)
        request.send_header("Content-Encoding", "gzip")
        request.send_header("Content-Length", str(len(bomb)))
        request.end_headers()
        with contextlib.suppress(OSError):  # nobody wants all of it
            request.wfile.write(bomb)

    node.handle = handle

    with pytest.raises(ArtifactMissing, match=r"packed as gzip"):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))

    assert set(asked) == {"identity"}


def test_push__gives_a_kubo_node_the_whole_graph(ours, model, tmp_path):
    server = IpfsServer(EmbeddedStore(tmp_path / "empty"))
    root = ours.add(model).cid

    async def push():
        async with Kubo(server.url) as kubo:
            await kubo.push(write_car(root, ours.get, PLENTY))
            return await kubo.is_pinned(root)

    assert asyncio.run(push())
    assert server.store.verify(root, PLENTY) == ours.verify(root, PLENTY)
    server.stop()


def test_push__when_the_node_pins_slowly__waits(ours, node):
    root = ours.add_bytes(b"x")
    handle = node.handle

    def slow(request):
        time.sleep(1.5)
        handle(request)

    node.handle = slow

    async def push():
        async with Kubo(node.url, timeout_s=0.5) as kubo:
            await kubo.push(write_car(root, ours.get, PLENTY))

    asyncio.run(push())

    assert node.store.pins.has(root)


def test_stat_and_verify__count_what_is_there_and_name_a_damaged_block(node, ours):
    stat = using(ours, Gateway(node.url), do=lambda s: s.stat(node.root, PLENTY))
    assert (stat.files, stat.size_bytes) == (3, 12 * MIB + 5)

    cut(ours, node.root, 5)
    with pytest.raises(CorruptedBlock, match=str(node.root)):
        using(ours, do=lambda s: s.verify(node.root, PLENTY))


def test_retrieve__when_nobody_listens__raises(ours, node, tmp_path):
    node.stop()

    with pytest.raises(ArtifactMissing, match="ConnectError"):
        retrieve(ours, node.root, tmp_path / "copy", Gateway(node.url))
