"""The whole economy against a Python model of it: random actions, and after each one the same books.

always
├── what the Vault holds of everyone is what the model says, to the wei
├── Σ free + Σ locked = paid in - paid out = the Vault's real balance
├── a settled or refunded job never changes again
└── every offer's load is the number of its open jobs
"""

from dataclasses import dataclass

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    RuleBasedStateMachine,
    consumes,
    invariant,
    multiple,
    rule,
    run_state_machine_as_test,
)
from system import ASK, ETHER, FEE_BPS, MODEL_PRICE, NATIVE, ROYALTY_BPS, STAKE, Asked

TERMINAL = {"Settled", "Refunded"}


@dataclass
class ModelJob:
    """What the model knows of a job."""

    asked: Asked
    state: str
    offer: int
    price: int
    bond: int = 0


def expected_split(earned, price):
    """The split of FeeSplit, written down a second time."""
    fee = earned * FEE_BPS // 10_000
    rest = earned - fee
    for_model = rest * MODEL_PRICE // price
    model = for_model + (rest - for_model) * ROYALTY_BPS // 10_000
    return rest - model, model, fee


def machine_for(system, accounts, chain):
    """The state machine's class, bound to a deployed system."""

    class Economy(RuleBasedStateMachine):
        jobs = Bundle("jobs")

        def __init__(self):
            super().__init__()
            self.snapshot = chain.snapshot()
            self.requesters = [accounts[3], accounts[9]]
            system.vault.deposit(accounts[9], NATIVE, ETHER, value=ETHER, sender=accounts[9])
            system.vault.allowModule(system.router, True, sender=accounts[9])
            self.providers = [
                system.provider(accounts[4], accounts[5], accounts[6], stake=2 * STAKE),
                system.provider(accounts[7], accounts[8], accounts[7]),
            ]
            self.price = {}
            for provider, ask in zip(self.providers, (ASK, ASK // 3), strict=True):
                self.price[system.open_offer(provider, ask=ask, capacity=4)] = ask + MODEL_PRICE
            self.people = [accounts[i] for i in range(10)]
            self.free = {person.address: system.free(person) for person in self.people}
            self.staked = 3 * STAKE
            self.earned = dict.fromkeys(self.price, 0)
            self.fees = self.claimed = 0
            self.table: list[ModelJob] = []

        def teardown(self):
            chain.restore(self.snapshot)

        def provider_of(self, offer):
            return next(p for p in self.providers if p.offer == offer)

        # --- actions

        @rule(who=st.integers(0, 1), amount=st.integers(1, ETHER))
        def deposit(self, who, amount):
            person = self.requesters[who]
            system.vault.deposit(person, NATIVE, amount, value=amount, sender=person)
            self.free[person.address] += amount

        @rule(who=st.integers(0, 9), share=st.integers(0, 100))
        def withdraw(self, who, share):
            person = self.people[who]
            amount = self.free[person.address] * share // 100
            system.vault.withdraw(NATIVE, amount, person, sender=person)
            self.free[person.address] -= amount

        @rule(
            target=jobs,
            who=st.integers(0, 1),
            units=st.integers(1, 3),
            pick=st.integers(0, 1),
            value=st.sampled_from([0, 0, 10**14, ETHER]),
        )
        def request(self, who, units, pick, value):
            person, offer = self.requesters[who], self.providers[pick].offer
            price = units * self.price[offer]
            full = sum(j.state == "Assigned" and j.offer == offer for j in self.table) == 4
            if full or self.free[person.address] + value < price:
                return multiple()
            asked = system.request(sender=person, units=units, offerId=offer, value=value)
            self.free[person.address] += value - price
            job = ModelJob(asked, "Assigned", offer, price)
            self.table.append(job)
            return job

        @rule(job=jobs, units=st.integers(1, 3))
        def answer(self, job, units):
            if job.state != "Assigned" or chain.pending_timestamp > job.asked.job["deadline"]:
                return
            units = min(units, job.asked.job["units"])
            provider = self.provider_of(job.offer)
            system.answer(job.asked, provider, units=units)
            paid = units * self.price[job.offer]
            self.earned[job.offer] += paid
            self.free[job.asked.job["requester"]] += job.price - paid
            self.free[provider.operator.address] += job.bond
            job.state = "Settled"

        @rule(job=jobs)
        def decline(self, job):
            if job.state != "Assigned" or chain.pending_timestamp > job.asked.job["exclusiveUntil"]:
                return
            job.asked = system.decline(job.asked, self.provider_of(job.offer))
            self.free[job.asked.job["requester"]] += job.bond
            job.state, job.bond = "Open", 0

        @rule(job=jobs)
        def take(self, job):
            rival = next(p for p in self.providers if p.offer != job.offer)
            price = self.price[rival.offer] * job.asked.job["units"]
            waiting = job.state == "Open" or (
                job.state == "Assigned"
                and chain.pending_timestamp > job.asked.job["exclusiveUntil"]
            )
            full = sum(j.state == "Assigned" and j.offer == rival.offer for j in self.table) == 4
            if (
                not waiting
                or full
                or price > job.price
                or chain.pending_timestamp > job.asked.job["deadline"]
            ):
                return
            bond = job.price // 10
            job.asked = system.take(job.asked, rival, value=bond)
            self.free[job.asked.job["requester"]] += job.price - price + job.bond
            job.state, job.offer, job.price, job.bond = "Assigned", rival.offer, price, bond

        @rule(job=consumes(jobs))
        def refund(self, job):
            if job.state not in ("Assigned", "Open"):
                return
            if chain.pending_timestamp <= job.asked.job["deadline"]:
                chain.pending_timestamp = job.asked.job["deadline"] + 1
            system.router.refund(job.asked.id, job.asked.job, sender=self.people[0])
            self.free[job.asked.job["requester"]] += job.price + job.bond
            job.state = "Refunded"

        @rule(seconds=st.integers(1, 200))
        def wait(self, seconds):
            chain.pending_timestamp += seconds

        @rule(pick=st.integers(0, 1))
        def claim(self, pick):
            provider = self.providers[pick]
            system.router.claim(provider.offer, system.market, sender=self.people[0])
            amounts = expected_split(self.earned[provider.offer], self.price[provider.offer])
            self.free[provider.payout.address] += amounts[0]
            self.free[system.model_owner.address] += amounts[1]
            self.fees += amounts[2]
            self.claimed += self.earned[provider.offer]
            self.earned[provider.offer] = 0

        @rule()
        def collect_fees(self):
            system.router.collectFees(system.model_id, 1, sender=self.people[0])
            self.free[system.treasury.address] += self.fees
            self.fees = 0

        # --- what always holds

        @invariant()
        def everyone_has_what_the_model_says(self):
            for person in self.people:
                assert system.free(person) == self.free[person.address]

        @invariant()
        def money_is_conserved(self):
            open_jobs = sum(j.price + j.bond for j in self.table if j.state not in TERMINAL)
            locked = open_jobs + sum(self.earned.values()) + self.fees
            assert system.vault.locked(system.router, NATIVE) == locked
            assert system.vault.locked(system.staking, NATIVE) == self.staked
            accounted = sum(self.free.values()) + locked + self.staked
            assert system.vault.accounted(NATIVE) == accounted == system.vault.balance

        @invariant()
        def the_model_has_earned_what_was_claimed(self):
            revenue = system.router.revenueOf(system.model_id, 1)
            assert (revenue.earned, revenue.fees) == (self.claimed, self.fees)

        @invariant()
        def jobs_are_where_the_model_says(self):
            for job in self.table:
                assert system.state(job.asked.id) == job.state

        @invariant()
        def load_is_the_number_of_open_jobs(self):
            for offer in self.price:
                assigned = sum(j.state == "Assigned" and j.offer == offer for j in self.table)
                assert system.router.offer(offer).load == assigned

    return Economy


@pytest.mark.parametrize("examples", [6])
def test_economy__random_actions__keep_the_books(system, accounts, chain, examples):
    run_state_machine_as_test(
        machine_for(system, accounts, chain),
        settings=settings(
            max_examples=examples,
            stateful_step_count=25,
            deadline=None,
            suppress_health_check=list(HealthCheck),
            print_blob=True,
        ),
    )
