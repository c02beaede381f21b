"""A long random game of deals, joins, answers, misses and claims against a Python model of the contract.

always
├── every deal and every place is what the model says
├── what everyone has free is what the model says, to the wei
├── what the contract holds locked is Σ of what deals, places and bonds are owed
└── nobody was ever paid more than was put in
"""

from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from pinning import BLOCK_S, CHALLENGES, PERIOD, WINDOW, deploy_pinning
from system import ETHER, NATIVE

from oracle.services.pin_rules import (
    MAX_MISSED,
    bond_left,
    next_round,
    owed,
    pay_of,
    round_after_miss,
)


@dataclass
class ModelPlace:
    """What the model knows of a place."""

    round: int
    decided: int = 0
    proved: int = 0
    claimed: int = 0
    missed: int = 0
    settled: bool = False

    @property
    def ended(self):
        return self.decided == CHALLENGES or self.missed == MAX_MISSED


@dataclass
class ModelDeal:
    """What the model knows of a deal."""

    pay: int
    bond: int
    copies: int
    join_until: int
    free: int
    active: int = 0
    places: dict[str, ModelPlace] = field(default_factory=dict)

    def note(self, place, current):
        """Note what was missed by the time that `current` is the round."""
        while not place.ended and current > place.round + WINDOW:
            back = self.pay + bond_left(self.bond, place.missed)
            place.missed += 1
            place.decided += 1
            place.round = round_after_miss(place.round, PERIOD)
            back -= bond_left(self.bond, place.missed)
            if place.missed == MAX_MISSED:
                back += self.pay * (CHALLENGES - place.decided)
            self.free += back
            self.active -= place.ended

    def owed(self):
        """What the contract still has to give, in wei."""
        total = self.free
        for place in self.places.values():
            if not place.ended:
                total += self.pay * (CHALLENGES - place.decided)
            left = 0 if place.settled else bond_left(self.bond, place.missed)
            total += self.pay * (place.proved - place.claimed) + left
        return total


def machine_for(pinning, chain):
    """The state machine's class, bound to a deployed contract."""
    people = [pinning.funder, *pinning.pinners]

    class Game(RuleBasedStateMachine):
        def __init__(self):
            super().__init__()
            self.snapshot = chain.snapshot()
            # Ahead of the clock on the wall, which would make each run of one example another.
            chain.pending_timestamp += 10**8
            self.deals: dict[int, ModelDeal] = {}
            self.free = {person.address: pinning.free(person) for person in people}
            self.locked = pinning.locked()

        def teardown(self):
            chain.restore(self.snapshot)

        def pick(self, which):
            numbers = sorted(self.deals)
            number = numbers[which % len(numbers)]
            return number, self.deals[number]

        def pick_place(self, which, who):
            number, deal = self.pick(which)
            joined = [person for person in pinning.pinners if person.address in deal.places]
            if not joined:
                return number, deal, None, None
            person = joined[who % len(joined)]
            return number, deal, person, deal.places[person.address]

        # --- actions

        @precondition(lambda self: len(self.deals) < 3)
        @rule(
            rate=st.integers(10**13, 10**17), copies=st.integers(1, 3), more=st.integers(0, 10**9)
        )
        def open(self, rate, copies, more):
            pay = pay_of(rate, len(pinning.stream), PERIOD * BLOCK_S)
            bond = pay * CHALLENGES + more
            until = chain.pending_timestamp + 3_000_000
            number = pinning.open(rate=rate, bond=bond, copies=copies, joinUntil=until)
            free = pay * CHALLENGES * copies
            self.deals[number] = ModelDeal(pay, bond, copies, until, free)
            self.free[pinning.funder.address] += ETHER - free

        @precondition(lambda self: self.deals)
        @rule(which=st.integers(0, 2), who=st.integers(0, 4), extra=st.integers(0, 10))
        def join(self, which, who, extra):
            number, deal = self.pick(which)
            person = pinning.pinners[who]
            promised = deal.pay * CHALLENGES
            if (
                person.address in deal.places
                or deal.active == deal.copies
                or deal.free < promised
                or chain.pending_timestamp > deal.join_until
            ):
                return
            deal.places[person.address] = ModelPlace(pinning.current() + 2 + PERIOD // 2)
            pinning.incentives.join(number, value=deal.bond + extra, sender=person)
            deal.active += 1
            deal.free -= promised
            self.free[person.address] += extra

        @precondition(lambda self: self.deals)
        @rule(which=st.integers(0, 2), who=st.integers(0, 4), late=st.integers(0, WINDOW))
        def answer(self, which, who, late):
            number, deal, person, place = self.pick_place(which, who)
            if place is None or place.ended or pinning.current() > place.round + WINDOW:
                return
            pinning.mine_to(min(place.round + late, place.round + WINDOW))
            value = bytes(chain.blocks[place.round].hash)
            pinning.answer(number, person)
            place.decided += 1
            place.proved += 1
            place.round = next_round(value, place.round, PERIOD)
            deal.active -= place.ended

        @rule(blocks=st.integers(1, 40))
        def wait(self, blocks):
            chain.mine(blocks)

        @precondition(lambda self: self.deals)
        @rule(which=st.integers(0, 2), who=st.integers(0, 4))
        def note_missed(self, which, who):
            number, deal, person, place = self.pick_place(which, who)
            if place is None:
                return
            deal.note(place, pinning.current())
            pinning.incentives.noteMissed(number, person, sender=pinning.pinners[0])

        @precondition(lambda self: self.deals)
        @rule(which=st.integers(0, 2), who=st.integers(0, 4))
        def claim(self, which, who):
            number, deal, person, place = self.pick_place(which, who)
            if place is None:
                return
            deal.note(place, pinning.current())
            pinning.incentives.claim(number, person, sender=pinning.funder)
            counts = {
                name: getattr(place, name) for name in ("proved", "claimed", "missed", "settled")
            }
            self.free[person.address] += owed(deal.pay, deal.bond, ended=place.ended, **counts)
            place.claimed, place.settled = place.proved, place.ended

        @precondition(lambda self: self.deals)
        @rule(which=st.integers(0, 2))
        def reclaim(self, which):
            number, deal = self.pick(which)
            if chain.pending_timestamp <= deal.join_until:
                chain.pending_timestamp = deal.join_until + 1
            pinning.incentives.reclaim(number, sender=pinning.pinners[1])
            self.free[pinning.funder.address] += deal.free
            deal.free = 0

        # --- what always holds

        @invariant()
        def deals_and_places_are_what_the_model_says(self):
            for number, deal in self.deals.items():
                found = pinning.deal(number)
                assert (found.free, found.active, found.pay, found.bond) == (
                    deal.free,
                    deal.active,
                    deal.pay,
                    deal.bond,
                )
                for person in pinning.pinners:
                    if place := deal.places.get(person.address):
                        assert vars(pinning.place(number, person)) == vars(place)

        @invariant()
        def everyone_has_what_the_model_says(self):
            for person in people:
                assert pinning.free(person) == self.free[person.address]

        @invariant()
        def the_contract_holds_what_it_owes(self):
            owed_now = sum(deal.owed() for deal in self.deals.values())
            assert pinning.locked() == self.locked + owed_now
            vault = pinning.system.vault
            assert vault.accounted(NATIVE) == vault.balance

    return Game


@pytest.mark.parametrize(
    ("examples", "steps"),
    [(2, 35), pytest.param(10, 100, marks=pytest.mark.extended)],
)
def test_game__random_actions__keep_to_the_model(system, accounts, project, chain, examples, steps):
    run_state_machine_as_test(
        machine_for(deploy_pinning(system, accounts, project), chain),
        settings=settings(
            max_examples=examples,
            stateful_step_count=steps,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
