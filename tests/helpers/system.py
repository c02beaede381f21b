"""A deployed Lattice for tests and benchmarks: contracts, roles, and one-line versions of what users do.

Values travel as plain dictionaries with the names of the Solidity members, so a test reads like the interface.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any

import ape
from eth_account import Account
from eth_utils import keccak, to_checksum_address

from scripts._support.plan import PLAN, Settings

NATIVE = "0x0000000000000000000000000000000000000000"
ETHER = 10**18
ASK = 10**15
MODEL_PRICE = 2 * 10**14
ROYALTY_BPS = 1_000
FEE_BPS = 200
STAKE = ETHER // 10
OUTPUT = bytes(range(32))
INPUT = b"\xa1\x64file\x58\x19" + b"q" * 25  # a DAG-CBOR map of one byte string, 32 bytes

JOB_FIELDS = (
    *(
        "modelId",
        "version",
        "offerId",
        "provider",
        "units",
        "callbackGas",
        "exclusiveUntil",
        "deadline",
    ),
    *(
        "requester",
        "token",
        "price",
        "bond",
        "inputHash",
        "verifier",
        "secondVerifier",
        "resolution",
    ),
)

STATES = (
    "None",
    "Assigned",
    "Open",
    "Answered",
    "Settled",
    "SettledUndelivered",
    "Refunded",
    "Archived",
)


def compact(signed: Any) -> bytes:
    """A signature as ERC-2098 writes it: `r`, and `s` with the parity in its highest bit; 64 bytes."""
    return bytes(signed.r.to_bytes(32) + (signed.s | (signed.v - 27) << 255).to_bytes(32))


def plain(job: Any) -> dict[str, Any]:
    """The job of an event as a dictionary that can be passed back to a contract."""
    fields = dict(zip(JOB_FIELDS, job, strict=True))
    for name in ("requester", "token", "verifier", "secondVerifier", "resolution"):
        fields[name] = to_checksum_address(fields[name])
    return fields


@dataclass
class Provider:
    """A registered provider with its three accounts."""

    number: int
    owner: Any
    operator: Any
    payout: Any
    offer: int = 0


@dataclass
class Asked:
    """A job on chain, as its latest event told it."""

    id: int
    job: dict[str, Any]
    receipt: Any
    input: bytes = INPUT
    waiting: dict[str, Any] = field(default_factory=lambda: waiting(0, bytes(32)))
    """Since when it waits for its resolution, and the hash of its claim."""


def waiting(since: int, claim_hash: bytes) -> dict[str, Any]:
    """What a job that waits for its resolution is committed to beside its answer."""
    return {"since": since, "claimHash": claim_hash}


@dataclass
class System:
    """All contracts, and the model `model_id` registered by `model_owner`."""

    vault: Any
    registry: Any
    staking: Any
    router: Any
    verifier: Any
    access: Any
    signed: Any
    batches: Any
    cache: Any
    recurring: Any
    licences: Any
    lanes: Any
    reputation: Any
    pricing: Any
    deployer: Any
    treasury: Any
    model_owner: Any
    requester: Any
    model_id: bytes = b""
    market: dict[str, Any] = field(default_factory=dict)

    @property
    def market_id(self) -> bytes:
        """Identifier of the default market."""
        return self.router.marketIdOf(self.market)

    def state(self, job_id: int) -> str:
        """Name of a job's state."""
        return STATES[self.router.stateOf(job_id)]

    def free(self, account: Any, token: str = NATIVE) -> int:
        """Free money of an account in the Vault."""
        return self.vault.free(account, token)

    # --- setting up

    def register_model(
        self,
        owner: Any,
        digest: bytes,
        price: int = MODEL_PRICE,
        token: str = NATIVE,
        royalty_bps: int = ROYALTY_BPS,
        policy: tuple[str, str, str] | None = None,
    ) -> bytes:
        """Register a model; returns its identifier."""
        self.registry.register(
            "magika",
            version(digest),
            terms(owner, price, royalty_bps, token),
            self.policy_id(policy),
            sender=owner,
        )
        return self.registry.modelIdOf(owner, digest)

    def policy_id(self, policy: tuple[str, str, str] | None = None) -> bytes:
        """Identifier of a policy; by default the signature policy."""
        return self.registry.policyIdOf(*(policy or (self.verifier.address, NATIVE, NATIVE)))

    def market_of(
        self,
        model_id: bytes,
        version: int = 1,
        epoch: int = 1,
        token: str = NATIVE,
        policy: tuple[str, str, str] | None = None,
    ) -> dict[str, Any]:
        """A market; by default under the signature policy and in the native token."""
        first, second, resolution = policy or (self.verifier.address, NATIVE, NATIVE)
        return {
            "modelId": model_id,
            "version": version,
            "epoch": epoch,
            "token": token,
            "verifier": first,
            "secondVerifier": second,
            "resolution": resolution,
        }

    def provider(self, owner: Any, operator: Any, payout: Any, stake: int = STAKE) -> Provider:
        """Register a provider that stakes from the call's value."""
        receipt = self.staking.register(operator, payout, stake, value=stake, sender=owner)
        (event,) = receipt.events.filter(self.staking.ProviderRegistered)
        return Provider(event.event_arguments["provider"], owner, operator, payout)

    def open_offer(
        self, provider: Provider, market: dict[str, Any] | None = None, **changes: Any
    ) -> int:
        """Open an offer; returns its number and notes it on the provider."""
        receipt = self.router.openOffer(
            provider.number, market or self.market, offer_terms(**changes), sender=provider.owner
        )
        (event,) = receipt.events.filter(self.router.OfferOpened)
        provider.offer = event.offerId
        return event.offerId

    # --- the life of a job

    def asking(self, **changes: Any) -> dict[str, Any]:
        """What a requester asks for; ten minutes to answer."""
        asked = {
            "market": self.market,
            "offerId": 0,
            "units": 1,
            "callbackGas": 0,
            "deadline": ape.chain.pending_timestamp + 600,
            "maxPrice": ETHER,
            "input": INPUT,
        }
        return asked | changes

    def request(self, sender: Any = None, value: int = 0, **changes: Any) -> Asked:
        """Request and return the job."""
        asked = self.asking(**changes)
        receipt = self.router.request(asked, sender=sender or self.requester, value=value)
        (event,) = receipt.events.filter(self.router.InferenceRequested)
        return Asked(event.jobId, plain(event.job), receipt, asked["input"])

    def sign(self, asked: Asked, operator: Any, output: bytes = OUTPUT, units: int = 1) -> bytes:
        """The operator's signature of the answer: r ‖ s ‖ v."""
        digest = self.router.answerDigest(asked.id, asked.job, units, keccak(output))
        return bytes(Account.unsafe_sign_hash(digest, operator.private_key).signature)

    def answer(
        self,
        asked: Asked,
        provider: Provider,
        output: bytes = OUTPUT,
        units: int = 1,
        proofs: list[bytes] | None = None,
    ) -> Any:
        """Answer with the operator's signature; returns the receipt."""
        proofs = [self.sign(asked, provider.operator, output, units)] if proofs is None else proofs
        receipt = self.router.answer(
            asked.id, asked.job, units, output, proofs, sender=provider.operator
        )
        asked.waiting = waiting(receipt.timestamp, keccak(proofs[-1]))
        return receipt

    def settle(self, asked: Asked, sender: Any, output: bytes = OUTPUT, units: int = 1) -> Any:
        """Settle a job that waits for its resolution; returns the receipt."""
        return self.router.settle(asked.id, asked.job, units, asked.waiting, output, sender=sender)

    def sign_request(
        self,
        offer: int,
        signer: Any,
        requester: Any = None,
        market: dict[str, Any] | None = None,
        **changes: Any,
    ) -> dict[str, Any]:
        """A request for one unit that `signer` signed for `requester` (itself), and its answer, for SignedRequests."""
        answer = {
            "requester": (requester or signer).address,
            "units": 1,
            "charged": 1,
            "deadline": ape.chain.pending_timestamp + 600,
            "price": self.router.offer(offer).price,
            "nonce": 1,
            "inputHash": keccak(INPUT),
            "output": OUTPUT,
            "signature": b"",
        } | changes
        digest = self.signed.requestDigest(market or self.market, offer, answer)
        signature = Account.unsafe_sign_hash(digest, signer.private_key).signature
        return answer | {"signature": bytes(signature)}

    def take(self, asked: Asked, provider: Provider, value: int = 0) -> Asked:
        """Take a job over; returns it as it is now."""
        receipt = self.router.take(
            asked.id, asked.job, provider.offer, sender=provider.operator, value=value
        )
        (event,) = receipt.events.filter(self.router.InferenceTaken)
        return Asked(asked.id, plain(event.job), receipt, asked.input)

    def decline(self, asked: Asked, provider: Provider) -> Asked:
        """Decline a job; returns it as it is now."""
        receipt = self.router.decline(asked.id, asked.job, sender=provider.operator)
        (event,) = receipt.events.filter(self.router.InferenceDeclined)
        return Asked(asked.id, plain(event.job), receipt, asked.input)

    # --- the books

    def books(self, accounts: list[Any], token: str = NATIVE) -> SimpleNamespace:
        """What the Vault says it holds, in three ways that have to agree."""
        free = sum(self.free(account, token) for account in accounts)
        locked = sum(self.vault.locked(module, token) for module in (self.router, self.staking))
        return SimpleNamespace(
            free=free,
            locked=locked,
            accounted=self.vault.accounted(token),
            real=self.vault.balance if token == NATIVE else None,
        )


def begin(seconds: int) -> None:
    """Let the next block begin an interval of so many seconds. A test that counts by hours or days and begins anywhere
    fails whenever the clock happens to strike in it."""
    ape.chain.pending_timestamp += seconds - ape.chain.pending_timestamp % seconds


def drawn_tickets(job_id: int, tickets: list[int]) -> tuple[int, int]:
    """The two of a market's tickets that are drawn for a job. Only on Ape's chain: it finds a block's random number
    after it ran the transactions, which read zero."""
    drawn = keccak(bytes(32) + job_id.to_bytes(32))
    first, second = (
        tickets[int.from_bytes(half) % len(tickets)] for half in (drawn[:16], drawn[16:])
    )
    return first, second


def version(digest: bytes) -> dict[str, Any]:
    """A model version with nothing but what is required, and a size."""
    return {
        "digest": digest,
        "possessionRoot": b"\x01" * 32,
        "integerRoot": bytes(32),
        "manifestHash": b"\x02" * 32,
        "sizeBytes": 3_000_000,
        "format": b"onnx".ljust(16, b"\0"),
    }


def terms(
    receiver: Any, price: int = MODEL_PRICE, royalty_bps: int = ROYALTY_BPS, token: str = NATIVE
) -> dict[str, Any]:
    """Terms of a model."""
    return {"receiver": receiver, "price": price, "royaltyBps": royalty_bps, "token": token}


def offer_terms(**changes: Any) -> dict[str, Any]:
    """Terms of an offer that takes a hundred jobs of up to 2 KiB."""
    return {
        "ask": ASK,
        "capacity": 100,
        "inputUnits": 16,
        "minWindow": 60,
        "backend": "onnx",
    } | changes


def deploy_system(accounts: Any, project: Any, ring_bits: int = 14) -> System:
    """Deploy everything and register one model; the accounts are Ape test accounts."""
    deployer, treasury, model_owner, requester = (accounts[i] for i in range(4))
    chosen = Settings(treasury.address, deployer.address, FEE_BPS, ring_bits)
    contracts: dict[str, Any] = {}
    for name, arguments in PLAN.items():
        contracts[name] = deployer.deploy(getattr(project, name), *arguments(contracts, chosen))
    system = System(
        vault=contracts["Vault"],
        access=contracts["ProtocolAccess"],
        registry=contracts["ModelRegistry"],
        staking=contracts["ProviderStaking"],
        router=contracts["InferenceRouter"],
        verifier=contracts["SignatureVerifier"],
        signed=contracts["SignedRequests"],
        batches=contracts["Batches"],
        cache=contracts["ResultCache"],
        recurring=contracts["Recurring"],
        licences=contracts["Licences"],
        lanes=contracts["Lanes"],
        reputation=contracts["Reputation"],
        pricing=contracts["Pricing"],
        deployer=deployer,
        treasury=treasury,
        model_owner=model_owner,
        requester=requester,
    )
    system.model_id = system.register_model(model_owner, keccak(b"magika"))
    system.market = system.market_of(system.model_id)
    return system
