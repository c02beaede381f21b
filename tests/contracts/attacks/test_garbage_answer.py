"""A garbage answer: empty, oversized or unproved output, a replayed answer, or one to nobody's job

The sender hopes that something with the right length counts as an answer.
"""

import ape
import pytest
from system import OUTPUT, Asked

pytestmark = pytest.mark.usefixtures("books")


@pytest.fixture
def asked(system, provider):
    return system.request(units=2)


@pytest.mark.parametrize("length", [0, 8_193])
def test_garbage__of_the_wrong_length__reverts(system, provider, asked, length):
    with ape.reverts(system.router.RouterOutputLength, **{"length": length, "limit": 8_192}):
        system.answer(asked, provider, output=b"\x01" * length, proofs=[b""])


@pytest.mark.parametrize("proof", [b"\x01", b"\x01" * 65, bytes(65), b"\xff" * 64])
def test_garbage__as_a_proof__reverts(system, provider, asked, proof):
    with ape.reverts(system.router.RouterProofInvalid):
        system.answer(asked, provider, proofs=[proof])


def test_garbage__as_units__reverts(system, provider, asked):
    for units in (0, 3):
        with ape.reverts(system.router.RouterUnitsOutOfRange, **{"units": units, "limit": 2}):
            system.answer(asked, provider, units=units, proofs=[b""])


def test_answer__replayed__is_paid_once(system, provider, asked):
    system.answer(asked, provider, units=2)
    earned = system.router.offer(provider.offer).earned

    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": asked.id, "state": 4}):
        system.answer(asked, provider, units=2)

    assert system.router.offer(provider.offer).earned == earned


@pytest.mark.parametrize("job_id", [0, 2, 2**255])
def test_answer__to_a_job_that_is_not__reverts(system, provider, asked, job_id):
    with ape.reverts(system.router.RouterJobMismatch, **{"jobId": job_id, "state": 0}):
        system.answer(Asked(job_id, asked.job, None), provider, output=OUTPUT, proofs=[b""])


def test_answer__with_dirty_bits_in_the_job__reverts(system, provider, asked):
    """The job is hashed where it lies; bits above a member's width make it another job."""
    call = bytearray(system.router.answer.encode_input(asked.id, asked.job, 2, OUTPUT, [b""]))
    version = 4 + 32 + 32  # after selector, job number and model
    call[version] = 1

    with ape.reverts():
        provider.operator.transfer(system.router, 0, data=bytes(call))

    assert system.state(asked.id) == "Assigned"
