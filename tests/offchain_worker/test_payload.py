"""payload

encode
├── when a value is of no known kind, NaN, infinite or too deep: it raises BadInput with its place
├── it writes canonical DAG-CBOR: map keys by length, then by bytes
└── it gives the same bytes for the same array in another memory order or byte order
decode
├── when the bytes are too many, cut off, not canonical, or of no known kind: it raises BadInput
├── when a tensor's data does not fit its shape: it raises BadInput before it takes memory
├── when bytes are random: it raises nothing but BadInput
└── it gives back what encode wrote
for_people
└── it gives what JSON can hold
"""

import json
import math

import dag_cbor
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from offchain_worker import payload
from offchain_worker.errors import BadInput
from offchain_worker.payload import decode, encode, for_people
from offchain_worker.storage.cid import RAW, Cid

LINK = Cid.of(RAW, b"hello")


def nested(depth):
    value = 1
    for _ in range(depth):
        value = [value]
    return value


def tensor(dtype="float32", shape=(1,), data=b"\0\0\0\0"):
    return dag_cbor.encode({"x": {"dtype": dtype, "shape": list(shape), "data": data}})


def same(left, right):
    if isinstance(left, np.ndarray):
        return (
            isinstance(right, np.ndarray)
            and left.dtype.name == right.dtype.name
            and np.array_equal(left, right)
        )
    if isinstance(left, list):
        return isinstance(right, list) and len(left) == len(right) and all(map(same, left, right))
    return type(left) is type(right) and left == right


texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=8)
arrays = st.sampled_from(sorted(payload.DTYPES)).flatmap(
    lambda name: st_numpy.arrays(
        np.dtype(name),
        st_numpy.array_shapes(min_dims=0, max_dims=3, min_side=0, max_side=3),
        elements=st_numpy.from_dtype(np.dtype(name), allow_nan=False, allow_infinity=False),
    )
)
scalars = st.one_of(
    texts,
    st.binary(max_size=16),
    st.integers(-(2**63), 2**63 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.booleans(),
    st.just(LINK),
    arrays,
)
values = st.one_of(scalars, st.lists(st.one_of(scalars, st.lists(scalars, max_size=3)), max_size=4))
maps = st.dictionaries(texts, values, max_size=5)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (math.nan, "expected a finite number at 'x', got nan"),
        (-math.inf, "expected a finite number at 'x', got -inf"),
        (None, "got NoneType"),
        ({"a": 1}, "got dict"),
        ((1,), "got tuple"),
        (np.float32(1), "got float32"),
        (1 << 63, "got 64 bits"),
        ([1, [math.nan]], r"at 'x'\[1\]\[0\]"),
        (nested(payload.MAX_DEPTH), "at most 8 deep"),
        (np.array([1, np.inf], np.float32), "only finite numbers in the tensor at 'x'"),
        (np.array(["a"]), "expected a tensor of dtype"),
        (np.zeros((1,) * 9), "at most 8 axes"),
        ("\ud800", "expected values that DAG-CBOR can hold"),
    ],
)
def test_encode__when_it_is_no_value__raises_bad_input_with_its_place(value, message):
    with pytest.raises(BadInput, match=message):
        encode({"x": value})


def test_encode__when_a_name_is_no_text__raises_bad_input():
    with pytest.raises(BadInput):
        encode({1: 1})


def test_encode__writes_canonical_dag_cbor():
    assert encode({"aa": 1, "b": True, "a": b"\0"}) == bytes.fromhex(
        "a3 6161 4100 6162 f5 626161 01"
    )


def test_encode__is_the_same_for_any_memory_and_byte_order():
    array = np.arange(6, dtype="<i4").reshape(2, 3)

    assert (
        encode({"x": array})
        == encode({"x": np.asfortranarray(array)})
        == encode({"x": array.astype(">i4")})
    )


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "expected another item"),
        (b"\xa1", "expected another item"),
        (b"\xa0\x00", "expected DAG-CBOR"),
        (b"\x01", "expected a map"),
        (b"\x81\x01", "expected a map"),
        (b"\xa1\x61x", "expected another item"),
        (bytes.fromhex("a1 6178 5bffffffffffffffff"), "expected 18446744073709551615 bytes"),
        (bytes.fromhex("a1 6178 9bffffffffffffffff"), "expected another item"),
        (bytes.fromhex("a1 6178 1801"), "expected DAG-CBOR"),  # 1 in two bytes
        (bytes.fromhex("a1 6178 fa3f800000"), "expected DAG-CBOR"),  # a float of 32 bits
        (bytes.fromhex("a1 6178 fb7ff8000000000000"), "expected DAG-CBOR"),  # NaN
        (bytes.fromhex("a1 6178 9f01ff"), "known length"),
        (bytes.fromhex("a2 6162 01 6161 01"), "expected DAG-CBOR"),  # keys out of order
        (bytes.fromhex("a2 6161 01 6161 01"), "expected DAG-CBOR"),  # a key twice
        (bytes.fromhex("a1 01 01"), "expected DAG-CBOR"),  # a key that is no text
        (bytes.fromhex("a1 6178 f6"), "got NoneType"),
        (bytes.fromhex("a1 6178 f7"), "expected DAG-CBOR"),  # undefined
        (bytes.fromhex("a1 6178 c001"), "expected DAG-CBOR"),  # a tag that is no link
        (bytes.fromhex("a1 6178 d82a40"), "expected DAG-CBOR"),  # a link without bytes
        (bytes.fromhex("a1 6178 1b8000000000000000"), "got 64 bits"),
        (b"\xa1\x61x" + b"\x81" * 5_000 + b"\x01", "at most 8 deep"),
        (b"\xa1\x61x" + b"\xd8\x2a" * 5_000 + b"\x01", "expected DAG-CBOR"),
        (dag_cbor.encode({"x": {"a": 1}}), "expected a tensor"),
        (dag_cbor.encode({"x": nested(8)}), "at most 8 deep"),
        (dag_cbor.encode({"x": bytes(payload.MAX_INPUT_BYTES)}), "expected at most 16384 bytes"),
        (tensor(dtype="object"), "expected a dtype"),
        (tensor(dtype=1), "expected a dtype"),
        (tensor(shape=[-1]), "expected a shape"),
        (tensor(shape=[True]), "expected a shape"),
        (tensor(shape=[1] * 9), "expected a shape of at most 8"),
        (tensor(shape=[2]), "expected 8 bytes of data"),
        (tensor(shape=[1 << 62] * 8), "bytes of data"),
        (tensor(shape=[0, 1 << 62], data=b""), "bytes of data"),
        (tensor(data="text"), "got str"),
        (tensor(data=np.float32(np.nan).tobytes()), "NaN or infinity"),
        (tensor(dtype="bool", data=b"\x02"), "truth values"),
    ],
)
def test_decode__when_bytes_are_bad__raises_bad_input(data, message):
    with pytest.raises(BadInput, match=message):
        decode(data)


def test_decode__when_link_is_not_of_our_profile__raises_bad_input():
    sha512 = b"\x01\x55\x13\x40" + bytes(64)
    data = b"\xa1\x61x\xd8\x2a\x58" + bytes([len(sha512) + 1, 0]) + sha512

    with pytest.raises(
        BadInput, match=r"expected a CIDv1 of codec raw or dag-pb .* as link at 'x'"
    ):
        decode(data)


@given(
    data=st.one_of(
        st.binary(max_size=64), st.binary(max_size=40).map(lambda tail: b"\xa1\x61x" + tail)
    )
)
def test_decode__when_bytes_are_random__raises_nothing_but_bad_input(data):
    try:
        found = decode(data)
    except BadInput:
        return
    assert encode(found) == data


@given(data=st.data(), original=maps)
def test_decode__when_one_byte_is_changed__raises_bad_input_or_is_canonical(data, original):
    encoded = bytearray(encode(original))
    encoded[data.draw(st.integers(0, len(encoded) - 1))] = data.draw(st.integers(0, 255))
    try:
        found = decode(bytes(encoded))
    except BadInput:
        return
    assert encode(found) == encoded


@settings(deadline=None)
@given(original=maps)
def test_decode__gives_back_what_encode_wrote(original):
    found = decode(encode(original))

    assert set(found) == set(original)
    assert all(same(value, found[name]) for name, value in original.items())


def test_for_people__gives_json():
    shown = for_people(
        {"a": b"\x01", "b": LINK, "c": np.array([[1, 2]], np.int8), "d": [True, "t", 1.5]}
    )

    assert json.loads(json.dumps(shown)) == {
        "a": "0x01",
        "b": str(LINK),
        "c": {"dtype": "int8", "shape": [1, 2], "data": [[1, 2]]},
        "d": [True, "t", 1.5],
    }
