"""IPFSIncentives: deals, places, challenges, pay.

openDeal
├── when a term is out of its range: it reverts with IncentivesTermOutOfRange
├── when the version has no possession root: it reverts with IncentivesNotProvable
└── it locks the pay of all places and emits DealOpened
join
├── when the deal is unknown, or it is too late: it reverts with IncentivesDealUnknown, IncentivesJoinTooLate
├── when all places are taken, or the account had one: it reverts with IncentivesDealFull, IncentivesAlreadyJoined
├── when the pinner has not opted in: it reverts with VaultModuleNotAllowed
└── it locks the bond, promises the pay and fixes a round that nobody knows yet
answer
├── when not joined, ended, too early: it reverts with IncentivesNotJoined, IncentivesPlaceEnded,
│   IncentivesChallengeNotOpen
├── when proofs are too few or too many: it reverts with IncentivesSamplesMismatch
├── when one is too long, too short or wrong: it reverts with IncentivesLeafLengthMismatch,
│   IncentivesPathLengthMismatch, IncentivesProofWrong
├── a proof for every size of version
├── challengeOf names the leaves that Python names
└── it counts, fixes the next round within half and one and a half periods, and anyone may send it
noteMissed
├── when nothing was missed: nothing changes
├── the first miss costs the pay, the second half of the bond, the third the rest and the place
└── several are noted at once
claim
├── while the place lasts: it pays what was proved, once
└── at the end: pay and what is left of the bond
reclaim
├── before joinUntil: it reverts with IncentivesReclaimTooEarly
└── afterwards: what is not promised, and later what came back
BlockRandomness
├── when the time between blocks is out of range: it reverts with RandomnessBlockTimeOutOfRange
└── a value is zero until its block is past, then the block's hash, then zero again after 256 blocks
"""

import ape
import pytest
from pinning import BLOCK_S, CHALLENGES, LONG, PERIOD, WINDOW, deploy_pinning
from system import ETHER, NATIVE

DAY = 86_400


@pytest.fixture(scope="module")
def pinning(system, accounts, project):
    return deploy_pinning(system, accounts, project)


@pytest.fixture
def pinner(pinning):
    return pinning.pinners[0]


@pytest.fixture
def deal(pinning):
    return pinning.open()


@pytest.fixture
def joined(pinning, deal, pinner):
    """A deal that `pinner` has a place in."""
    pinning.join(deal, pinner)
    return deal


def name(text):
    return text.encode().ljust(32, b"\0")


@pytest.mark.parametrize(
    ("changes", "term", "limits"),
    [
        ({"period": 0}, "period", (1, 30 * DAY)),
        ({"period": 31 * DAY}, "period", (1, 30 * DAY)),
        ({"challenges": 11}, "challenges", (12, 2**16 - 1)),
        ({"samples": 0}, "samples", (1, 32)),
        ({"samples": 33}, "samples", (1, 32)),
        ({"samples": 7}, "samples in all", (90, 2**256 - 1)),
        ({"samples": 1, "challenges": 89}, "samples in all", (90, 2**256 - 1)),
        ({"copies": 0}, "copies", (1, 2**16 - 1)),
        ({"joinUntil": 1}, "joinUntil", None),
        ({"joinUntil": 2**39}, "joinUntil", None),
        ({"period": 3 * BLOCK_S}, "period in rounds", (4, 2**31 - 1)),
        ({"window": 0}, "window in rounds", None),
        ({"window": 5 * BLOCK_S}, "window in rounds", None),
        ({"window": 256 * BLOCK_S, "period": 1000 * BLOCK_S}, "window in rounds", (1, 255)),
        ({"rate": 0}, "pay", None),
        ({"bond": 0}, "bond", None),
        ({"bond": 2**96}, "bond", None),
    ],
)
def test_open_deal__when_a_term_is_out_of_range__reverts(pinning, changes, term, limits):
    expected = {"term": name(term)}
    if limits:
        expected |= dict(zip(("least", "most"), limits, strict=True))
    with ape.reverts(pinning.incentives.IncentivesTermOutOfRange, **expected):
        pinning.open(**changes)


def test_open_deal__with_the_longest_joining__works_and_one_second_more_reverts(pinning, chain):
    now = chain.pending_timestamp + 1
    latest = now + 365 * DAY
    chain.pending_timestamp = now  # of the block that the next transaction is in
    expected = {"term": name("joinUntil"), "value": latest + 1, "least": now, "most": latest}
    with ape.reverts(pinning.incentives.IncentivesTermOutOfRange, **expected):
        pinning.open(joinUntil=latest + 1)
    assert pinning.deal(pinning.open(joinUntil=latest)).joinUntil == latest


@pytest.mark.parametrize(
    ("changes", "member", "value"),
    [
        ({"window": BLOCK_S}, "windowRounds", 1),
        ({"samples": 1, "challenges": 90}, "challenges", 90),
        ({"bond": 2**96 - 1}, "bond", 2**96 - 1),
        ({"copies": 1}, "copies", 1),
    ],
)
def test_open_deal__takes_terms_at_the_limits(pinning, changes, member, value):
    assert getattr(pinning.deal(pinning.open(**changes)), member) == value


def test_open_deal__when_the_version_has_no_root__reverts(pinning):
    unprovable = pinning.system.registry
    with ape.reverts(pinning.incentives.IncentivesNotProvable):
        content = {
            "digest": b"\x09" * 32,
            "possessionRoot": bytes(32),
            "integerRoot": bytes(32),
            "manifestHash": bytes(32),
            "sizeBytes": 5,
            "format": bytes(16),
        }
        owner = pinning.system.model_owner
        terms = {"receiver": owner, "price": 0, "royaltyBps": 0, "token": NATIVE}
        unprovable.register("bare", content, terms, pinning.system.policy_id(), sender=owner)
        pinning.incentives.openDeal(
            unprovable.modelIdOf(owner, b"\x09" * 32), 1, pinning.terms(), sender=pinning.funder
        )


def test_open_deal__locks_the_pay_of_all_places(pinning):
    before = (pinning.locked(), pinning.free(pinning.funder))
    terms = pinning.terms()
    receipt = pinning.incentives.openDeal(
        pinning.model_id, 1, terms, value=ETHER, sender=pinning.funder
    )

    pay = terms["rate"] * 100_500 * terms["period"] // (2**30 * 86_400)
    number = pinning.incentives.lastDealId()
    deal = pinning.deal(number)
    assert deal.pay == pay == pinning.incentives.payOf(terms["rate"], 100_500, terms["period"])
    assert (deal.root, deal.free) == (pinning.tree.root, pay * CHALLENGES * 2)
    assert (deal.periodRounds, deal.windowRounds) == (PERIOD, WINDOW)
    after = (pinning.locked(), pinning.free(pinning.funder))
    assert after == (before[0] + deal.free, before[1] + ETHER - deal.free)
    (event,) = receipt.events.filter(pinning.incentives.DealOpened)
    assert (event.dealId, event.modelId, event.version) == (number, pinning.model_id, 1)


def test_join__when_it_may_not_be__reverts(pinning, deal):
    first, second, third, fourth, _ = pinning.pinners
    bond = pinning.deal(deal).bond
    with ape.reverts(pinning.incentives.IncentivesDealUnknown):
        pinning.incentives.join(deal + 1, value=bond, sender=first)
    pinning.join(deal, first)
    with ape.reverts(pinning.incentives.IncentivesAlreadyJoined):
        pinning.join(deal, first)
    pinning.join(deal, second)
    with ape.reverts(pinning.incentives.IncentivesDealFull):
        pinning.join(deal, third)
    with ape.reverts(pinning.system.vault.VaultModuleNotAllowed):
        pinning.incentives.join(pinning.open(), value=bond - 1, sender=fourth)


def test_join__when_it_is_too_late__reverts(pinning, chain):
    deal = pinning.open(joinUntil=chain.pending_timestamp + 100)
    chain.pending_timestamp += 200

    with ape.reverts(pinning.incentives.IncentivesJoinTooLate):
        pinning.join(deal, pinning.pinners[0])


def test_join__locks_the_bond_and_fixes_an_unknown_round(pinning, deal, pinner):
    before, free = pinning.locked(), pinning.deal(deal).free

    receipt = pinning.join(deal, pinner)

    found = pinning.deal(deal)
    assert pinning.locked() == before + found.bond
    assert (found.active, found.free) == (1, free - found.pay * CHALLENGES)
    place = pinning.place(deal, pinner)
    assert place.round == receipt.block_number - 1 + 2 + PERIOD // 2
    event = pinning.incentives.PinnerJoined(deal, pinner, place.round)
    assert receipt.events.filter(pinning.incentives.PinnerJoined) == [event]
    assert pinning.randomness.valueOf(place.round) == bytes(32)
    assert list(pinning.incentives.challengeOf(deal, pinner)[2]) == []


def test_answer__when_it_is_not_time__reverts(pinning, joined, pinner):
    with ape.reverts(pinning.incentives.IncentivesNotJoined):
        pinning.answer(joined, pinning.pinners[1], [])
    with ape.reverts(pinning.incentives.IncentivesChallengeNotOpen):
        pinning.answer(joined, pinner, [])
    pinning.mine_to(pinning.place(joined, pinner).round - 1)
    with ape.reverts(pinning.incentives.IncentivesChallengeNotOpen):
        pinning.answer(joined, pinner, [])


def test_answer__when_proofs_are_wrong__reverts(pinning, joined, pinner, chain):
    pinning.mine_to_challenge(joined, pinner)
    good, leaves = pinning.proofs(joined, pinner), pinning.leaves(joined, pinner)
    last = 89  # shorter than the others: in its place another leaf has the wrong length, not the wrong proof
    at, also = [leaves.index(leaf) for leaf in dict.fromkeys(leaves) if leaf != last][:2]
    first = good[at]
    other = pinning.prove((leaves[at] + 1) % last)
    contract = pinning.incentives

    def changed(**changes):
        return [*good[:at], first | changes, *good[at + 1 :]]

    swapped = list(good)
    swapped[at], swapped[also] = good[also], good[at]

    for proofs, error in (
        (good[:-1], contract.IncentivesSamplesMismatch),
        ([*good, first], contract.IncentivesSamplesMismatch),
        (changed(leaf=first["leaf"] + b"\0"), contract.IncentivesLeafLengthMismatch),
        (changed(leaf=first["leaf"][:-1]), contract.IncentivesLeafLengthMismatch),
        (changed(path=first["path"][:-1]), contract.IncentivesPathLengthMismatch),
        (changed(path=[*first["path"], bytes(32)]), contract.IncentivesPathLengthMismatch),
        (changed(leaf=bytes(1024)), contract.IncentivesProofWrong),
        (changed(path=first["path"][::-1]), contract.IncentivesProofWrong),
        (changed(**other), contract.IncentivesProofWrong),
        (swapped, contract.IncentivesProofWrong),
    ):
        before = chain.snapshot()
        with ape.reverts(error):
            pinning.answer(joined, pinner, proofs)
        chain.restore(before)  # a block with a failed transaction is a round, too
    pinning.answer(joined, pinner, good)


@pytest.mark.parametrize("size", [1, 1024, 1025, 3 * 2**20 + 1])
def test_answer__for_a_version_of_any_size(system, accounts, project, size, chain):
    pinning = deploy_pinning(system, accounts, project, size)
    deal = pinning.open(rate=10**28 // size, bond=ETHER * 50, value=ETHER * 100)
    pinner = pinning.pinners[0]
    pinning.join(deal, pinner)
    pinning.mine_to_challenge(deal, pinner)

    pinning.answer(deal, pinner)

    assert pinning.place(deal, pinner).proved == 1


def test_answer__counts_and_fixes_the_next_round(pinning, joined, pinner, stranger):
    rounds = []
    for number in range(3):
        pinning.mine_to_challenge(joined, pinner)
        before = pinning.place(joined, pinner).round
        receipt = pinning.answer(joined, pinner, sender=stranger)
        place = pinning.place(joined, pinner)
        (event,) = receipt.events
        assert (event.challenge, event.nextRound) == (number, place.round)
        assert (place.decided, place.proved, place.missed) == (number + 1, number + 1, 0)
        rounds.append(place.round - before)
    assert all(PERIOD // 2 <= gap < PERIOD // 2 + PERIOD for gap in rounds)


def test_challenge_of__names_the_leaves_that_python_names(pinning, joined, pinner):
    pinning.mine_to_challenge(joined, pinner)
    round_ = pinning.place(joined, pinner).round

    pinning.mine_to(round_ + 1)

    found = pinning.incentives.challengeOf(joined, pinner)
    assert (found[0], found[1]) == (round_, round_ + WINDOW)
    assert list(found[2]) == pinning.leaves(joined, pinner)


def test_answer__in_the_last_moment_is_in_time(pinning, joined, pinner):
    pinning.mine_to(pinning.place(joined, pinner).round + WINDOW)

    pinning.answer(joined, pinner)

    assert pinning.place(joined, pinner).missed == 0


def test_answer__a_moment_later_counts_the_miss_and_asks_for_the_next(pinning, joined, pinner):
    pinning.mine_past_window(joined, pinner)

    with ape.reverts(pinning.incentives.IncentivesChallengeNotOpen):
        pinning.answer(joined, pinner)
    assert (
        pinning.place(joined, pinner).missed == 0
    )  # the revert took it back; it is noted with the next answer
    pinning.mine_to(pinning.place(joined, pinner).round + PERIOD + PERIOD // 2)
    pinning.incentives.noteMissed(joined, pinner, sender=pinner)
    pinning.answer(joined, pinner)
    place = pinning.place(joined, pinner)
    assert (place.decided, place.proved, place.missed) == (2, 1, 1)


def test_note_missed__when_nothing_was_missed__changes_nothing(pinning, joined, pinner, stranger):
    before = pinning.place(joined, pinner)

    receipt = pinning.incentives.noteMissed(joined, pinner, sender=stranger)

    assert (list(receipt.events), pinning.place(joined, pinner)) == ([], before)


def test_note_missed__costs_pay_then_half_the_bond_then_the_place(
    pinning, joined, pinner, stranger
):
    deal = pinning.deal(joined)
    free, bond, pay = deal.free, deal.bond, deal.pay
    expected = [free + pay, free + 2 * pay + bond // 2, free + CHALLENGES * pay + bond]
    for missed, amount in enumerate(expected, start=1):
        pinning.mine_past_window(joined, pinner)
        receipt = pinning.incentives.noteMissed(joined, pinner, sender=stranger)
        (event,) = receipt.events
        assert (event.challenge, event.missed) == (missed - 1, missed)
        assert pinning.deal(joined).free == amount
    assert pinning.deal(joined).active == 0
    with ape.reverts(pinning.incentives.IncentivesPlaceEnded):
        pinning.answer(joined, pinner, [])
    before = pinning.free(pinner)
    pinning.incentives.claim(joined, pinner, sender=stranger)
    assert pinning.free(pinner) == before


def test_note_missed__notes_several_at_once(pinning, joined, pinner, stranger):
    pinning.mine_to(pinning.place(joined, pinner).round + 10 * PERIOD)

    receipt = pinning.incentives.noteMissed(joined, pinner, sender=stranger)

    assert [event.missed for event in receipt.events] == [1, 2, 3]
    assert pinning.place(joined, pinner).decided == 3


def test_claim__pays_what_was_proved_once(pinning, joined, pinner, stranger):
    pay, before = pinning.deal(joined).pay, pinning.free(pinner)
    for _ in range(2):
        pinning.mine_to_challenge(joined, pinner)
        pinning.answer(joined, pinner)

    receipt = pinning.incentives.claim(joined, pinner, sender=stranger)
    pinning.incentives.claim(joined, pinner, sender=stranger)

    (event,) = receipt.events
    assert (event.pay, event.bond) == (2 * pay, 0)
    assert pinning.free(pinner) == before + 2 * pay


@pytest.mark.parametrize("missing", [0, 1, 2])
def test_claim__at_the_end_pays_and_returns_what_is_left_of_the_bond(
    pinning, joined, pinner, stranger, missing, chain
):
    before, deal = pinning.free(pinner), pinning.deal(joined)
    for number in range(CHALLENGES):
        if number < missing:
            pinning.mine_past_window(joined, pinner)
            pinning.incentives.noteMissed(joined, pinner, sender=stranger)
        else:
            pinning.mine_to_challenge(joined, pinner)
            pinning.answer(joined, pinner)

    for _ in range(2):
        pinning.incentives.claim(joined, pinner, sender=stranger)

    left = deal.bond - deal.bond // 2 if missing == 2 else deal.bond
    assert pinning.free(pinner) == before + (CHALLENGES - missing) * deal.pay + left
    assert (pinning.place(joined, pinner).settled, pinning.deal(joined).active) == (True, 0)
    with ape.reverts(pinning.incentives.IncentivesAlreadyJoined):
        pinning.join(joined, pinner)


def test_reclaim__gives_back_what_is_not_promised(pinning, joined, pinner, stranger, chain):
    before, deal = pinning.free(pinning.funder), pinning.deal(joined)
    with ape.reverts(pinning.incentives.IncentivesReclaimTooEarly):
        pinning.incentives.reclaim(joined, sender=stranger)
    chain.pending_timestamp = deal.joinUntil + 1

    pinning.incentives.reclaim(joined, sender=stranger)
    assert pinning.free(pinning.funder) == before + deal.free
    pinning.mine_to(pinning.place(joined, pinner).round + 10 * PERIOD)
    pinning.incentives.noteMissed(joined, pinner, sender=stranger)
    pinning.incentives.reclaim(joined, sender=stranger)

    everything = deal.free + deal.pay * CHALLENGES + deal.bond
    assert pinning.free(pinning.funder) == before + everything
    with ape.reverts(pinning.incentives.IncentivesDealUnknown):
        pinning.incentives.reclaim(joined + 1, sender=stranger)


def test_block_randomness__when_the_block_time_is_out_of_range__reverts(accounts, project):
    for milliseconds in (0, 600_001):
        with ape.reverts(project.BlockRandomness.RandomnessBlockTimeOutOfRange):
            accounts[0].deploy(project.BlockRandomness, milliseconds)


def test_block_randomness__is_zero_then_the_hash_then_zero(pinning, chain):
    ahead = chain.blocks.height + 3
    assert pinning.randomness.valueOf(ahead) == bytes(32)
    chain.mine(4)
    assert pinning.randomness.valueOf(ahead) == bytes(chain.blocks[ahead].hash)
    chain.mine(260)
    assert pinning.randomness.valueOf(ahead) == bytes(32)
    assert pinning.randomness.roundsIn(1) == 1
    assert pinning.randomness.roundsIn(LONG) == -(-LONG // BLOCK_S)
