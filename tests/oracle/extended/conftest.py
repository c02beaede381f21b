"""Tests that need the extra `scale`, which `make test-extended` installs. Elsewhere they are not even imported."""

from pathlib import Path

import pytest
from chain_fixtures import anvil, chain, market, provider, stress, xor

__all__ = ["anvil", "chain", "market", "provider", "stress", "xor"]


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    chosen = config.option.markexpr
    return True if "not extended" in chosen and collection_path.suffix == ".py" else None
