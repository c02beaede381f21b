"""Ways to be paid for what is not held, or to take what is not earned: each fails.

an attacker
├── without the data: earns nothing and loses the bond
├── with another's proof: it proves other leaves than those asked for
├── with a proof of an earlier challenge: it is stale
├── that joins again to forget its misses: an account has one place; another pays another bond and starts at nothing
├── that waits for better randomness: the value is the same at any time in the window, and after it there is none
├── that draws again by joining in another block: it does not know what it draws
├── of a deal that runs out: nobody joins what cannot pay, nobody is paid more than was put in
└── that funds its own deal: gains nothing net, and loses what it misses
a holder of 95 %
├── is caught with 99 % by every deal that the contract lets open
├── expects a loss in every one of them, an honest pinner a gain
├── in 2,000 drawn games is caught, and loses what was expected
└── and on the chain: real games end with what the model says, to the wei
"""

import random

import ape
import pytest
from eth_utils import keccak
from pinning import CHALLENGES, PERIOD, SAMPLES, WINDOW, deploy_pinning
from system import ETHER, NATIVE

from oracle.services.pin_rules import MAX_MISSED, bond_left, leaves_of

DRAWS = 90


@pytest.fixture(scope="module")
def pinning(system, accounts, project):
    return deploy_pinning(system, accounts, project, size=100 * 1024)


@pytest.fixture
def deal(pinning):
    return pinning.open(copies=5)


def finish(pinning, deal, pinner, honest=lambda leaf: True):
    """Play a place to its end: answer when all leaves are held, else let it pass. Returns what was missed."""
    while True:
        place = pinning.place(deal, pinner)
        if place.decided == CHALLENGES or place.missed == MAX_MISSED:
            return place.missed
        pinning.mine_to_challenge(deal, pinner)
        if all(honest(leaf) for leaf in pinning.leaves(deal, pinner)):
            pinning.answer(deal, pinner)
        else:
            pinning.mine_past_window(deal, pinner)
            pinning.incentives.noteMissed(deal, pinner, sender=pinner)


def test_claim__without_the_data__earns_nothing_and_loses_the_bond(pinning, deal):
    attacker = pinning.pinners[0]
    before = pinning.free(attacker)
    pinning.join(deal, attacker)

    for number in range(MAX_MISSED):
        pinning.mine_to_challenge(deal, attacker)
        guesses = [{"leaf": b"?" * 1024, "path": [b"?" * 32] * 7}] * SAMPLES
        with ape.reverts():
            pinning.answer(deal, attacker, guesses)
        pinning.mine_past_window(deal, attacker)
        pinning.incentives.claim(deal, attacker, sender=attacker)
        assert pinning.place(deal, attacker).missed == number + 1

    assert pinning.free(attacker) == before
    assert pinning.deal(deal).free >= pinning.deal(deal).bond


def test_answer__with_anothers_proof__fails(pinning, deal):
    honest, attacker = pinning.pinners[:2]
    pinning.join(deal, honest)
    pinning.join(deal, attacker)
    pinning.mine_to(pinning.place(deal, attacker).round)

    theirs = pinning.proofs(deal, honest)

    assert pinning.leaves(deal, honest) != pinning.leaves(deal, attacker)
    with ape.reverts(pinning.incentives.IncentivesProofWrong):
        pinning.answer(deal, attacker, theirs)


def test_answer__with_a_stale_proof__fails(pinning, deal):
    attacker = pinning.pinners[0]
    pinning.join(deal, attacker)
    pinning.mine_to_challenge(deal, attacker)
    stale = pinning.proofs(deal, attacker)
    pinning.answer(deal, attacker, stale)

    with ape.reverts(pinning.incentives.IncentivesChallengeNotOpen):
        pinning.answer(deal, attacker, stale)
    pinning.mine_to_challenge(deal, attacker)
    with ape.reverts(pinning.incentives.IncentivesProofWrong):
        pinning.answer(deal, attacker, stale)


def test_join__again_to_forget_misses__fails(pinning, deal):
    attacker, other = pinning.pinners[:2]
    pinning.join(deal, attacker)
    for _ in range(2):
        pinning.mine_past_window(deal, attacker)
        pinning.incentives.noteMissed(deal, attacker, sender=attacker)
    with ape.reverts(pinning.incentives.IncentivesAlreadyJoined):
        pinning.join(deal, attacker)
    pinning.mine_past_window(deal, attacker)
    pinning.incentives.noteMissed(deal, attacker, sender=attacker)
    with ape.reverts(pinning.incentives.IncentivesAlreadyJoined):
        pinning.join(deal, attacker)

    before = pinning.locked()
    pinning.join(deal, other)

    assert pinning.locked() == before + pinning.deal(deal).bond
    assert pinning.place(deal, other).proved == 0


def test_answer__later_in_the_window__is_asked_for_the_same(pinning, deal):
    attacker = pinning.pinners[0]
    pinning.join(deal, attacker)
    pinning.mine_to_challenge(deal, attacker)
    asked = [pinning.leaves(deal, attacker)]
    for _ in range(WINDOW):
        ape.chain.mine()
        asked.append(list(pinning.incentives.challengeOf(deal, attacker)[2]))

    assert asked == [asked[0]] * (WINDOW + 1)
    ape.chain.mine()
    with ape.reverts(pinning.incentives.IncentivesChallengeNotOpen):  # it is the next challenge now
        pinning.answer(deal, attacker)


def test_note_missed__when_the_value_is_long_gone__does_not_draw_again(pinning, deal):
    attacker = pinning.pinners[0]
    pinning.join(deal, attacker)
    first = pinning.place(deal, attacker).round
    pinning.mine_past_window(deal, attacker)
    early = ape.chain.snapshot()
    pinning.incentives.noteMissed(deal, attacker, sender=attacker)
    noted_early = pinning.place(deal, attacker).round
    ape.chain.restore(early)
    ape.chain.mine(5)

    pinning.incentives.noteMissed(deal, attacker, sender=attacker)

    assert pinning.place(deal, attacker).round == noted_early == first + PERIOD + PERIOD // 2


def test_join__in_any_block__does_not_know_what_it_draws(pinning, deal):
    for attacker in pinning.pinners[:3]:
        pinning.join(deal, attacker)
        round_ = pinning.place(deal, attacker).round
        assert round_ >= pinning.current() + PERIOD // 2
        assert pinning.randomness.valueOf(round_) == bytes(32)


def test_deal__that_runs_out__pays_nobody_more(pinning, chain):
    deal = pinning.open(copies=1)
    first, late = pinning.pinners[:2]
    pinning.join(deal, first)
    assert finish(pinning, deal, first) == 0
    pinning.incentives.claim(deal, first, sender=first)

    with ape.reverts(pinning.incentives.IncentivesDealRunOut):
        pinning.join(deal, late)
    with ape.reverts(pinning.incentives.IncentivesPlaceEnded):
        pinning.answer(deal, first, [])
    before = pinning.free(first)
    pinning.incentives.claim(deal, first, sender=first)
    assert pinning.free(first) == before
    assert pinning.deal(deal).free == 0


def test_self_deal__gains_nothing_net(pinning, chain, stranger):
    alone = pinning.pinners[4]
    vault = pinning.system.vault
    vault.deposit(alone, NATIVE, 2 * ETHER, value=2 * ETHER, sender=alone)
    vault.allowModule(pinning.incentives, True, sender=alone)
    before = pinning.free(alone)
    deal = pinning.open(copies=2, value=0, sender=alone)
    pinning.incentives.join(deal, sender=alone)
    missed = finish(pinning, deal, alone, honest=lambda leaf: leaf % 7)
    pinning.incentives.claim(deal, alone, sender=stranger)
    chain.pending_timestamp = pinning.deal(deal).joinUntil + 1
    pinning.incentives.reclaim(deal, sender=stranger)

    assert missed > 0
    assert pinning.free(alone) == before


# --- a holder of 95 %


def outcomes(samples, challenges, held=0.95):
    """(probability, proved, missed) of each way that a place can end."""
    passes = held**samples
    now = {(0, 0): 1.0}
    ends = []
    for _ in range(challenges):
        after = {}
        for (proved, missed), chance in now.items():
            after[proved + 1, missed] = after.get((proved + 1, missed), 0) + chance * passes
            lost = chance * (1 - passes)
            if missed + 1 == MAX_MISSED:
                ends.append((lost, proved, MAX_MISSED))
            else:
                after[proved, missed + 1] = after.get((proved, missed + 1), 0) + lost
        now = after
    return ends + [(chance, proved, missed) for (proved, missed), chance in now.items()]


LEAST_DEALS = [(samples, max(CHALLENGES, -(-DRAWS // samples))) for samples in range(1, 33)] + [
    (8, 365),
    (1, 1000),
    (32, 50),
]


@pytest.mark.parametrize(("samples", "challenges"), LEAST_DEALS)
def test_holder_of_95_percent__is_caught_and_expects_a_loss(samples, challenges):
    ends = outcomes(samples, challenges)
    bond = challenges  # the least that the contract takes, in units of one challenge's pay

    caught = 1 - sum(chance for chance, _, missed in ends if missed == 0)
    expected = sum(
        chance * (proved + bond_left(bond * 1000, missed) / 1000 - bond)
        for chance, proved, missed in ends
    )

    assert sum(chance for chance, _, _ in ends) == pytest.approx(1)
    assert caught >= 0.99
    assert expected < 0
    honest = outcomes(samples, challenges, held=1.0)
    assert sum(chance * proved for chance, proved, _ in honest) == pytest.approx(challenges)


def missed_in_game(number, lacks, leaves):
    """Challenges missed by a holder in a game whose every draw follows from its number."""
    missed = decided = 0
    while decided < CHALLENGES and missed < MAX_MISSED:
        value = keccak(b"round %d of game %d" % (decided, number))
        asked = leaves_of(value, number, f"0x{number:040x}", decided, SAMPLES, leaves)
        missed += any(leaf in lacks for leaf in asked)
        decided += 1
    return decided - missed, missed


def test_holders_of_95_percent__in_2000_drawn_games__are_caught_and_lose_what_was_expected():
    shuffled = random.Random(11)  # noqa: S311 -- which bytes each lacks
    games, leaves, bond = 2000, 100, CHALLENGES
    gained = caught = 0
    for number in range(games):
        proved, missed = missed_in_game(number, set(shuffled.sample(range(leaves), 5)), leaves)
        caught += missed > 0
        gained += proved + bond_left(bond * 1000, missed) / 1000 - bond

    expected = sum(
        chance * (proved + bond_left(bond * 1000, missed) / 1000 - bond)
        for chance, proved, missed in outcomes(SAMPLES, CHALLENGES)
    )
    assert caught >= 0.99 * games
    assert gained / games == pytest.approx(expected, abs=0.3)  # five deviations of such a mean


def test_holders_of_95_percent__in_real_games__end_with_what_the_model_says(pinning, accounts):
    shuffled = random.Random(11)  # noqa: S311 -- which bytes each lacks
    rate = 10**20
    pay = pinning.incentives.payOf(rate, len(pinning.stream), 600)
    bond = pay * CHALLENGES
    for game in range(6):
        pinner = pinning.pinners[game % 5]
        deal = pinning.open(rate=rate, bond=bond, value=bond, copies=1)
        lacks = set(shuffled.sample(range(100), 5))
        before = pinning.free(pinner)
        pinning.join(deal, pinner)
        missed = finish(pinning, deal, pinner, honest=lambda leaf, lost=lacks: leaf not in lost)
        proved = pinning.place(deal, pinner).proved
        pinning.incentives.claim(deal, pinner, sender=pinner)

        # Which leaves a block's hash asks for is chance; what follows from it is not.
        assert (proved, missed) in {ends[1:] for ends in outcomes(SAMPLES, CHALLENGES)}
        assert pinning.free(pinner) - before == proved * pay + bond_left(bond, missed)
