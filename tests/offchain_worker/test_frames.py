"""frames

feed
├── when a message comes in pieces: it is given once it is whole
├── when it is longer than may be: it raises BadFrame
└── when it is no JSON: it raises BadFrame
"""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain_worker.frames import MAX_BYTES, BadFrame, Unpacker, pack

JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@settings(max_examples=30, deadline=None)
@given(messages=st.lists(JSON), cuts=st.lists(st.integers(1, 7), min_size=1))
def test_feed__when_in_pieces__gives_the_messages(messages, cuts):
    data, unpacker, found = b"".join(map(pack, messages)), Unpacker(), []

    at = turn = 0
    while at < len(data):
        size = cuts[turn % len(cuts)]
        found += unpacker.feed(data[at : at + size])
        at, turn = at + size, turn + 1

    assert found == messages


def test_feed__when_too_long__raises_bad_frame():
    with pytest.raises(BadFrame, match=f"at most {MAX_BYTES} bytes, got {MAX_BYTES + 1}"):
        Unpacker().feed((MAX_BYTES + 1).to_bytes(4, "big"))


def test_feed__when_no_json__raises_bad_frame():
    with pytest.raises(BadFrame, match="expected JSON"):
        Unpacker().feed(b"\0\0\0\1{")
