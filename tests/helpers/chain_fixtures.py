"""Fixtures of all suites that need a real chain: one per suite, put back after each test, and what stands on it."""

from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace

import pytest
from live_chain import MODEL_PRICE, NATIVE, Anvil, Market, Node, deploy, register, start_anvil
from stress_model import add_stress

from offchain_worker.pipeline import add_packaged
from offchain_worker.storage.cid import Cid
from offchain_worker.storage.store import EmbeddedStore


@pytest.fixture(scope="module")
def anvil(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Anvil]:
    """One chain for the tests of a file, with the contracts: what breaks it breaks no other file."""
    chain = start_anvil()
    try:
        deploy(chain, tmp_path_factory.mktemp("deployment"))
        yield chain
    finally:
        chain.process.kill()
        chain.process.wait()


@pytest.fixture
def chain(anvil: Anvil) -> Iterator[Anvil]:
    """The chain, put back afterwards to where it was."""
    snapshot = anvil("evm_snapshot")
    base_fee = anvil("eth_getBlockByNumber", "pending", False)["baseFeePerGas"]
    yield anvil
    anvil.end_workers()
    # Before all else: what waits would be mined a moment after `evm_setAutomine`, and then perhaps on top of the chain
    # that was put back, whose head stayed that block for all further tests.
    anvil("anvil_dropAllTransactions")
    anvil("evm_revert", snapshot)
    anvil("evm_setAutomine", True)
    anvil("anvil_setNextBlockBaseFeePerGas", base_fee)  # the snapshot does not hold it


@pytest.fixture(scope="session")
def xor(tmp_path_factory: pytest.TempPathFactory) -> SimpleNamespace:
    """The packaged model `xor`: its store folder and its CID."""
    folder = tmp_path_factory.mktemp("store")
    return SimpleNamespace(store=folder, cid=add_packaged("xor", EmbeddedStore(folder)))


@pytest.fixture
def market(chain: Anvil, xor: SimpleNamespace) -> Market:
    """The registered model, without any provider."""
    return register_model(chain, xor.cid)


def register_model(chain: Anvil, cid: Cid, name: str = "xor") -> Market:
    """Register a model on a chain with the contracts."""
    owner = chain.accounts[1]
    verifier = chain.contracts.address("SignatureVerifier")
    digest = cid.data[4:]
    version = {
        "digest": digest,
        "possessionRoot": bytes(32),
        "integerRoot": bytes(32),
        "manifestHash": bytes(32),
        "sizeBytes": 1,
        "format": b"reference".ljust(16, b"\0"),
    }
    terms = {"receiver": owner, "price": MODEL_PRICE, "royaltyBps": 1000, "token": NATIVE}
    policy = chain.read("ModelRegistry", "policyIdOf", verifier, NATIVE, NATIVE)
    chain.send("ModelRegistry", "register", name, version, terms, policy, sender=owner)
    market = {
        "modelId": chain.read("ModelRegistry", "modelIdOf", owner, digest),
        "version": 1,
        "epoch": 1,
        "token": NATIVE,
        "verifier": verifier,
        "secondVerifier": NATIVE,
        "resolution": NATIVE,
    }
    return Market(chain, market, chain.accounts[2])


@pytest.fixture
def stress(chain: Anvil, tmp_path: Path) -> SimpleNamespace:
    """A model that takes as long and as much as it is asked to, in a market of its own: `market`, `store`, `node`."""
    store = tmp_path / "stress-store"
    market = register_model(chain, add_stress(EmbeddedStore(store), tmp_path / "stress"), "stress")
    return SimpleNamespace(
        market=market, store=store, node=register(market, tmp_path / "stress-home")
    )


@pytest.fixture
def provider(market: Market, tmp_path: Path) -> Iterator[Node]:
    """A registered provider with an open offer; not started."""
    node = register(market, tmp_path / "provider")
    yield node
    if hasattr(node, "parts"):
        node.parts.store.close()
