"""storage.cid

parse
├── when it is no CID, of another version, codec, hash or base, or not canonical: it raises BadArtifact
└── it gives back what str wrote, and agrees with the library multiformats
of, matches
└── it is the CID that ipfs gives
"""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from multiformats import CID

from offchain_worker.errors import BadArtifact
from offchain_worker.storage.cid import DAG_PB, RAW, Cid

HELLO = "bafkreibm6jg3ux5qumhcn2b3flc3tyu6dmlb4xa7u5bf44yegnrjhc4yeq"  # printf hello | ipfs add --cid-version=1


@pytest.mark.parametrize(
    "text",
    [
        "",
        "b",
        "bafy",
        "hello",
        HELLO.upper(),
        "B" + HELLO[1:].upper(),
        HELLO[:-1],
        HELLO + "a",
        HELLO[:-1] + "r",  # other bits behind the end
        " " + HELLO,
        HELLO + "=",
        "bé",
        "QmUNLLsPACCz1vLxQVkXqqLX5R1X345qqfHbsf67hvA3Nn",  # version 0
        CID("base58btc", 1, "raw", ("sha2-256", bytes(32))).encode(),
        CID("base32", 1, "dag-cbor", ("sha2-256", bytes(32))).encode(),
        CID("base32", 1, "raw", ("sha2-512", bytes(64))).encode(),
        CID("base32", 1, "raw", ("sha3-256", bytes(32))).encode(),
    ],
)
def test_parse__when_it_is_not_ours__raises_bad_artifact(text):
    with pytest.raises(BadArtifact):
        Cid.parse(text)


@given(st.text(max_size=60))
def test_parse__when_text_is_random__raises_nothing_but_bad_artifact(text):
    with pytest.raises(BadArtifact):
        Cid.parse(text)


@given(codec=st.sampled_from([RAW, DAG_PB]), block=st.binary(max_size=64))
def test_parse__gives_back_what_str_wrote_and_agrees_with_the_library(codec, block):
    cid = Cid.of(codec, block)

    assert Cid.parse(str(cid)) == cid
    assert (cid.codec, cid.matches(block), cid.matches(block + b"x")) == (codec, True, False)
    assert CID.decode(cid.data).encode("base32") == str(cid)


def test_of__is_what_ipfs_gives():
    assert str(Cid.of(RAW, b"hello")) == HELLO
