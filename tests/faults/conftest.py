"""Fixtures of the fault scenarios: a real chain, a provider on it, and a proxy that misbehaves between the two."""

from collections.abc import Iterator

import pytest
from chain_fixtures import anvil, chain, market, provider, stress, xor
from fault_proxy import FaultProxy
from live_chain import Anvil

__all__ = ["anvil", "chain", "market", "provider", "proxy", "stress", "xor"]


@pytest.fixture
def proxy(chain: Anvil) -> Iterator[FaultProxy]:
    """An endpoint in front of the chain. It behaves until a fault is added."""
    with FaultProxy(chain.url) as running:
        yield running


@pytest.fixture
def three(chain: Anvil) -> Iterator[tuple[FaultProxy, FaultProxy, FaultProxy]]:
    """Three endpoints of one chain, asked in this order."""
    with FaultProxy(chain.url) as one, FaultProxy(chain.url) as two, FaultProxy(chain.url) as last:
        yield one, two, last
