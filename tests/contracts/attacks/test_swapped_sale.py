"""A swapped sale: a buyer names a sale by its number, and another sale stands there when the purchase is mined

Blocks are replaced, or the attacker's transaction comes first: it opens a sale of its own, of a model that is worth
nothing, at a price that takes all that the buyer has.
"""

import ape
import pytest
from eth_utils import keccak
from system import ETHER, NATIVE

pytestmark = pytest.mark.usefixtures("books")

DAY = 86_400


def open_sale(system, model_id, owner, price):
    sale = {"receiver": owner, "token": NATIVE, "price": price, "uses": 1, "duration": DAY}
    receipt = system.licences.openSale(model_id, sale, sender=owner)
    (event,) = receipt.events.filter(system.licences.SaleOpened)
    return event.saleId


def test_sale__that_comes_first_after_a_reorganisation__does_not_get_the_buyer(
    system, requester, model_owner, stranger, chain
):
    worthless = system.register_model(stranger, keccak(b"worthless"))
    system.vault.allowModule(system.licences, True, sender=requester)
    before = chain.snapshot()
    chosen = open_sale(system, system.model_id, model_owner, 1)
    chain.restore(before)  # the block is gone
    open_sale(system, worthless, stranger, ETHER)
    money = system.free(requester)

    with ape.reverts(system.licences.LicenceSaleClosed):
        system.licences.buy(chosen, sender=requester)

    assert system.free(requester) == money
    assert open_sale(system, system.model_id, model_owner, 1) == chosen
    system.licences.buy(chosen, sender=requester)
    assert system.licences.licenceOf(system.model_id, requester).uses == 1
