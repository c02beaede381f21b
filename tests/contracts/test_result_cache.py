"""ResultCache: final results, kept for those who ask the same again

store
├── when the job is not settled with this output
│   └── it reverts with CacheNotSettled(jobId)
├── when the epoch is not the offer's
│   └── it reverts with OfferMarketMismatch(given, expected)
├── when a result is kept already, at no higher price or with another output (attacks/test_poisoned_cache)
│   └── it reverts with CacheOccupied(key, until)
└── when all is fine
    └── anyone can, and again when it has run out
hit
├── when nothing is kept, or it ran out
│   └── it reverts with CacheMiss(key, until)
├── when the output is another
│   └── it reverts with CacheOutputMismatch(given, kept)
├── when it costs more than the asker allows
│   └── it reverts with CachePriceTooHigh(price, limit)
├── when the only proof is a signature and no provider is named, or one is named for nothing
│   └── it reverts with CacheProviderInvalid(provider, needed)
├── when the model is closed to the asker, deprecated, or has new terms
│   └── it reverts with RegistryAccessDenied, RegistryDeprecated, RegistryEpochNotCurrent
├── when the asker has not opted in
│   └── it reverts with VaultModuleNotAllowed(account, module)
└── when all is fine
    ├── it takes a tenth of the price, which the offer that computed it earns, split by its rates
    └── under a policy with a resolution nobody has to be named
"""

import ape
import pytest
from eth_utils import keccak
from system import ASK, ETHER, FEE_BPS, INPUT, MODEL_PRICE, NATIVE, OUTPUT, terms

PRICE = ASK + MODEL_PRICE
MONTH = 30 * 86_400
UPHELD = 1


@pytest.fixture
def settled(system, provider, requester):
    """A settled job of three units, of which two were charged; the requester has opted into the cache."""
    system.vault.allowModule(system.cache, True, sender=requester)
    asked = system.request(units=3)
    system.answer(asked, provider, units=2)
    return asked


@pytest.fixture
def store(system, settled, stranger):
    """Puts the settled job's result into the cache."""

    def act(asked=settled, epoch=1, units=2, output=OUTPUT):
        return system.cache.store(asked.id, asked.job, epoch, units, output, sender=stranger)

    return act


def query(system, **changes):
    asked = {"market": system.market, "units": 3, "inputHash": keccak(INPUT), "provider": 0}
    return asked | changes


def test_store__when_the_job_is_not_settled_with_it__reverts(system, settled, store):
    waiting = system.request()

    with ape.reverts(system.cache.CacheNotSettled, **{"jobId": waiting.id}):
        store(waiting, units=1)
    for changes in ({"output": b"another"}, {"units": 3}):
        with ape.reverts(system.cache.CacheNotSettled, **{"jobId": settled.id}):
            store(**changes)


def test_store__when_the_epoch_is_not_the_offers__reverts(system, store):
    with ape.reverts(system.router.OfferMarketMismatch):
        store(epoch=2)


def test_store__when_a_result_is_kept__reverts_until_it_runs_out(system, provider, store, chain):
    asked = query(system, provider=provider.number)
    key = system.cache.keyOf(asked)
    receipt = store()
    (event,) = receipt.events.filter(system.cache.ResultCached)
    entry = system.cache.entryOf(asked)

    with ape.reverts(
        system.cache.CacheOccupied, **{"key": key, "until": receipt.timestamp + MONTH}
    ):
        store()

    assert (event.key, event.until) == (key, receipt.timestamp + MONTH)
    assert entry.outputHash == keccak(OUTPUT)
    assert (entry.offerId, entry.price) == (provider.offer, 2 * PRICE // 10)
    chain.pending_timestamp = entry.until + 1
    store()
    assert system.cache.entryOf(asked).until > entry.until


@pytest.mark.parametrize(
    "changes", [{"units": 2}, {"inputHash": keccak(b"other")}, {"provider": 99}, {"market": {}}]
)
def test_hit__when_nothing_is_kept__reverts(system, provider, store, requester, changes):
    store()
    named = query(system, provider=provider.number)
    if "market" in changes:
        changes = {"market": system.market | {"token": system.vault.address}}
    asked = named | changes

    with ape.reverts(system.cache.CacheMiss, **{"key": system.cache.keyOf(asked), "until": 0}):
        system.cache.hit(asked, ETHER, OUTPUT, sender=requester)


def test_hit__when_a_member_has_dirty_upper_bits__misses(system, provider, store, requester):
    """No second way to write a query: it is hashed as it comes."""
    store()
    asked = query(system, provider=provider.number)
    data = bytearray(system.cache.hit.encode_input(asked, ETHER, OUTPUT))
    data[4 + 32 * 7] = 1  # the first byte of `units`

    with ape.reverts(system.cache.CacheMiss, **{"until": 0}):
        requester.transfer(system.cache, 0, data=bytes(data), gas=1_000_000)


def test_hit__when_it_ran_out__reverts(system, provider, store, requester, chain):
    store()
    asked = query(system, provider=provider.number)
    until = system.cache.entryOf(asked).until
    chain.pending_timestamp = until + 1

    with ape.reverts(system.cache.CacheMiss, **{"until": until}):
        system.cache.hit(asked, ETHER, OUTPUT, sender=requester)


def test_hit__when_the_output_is_another__reverts(system, provider, store, requester):
    store()
    expected = {"given": keccak(b"wrong"), "kept": keccak(OUTPUT)}

    with ape.reverts(system.cache.CacheOutputMismatch, **expected):
        system.cache.hit(query(system, provider=provider.number), ETHER, b"wrong", sender=requester)


def test_hit__when_it_costs_more_than_allowed__reverts(system, provider, store, requester):
    store()
    price = 2 * PRICE // 10
    expected = {"price": price, "limit": price - 1}

    with ape.reverts(system.cache.CachePriceTooHigh, **expected):
        system.cache.hit(
            query(system, provider=provider.number), price - 1, OUTPUT, sender=requester
        )


def test_hit__when_a_signature_is_all_and_nobody_is_named__reverts(system, store, requester):
    store()

    with ape.reverts(system.cache.CacheProviderInvalid, **{"provider": 0, "needed": True}):
        system.cache.hit(query(system), ETHER, OUTPUT, sender=requester)


def test_hit__when_the_model_is_closed_to_the_asker__reverts(
    system, provider, store, requester, model_owner
):
    store()
    asked = query(system, provider=provider.number)
    system.registry.setAccess(system.model_id, 1, sender=model_owner)
    with ape.reverts(system.registry.RegistryAccessDenied):
        system.cache.hit(asked, ETHER, OUTPUT, sender=requester)

    system.registry.setAccess(system.model_id, 0, sender=model_owner)
    system.registry.deprecate(system.model_id, sender=model_owner)
    with ape.reverts(system.registry.RegistryDeprecated):
        system.cache.hit(asked, ETHER, OUTPUT, sender=requester)


def test_hit__when_the_model_has_new_terms__reverts(
    system, provider, store, requester, model_owner
):
    store()
    system.registry.openTerms(system.model_id, terms(model_owner), sender=model_owner)

    with ape.reverts(system.registry.RegistryEpochNotCurrent, **{"epoch": 1, "current": 2}):
        system.cache.hit(query(system, provider=provider.number), ETHER, OUTPUT, sender=requester)


def test_hit__when_the_asker_has_not_opted_in__reverts(system, provider, store, stranger):
    store()

    with ape.reverts(system.vault.VaultModuleNotAllowed):
        system.cache.hit(query(system, provider=provider.number), ETHER, OUTPUT, sender=stranger)


def test_hit__takes_a_tenth_which_is_split_as_the_jobs_price(system, provider, store, requester):
    store()
    price, before = 2 * PRICE // 10, system.free(requester)

    receipt = system.cache.hit(
        query(system, provider=provider.number), price, OUTPUT, sender=requester
    )

    (event,) = receipt.events.filter(system.cache.CacheHit)
    assert (event.requester, event.paid) == (requester.address, price)
    assert system.free(requester) == before - price
    assert system.cache.earnedBy(provider.offer) == price
    earlier = system.free(provider.payout)
    system.cache.claim(provider.offer, system.market, sender=requester)
    system.router.claim(provider.offer, system.market, sender=requester)
    assert system.vault.locked(system.cache, NATIVE) == price * FEE_BPS // 10_000
    gained = system.free(provider.payout) - earlier
    assert gained == pytest.approx(1.1 * 2 * ASK * 0.9 * 0.98, abs=3)


def test_hit__under_a_resolution__names_nobody(system, accounts, project, provider, requester):
    resolution = accounts[0].deploy(project.MockResolution)
    policy = (system.verifier.address, NATIVE, resolution.address)
    system.registry.allowPolicy(
        system.model_id, system.policy_id(policy), True, sender=system.model_owner
    )
    market = system.market_of(system.model_id, policy=policy)
    system.open_offer(provider, market)
    system.vault.allowModule(system.cache, True, sender=requester)
    asked = system.request(market=market)
    system.answer(asked, provider, proofs=[b"", b"claim"])
    with ape.reverts(system.cache.CacheNotSettled):
        system.cache.store(asked.id, asked.job, 1, 1, OUTPUT, sender=requester)
    resolution.decide(system.router, asked.id, UPHELD, sender=requester)
    system.settle(asked, requester)

    system.cache.store(asked.id, asked.job, 1, 1, OUTPUT, sender=requester)

    wanted = query(system, market=market, units=1)
    with ape.reverts(
        system.cache.CacheProviderInvalid,
        **{"provider": provider.number, "needed": False},
    ):
        system.cache.hit(wanted | {"provider": provider.number}, ETHER, OUTPUT, sender=requester)
    system.cache.hit(wanted, ETHER, OUTPUT, sender=requester)
    assert system.cache.earnedBy(provider.offer) == PRICE // 10
