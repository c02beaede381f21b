"""The same job, answer and payload through Solidity and through Python give the same bytes.

commitment.py against JobHash.sol
├── job_hash
└── answer_digest
payload.py against DagCbor.sol
├── a map of one byte string is encoded alike
└── the label of an answer is read alike, and other bytes are refused
identifiers
└── market, policy and job commitments are what the interfaces say
"""

import ape
import pytest
from eth_abi import encode
from eth_utils import keccak
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from system import JOB_FIELDS, NATIVE, OUTPUT, plain

from offchain_worker import commitment, payload
from offchain_worker.job import Job

QUICK = settings(
    max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)


def uint(bits):
    return st.integers(0, 2**bits - 1)


addresses = st.binary(min_size=20, max_size=20).map(lambda b: "0x" + b.hex())
words = st.binary(min_size=32, max_size=32)
jobs = st.fixed_dictionaries(
    {
        "modelId": words,
        **{name: uint(32) for name in ("version", "offerId", "provider", "units", "callbackGas")},
        "exclusiveUntil": uint(40),
        "deadline": uint(40),
        "requester": addresses,
        "token": addresses,
        "price": uint(96),
        "bond": uint(96),
        "inputHash": words,
        "verifier": addresses,
        "secondVerifier": addresses,
        "resolution": addresses,
    }
)


def in_python(job, job_id, chain_id, router):
    """The Python job with the members of a Solidity one."""
    names = {
        "modelId": "model_id",
        "offerId": "offer_id",
        "callbackGas": "callback_gas",
        "inputHash": "input_hash",
        "exclusiveUntil": "exclusive_until_s",
        "deadline": "deadline_s",
        "secondVerifier": "second_verifier",
    }
    members = {names.get(name, name): job[name] for name in JOB_FIELDS}
    return Job(
        job_id=job_id,
        chain_id=chain_id,
        router=router,
        input=b"\xa0",
        model_cid="bafkqaaa",
        **members,
    )


@pytest.fixture(scope="module")
def libraries(accounts, project):
    """Opens the internal libraries."""
    return accounts[0].deploy(project.MockLibraries)


@QUICK
@given(job=jobs, job_id=uint(256))
def test_job_hash__is_the_same_on_both_sides(system, chain, job, job_id):
    twin = in_python(job, job_id, chain.chain_id, system.router.address)

    assert commitment.job_hash(twin) == system.router.jobHash(job_id, job)


@QUICK
@given(job=jobs, job_id=uint(256), units=uint(32), output_hash=words)
def test_answer_digest__is_the_same_on_both_sides(system, chain, job, job_id, units, output_hash):
    twin = in_python(job, job_id, chain.chain_id, system.router.address)

    expected = system.router.answerDigest(job_id, job, units, output_hash)
    assert commitment.answer_digest(twin, units, output_hash) == expected


@QUICK
@given(key=st.text("abcdefgh", min_size=1, max_size=23), value=st.binary(max_size=300))
def test_map_of_bytes__is_encoded_alike(libraries, key, value):
    assert libraries.mapOfBytes(key, value) == payload.encode({key: value})


def test_map_of_bytes__of_many_lengths__is_encoded_alike(libraries):
    for length in (0, 23, 24, 255, 256, 4_000):
        assert libraries.mapOfBytes("file", bytes(length)) == payload.encode(
            {"file": bytes(length)}
        )


@QUICK
@given(label=st.text(max_size=60), score=st.floats(0, 1))
def test_first_text__is_read_alike(libraries, label, score):
    assert libraries.firstText(payload.encode({"label": label, "score": score})) == label


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"\xa0",
        b"\xa1\x61a\x01",
        b"\xa1\x61a\x65abc",
        b"\x65label",
        b"\xa1\x61a\x78",
        b"\xa1\x61a\x78\x05ab",
    ],
)
def test_first_text__of_other_bytes__reverts(libraries, data):
    with ape.reverts():
        libraries.firstText(data)


def test_market_and_policy_ids__are_as_documented(system):
    market = system.market
    types = ["bytes32", "uint32", "uint32", "address", "address", "address", "address"]

    assert system.market_id == keccak(encode(types, list(market.values())))[:30] + b"\0\0"
    policy = [system.verifier.address, NATIVE, NATIVE]
    assert system.policy_id() == keccak(encode(["address"] * 3, policy))


def test_commitment__of_a_real_job__is_its_python_hash_and_state(system, provider, chain):
    asked = system.request()
    twin = in_python(plain(asked.job.values()), asked.id, chain.chain_id, system.router.address)

    assert system.router.commitmentOf(asked.id) == commitment.job_hash(twin)[:28] + b"\0\0\0\x01"


def test_commitment__of_an_answered_job__is_its_python_hash_and_state(
    system, provider, chain, accounts, project, model_owner, stranger
):
    """While it waits for its resolution, and when it is settled."""
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(system.model_id, system.policy_id(policy), True, sender=model_owner)
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    asked = system.request(market=market, units=3)
    twin = in_python(plain(asked.job.values()), asked.id, chain.chain_id, system.router.address)
    outcome = commitment.outcome_hash(twin, 2, keccak(OUTPUT))

    system.answer(asked, provider, units=2, proofs=[b"", b"claim"])

    words = encode(["bytes32", "uint40", "bytes32"], [outcome, *asked.waiting.values()])
    assert system.router.commitmentOf(asked.id) == keccak(words)[:28] + b"\0\0\0\x03"
    chain.pending_timestamp += 3_602
    system.settle(asked, stranger, units=2)
    assert system.router.commitmentOf(asked.id) == outcome[:28] + b"\0\0\0\x04"
