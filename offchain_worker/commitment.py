"""How a job and an answer are hashed. Twin of `contracts/libraries/JobHash.sol`.

Both are EIP-712. A struct is hashed as the words of its fields behind its type hash; every field here is one 32-byte
word. Written out by hand because this is on the path of every job: typed data of `eth_account` is 20 times as slow.
"""

from collections.abc import Iterable
from functools import lru_cache

from eth_hash.backends.pycryptodome import keccak256

from offchain_worker.job import Job

DOMAIN_TYPE = b"EIP712Domain(string name,string version,uint256 chainId,address verifyingContract)"
JOB_TYPE = (
    b"Job(uint256 jobId,bytes32 modelId,uint32 version,uint32 offerId,uint32 provider,uint32 units,"
    b"uint32 callbackGas,uint40 exclusiveUntil,uint40 deadline,address requester,address token,uint96 price,"
    b"uint96 bond,bytes32 inputHash,address verifier,address secondVerifier,address resolution)"
)
ANSWER_TYPE = (
    b"Answer(uint256 jobId,bytes32 modelId,uint32 version,uint32 provider,uint32 units,bytes32 inputHash,"
    b"bytes32 outputHash)"
)
DOMAIN_NAME = b"Lattice"
DOMAIN_VERSION = b"1"

_DOMAIN_TYPEHASH = keccak256(DOMAIN_TYPE)
_JOB_TYPEHASH = keccak256(JOB_TYPE)
_ANSWER_TYPEHASH = keccak256(ANSWER_TYPE)
_NAME_HASH = keccak256(DOMAIN_NAME)
_VERSION_HASH = keccak256(DOMAIN_VERSION)


def payload_hash(data: bytes) -> bytes:
    """Return the Keccak-256 of input or output bytes, 32 bytes."""
    return keccak256(data)


def job_hash(job: Job) -> bytes:
    """Return the EIP-712 struct hash of a job, 32 bytes: what the router stores of it. Without the domain."""
    return _struct_hash(
        _JOB_TYPEHASH,
        (
            job.job_id,
            job.model_id,
            job.version,
            job.offer_id,
            job.provider,
            job.units,
            job.callback_gas,
            job.exclusive_until_s,
            job.deadline_s,
            job.requester,
            job.token,
            job.price,
            job.bond,
            job.input_hash,
            job.verifier,
            job.second_verifier,
            job.resolution,
        ),
    )


def answer_digest(job: Job, units: int, output_hash: bytes) -> bytes:
    """Return the EIP-712 digest that the operator of `job.provider` signs, 32 bytes.

    It binds chain, router, job, model version, provider, units charged, input and output.

    Args:
        job: The job that is answered.
        units: Units of work charged for, 1 to `job.units`.
        output_hash: Keccak-256 of the output bytes, 32 bytes.
    """
    answer = _struct_hash(
        _ANSWER_TYPEHASH,
        (
            job.job_id,
            job.model_id,
            job.version,
            job.provider,
            units,
            job.input_hash,
            output_hash,
        ),
    )
    return keccak256(b"\x19\x01" + domain_separator(job.chain_id, job.router) + answer)


def outcome_hash(job: Job, units: int, output_hash: bytes) -> bytes:
    """Return what the router stores of a job once it is answered, 32 bytes. Arguments as in `answer_digest`."""
    return keccak256(job_hash(job) + _word(units) + output_hash)


@lru_cache(maxsize=64)
def domain_separator(chain_id: int, router: str) -> bytes:
    """Return the EIP-712 domain separator of a router on a chain, 32 bytes."""
    return _struct_hash(_DOMAIN_TYPEHASH, (_NAME_HASH, _VERSION_HASH, chain_id, router))


def _struct_hash(typehash: bytes, values: Iterable[int | bytes | str]) -> bytes:
    return keccak256(typehash + b"".join(map(_word, values)))


def _word(value: int | bytes | str) -> bytes:
    """Return `value` as one 32-byte word: an integer, 32 bytes as they are, or an address."""
    if isinstance(value, int):
        return value.to_bytes(32, "big")
    if isinstance(value, bytes):
        return value
    return bytes.fromhex(value[2:]).rjust(32, b"\0")
