"""commitment: the twin of JobHash.sol. Parity with Solidity is tested in tests/parity.

job_hash
├── it is the struct hash that eth_account makes
└── it changes with every field of the job that is committed to
answer_digest
├── it is the digest that eth_account signs
└── it changes with units, output, chain and router
outcome_hash
└── it is the hash of three words
payload_hash
└── it is Keccak-256, not SHA3-256
"""

from dataclasses import replace

import pytest
from eth_account.messages import encode_typed_data
from eth_hash.auto import keccak
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain_worker.commitment import answer_digest, job_hash, outcome_hash, payload_hash
from offchain_worker.job import Job

DOMAIN_FIELDS = [
    {"name": "name", "type": "string"},
    {"name": "version", "type": "string"},
    {"name": "chainId", "type": "uint256"},
    {"name": "verifyingContract", "type": "address"},
]
# Type, name in Solidity, name in Python.
JOB_FIELDS = [
    ("uint256", "jobId", "job_id"),
    ("bytes32", "modelId", "model_id"),
    ("uint32", "version", "version"),
    ("uint32", "offerId", "offer_id"),
    ("uint32", "provider", "provider"),
    ("uint32", "units", "units"),
    ("uint32", "callbackGas", "callback_gas"),
    ("uint40", "exclusiveUntil", "exclusive_until_s"),
    ("uint40", "deadline", "deadline_s"),
    ("address", "requester", "requester"),
    ("address", "token", "token"),
    ("uint96", "price", "price"),
    ("uint96", "bond", "bond"),
    ("bytes32", "inputHash", "input_hash"),
    ("address", "verifier", "verifier"),
    ("address", "secondVerifier", "second_verifier"),
    ("address", "resolution", "resolution"),
]
ANSWER_FIELDS = [
    ("uint256", "jobId"),
    ("bytes32", "modelId"),
    ("uint32", "version"),
    ("uint32", "provider"),
    ("uint32", "units"),
    ("bytes32", "inputHash"),
    ("bytes32", "outputHash"),
]

words = st.binary(min_size=32, max_size=32)
addresses = st.binary(min_size=20, max_size=20).map(lambda data: "0x" + data.hex())


def uint(bits):
    return st.integers(0, (1 << bits) - 1)


jobs = st.builds(
    Job,
    chain_id=uint(64),
    router=addresses,
    job_id=uint(256),
    model_id=words,
    version=uint(32),
    offer_id=uint(32),
    provider=uint(32),
    units=uint(32),
    callback_gas=uint(32),
    exclusive_until_s=uint(40),
    deadline_s=uint(40),
    requester=addresses,
    token=addresses,
    price=uint(96),
    bond=uint(96),
    input_hash=words,
    verifier=addresses,
    second_verifier=addresses,
    resolution=addresses,
    input=st.just(b"\xa0"),
    model_cid=st.just("bafy"),
)


def typed_data(job, name, fields, message):
    return encode_typed_data(
        full_message={
            "types": {
                "EIP712Domain": DOMAIN_FIELDS,
                name: [{"type": field[0], "name": field[1]} for field in fields],
            },
            "primaryType": name,
            "domain": {
                "name": "Lattice",
                "version": "1",
                "chainId": job.chain_id,
                "verifyingContract": job.router,
            },
            "message": message,
        }
    )


@settings(max_examples=50, deadline=None)
@given(job=jobs)
def test_job_hash__is_what_eth_account_makes(job):
    message = {name: getattr(job, field) for _, name, field in JOB_FIELDS}

    assert job_hash(job) == typed_data(job, "Job", JOB_FIELDS, message).body


@settings(max_examples=50, deadline=None)
@given(job=jobs, units=uint(32), output_hash=words)
def test_answer_digest__is_what_eth_account_signs(job, units, output_hash):
    message = {
        "jobId": job.job_id,
        "modelId": job.model_id,
        "version": job.version,
        "provider": job.provider,
        "units": units,
        "inputHash": job.input_hash,
        "outputHash": output_hash,
    }
    signable = typed_data(job, "Answer", ANSWER_FIELDS, message)

    assert answer_digest(job, units, output_hash) == keccak(
        b"\x19" + signable.version + signable.header + signable.body
    )


@pytest.mark.parametrize("field", [field for _, _, field in JOB_FIELDS])
def test_job_hash__changes_with_every_field(job_of, field):
    job = job_of()
    value = getattr(job, field)
    changed = {int: lambda: value + 1, bytes: lambda: b"\xee" * 32, str: lambda: "0x" + "ee" * 20}

    assert job_hash(replace(job, **{field: changed[type(value)]()})) != job_hash(job)


def test_answer_digest__changes_with_units_output_chain_and_router(job_of):
    job = job_of()
    digests = {
        answer_digest(job, 1, bytes(32)),
        answer_digest(job, 2, bytes(32)),
        answer_digest(job, 1, b"\x01" * 32),
        answer_digest(replace(job, chain_id=1), 1, bytes(32)),
        answer_digest(replace(job, router="0x" + "99" * 20), 1, bytes(32)),
    }

    assert len(digests) == 5


def test_outcome_hash__is_the_hash_of_three_words(job_of):
    job = job_of()

    found = outcome_hash(job, 3, b"\x04" * 32)

    assert found == keccak(job_hash(job) + (3).to_bytes(32, "big") + b"\x04" * 32)


def test_payload_hash__is_keccak():
    assert (
        payload_hash(b"").hex()
        == "c5d2460186f7233c927e7db2dcc703c0e500b653ca82273b7bfad8045d85a470"
    )
