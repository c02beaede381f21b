"""InferenceRouter.request

request
├── when the model is unknown, deprecated, or closed to the requester
│   └── it reverts with RegistryModelUnknown, RegistryDeprecated, RegistryAccessDenied
├── when the epoch is not the model's current one
│   └── it reverts with RegistryEpochNotCurrent(epoch, current)
├── when the version is retired
│   └── it reverts with RegistryVersionNotInUse(version, lowest, highest)
├── when no unit is asked for
│   └── it reverts with RouterUnitsOutOfRange(units, limit)
├── when the callback asks for too much gas
│   └── it reverts with RouterCallbackGasTooHigh(asked, limit)
├── when the deadline has passed or is too far
│   └── it reverts with RouterDeadlineOutOfRange(deadline, earliest, latest)
├── when the market has no ticket
│   └── it reverts with RouterMarketEmpty(marketId)
├── when the named offer stands in another market
│   └── it reverts with OfferMarketMismatch(marketId, expected)
├── when the input is empty
│   └── it reverts with RouterInputLength(length, limit)
├── when the offer is full, the input too long or the time too short
│   └── it reverts with RouterNoOfferFits(offerId, load, capacity, maxInputBytes, minWindow)
├── when the price is above what the requester allows
│   └── it reverts with RouterFeeTooLow(allowed, asked)
├── when the requester has too little money, or did not opt in
│   └── it reverts with VaultBalanceTooLow(free, needed), VaultModuleNotAllowed(account, module)
├── when it carries value
│   ├── it works for someone who never deposited, and the surplus is free
│   └── when the job is paid in a token, it reverts with RouterValueNotNeeded(sent)
├── when a module asks for somebody
│   ├── who did not opt into the module, it reverts with RouterModuleNotAllowed(requester, module)
│   └── it is the requester's own job: its money, its access, its name
└── when all is fine
    ├── it locks the exact price in the Vault
    ├── it stores the job's commitment as Assigned
    ├── it adds one to the offer's load
    └── it emits InferenceRequested
"""

import ape
import pytest
from eth_utils import keccak
from system import ASK, ETHER, INPUT, MODEL_PRICE, NATIVE, plain

PRICE = ASK + MODEL_PRICE


def test_request__when_model_unknown__reverts(system, provider, requester):
    market = system.market | {"modelId": b"\x09" * 32}
    with ape.reverts(system.registry.RegistryModelUnknown, **{"modelId": b"\x09" * 32}):
        system.request(market=market)


def test_request__when_model_deprecated__reverts(system, provider, model_owner):
    system.registry.deprecate(system.model_id, sender=model_owner)

    with ape.reverts(system.registry.RegistryDeprecated):
        system.request()


def test_request__when_access_is_denied_or_ran_out__reverts(
    system, provider, model_owner, requester, chain
):
    system.registry.setAccess(system.model_id, 1, sender=model_owner)
    with ape.reverts(system.registry.RegistryAccessDenied, **{"until": 0}):
        system.request()

    until = chain.pending_timestamp + 100
    system.registry.grantAccess(system.model_id, requester, until, sender=model_owner)
    system.request()
    chain.pending_timestamp = until + 1
    with ape.reverts(system.registry.RegistryAccessDenied, **{"until": until}):
        system.request()


def test_request__when_epoch_is_not_current__reverts(system, provider, model_owner):
    from system import terms

    system.registry.openTerms(system.model_id, terms(model_owner, price=1), sender=model_owner)

    expected = {"epoch": 1, "current": 2}
    with ape.reverts(system.registry.RegistryEpochNotCurrent, **expected):
        system.request()


def test_request__when_version_is_retired__reverts(system, provider, model_owner):
    system.registry.retireVersions(system.model_id, 2, sender=model_owner)

    expected = {"version": 1, "lowest": 2, "highest": 1}
    with ape.reverts(system.registry.RegistryVersionNotInUse, **expected):
        system.request()


def test_request__when_no_unit_is_asked_for__reverts(system, provider):
    with ape.reverts(system.router.RouterUnitsOutOfRange, **{"units": 0, "limit": 2**32 - 1}):
        system.request(units=0)


def test_request__when_callback_asks_for_too_much_gas__reverts(system, provider):
    expected = {"asked": 300_001, "limit": 300_000}
    with ape.reverts(system.router.RouterCallbackGasTooHigh, **expected):
        system.request(callbackGas=300_001)


@pytest.mark.parametrize("seconds", [-1, 0, 8, 7 * 86_400 + 60])
def test_request__when_deadline_out_of_range__reverts(system, provider, chain, seconds):
    deadline = chain.pending_timestamp + seconds
    with ape.reverts(system.router.RouterDeadlineOutOfRange, **{"deadline": deadline}):
        system.request(deadline=deadline)


def test_request__when_market_has_no_ticket__reverts(system):
    expected = {"marketId": system.market_id}
    with ape.reverts(system.router.RouterMarketEmpty, **expected):
        system.request()


def test_request__when_named_offer_is_in_another_market__reverts(system, provider, accounts):
    other = system.register_model(accounts[7], keccak(b"other"))

    with ape.reverts(system.router.OfferMarketMismatch):
        system.request(offerId=provider.offer, market=system.market_of(other))


def test_request__when_input_is_empty__reverts(system, provider):
    expected = {"length": 0, "limit": 2_048}
    with ape.reverts(system.router.RouterInputLength, **expected):
        system.request(input=b"")


def test_request__when_input_is_too_long__reverts(system, provider):
    expected = {"offerId": provider.offer, "maxInputBytes": 2_048}
    with ape.reverts(system.router.RouterNoOfferFits, **expected):
        system.request(input=bytes(2_049))


def test_request__when_time_is_too_short__reverts(system, provider, chain):
    with ape.reverts(system.router.RouterNoOfferFits, **{"minWindow": 60}):
        system.request(deadline=chain.pending_timestamp + 30)


@pytest.mark.parametrize("named", [True, False])
def test_request__when_offer_is_full__reverts(system, accounts, named):
    small = system.provider(accounts[4], accounts[5], accounts[6])
    system.open_offer(small, capacity=1)
    system.request()

    expected = {"offerId": small.offer, "load": 1, "capacity": 1}
    with ape.reverts(system.router.RouterNoOfferFits, **expected):
        system.request(offerId=small.offer if named else 0)


def test_request__when_offer_is_closed__reverts(system, provider):
    system.router.closeOffer(provider.offer, sender=provider.owner)

    with ape.reverts(system.router.RouterNoOfferFits, **{"capacity": 0}):
        system.request(offerId=provider.offer)


def test_request__when_offer_asks_more_than_allowed__reverts(system, provider):
    expected = {"allowed": 2 * PRICE - 1, "asked": 2 * PRICE}
    with ape.reverts(system.router.RouterFeeTooLow, **expected):
        system.request(units=2, maxPrice=2 * PRICE - 1)


def test_request__when_requester_has_too_little__reverts(system, provider, stranger):
    system.vault.allowModule(system.router, True, sender=stranger)

    expected = {"free": 0, "needed": PRICE}
    with ape.reverts(system.vault.VaultBalanceTooLow, **expected):
        system.request(sender=stranger)


def test_request__when_requester_did_not_opt_in__reverts(system, provider, stranger):
    system.vault.deposit(stranger, NATIVE, ETHER, value=ETHER, sender=stranger)

    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.request(sender=stranger)


def test_request__with_value__works_for_someone_who_never_deposited(system, provider, stranger):
    asked = system.request(sender=stranger, value=PRICE + 5)

    assert system.state(asked.id) == "Assigned"
    assert system.free(stranger) == 5
    assert system.vault.locked(system.router, NATIVE) == PRICE


@pytest.mark.parametrize("price", [0, 1])
def test_request__of_the_least_prices__locks_as_much(
    system, provider, model_owner, requester, price
):
    market = system.market_of(system.register_model(model_owner, keccak(b"cheap"), price=0))
    system.open_offer(provider, market, ask=price)
    before = system.free(requester)

    asked = system.request(market=market)

    assert asked.job["price"] == price
    assert system.vault.locked(system.router, NATIVE) == price
    assert system.free(requester) == before - price


def test_request__with_value_for_a_token_job__reverts(
    system, provider, accounts, project, requester
):
    token = accounts[0].deploy(project.MockToken, 0)
    model = system.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = system.market_of(model, token=token.address)
    system.open_offer(provider, market)

    with ape.reverts(system.router.RouterValueNotNeeded, **{"sent": 1}):
        system.request(value=1, market=market)


def test_request__in_a_token__locks_the_token(system, provider, accounts, project, requester):
    token = accounts[0].deploy(project.MockToken, 0)
    model = system.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = system.market_of(model, token=token.address)
    system.open_offer(provider, market)
    token.mint(requester, PRICE, sender=requester)
    token.approve(system.vault, PRICE, sender=requester)
    system.vault.deposit(requester, token, PRICE, sender=requester)

    system.request(market=market)

    assert system.free(requester, token) == 0
    assert system.vault.locked(system.router, token) == PRICE


def test_request__locks_price_commits_and_emits(system, provider, requester, chain):
    before = system.free(requester)

    asked = system.request(units=3, deadline=chain.pending_timestamp + 600)

    now = chain.blocks.head.timestamp
    job = {
        "modelId": system.model_id,
        "version": 1,
        "offerId": provider.offer,
        "provider": provider.number,
        "units": 3,
        "callbackGas": 0,
        "exclusiveUntil": now + 60,
        "deadline": asked.job["deadline"],
        "requester": requester.address,
        "token": NATIVE,
        "price": 3 * PRICE,
        "bond": 0,
        "inputHash": keccak(INPUT),
        "verifier": system.verifier.address,
        "secondVerifier": NATIVE,
        "resolution": NATIVE,
    }
    (event,) = asked.receipt.events
    assert event.event_name == "InferenceRequested"
    assert (event.jobId, event.event_arguments["provider"], event.requester) == (
        1,
        provider.number,
        requester.address,
    )
    assert plain(event.job) == job
    assert event.input == INPUT
    assert system.router.commitmentOf(1) == system.router.jobHash(1, job)[:28] + b"\0\0\0\x01"
    assert system.router.lastJobId() == 1
    assert system.router.offer(provider.offer).load == 1
    assert system.free(requester) == before - 3 * PRICE
    assert system.vault.locked(system.router, NATIVE) == 3 * PRICE


def test_request_for__when_requester_did_not_opt_in__reverts(system, provider, stranger):
    expected = {"requester": system.requester.address, "module": stranger.address}
    with ape.reverts(system.router.RouterModuleNotAllowed, **expected):
        system.router.requestFor(system.requester, system.asking(), sender=stranger)


def test_request_for__asks_with_the_requesters_money_and_name(system, provider, stranger):
    system.vault.allowModule(stranger, True, sender=system.requester)
    before = system.free(system.requester)

    receipt = system.router.requestFor(system.requester, system.asking(), sender=stranger)

    (event,) = receipt.events.filter(system.router.InferenceRequested)
    job = plain(event.job)
    assert (event.requester, job["requester"]) == (system.requester, system.requester.address)
    assert before - system.free(system.requester) == job["price"]
    assert system.free(stranger) == 0


def test_request_for__when_model_is_not_open_to_the_requester__reverts(system, provider, stranger):
    system.vault.allowModule(stranger, True, sender=system.requester)
    system.registry.setAccess(system.model_id, 1, sender=system.model_owner)
    system.registry.grantAccess(system.model_id, stranger, 2**39, sender=system.model_owner)

    expected = {"account": system.requester.address}
    with ape.reverts(system.registry.RegistryAccessDenied, **expected):
        system.router.requestFor(system.requester, system.asking(), sender=stranger)
