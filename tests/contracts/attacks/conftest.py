"""What every attack ends with: the books."""

from types import SimpleNamespace

import pytest
from system import NATIVE


def known_money(system, people):
    """Native money in the Vault of these accounts and of all modules."""
    modules = (
        *(system.router, system.staking, system.signed, system.batches, system.cache),
        *(system.recurring, system.lanes, system.licences, system.pricing),
    )
    owned = sum(system.free(one) + system.vault.delayed(one, NATIVE) for one in people)
    return owned + sum(system.vault.locked(module, NATIVE) for module in modules)


@pytest.fixture
def people(system, accounts):
    """Who may own money in the Vault: the test accounts, and the insurance account."""
    return [*(accounts[i] for i in range(10)), system.vault]


@pytest.fixture(autouse=True)
def vault_has_what_it_accounts_for(system, people):
    """After each attack the Vault has what it accounts for, and that covers what people and modules own."""
    yield
    accounted = system.vault.accounted(NATIVE)
    assert known_money(system, people) <= accounted <= system.vault.balance


@pytest.fixture
def books(system, people):
    """After the attack every wei is somebody's. `know` names contracts that own some."""
    yield SimpleNamespace(know=people.append)
    assert known_money(system, people) == system.vault.accounted(NATIVE)
