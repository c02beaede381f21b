"""Gas of signed requests, batches, and jobs under a resolution. Part of bench_gas.py, which runs it.

Each figure "each" is a whole transaction divided by its items; what many items share is in it.
"""

from __future__ import annotations

from typing import Any

import ape
from eth_account import Account
from eth_utils import keccak
from gas_system import Bench, dense  # puts the helpers on the path
from system import ETHER, NATIVE, Asked, Provider, compact, waiting

from offchain_worker import batch_tree

BATCH = 50
SIGNED = 100
WINDOW = 3_600
"""The challenge window of MockResolution, in seconds. Nobody challenges."""
BATCH_FIELDS = (
    *("market", "offerId", "provider", "count"),
    *("deadline", "requester", "price", "inputsRoot"),
)


def measure_modules(bench: Bench) -> None:
    """Measure all rows."""
    SignedRows(bench).measure()
    measure_cache(bench)
    ResolutionRows(bench).measure()


def measure_cache(bench: Bench) -> None:
    """One row: a hit for a result of a named provider; the asker and the offer have met before."""
    s = bench.system
    s.vault.allowModule(s.cache, True, sender=s.requester)
    asked, output = bench.asked(run=77), dense(32, 177)
    provider = Provider(asked.job["provider"], None, bench.operator, None)
    s.answer(asked, provider, output=output, proofs=[b""])
    s.cache.store(asked.id, asked.job, 1, 1, output, sender=bench.stranger)
    query = {
        "market": s.market,
        "units": 1,
        "inputHash": asked.job["inputHash"],
        "provider": asked.job["provider"],
    }
    bench.measure(
        "cache_hit", lambda _: s.cache.hit(query, ETHER, output, sender=s.requester), runs=5
    )


class SignedRows:
    """Signed requests: one, many of one requester, many requesters."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.system = bench, bench.system
        operator = bench.operator
        owner = ape.accounts.test_accounts[6]
        self.provider = self.system.provider(owner, operator, owner)
        self.offer = self.system.open_offer(self.provider)
        self.keys = [Account.from_key(keccak(b"signer %d" % i)) for i in range(BATCH)]
        self.nonces = [0] * BATCH
        for key in self.keys:
            self._prepare(key)

    def _prepare(self, key: Any) -> None:
        """Give an account delayed money and let it opt in: what it does once before it ever signs."""
        chain, vault = ape.networks.active_provider, self.system.vault
        self.bench.send(vault.deposit, key.address, NATIVE, 10 * ETHER, value=10 * ETHER)
        self.bench.send_value(key.address, ETHER)
        for call in (
            vault.delay.encode_input(NATIVE, 9 * ETHER),
            vault.allowModule.encode_input(self.system.signed, True),
        ):
            nonce = chain.web3.eth.get_transaction_count(key.address, "pending")
            tx = {
                "to": vault.address,
                "data": call,
                "gas": 200_000,
                "gasPrice": 10**10,
                "nonce": nonce,
                "chainId": chain.chain_id,
            }
            chain.web3.eth.send_raw_transaction(key.sign_transaction(tx).raw_transaction)

    def _answer(self, index: int) -> dict[str, Any]:
        self.nonces[index] += 1
        price = self.system.router.offer(self.offer).price
        asked = {
            "requester": self.keys[index].address,
            "units": 1,
            "charged": 1,
            "deadline": ape.chain.pending_timestamp + 600,
            "price": price,
            "nonce": self.nonces[index],
            "inputHash": keccak(b"%d %d" % (index, self.nonces[index])),
            "output": dense(32, self.nonces[index]),
            "signature": b"",
        }
        digest = self.system.signed.requestDigest(self.system.market, self.offer, asked)
        asked["signature"] = compact(self.keys[index].unsafe_sign_hash(digest))
        return asked

    def _settle(self, indices: list[int]) -> Any:
        answers = [self._answer(index) for index in indices]
        return self.system.signed.settle(
            self.system.market, self.offer, answers, sender=self.bench.operator
        )

    def measure(self) -> None:
        """Three rows; every signer has settled once before."""
        self._settle(list(range(BATCH)))
        self.bench.measure("signed_1", lambda run: self._settle([0]), runs=5)
        self.bench.measure(
            f"signed_{SIGNED}_one", lambda run: self._settle([0] * SIGNED), each=SIGNED, runs=2
        )
        self.bench.measure(
            f"signed_{BATCH}_distinct",
            lambda run: self._settle(list(range(BATCH))),
            each=BATCH,
            runs=2,
        )


class ResolutionRows:
    """Jobs and batches whose outcome a resolution decides."""

    def __init__(self, bench: Bench) -> None:
        self.bench, self.system = bench, bench.system
        s, stranger = self.system, bench.stranger
        self.resolution = stranger.deploy(ape.project.MockResolution)
        policy = (s.verifier.address, NATIVE, self.resolution.address)
        s.registry.allowPolicy(s.model_id, s.policy_id(policy), True, sender=s.model_owner)
        self.market = s.market_of(s.model_id, policy=policy)
        owner = ape.accounts.test_accounts[6]
        self.provider = s.provider(owner, bench.operator, owner)
        self.offer = s.open_offer(self.provider, self.market)
        s.vault.allowModule(s.batches, True, sender=s.requester)

    def _asked(self, run: int) -> Asked:
        return self.system.request(market=self.market, input=dense(32, run + 50))

    def _asked_by_contract(self, run: int) -> Asked:
        return self.bench.asked_by_contract(run, market=self.market)

    def _answered(self, asked: Asked, run: int) -> tuple[bytes, Any]:
        """Answer one job and let its window pass; returns the output and the receipt."""
        output, proofs = dense(32, run), [b"", dense(32, run)]
        receipt = self.system.answer(asked, self.provider, output=output, proofs=proofs)
        ape.chain.pending_timestamp += WINDOW + 2
        return output, receipt

    def _settled(self, asked: Asked, run: int) -> Any:
        output, _ = self._answered(asked, run)
        return self.system.settle(asked, self.bench.stranger, output)

    def _answered_and_settled(self, asked: Asked, run: int) -> int:
        """Gas of both transactions."""
        output, answered = self._answered(asked, run)
        settled = self.system.settle(asked, self.bench.stranger, output)
        return int(answered.gas_used + settled.gas_used)

    def _settled_many(self, run: int) -> Any:
        router = self.system.router
        calls = []
        for number in range(run * BATCH, (run + 1) * BATCH):
            asked = self._asked(number)
            output, _ = self._answered(asked, number)
            calls.append(router.settle.encode_input(asked.id, asked.job, 1, asked.waiting, output))
        return router.multicall(calls, sender=self.bench.stranger)

    def _batch(self, run: int) -> int:
        """Gas of a batch's three transactions."""
        s, stranger = self.system, self.bench.stranger
        inputs = [dense(32, run * BATCH + i) for i in range(BATCH)]
        outputs = [dense(32, run * BATCH + i + 7_000) for i in range(BATCH)]
        deadline = ape.chain.pending_timestamp + 600
        first = s.batches.request(
            self.market,
            self.offer,
            deadline,
            100 * ETHER,
            batch_tree.pack(inputs),
            sender=s.requester,
        )
        (event,) = first.events.filter(s.batches.BatchRequested)
        batch, root = dict(zip(BATCH_FIELDS, event.batch, strict=True)), batch_tree.root(outputs)
        digest = s.batches.answerDigest(event.batchId, batch, root)
        signature = Account.unsafe_sign_hash(digest, self.bench.operator.private_key).signature
        second = s.batches.answer(
            event.batchId,
            batch,
            batch_tree.pack(outputs),
            [bytes(signature), dense(32, run)],
            sender=self.bench.operator,
        )
        since = waiting(second.timestamp, keccak(dense(32, run)))
        ape.chain.pending_timestamp += WINDOW + 2
        third = s.batches.settle(event.batchId, batch, root, since, sender=stranger)
        return int(first.gas_used + second.gas_used + third.gas_used)

    def measure(self) -> None:
        """Settle alone and by fifty, the parts of a job's optimistic life, a batch of fifty."""
        measure = self.bench.measure
        measure("settle", lambda run: self._settled(self._asked(run), run), runs=5)
        measure("request_optimistic", lambda run: self._asked(run).receipt)
        measure("request_optimistic_contract", lambda run: self._asked_by_contract(run).receipt)
        measure(
            "answer_settle_callback",
            lambda run: self._answered_and_settled(self._asked_by_contract(run), run),
        )
        measure(f"settle_{BATCH}", self._settled_many, each=BATCH, runs=2)
        measure(f"batch_{BATCH}", self._batch, each=BATCH, runs=3)
