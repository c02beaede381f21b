"""What an owner or a role can do to others: nothing.

every function that changes state
├── is either somebody's own business, open to all with a fixed effect, or a power over others, and is listed here
└── when it is a power over others
    ├── using it moves nobody's money
    └── after it, everybody gets out: jobs are answered, refunded, claimed, stakes unbond, money is withdrawn
"""

import pytest
from eth_utils import keccak
from system import ETHER, NATIVE, STAKE, offer_terms, terms, version

from scripts._support.plan import PLAN

DAY = 86_400
FAR = 2**39

OWN_BUSINESS = {
    "Vault": "deposit withdraw allowModule delay announceUndelay undelay"
    " lock lockDelayed depositAndLock release releaseSplit",
    "ModelRegistry": "register acceptTransfer",
    "ProviderStaking": "register acceptTransfer delegateTo startUndelegating finishUndelegating rewardDelegators",
    "InferenceRouter": "request requestFor answer decline take refund settle redeliver multicall"
    " claim collectFees syncTickets",
    "SignedRequests": "settle claim collectFees",
    "Batches": "request answer settle refund claim collectFees",
    "Recurring": "open fund run cancel",
    "Licences": "buy request giveBack",
    "Lanes": "request earn giveBack",
    "ResultCache": "store hit claim collectFees",
    "Pricing": "openClass request count giveBack",
    "Reputation": "recordSuccess recordMiss recordDisproved",
    "IPFSIncentives": "openDeal join answer noteMissed claim reclaim",
}
"""Functions on what is the caller's own, or that anyone may call with one possible effect. Each has its tests."""

MANAGER = (
    *("cancel", "consumeScheduledOp", "execute", "grantRole", "labelRole"),
    *("renounceRole", "revokeRole", "schedule", "setGrantDelay", "setRoleAdmin"),
    *(
        "setRoleGuardian",
        "setTargetAdminDelay",
        "setTargetClosed",
        "setTargetFunctionRole",
        "updateAuthority",
    ),
)
"""ProtocolAccess: what it can do to other contracts goes through `execute`; they let it call three functions."""


def by_manager(contract, function, *arguments):
    """A call that an administrator makes through ProtocolAccess."""

    def act(world):
        target = getattr(world.system, contract)
        call = getattr(target, function).encode_input(*arguments_of(world, arguments))
        world.system.access.execute(target, call, sender=world.system.deployer)

    return act


def by_model_owner(function, *arguments):
    """A call of the model's owner about the model."""

    def act(world):
        s = world.system
        getattr(s.registry, function)(
            s.model_id, *arguments_of(world, arguments), sender=s.model_owner
        )

    return act


def by_provider(contract, function, *arguments):
    """A call of the provider's owner about its provider (or, for the router, its offer)."""

    def act(world):
        target = getattr(world.system, contract)
        subject = world.provider.offer if contract == "router" else world.provider.number
        getattr(target, function)(
            subject, *arguments_of(world, arguments), sender=world.provider.owner
        )

    return act


def arguments_of(world, arguments):
    """Arguments, those that need the world made from it."""
    return [argument(world) if callable(argument) else argument for argument in arguments]


POWERS = {
    "InferenceRouter.pauseRequests": by_manager("router", "pauseRequests", lambda w: w.soon()),
    "ProviderStaking.pauseStakes": by_manager("staking", "pauseStakes", lambda w: w.soon()),
    "ProviderStaking.announceSlasher": by_manager("staking", "announceSlasher", lambda w: w.thief),
    "ModelRegistry.openTerms": by_model_owner("openTerms", lambda w: terms(w.thief, ETHER, 5_000)),
    "ModelRegistry.addVersion": by_model_owner("addVersion", lambda w: version(keccak(b"bad"))),
    "ModelRegistry.allowPolicy": by_model_owner(
        "allowPolicy", lambda w: w.system.policy_id(), False
    ),
    "ModelRegistry.setAccess": by_model_owner("setAccess", 1),
    "ModelRegistry.setAccessRule": by_model_owner("setAccessRule", lambda w: w.thief),
    "ModelRegistry.setAdmin": by_model_owner("setAdmin", lambda w: w.thief, True),
    "ModelRegistry.setMetadata": by_model_owner("setMetadata", keccak(b"card")),
    "Licences.openSale": lambda w: w.open_sale(),
    "Licences.closeSale": lambda w: w.system.licences.closeSale(
        w.open_sale(), sender=w.system.model_owner
    ),
    "Licences.give": lambda w: w.system.licences.give(
        w.system.model_id, w.thief, 9, FAR, sender=w.system.model_owner
    ),
    "Pricing.setClass": lambda w: w.join_class(),
    "ModelRegistry.grantAccess": by_model_owner("grantAccess", lambda w: w.thief, FAR),
    "ModelRegistry.deprecate": by_model_owner("deprecate"),
    "ModelRegistry.retireVersions": by_model_owner("retireVersions", 2),
    "ModelRegistry.startTransfer": by_model_owner("startTransfer", lambda w: w.thief),
    "ProviderStaking.stake": by_provider("staking", "stake", 0),
    "ProviderStaking.startUnbonding": by_provider("staking", "startUnbonding", STAKE),
    "ProviderStaking.finishUnbonding": lambda w: w.unbond(),
    "ProviderStaking.setOperator": by_provider("staking", "setOperator", lambda w: w.thief),
    "ProviderStaking.setPayout": by_provider("staking", "setPayout", lambda w: w.thief),
    "ProviderStaking.startTransfer": by_provider("staking", "startTransfer", lambda w: w.thief),
    "ProviderStaking.allowSlasher": by_provider("staking", "allowSlasher", lambda w: w.thief, True),
    "ProviderStaking.leaveJail": None,
    "ProviderStaking.slash": None,
    "InferenceRouter.closeOffer": by_provider("router", "closeOffer"),
    "InferenceRouter.openOffer": lambda w: w.system.router.openOffer(
        w.other.number, w.system.market, offer_terms(), sender=w.other.owner
    ),
}
"""Powers of owners and roles. `slash` and `leaveJail` take evidence and time: tests/contracts/test_slashing.py."""


class World:
    """A system in which everybody has something at stake in every state."""

    def __init__(self, system, accounts, chain, provider):
        self.system, self.chain, self.provider = system, chain, provider
        self.thief, self.delegator, self.stranger = accounts[7], accounts[8], accounts[9]
        self.requester = system.requester
        self.other = system.provider(self.stranger, self.stranger, self.stranger)
        system.vault.delay(NATIVE, ETHER, sender=self.requester)
        system.staking.delegateTo(provider.number, STAKE, value=STAKE, sender=self.delegator)
        self.jobs = [system.request() for _ in range(2)]
        system.answer(system.request(), provider)

    def soon(self):
        """The latest end of a pause."""
        return self.chain.pending_timestamp + 7 * DAY

    def unbond(self):
        """The owner takes all of its stake out."""
        self.system.staking.startUnbonding(self.provider.number, STAKE, sender=self.provider.owner)
        self.chain.pending_timestamp += 14 * DAY
        self.system.staking.finishUnbonding(self.provider.number, sender=self.provider.owner)

    def belongings(self):
        """What each user has, wherever it lies; the provider's owner apart, who may use its own."""
        s = self.system
        return {
            "requester": s.free(self.requester) + s.vault.delayed(self.requester, NATIVE),
            "delegator": s.staking.delegationOf(self.provider.number, self.delegator),
            "stranger": s.staking.stakeOf(self.other.number),
            "router": s.vault.locked(s.router, NATIVE),
            "thief": s.free(self.thief),
        }

    def open_sale(self):
        """The model's owner sells licences; returns the sale's number."""
        s = self.system
        sale = {"receiver": self.thief, "token": NATIVE, "price": 1, "uses": 1, "duration": DAY}
        receipt = s.licences.openSale(s.model_id, sale, sender=s.model_owner)
        (event,) = receipt.events.filter(s.licences.SaleOpened)
        return event.saleId

    def join_class(self):
        """The model's owner demands a surcharge that nobody can pay."""
        s = self.system
        rules = {"token": NATIVE, "floor": 2**95, "cap": 2**95, "deposit": 2**95}
        receipt = s.pricing.openClass(rules | {"target": 1, "period": 1}, sender=s.model_owner)
        (event,) = receipt.events.filter(s.pricing.ClassOpened)
        s.pricing.setClass(s.model_id, event.classId, sender=s.model_owner)

    def everybody_gets_out(self):
        """Whoever has anything gets it, although the power was used a moment ago."""
        s, number = self.system, self.provider.number
        first, second = self.jobs
        owner = s.staking.ownerOf(number)
        assert owner == self.provider.owner
        if s.staking.operatorOf(number) == self.provider.operator and (
            self.chain.pending_timestamp <= first.job["deadline"]
        ):
            s.answer(first, self.provider)
            assert s.state(first.id) == "Settled"
        else:
            self.refund(first)
        self.refund(second)
        s.router.claim(self.provider.offer, s.market, sender=self.stranger)
        s.router.collectFees(s.model_id, 1, sender=self.stranger)
        assert s.vault.locked(s.router, NATIVE) == 0

        s.vault.announceUndelay(NATIVE, ETHER, sender=self.requester)
        shares = s.staking.sharesOf(number, self.delegator)
        s.staking.startUndelegating(number, shares, sender=self.delegator)
        s.staking.startUnbonding(self.other.number, STAKE, sender=self.stranger)
        self.chain.pending_timestamp += 14 * DAY
        s.vault.undelay(NATIVE, sender=self.requester)
        s.staking.finishUndelegating(number, sender=self.delegator)
        s.staking.finishUnbonding(self.other.number, sender=self.stranger)
        for account, least in (
            (self.requester, ETHER),
            (self.delegator, STAKE),
            (self.stranger, STAKE),
        ):
            amount = s.free(account)
            assert amount >= least
            s.vault.withdraw(NATIVE, amount, account, sender=account)

    def refund(self, asked):
        """Refund a job once its deadline has passed."""
        after = asked.job["deadline"] + 1
        self.chain.pending_timestamp = max(after, self.chain.pending_timestamp)
        before = self.system.free(self.requester)
        self.system.router.refund(asked.id, asked.job, sender=self.stranger)
        assert self.system.free(self.requester) == before + asked.job["price"]


@pytest.fixture
def world(system, accounts, chain, provider):
    """Everybody has something at stake in every state."""
    return World(system, accounts, chain, provider)


def test_every_function__is_listed(project):
    listed = {
        f"{contract}.{name}" for contract, names in OWN_BUSINESS.items() for name in names.split()
    }
    listed |= (
        set(POWERS) | {f"ProtocolAccess.{name}" for name in MANAGER} | {"ProtocolAccess.multicall"}
    )

    found = {
        f"{name}.{method.name}"
        for name in PLAN
        for method in getattr(project, name).contract_type.mutable_methods
    }

    assert found == listed


@pytest.mark.parametrize("name", [name for name, act in POWERS.items() if act])
def test_power__moves_nobodys_money_and_everybody_gets_out(world, name):
    before = world.belongings()

    POWERS[name](world)

    assert world.belongings() == before
    world.everybody_gets_out()
