"""SignedRequests: a request signed off chain, settled with its answer

settle
├── when the caller is not the operator of the named offer's provider
│   └── it reverts with SignedNotOperator(caller, operator)
├── when the market's policy is not the signature
│   └── it reverts with SignedPolicyUnsupported(verifier, expected)
├── when the market is not the offer's
│   └── it reverts with OfferMarketMismatch(marketId, expected)
├── when the deadline has passed
│   └── it reverts with SignedTooLate(time, deadline)
├── when the nonce was used, in this or an earlier call, next to it or further away, in either form of signature
│   └── it reverts with SignedNonceUsed(requester, nonce)
├── when anything differs from what was signed, or it was signed for another chain or contract, or s is high
│   └── it reverts with SignedSignatureInvalid(requester, digest)
├── when a member is not written as the ABI wants it, it reverts
├── when the price signed for is too low
│   └── it reverts with SignedPriceTooLow(signed, asked)
├── when units or output are out of range
│   └── it reverts with SignedUnitsOutOfRange(units, limit), SignedOutputLength(length, limit)
├── when the model is closed to one of the requesters
│   └── it reverts with RegistryAccessDenied(account, until)
├── when the delayed money is too little, or the requester did not opt in
│   └── it reverts with VaultDelayedTooLow(delayed, needed), VaultModuleNotAllowed(account, module)
└── when all is fine
    ├── it takes the exact price from the delayed part and adds it to the offer's earnings
    ├── it works for a contract account
    ├── it takes a signature of 64 bytes (ERC-2098) too; which form a contract account takes is its own affair
    ├── each nonce is used, whatever words they stand in and in what order
    └── many requesters are settled at once
claim
├── when more of the protocol's share waits than fits
│   └── it reverts with RevenueFeesFull(fees, limit), until somebody collects it
├── when more was earned than fits into the model's books, it pays one part after the other
└── it splits by the rates of the offer
the delayed part
├── when more is made delayed than is free
│   └── it reverts with VaultBalanceTooLow(free, needed)
├── when it has not been announced, or the day is not over
│   └── it reverts with VaultStillDelayed(time, at)
├── leaves a day after it was announced
└── what was announced can still be spent
"""

import ape
import pytest
from eth_account import Account
from eth_account.messages import encode_typed_data
from eth_utils import keccak
from system import ASK, ETHER, MODEL_PRICE, NATIVE, OUTPUT, compact

PRICE = ASK + MODEL_PRICE
DAY = 86_400
ORDER = 0xFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFFEBAAEDCE6AF48A03BBFD25E8CD0364141
HIGH = ORDER // 2 + 1
"""The group of secp256k1, and the smallest high s."""


@pytest.fixture
def ready(system, provider, requester):
    """The requester has opted in and has a delayed ether."""
    system.vault.allowModule(system.signed, True, sender=requester)
    system.vault.delay(NATIVE, ETHER, sender=requester)
    return system


@pytest.fixture
def signed(ready, provider, requester, chain):
    """Makes a signed answer; changes after signing by `later`."""

    def make(signer=None, later=None, short=False, market=None, **changes):
        signer = signer or requester
        answer = {
            "requester": signer,
            "units": 2,
            "charged": 1,
            "deadline": chain.pending_timestamp + 600,
            "price": 2 * PRICE,
            "nonce": 7,
            "inputHash": keccak(b"input"),
            "output": OUTPUT,
            "signature": b"",
        } | changes
        digest = ready.signed.requestDigest(market or ready.market, provider.offer, answer)
        signature = Account.unsafe_sign_hash(digest, signer.private_key)
        written = compact(signature) if short else bytes(signature.signature)
        return answer | {"signature": written} | (later or {})

    return make


@pytest.fixture
def settle(ready, provider):
    """Settles answers as the provider's operator."""

    def act(*answers, market=None, offer=None, sender=None):
        return ready.signed.settle(
            market or ready.market,
            offer or provider.offer,
            list(answers),
            sender=sender or provider.operator,
        )

    return act


def test_settle__when_not_the_operator__reverts(ready, provider, signed, settle, stranger):
    expected = {"caller": stranger.address, "operator": provider.operator.address}
    with ape.reverts(ready.signed.SignedNotOperator, **expected):
        settle(signed(), sender=stranger)


def test_settle__when_market_is_not_that_of_the_offer__reverts(ready, signed, settle):
    with ape.reverts(ready.router.OfferMarketMismatch):
        settle(signed(), market=ready.market | {"version": 2})


def test_settle__when_policy_is_not_the_signature__reverts(ready, signed, settle, stranger):
    expected = {"verifier": stranger.address, "expected": ready.verifier.address}
    with ape.reverts(ready.signed.SignedPolicyUnsupported, **expected):
        settle(signed(), market=ready.market | {"verifier": stranger})
    with ape.reverts(ready.signed.SignedPolicyUnsupported):
        settle(signed(), market=ready.market | {"resolution": stranger})


def test_settle__when_deadline_has_passed__reverts(ready, signed, settle, chain):
    answer = signed()
    chain.pending_timestamp = answer["deadline"] + 1

    expected = {"time": answer["deadline"] + 1, "deadline": answer["deadline"]}
    with ape.reverts(ready.signed.SignedTooLate, **expected):
        settle(answer)


def test_settle__in_the_last_second__works(ready, provider, signed, settle, chain):
    answer = signed()
    chain.pending_timestamp = answer["deadline"]

    settle(answer)

    assert ready.signed.earnedBy(provider.offer) == PRICE


def test_settle__when_nonce_was_used__reverts(ready, requester, signed, settle):
    expected = {"requester": requester.address, "nonce": 7}
    with ape.reverts(ready.signed.SignedNonceUsed, **expected):
        settle(signed(), signed())
    settle(signed())
    assert ready.signed.isNonceUsed(requester, 7)
    with ape.reverts(ready.signed.SignedNonceUsed, **expected):
        settle(signed(inputHash=keccak(b"other")))


@pytest.mark.parametrize("between", [(), (8,), (256,), (8, 256)])
def test_settle__when_nonce_is_used_twice_in_one_call__reverts(
    ready, requester, signed, settle, between
):
    """Neighbours share a word of nonces that is written once; the second use may follow after another word."""
    expected = {"requester": requester.address, "nonce": 7}
    answers = [signed(nonce=n, short=n > 7) for n in (7, *between)]
    with ape.reverts(ready.signed.SignedNonceUsed, **expected):
        settle(*answers, signed(short=True))


def test_settle__when_nonce_is_used_again_after_another_requester__reverts(
    ready, requester, signed, settle, stranger
):
    ready.vault.deposit(stranger, NATIVE, ETHER, value=ETHER, sender=stranger)
    ready.vault.delay(NATIVE, ETHER, sender=stranger)
    ready.vault.allowModule(ready.signed, True, sender=stranger)
    with ape.reverts(ready.signed.SignedNonceUsed, **{"requester": requester.address, "nonce": 7}):
        settle(signed(), signed(signer=stranger), signed())


def test_settle__when_signed_in_the_other_form__uses_the_same_nonce(ready, signed, settle):
    settle(signed())
    with ape.reverts(ready.signed.SignedNonceUsed):
        settle(signed(short=True))


@pytest.mark.parametrize("length", [0, 1, 63, 64, 66])
def test_settle__when_short_signature_is_cut_or_blank__reverts(ready, signed, settle, length):
    whole = signed(short=True)
    written = bytes(64) if length == 64 else (whole["signature"] + b"\x00\x00")[:length]
    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(whole | {"signature": written})


def test_settle__when_short_signature_has_the_other_parity_or_high_s__reverts(
    ready, signed, settle
):
    """In 64 bytes only 255 bits are left for s, of which the upper half is refused as in 65."""
    answer = signed(short=True)
    r, vs = answer["signature"][:32], int.from_bytes(answer["signature"][32:])
    parity, s = vs >> 255, vs & (2**255 - 1)
    twin = ORDER - s
    for forged in (vs ^ 1 << 255, (1 - parity) << 255 | twin & (2**255 - 1), parity << 255 | HIGH):
        with ape.reverts(ready.signed.SignedSignatureInvalid):
            settle(answer | {"signature": r + forged.to_bytes(32)})


@pytest.mark.parametrize("length", [64, 65])
def test_settle__when_short_signature_is_of_somebody_else__reverts(
    ready, requester, signed, settle, stranger, length
):
    forged = signed(signer=stranger, short=length == 64, later={"requester": requester})
    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(forged)


@pytest.mark.parametrize(
    "later",
    [
        {"units": 1},
        {"deadline": 2**39},
        {"price": 3 * PRICE},
        {"nonce": 8},
        {"inputHash": keccak(b"other")},
        {"signature": b""},
        {"signature": bytes(65)},
    ],
)
def test_settle__when_anything_differs_from_what_was_signed__reverts(ready, signed, settle, later):
    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(signed(later=later))


@pytest.mark.parametrize("member", ["units", "deadline", "price"])
def test_settle__when_a_member_has_dirty_upper_bits__reverts(
    ready, provider, signed, settle, member
):
    """No second way to write what was signed: the ABI's rules hold although the members are hashed unread."""
    value = {"units": 2**31 + 1, "deadline": 2**39 + 1, "price": 2**95 + 1}[member]
    answers = [signed(**({"price": 2**96 - 1} | {member: value}))]
    data = ready.signed.settle.encode_input(ready.market, provider.offer, answers)
    word = value.to_bytes(32)
    assert data.count(word) == 1

    with ape.reverts():
        dirty = data.replace(word, b"\x01" + word[1:])
        provider.operator.transfer(ready.signed, 0, data=dirty)
    provider.operator.transfer(ready.signed, 0, data=data)


def test_settle__when_signed_for_another_offer__reverts(ready, signed, settle, accounts):
    other = ready.provider(accounts[7], accounts[8], accounts[7])
    offer = ready.open_offer(other)

    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(signed(), offer=offer, sender=accounts[8])


def test_settle__when_signature_is_of_somebody_else__reverts(
    ready, requester, signed, settle, stranger
):
    forged = signed(signer=stranger, later={"requester": requester})
    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(forged)


def test_settle__when_signature_is_turned_to_its_twin__reverts(ready, signed, settle):
    """The same signature with high s: valid for ecrecover, refused here."""
    answer = signed()
    r, s, v = (answer["signature"][:32], answer["signature"][32:64], answer["signature"][64])
    twin = r + (ORDER - int.from_bytes(s)).to_bytes(32) + bytes([55 - v])

    with ape.reverts(ready.signed.SignedSignatureInvalid):
        settle(answer | {"signature": twin})


def test_settle__when_price_is_too_low__reverts(ready, signed, settle):
    expected = {"signed": 2 * PRICE - 1, "asked": 2 * PRICE}
    with ape.reverts(ready.signed.SignedPriceTooLow, **expected):
        settle(signed(price=2 * PRICE - 1))


@pytest.mark.parametrize("charged", [0, 3])
def test_settle__when_units_are_out_of_range__reverts(ready, signed, settle, charged):
    expected = {"units": charged, "limit": 2}
    with ape.reverts(ready.signed.SignedUnitsOutOfRange, **expected):
        settle(signed(charged=charged))


@pytest.mark.parametrize("length", [0, 8_193])
def test_settle__when_output_is_out_of_range__reverts(ready, signed, settle, length):
    expected = {"length": length, "limit": 8_192}
    with ape.reverts(ready.signed.SignedOutputLength, **expected):
        settle(signed(output=b"x" * length))


def test_settle__takes_the_longest_output(ready, requester, signed, settle):
    settle(signed(output=b"x" * 8_192))

    assert ready.signed.isNonceUsed(requester, 7)


def test_settle__when_model_is_closed_to_the_requester__reverts(ready, signed, settle, model_owner):
    ready.registry.setAccess(ready.model_id, 1, sender=model_owner)

    with ape.reverts(ready.registry.RegistryAccessDenied):
        settle(signed())


def test_settle__when_model_is_closed_to_the_last_of_many__reverts(
    ready, requester, signed, settle, stranger, model_owner
):
    ready.vault.deposit(stranger, NATIVE, ETHER, value=ETHER, sender=stranger)
    ready.vault.delay(NATIVE, ETHER, sender=stranger)
    ready.vault.allowModule(ready.signed, True, sender=stranger)
    ready.registry.setAccess(ready.model_id, 1, sender=model_owner)
    ready.registry.grantAccess(ready.model_id, requester, 2**40 - 1, sender=model_owner)

    with ape.reverts(ready.registry.RegistryAccessDenied, **{"account": stranger.address}):
        settle(signed(), signed(signer=stranger))
    settle(signed())


def test_settle__when_delayed_money_is_too_little__reverts(ready, signed, settle, requester):
    ready.vault.announceUndelay(NATIVE, ETHER, sender=requester)
    ape.chain.pending_timestamp += DAY
    ready.vault.undelay(NATIVE, sender=requester)

    expected = {"delayed": 0, "needed": PRICE}
    with ape.reverts(ready.vault.VaultDelayedTooLow, **expected):
        settle(signed())


def test_settle__when_requester_opted_out__reverts(ready, signed, settle, requester):
    ready.vault.allowModule(ready.signed, False, sender=requester)

    with ape.reverts(ready.vault.VaultModuleNotAllowed):
        settle(signed())


def test_settle__takes_the_exact_price_and_earns(ready, provider, requester, signed, settle):
    free = ready.free(requester)

    receipt = settle(signed())

    assert receipt.events == [
        ready.signed.SignedRequestSettled(
            requester, provider.offer, 7, PRICE, keccak(b"input"), OUTPUT
        )
    ]
    assert ready.vault.delayed(requester, NATIVE) == ETHER - PRICE
    assert ready.free(requester) == free
    assert ready.signed.earnedBy(provider.offer) == PRICE
    assert ready.vault.locked(ready.signed, NATIVE) == PRICE


def test_settle__many_requesters_at_once(ready, provider, requester, signed, settle, stranger):
    ready.vault.deposit(stranger, NATIVE, ETHER, value=ETHER, sender=stranger)
    ready.vault.delay(NATIVE, ETHER, sender=stranger)
    ready.vault.allowModule(ready.signed, True, sender=stranger)
    mine = [signed(nonce=n) for n in (0, 255, 256)]
    theirs = [signed(signer=stranger, nonce=n, charged=2) for n in (0, 1)]

    settle(mine[0], *theirs, *mine[1:])  # one requester twice, not side by side

    assert ready.vault.delayed(requester, NATIVE) == ETHER - 3 * PRICE
    assert ready.vault.delayed(stranger, NATIVE) == ETHER - 4 * PRICE
    assert ready.signed.earnedBy(provider.offer) == 7 * PRICE


def test_settle__takes_a_signature_of_64_bytes(ready, provider, requester, signed, settle):
    for nonce in range(8):  # both parities
        settle(signed(nonce=nonce, short=True))

    assert ready.vault.delayed(requester, NATIVE) == ETHER - 8 * PRICE
    assert ready.signed.earnedBy(provider.offer) == 8 * PRICE


def test_settle__uses_each_nonce_whatever_the_order(ready, requester, signed, settle):
    nonces = [255, 0, 256, 1, 511, 2**256 - 1, 257]

    settle(*[signed(nonce=nonce) for nonce in nonces])

    assert all(ready.signed.isNonceUsed(requester, nonce) for nonce in nonces)
    unused = [2, 254, 258, 510, 512, 2**256 - 2]
    assert not any(ready.signed.isNonceUsed(requester, nonce) for nonce in unused)
    for nonce in nonces:
        with ape.reverts(ready.signed.SignedNonceUsed):
            settle(signed(nonce=nonce))


def test_request_digest__is_that_of_the_typed_data(ready, provider, requester, signed):
    """Hashed where it lies in the call's data; here from the type, by a library that knows nothing of ours."""
    answer = signed(price=2**96 - 1, nonce=2**256 - 1, units=2**32 - 1, deadline=2**40 - 1)
    market = ready.market | {"version": 2**32 - 1, "epoch": 2**32 - 2, "token": requester.address}
    types = {
        "uint32": ("offerId", "version", "epoch", "units"),
        "uint40": ("deadline",),
        "uint96": ("price",),
        "uint256": ("nonce",),
        "address": ("token",),
        "bytes32": ("modelId", "inputHash"),
    }
    of_market = ("modelId", "version", "epoch", "token")
    order = ("offerId", *of_market, "units", "deadline", "price", "nonce", "inputHash")
    kinds = {name: kind for kind, names in types.items() for name in names}
    domain = {
        "name": "Lattice Signed Requests",
        "version": "1",
        "chainId": ape.chain.chain_id,
        "verifyingContract": ready.signed.address,
    }
    values = answer | market | {"offerId": provider.offer}
    message = {name: values[name] for name in order}
    encoded = encode_typed_data(
        domain,
        {"SignedRequest": [{"name": name, "type": kinds[name]} for name in order]},
        message,
    )
    expected = keccak(b"\x19\x01" + encoded.header + encoded.body)

    assert ready.signed.requestDigest(market, provider.offer, answer) == expected


def test_settle__for_a_contract_account__asks_the_account(
    ready, requester, signed, settle, stranger, project
):
    wallet = stranger.deploy(project.MockWallet)
    ready.vault.deposit(wallet, NATIVE, ETHER, value=ETHER, sender=requester)
    for call in (
        ready.vault.delay.encode_input(NATIVE, ETHER),
        ready.vault.allowModule.encode_input(ready.signed, True),
    ):
        wallet.execute(ready.vault, 0, call, sender=stranger)
    answer = signed(signer=stranger, later={"requester": wallet.address})
    short = signed(signer=stranger, short=True, later={"requester": wallet.address})

    with ape.reverts(ready.signed.SignedSignatureInvalid):  # this account takes 65 bytes only
        settle(short)
    settle(answer)

    assert ready.vault.delayed(wallet, NATIVE) == ETHER - PRICE


def test_claim__splits_by_the_rates_of_the_offer(ready, provider, signed, settle, stranger):
    settle(signed(charged=2))
    fee = 2 * PRICE * 200 // 10_000
    rest = 2 * PRICE - fee
    price_part = rest * MODEL_PRICE // PRICE
    to_model = price_part + (rest - price_part) * 1_000 // 10_000

    receipt = ready.signed.claim(provider.offer, ready.market, sender=stranger)

    assert receipt.events == [
        ready.signed.EarningsClaimed(provider.offer, NATIVE, rest - to_model, to_model, fee)
    ]
    assert ready.free(provider.payout) == rest - to_model
    assert ready.free(ready.model_owner) == to_model
    assert ready.signed.earnedBy(provider.offer) == 0
    assert ready.vault.locked(ready.signed, NATIVE) == fee
    revenue = ready.signed.revenueOf(ready.model_id, 1)
    assert (revenue.earned, revenue.units, revenue.fees) == (2 * PRICE, 2, fee)


def test_claim__of_more_than_the_books_can_take__is_paid_in_parts(
    ready, provider, requester, signed, settle, accounts, project, stranger
):
    token = accounts[0].deploy(project.MockToken, 0)
    model = ready.register_model(accounts[7], keccak(b"paid in tokens"), token=token.address)
    market = ready.market_of(model, token=token.address)
    ready.open_offer(provider, market, ask=2**80 - 1 - MODEL_PRICE)
    each, most = 2**16 * (2**80 - 1), 2**96 - 1
    earned = 64 * each
    token.mint(requester, earned, sender=requester)
    token.approve(ready.vault, earned, sender=requester)
    ready.vault.deposit(requester, token, earned, sender=requester)
    ready.vault.delay(token, earned, sender=requester)
    asked = {"units": 2**16, "charged": 2**16, "price": each}
    settle(*[signed(nonce=nonce, market=market, **asked) for nonce in range(64)], market=market)
    fee, fees = most * 200 // 10_000, 0

    while fees + fee <= most:
        ready.signed.claim(provider.offer, market, sender=stranger)
        fees += fee
        earned -= most
        assert ready.signed.earnedBy(provider.offer) == earned
    with ape.reverts(ready.signed.RevenueFeesFull, **{"fees": fees + fee, "limit": most}):
        ready.signed.claim(provider.offer, market, sender=stranger)
    ready.signed.collectFees(model, 1, sender=stranger)
    while earned:
        ready.signed.claim(provider.offer, market, sender=stranger)
        earned -= min(earned, most)

    ready.signed.collectFees(model, 1, sender=stranger)
    people = (provider.payout, accounts[7], ready.treasury)
    assert sum(ready.free(one, token) for one in people) == 64 * each
    assert ready.vault.locked(ready.signed, token) == 0


def test_undelay__leaves_a_day_after_it_was_announced(ready, requester, chain):
    with ape.reverts(ready.vault.VaultStillDelayed, **{"at": 0}):
        ready.vault.undelay(NATIVE, sender=requester)
    with ape.reverts(ready.vault.VaultDelayedTooLow, **{"delayed": ETHER, "needed": ETHER + 1}):
        ready.vault.announceUndelay(NATIVE, ETHER + 1, sender=requester)
    ready.vault.announceUndelay(NATIVE, ETHER // 4, sender=requester)
    amount, at = ready.vault.leavingOf(requester, NATIVE)
    assert (amount, at) == (ETHER // 4, chain.blocks.head.timestamp + DAY)
    with ape.reverts(ready.vault.VaultStillDelayed):
        ready.vault.undelay(NATIVE, sender=requester)
    chain.pending_timestamp = at
    before = ready.free(requester)

    receipt = ready.vault.undelay(NATIVE, sender=requester)

    assert receipt.events == [ready.vault.Undelayed(requester, NATIVE, ETHER // 4)]
    assert ready.free(requester) == before + ETHER // 4
    assert ready.vault.delayed(requester, NATIVE) == ETHER * 3 // 4
    assert ready.vault.leavingOf(requester, NATIVE) == (0, 0)
    with ape.reverts(ready.vault.VaultStillDelayed, **{"at": 0}):
        ready.vault.undelay(NATIVE, sender=requester)


def test_undelay__what_was_announced_can_still_be_spent(ready, requester, signed, settle, chain):
    """A requester that announces before its provider settles keeps only what is left."""
    ready.vault.announceUndelay(NATIVE, ETHER, sender=requester)
    settle(signed())
    chain.pending_timestamp += DAY

    receipt = ready.vault.undelay(NATIVE, sender=requester)

    assert receipt.events == [ready.vault.Undelayed(requester, NATIVE, ETHER - PRICE)]
    assert ready.vault.delayed(requester, NATIVE) == 0


def test_delay__when_more_than_is_free__reverts(ready, stranger):
    with ape.reverts(ready.vault.VaultBalanceTooLow, **{"free": 0, "needed": 1}):
        ready.vault.delay(NATIVE, 1, sender=stranger)
