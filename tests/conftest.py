"""Fixtures of all suites: roles, and a ready system on Ape's chain."""

import pytest
import strict_reverts  # noqa: F401 -- from here on `ape.reverts` is the strict one
from hypothesis import settings
from system import ETHER, NATIVE, Provider, System, deploy_system

from scripts._support.build import drop_stale_build

settings.register_profile("any machine", deadline=None)  # a busy one is slow, and that is no fault
settings.load_profile("any machine")
drop_stale_build()  # before any fixture asks Ape for a contract


@pytest.fixture(scope="session")
def system(accounts, project) -> System:
    """A deployed system with one registered model; `requester` has money in the Vault and trusts the router."""
    ready = deploy_system(accounts, project)
    ready.vault.deposit(
        ready.requester, NATIVE, 10 * ETHER, value=10 * ETHER, sender=ready.requester
    )
    ready.vault.allowModule(ready.router, True, sender=ready.requester)
    return ready


@pytest.fixture(scope="session")
def requester(system):
    """Asks and pays."""
    return system.requester


@pytest.fixture(scope="session")
def model_owner(system):
    """Owns the registered model and gets its price and royalty."""
    return system.model_owner


@pytest.fixture
def provider(accounts, system) -> Provider:
    """A provider with one ticket and an open offer in the default market."""
    ready = system.provider(accounts[4], accounts[5], accounts[6])
    system.open_offer(ready)
    return ready


@pytest.fixture
def rival(accounts, system, provider) -> Provider:
    """Another registered provider with an offer in the default market."""
    other = system.provider(accounts[7], accounts[8], accounts[7])
    system.open_offer(other)
    return other


@pytest.fixture(scope="session")
def stranger(accounts):
    """Nobody that the system knows."""
    return accounts[9]
