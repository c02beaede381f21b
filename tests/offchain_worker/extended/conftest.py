"""Tests that need the extras, which `make test-extended` installs. Elsewhere these files are not even imported."""

from pathlib import Path

import numpy as np
import pytest


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    chosen = config.option.markexpr
    return True if "not extended" in chosen and collection_path.suffix == ".py" else None


@pytest.fixture
def rng() -> np.random.Generator:
    return np.random.default_rng(20_261_122)


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> None:
    """Keep PyTorch to one thread: on a busy machine its threads wait for each other."""
    import torch

    torch.set_num_threads(1)
