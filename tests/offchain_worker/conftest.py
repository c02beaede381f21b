"""Ready systems for the tests of the compute side: a store with two models, a signer, a worker, and jobs for it."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from offchain_worker import payload
from offchain_worker.commitment import payload_hash
from offchain_worker.job import NO_ADDRESS, Job
from offchain_worker.pipeline import add_packaged
from offchain_worker.pipeline.magika_model import import_magika
from offchain_worker.pipeline.xor_model import write_xor
from offchain_worker.proofs.throwaway import ThrowawaySigner
from offchain_worker.storage.store import EmbeddedStore
from offchain_worker.worker import Worker

VERIFIER = "0x" + "Ab" * 20


@pytest.fixture
def store(tmp_path: Path) -> EmbeddedStore:
    return EmbeddedStore(tmp_path / "store")


@pytest.fixture(scope="session")
def signer() -> ThrowawaySigner:
    return ThrowawaySigner()


@pytest.fixture(scope="session")
def xor_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "xor"
    write_xor(folder)
    return folder


@pytest.fixture(scope="session")
def magika_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("models") / "magika"
    import_magika(folder)
    return folder


@pytest.fixture
def xor_cid(store: EmbeddedStore) -> str:
    return str(add_packaged("xor", store))


@pytest.fixture
def magika_cid(store: EmbeddedStore) -> str:
    return str(add_packaged("magika", store))


@pytest.fixture
def worker(store: EmbeddedStore, signer: ThrowawaySigner, tmp_path: Path) -> Worker:
    return Worker(store, signer, tmp_path / "cache", {VERIFIER: "signature"})


@pytest.fixture(scope="session")
def xor_values() -> dict[str, Any]:
    return {"x": np.array([[0, 0], [0, 1], [1, 0], [1, 1]], dtype=np.float32)}


@pytest.fixture(scope="session")
def job_of(xor_values: dict[str, Any]) -> Callable[..., Job]:
    """Return a function that makes a job; `values` becomes its input, other fields as given."""

    def make(values: dict[str, Any] | None = None, **changes: Any) -> Job:
        data = payload.encode(xor_values if values is None else values)
        job = Job(
            chain_id=31337,
            router="0x" + "11" * 20,
            job_id=7,
            model_id=b"\x05" * 32,
            version=1,
            offer_id=2,
            provider=3,
            units=1,
            callback_gas=0,
            exclusive_until_s=1_800_000_000,
            deadline_s=1_800_003_600,
            requester="0x" + "22" * 20,
            token=NO_ADDRESS,
            price=10**15,
            bond=0,
            input_hash=payload_hash(data),
            verifier=VERIFIER,
            second_verifier=NO_ADDRESS,
            resolution=NO_ADDRESS,
            input=data,
            model_cid="bafy-not-set",
        )
        if "input" in changes and "input_hash" not in changes:
            changes["input_hash"] = payload_hash(changes["input"])
        return replace(job, **changes)

    return make
