"""Slipping in behind oneself: a module lets its caller in for one request, and not for what else is in the transaction

The attacker, a contract, hopes that the door is still open for the next call: for work without the surcharge, or
without a use of its licence.
"""

import ape
import pytest
from system import ETHER, NATIVE

pytestmark = pytest.mark.usefixtures("books")

BY_RULE = 2
PRICES = {
    "token": NATIVE,
    "floor": 10**6,
    "cap": 10**9,
    "deposit": 10**12,
    "target": 2,
    "period": 3_600,
}


@pytest.fixture
def wallet(system, project, stranger, provider, books):
    """A contract with an ether in the Vault, which has opted into everything."""
    wallet = stranger.deploy(project.MockWallet)
    system.vault.deposit(wallet, NATIVE, ETHER, value=ETHER, sender=stranger)
    for module in (system.router, system.pricing, system.licences):
        allow = system.vault.allowModule.encode_input(module, True)
        wallet.execute(system.vault, 0, allow, sender=stranger)
    books.know(wallet)
    return wallet


@pytest.fixture
def priced(system, wallet, model_owner):
    """The model asks for a surcharge; returns the rule, and the call that lets the wallet in."""
    system.pricing.openClass(PRICES, sender=model_owner)
    system.pricing.setClass(system.model_id, 1, sender=model_owner)
    return system.pricing, system.pricing.request.encode_input(system.asking(), PRICES["deposit"])


@pytest.fixture
def licensed(system, wallet, model_owner):
    """The model asks for a licence, and the wallet has one for two uses; returns as `priced`."""
    system.licences.give(system.model_id, wallet, 2, 2**40 - 1, sender=model_owner)
    return system.licences, system.licences.request.encode_input(system.asking())


@pytest.mark.parametrize("by", ["priced", "licensed"])
def test_request__behind_one_that_was_let_in__is_not_let_in(
    request, system, wallet, stranger, model_owner, by
):
    rule, let_in = request.getfixturevalue(by)
    system.registry.setAccessRule(system.model_id, rule, sender=model_owner)
    system.registry.setAccess(system.model_id, BY_RULE, sender=model_owner)
    slip_in = system.router.request.encode_input(system.asking())

    with ape.reverts(system.registry.RegistryRuleRefused, **{"account": wallet.address}):
        wallet.executeAll([rule, system.router], [let_in, slip_in], sender=stranger)
    assert system.router.lastJobId() == 0

    wallet.executeAll([rule, rule], [let_in, let_in], sender=stranger)
    assert system.router.lastJobId() == 2
