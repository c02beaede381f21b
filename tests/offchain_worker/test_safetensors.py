"""safetensors

read
├── when header or data are malformed: it raises BadModel
├── when bytes are random: it raises nothing but BadModel
├── it gives back what write wrote
└── what it gives are views: a model is in memory once
write
└── it writes the format as published: length, JSON, data
"""

import json
from contextlib import suppress

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as st_numpy

from offchain_worker.errors import BadModel
from offchain_worker.safetensors import read, write


def file(header, body=b""):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + body


def entry(dtype="F32", shape=(1,), start=0, stop=4):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"", "with its header"),
        (b"\xff" * 8, "with its header"),
        (file(b"{"), "header in JSON"),
        (file(b"[" * 100_000), "header in JSON"),
        (file([]), "that is a map"),
        (file({"w": 1}), "dtype, shape and data_offsets of tensor 'w'"),
        (file({"w": entry(dtype="O")}, bytes(4)), "tensor 'w', got bad 'O'"),
        (file({"w": entry(shape=[-1])}, bytes(4)), "tensor 'w', got bad number -1"),
        (file({"w": entry(shape=[2])}, bytes(4)), "expected 8 bytes for tensor 'w'"),
        (file({"w": entry(stop=8, shape=[2])}, bytes(4)), "expected 8 bytes for tensor 'w'"),
        (file({"w": entry(shape=[0, 1 << 62], stop=0)}), "expected 0 bytes for tensor 'w'"),
        (file({"w": entry()}, bytes(5)), "expected tensors to fill 5 bytes, got 4"),
        (file({"w": entry(start=4, stop=8)}, bytes(8)), "next tensor at byte 0"),
        (file({"w": entry(), "v": entry()}, bytes(4)), "next tensor at byte 4 .* got one at 0"),
    ],
)
def test_read__when_malformed__raises_bad_model(data, message):
    with pytest.raises(BadModel, match=message):
        read(data)


@given(st.one_of(st.binary(max_size=64), st.binary(max_size=40).map(file)))
def test_read__when_bytes_are_random__raises_nothing_but_bad_model(data):
    with suppress(BadModel):
        read(data)


@given(
    st.dictionaries(
        st.text(st.characters(exclude_categories=["Cs"]), max_size=4).filter(
            lambda name: name != "__metadata__"
        ),
        st_numpy.arrays(
            st.sampled_from(["bool", "int8", "uint16", "int64", "float16", "float32", "float64"]),
            st_numpy.array_shapes(min_dims=0, min_side=0, max_side=3),
        ),
        max_size=4,
    )
)
def test_read__gives_back_what_write_wrote(tensors):
    found = read(write(tensors))

    assert {name: (array.dtype, array.shape, array.tobytes()) for name, array in found.items()} == {
        name: (array.dtype, array.shape, array.tobytes()) for name, array in tensors.items()
    }


def test_read__gives_views_of_the_data():
    data = write({"a": np.arange(6, dtype=np.float32), "b": np.ones((2, 2), np.int8)})

    whole = np.frombuffer(data, np.uint8)
    assert [np.shares_memory(array, whole) for array in read(data).values()] == [True, True]


def test_write__writes_length_header_and_data():
    data = write({"b": np.array([1], np.int16), "a": np.array([[2.0]], np.float32)})

    length = int.from_bytes(data[:8], "little")
    assert json.loads(data[8 : 8 + length]) == {
        "a": {"dtype": "F32", "shape": [1, 1], "data_offsets": [0, 4]},
        "b": {"dtype": "I16", "shape": [1], "data_offsets": [4, 6]},
    }
    assert data[8 + length :] == bytes.fromhex("00000040 0100")
