"""Licences: sold or given by the model's owner, for a time and a number of uses

openSale, closeSale, give
├── when the caller is neither the model's owner nor an admin
│   └── it reverts with LicenceNotAdmin(caller, modelId)
├── when a sale names no receiver, no use or no time
│   └── it reverts with LicenceSaleInvalid(receiver, uses, duration)
├── when a sale was closed or never opened
│   └── it reverts with LicenceSaleClosed(saleId)
└── what is given never takes anything away
buy
├── when the sale is closed, or the buyer has too little
│   └── it reverts with LicenceSaleClosed(saleId), VaultBalanceTooLow(free, needed)
└── it pays receiver and protocol, and adds uses and time to a licence that lasts
request
├── when the caller has no licence, no use left, or it has run out
│   └── it reverts with LicenceMissing(account, uses, until)
├── when the caller asks the router itself, or by another module
│   └── it reverts with RegistryRuleRefused(account, rule)
└── it asks in the caller's name and counts a use, unless there are any number
giveBack
├── when the job is not refunded, not of this licence, or was given back
│   └── it reverts with LicenceJobNotRefunded(jobId, state), LicenceJobUnknown(jobId)
└── the use of a refunded job can be used again
"""

import ape
import pytest
from system import ETHER, NATIVE, Asked, plain

DAY = 86_400
BY_RULE = 2
ASSIGNED = 1
SALE_PRICE = 10**16


@pytest.fixture
def licensed(system, provider, model_owner, requester):
    """The model asks for a licence; the requester has opted into the module."""
    system.registry.setAccessRule(system.model_id, system.licences, sender=model_owner)
    system.registry.setAccess(system.model_id, BY_RULE, sender=model_owner)
    system.vault.allowModule(system.licences, True, sender=requester)
    return system


@pytest.fixture
def open_sale(licensed, model_owner):
    """Opens a sale; returns its number."""

    def act(sender=model_owner, **changes):
        sale = {
            "receiver": model_owner,
            "token": NATIVE,
            "price": SALE_PRICE,
            "uses": 2,
            "duration": 10 * DAY,
        }
        receipt = licensed.licences.openSale(licensed.model_id, sale | changes, sender=sender)
        (event,) = receipt.events.filter(licensed.licences.SaleOpened)
        return event.saleId

    return act


def ask(system, sender):
    receipt = system.licences.request(system.asking(), sender=sender)
    (event,) = receipt.events.filter(system.router.InferenceRequested)
    return Asked(event.jobId, plain(event.job), receipt)


def left(system, account):
    return system.licences.licenceOf(system.model_id, account).uses


def test_open_sale__takes_one_use_within_a_second(licensed, open_sale, requester):
    licensed.licences.buy(open_sale(uses=1, duration=1), sender=requester)

    assert left(licensed, requester) == 1


def test_open_sale__gives_every_sale_a_number_of_its_own(licensed, open_sale, requester, stranger):
    cheap, dear = open_sale(price=1, uses=1), open_sale(price=2, uses=5)

    licensed.licences.buy(dear, sender=requester)

    assert cheap != dear
    assert left(licensed, requester) == 5


def test_open_sale__again__opens_the_same_sale(licensed, open_sale, requester, model_owner):
    sale = open_sale()
    licensed.licences.closeSale(sale, sender=model_owner)

    assert open_sale() == sale
    licensed.licences.buy(sale, sender=requester)


def test_open_sale__when_the_caller_is_no_admin__reverts(licensed, open_sale, stranger):
    sale = open_sale()
    expected = {"caller": stranger.address, "modelId": licensed.model_id}

    for act in (
        lambda: open_sale(sender=stranger),
        lambda: licensed.licences.closeSale(sale, sender=stranger),
        lambda: licensed.licences.give(licensed.model_id, stranger, 1, 2**40 - 1, sender=stranger),
    ):
        with ape.reverts(licensed.licences.LicenceNotAdmin, **expected):
            act()


def test_open_sale__by_an_admin__is_open(licensed, open_sale, stranger, model_owner, requester):
    licensed.registry.setAdmin(licensed.model_id, stranger, True, sender=model_owner)

    licensed.licences.buy(open_sale(sender=stranger), sender=requester)

    assert left(licensed, requester) == 2


@pytest.mark.parametrize("changes", [{"receiver": NATIVE}, {"uses": 0}, {"duration": 0}])
def test_open_sale__when_something_is_missing__reverts(licensed, open_sale, changes):
    with ape.reverts(licensed.licences.LicenceSaleInvalid):
        open_sale(**changes)


def test_buy__when_the_sale_is_closed__reverts(licensed, open_sale, model_owner, requester):
    sale = open_sale()
    licensed.licences.closeSale(sale, sender=model_owner)

    for number in (sale, sale + 1):
        with ape.reverts(licensed.licences.LicenceSaleClosed, **{"saleId": number}):
            licensed.licences.buy(number, sender=requester)
        with ape.reverts(licensed.licences.LicenceSaleClosed, **{"saleId": number}):
            licensed.licences.closeSale(number, sender=model_owner)


def test_buy__when_the_buyer_has_too_little__reverts(licensed, open_sale, requester):
    with ape.reverts(licensed.vault.VaultBalanceTooLow):
        licensed.licences.buy(open_sale(price=100 * ETHER), sender=requester)


def test_buy__pays_and_prolongs(licensed, open_sale, requester, model_owner, chain):
    sale = open_sale()
    accounts = (requester, model_owner, licensed.treasury)
    before = [licensed.free(account) for account in accounts]

    first = licensed.licences.buy(sale, sender=requester)
    licensed.licences.buy(sale, sender=requester)

    fee = SALE_PRICE * 200 // 10_000
    changes = [licensed.free(account) - was for account, was in zip(accounts, before, strict=True)]
    assert changes == [-2 * SALE_PRICE, 2 * (SALE_PRICE - fee), 2 * fee]
    assert licensed.vault.locked(licensed.licences, NATIVE) == 0
    licence = licensed.licences.licenceOf(licensed.model_id, requester)
    assert (licence.uses, licence.until) == (4, first.timestamp + 20 * DAY)

    chain.pending_timestamp = licence.until + 1
    again = licensed.licences.buy(sale, sender=requester)
    licence = licensed.licences.licenceOf(licensed.model_id, requester)
    assert (licence.uses, licence.until) == (2, again.timestamp + 10 * DAY)


def test_give__takes_nothing_away(licensed, open_sale, requester, model_owner):
    licensed.licences.buy(open_sale(), sender=requester)
    until = licensed.licences.licenceOf(licensed.model_id, requester).until

    licensed.licences.give(licensed.model_id, requester, 0, 1, sender=model_owner)
    licensed.licences.give(licensed.model_id, requester, 1, until + 5, sender=model_owner)

    licence = licensed.licences.licenceOf(licensed.model_id, requester)
    assert (licence.uses, licence.until) == (3, until + 5)


def test_request__when_there_is_no_licence__reverts(licensed, open_sale, requester, chain):
    expected = {"account": requester.address, "uses": 0, "until": 0}
    with ape.reverts(licensed.licences.LicenceMissing, **expected):
        ask(licensed, requester)
    licensed.licences.buy(open_sale(), sender=requester)
    ask(licensed, requester)
    ask(licensed, requester)
    with ape.reverts(licensed.licences.LicenceMissing, **{"uses": 0}):
        ask(licensed, requester)
    licensed.licences.buy(open_sale(), sender=requester)
    chain.pending_timestamp = licensed.licences.licenceOf(licensed.model_id, requester).until + 1
    with ape.reverts(licensed.licences.LicenceMissing, **{"uses": 2}):
        ask(licensed, requester)


def test_request__by_another_way__reverts(licensed, open_sale, requester):
    licensed.licences.buy(open_sale(), sender=requester)
    expected = {"account": requester.address, "rule": licensed.licences.address}

    with ape.reverts(licensed.registry.RegistryRuleRefused, **expected):
        licensed.request()
    ask(licensed, requester)
    with ape.reverts(licensed.registry.RegistryRuleRefused, **expected):
        licensed.request()


def test_request__asks_in_the_callers_name(licensed, open_sale, provider, requester):
    licensed.licences.buy(open_sale(), sender=requester)

    asked = ask(licensed, requester)

    assert asked.job["requester"] == requester.address
    assert left(licensed, requester) == 1
    licensed.answer(asked, provider)
    assert licensed.state(asked.id) == "Settled"
    with ape.reverts(licensed.licences.LicenceJobNotRefunded, **{"jobId": asked.id}):
        licensed.licences.giveBack(asked.id, licensed.model_id, requester, sender=requester)


def test_request__with_any_number_of_uses__counts_none(
    licensed, requester, model_owner, stranger, chain
):
    any_number = licensed.licences.UNLIMITED()
    end = chain.pending_timestamp + 10 * DAY
    licensed.licences.give(licensed.model_id, requester, any_number, end, sender=model_owner)

    asked = ask(licensed, requester)

    assert left(licensed, requester) == any_number
    chain.pending_timestamp = asked.job["deadline"] + 1
    licensed.router.refund(asked.id, asked.job, sender=stranger)
    with ape.reverts(licensed.licences.LicenceJobUnknown, **{"jobId": asked.id}):
        licensed.licences.giveBack(asked.id, licensed.model_id, requester, sender=requester)


def test_give_back__of_a_refunded_job__can_be_used_again_once(
    licensed, open_sale, requester, stranger, chain
):
    licensed.licences.buy(open_sale(uses=1), sender=requester)
    asked = ask(licensed, requester)
    with ape.reverts(
        licensed.licences.LicenceJobNotRefunded,
        **{"jobId": asked.id, "state": ASSIGNED},
    ):
        licensed.licences.giveBack(asked.id, licensed.model_id, requester, sender=stranger)
    chain.pending_timestamp = asked.job["deadline"] + 1
    licensed.router.refund(asked.id, asked.job, sender=stranger)
    with ape.reverts(licensed.licences.LicenceJobUnknown):
        licensed.licences.giveBack(asked.id, licensed.model_id, stranger, sender=stranger)

    licensed.licences.giveBack(asked.id, licensed.model_id, requester, sender=stranger)

    assert left(licensed, requester) == 1
    with ape.reverts(licensed.licences.LicenceJobUnknown):
        licensed.licences.giveBack(asked.id, licensed.model_id, requester, sender=stranger)
    ask(licensed, requester)
