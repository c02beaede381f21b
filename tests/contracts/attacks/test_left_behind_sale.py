"""A sale that is left behind: who opened it no longer has the model, or its office, and goes on earning

A former owner opens sales before the handover, as many as it likes: the new owner cannot list them, and every buyer
pays the former one for a model that is not its own. So does an admin that was dismissed.
"""

import ape
import pytest
from system import NATIVE

pytestmark = pytest.mark.usefixtures("books")

DAY = 86_400
PRICE = 10**16


@pytest.fixture
def open_sale(system, requester):
    """Opens a sale that pays whoever opens it; the requester could buy."""
    system.vault.allowModule(system.licences, True, sender=requester)

    def act(seller):
        sale = {
            "receiver": seller,
            "token": NATIVE,
            "price": PRICE,
            "uses": 10,
            "duration": 365 * DAY,
        }
        receipt = system.licences.openSale(system.model_id, sale, sender=seller)
        (event,) = receipt.events.filter(system.licences.SaleOpened)
        return event.saleId

    return act


def hand_over(system, former, new):
    system.registry.startTransfer(system.model_id, new, sender=former)
    system.registry.acceptTransfer(system.model_id, sender=new)


def buys_nothing(system, sale, buyer, seller):
    """Nobody buys, and nobody is paid."""
    before = system.free(buyer), system.free(seller)
    with ape.reverts(system.licences.LicenceSaleClosed, **{"saleId": sale}):
        system.licences.buy(sale, sender=buyer)
    assert (system.free(buyer), system.free(seller)) == before
    assert system.licences.licenceOf(system.model_id, buyer) == (0, 0)


def test_sale__of_a_former_owner__sells_nothing(
    system, open_sale, requester, model_owner, stranger
):
    sale = open_sale(model_owner)
    system.licences.buy(sale, sender=requester)  # what it hopes will go on
    earned = system.free(model_owner)
    assert earned > 0

    hand_over(system, model_owner, stranger)

    with ape.reverts(system.licences.LicenceSaleClosed, **{"saleId": sale}):
        system.licences.buy(sale, sender=requester)
    assert system.free(model_owner) == earned
    # What was bought stays, and the new owner sells as before.
    assert system.licences.licenceOf(system.model_id, requester).uses == 10
    system.licences.buy(open_sale(stranger), sender=requester)
    assert system.licences.licenceOf(system.model_id, requester).uses == 20


def test_sale__of_a_former_owners_admin__sells_nothing(
    system, open_sale, requester, model_owner, stranger, accounts
):
    admin = accounts[8]
    system.registry.setAdmin(system.model_id, admin, True, sender=model_owner)
    sale = open_sale(admin)

    hand_over(system, model_owner, stranger)

    buys_nothing(system, sale, requester, admin)


def test_sale__of_a_dismissed_admin__sells_nothing_until_it_is_opened_again(
    system, open_sale, requester, model_owner, accounts
):
    admin = accounts[8]
    system.registry.setAdmin(system.model_id, admin, True, sender=model_owner)
    sale = open_sale(admin)
    system.registry.setAdmin(system.model_id, admin, False, sender=model_owner)

    buys_nothing(system, sale, requester, admin)

    terms = (admin.address, NATIVE, PRICE, 10, 365 * DAY)
    system.licences.openSale(system.model_id, terms, sender=model_owner)
    system.licences.buy(sale, sender=requester)
    assert system.licences.licenceOf(system.model_id, requester).uses == 10


def test_sale__of_a_former_owner__can_still_be_closed(system, open_sale, model_owner, stranger):
    sale = open_sale(model_owner)
    hand_over(system, model_owner, stranger)

    with ape.reverts(system.licences.LicenceNotAdmin):
        system.licences.closeSale(sale, sender=model_owner)
    system.licences.closeSale(sale, sender=stranger)
