"""storage.car: all blocks below one root in one stream.

write_car
└── what read_car reads back is the same graph, and each block is there once
EmbeddedStore.export_car, add_car
├── what one writes the other stores and pins; a file that is there is left alone
└── when a block is missing, changed or cut off: nothing is pinned, or nothing is written
CarReader
├── pieces of any lengths give the same
├── when a block was changed: it raises CorruptedBlock
├── when it is cut off anywhere: it raises BadArtifact
└── when the header, a length or a section is not as it should be: it raises BadArtifact
"""

import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from store_damage import lose

from offchain_worker.errors import ArtifactMissing, ArtifactTooLarge, BadArtifact, CorruptedBlock
from offchain_worker.storage.car import CarReader, read_car, write_car
from offchain_worker.storage.cid import RAW, Cid
from offchain_worker.storage.store import EmbeddedStore

PLENTY = 1 << 40
QUICK = settings(
    max_examples=50, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


@pytest.fixture
def car(store, tmp_path):
    """A CAR with its root."""
    folder = tmp_path / "folder"
    folder.mkdir()
    for name, data in (("a", b"x" * 3000), ("b", b""), ("c", b"x" * 3000)):
        (folder / name).write_bytes(data)
    root = store.add(folder).cid
    return root, b"".join(write_car(root, store.get, PLENTY))


def test_read_car__reads_the_same_graph_with_each_block_once(store, car, tmp_path):
    root, data = car
    other = EmbeddedStore(tmp_path / "other")
    seen = []

    with other.adding() as put:
        found = read_car(io.BytesIO(data), lambda cid, block: (seen.append(cid), put(cid, block)))

    assert found == root
    assert len(seen) == len(set(seen)) == 3
    assert other.verify(root, PLENTY) == store.verify(root, PLENTY)


def test_add_car__stores_and_pins_what_export_car_wrote(store, car, tmp_path):
    root, data = car
    store.export_car(root, tmp_path / "out/model.car", PLENTY)
    other = EmbeddedStore(tmp_path / "other")

    assert other.add_car(tmp_path / "out/model.car", PLENTY) == root

    assert (tmp_path / "out/model.car").read_bytes() == data
    assert other.pins.all() == [root]
    assert other.verify(root, PLENTY) == store.verify(root, PLENTY)
    with pytest.raises(FileExistsError):
        store.export_car(root, tmp_path / "out/model.car", PLENTY)
    with pytest.raises(ArtifactTooLarge):
        other.add_car(tmp_path / "out/model.car", len(data) - 1)


def test_export_car__when_a_block_is_missing__leaves_nothing(store, car, tmp_path):
    lose(store, Cid.of(RAW, b"x" * 3000))

    with pytest.raises(ArtifactMissing):
        store.export_car(car[0], tmp_path / "out/model.car", PLENTY)

    assert list((tmp_path / "out").iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "error"),
    [
        (lambda data: data[:-1], BadArtifact),
        (lambda data: data[:-1] + bytes([data[-1] ^ 1]), CorruptedBlock),
        (lambda data: data[: data.index(b"x" * 3000) - 38], ArtifactMissing),
    ],
)
def test_add_car__when_it_is_not_whole__pins_nothing(car, tmp_path, damage, error):
    (tmp_path / "bad.car").write_bytes(damage(car[1]))
    other = EmbeddedStore(tmp_path / "other")

    with pytest.raises(error):
        other.add_car(tmp_path / "bad.car", PLENTY)

    assert other.pins.all() == []


@given(data=st.data())
@QUICK
def test_feed__when_pieces_have_any_length__gives_the_same(car, data):
    root, whole = car
    cuts = sorted(data.draw(st.lists(st.integers(0, len(whole)), max_size=8)))
    reader = CarReader()

    blocks = [
        block
        for start, end in zip([0, *cuts], [*cuts, len(whole)], strict=True)
        for block in reader.feed(whole[start:end])
    ]

    assert (reader.finish(), blocks) == (root, CarReader().take(whole))


@given(data=st.data())
@QUICK
def test_feed__when_a_byte_was_changed__raises(car, data):
    root, whole = car
    at = data.draw(st.integers(0, len(whole) - 1))
    broken = whole[:at] + bytes([whole[at] ^ data.draw(st.integers(1, 255))]) + whole[at + 1 :]

    try:
        found = read_car(io.BytesIO(broken), lambda cid, block: None)
    except BadArtifact:  # CorruptedBlock is one
        return
    assert found != root  # only the root's own CID in the header is vouched for by the caller


def test_feed__when_a_block_was_changed__raises(car):
    with pytest.raises(CorruptedBlock):
        CarReader().take(car[1][:-1] + b"?")


@given(data=st.data())
@QUICK
def test_finish__when_it_is_cut_off__raises_or_is_whole(car, data):
    _, whole = car
    reader = CarReader()
    blocks = list(reader.feed(whole[: data.draw(st.integers(0, len(whole) - 1))]))

    if reader.root is None or reader._rest:
        with pytest.raises(BadArtifact, match="cut off"):
            reader.finish()
    assert len(blocks) < 3


@pytest.mark.parametrize(
    "data", [b"\x00", b"\x3a" + bytes(58), b"\xff\xff\xff\xff\xff\x01", b"\xff\xff\xff\x7f"]
)
def test_feed__when_it_is_no_car__raises(data):
    with pytest.raises(BadArtifact, match=r"expected (the header|the length|sections)"):
        CarReader().take(data)
