"""A provider dies before every single thing that leaves a trace: each commit, and each call to the chain.

Here a death is an exception that nothing catches, and the loss of what was not committed; that of a real process is in
`test_fault_01_to_06_crashes.py`. Between two such things nothing happens that another process could find.

whenever it dies, and is started again
├── while it answers: the job is settled, by one transaction
├── while it declines: the job is open to others
├── while a transaction is replaced by a dearer one: the job is settled, by one transaction
└── while an answer is withdrawn, because its request vanished: the nonce is used up by nothing
"""

import itertools

import pytest
from fault_steps import check_books, finish
from live_chain import OPEN, SETTLED, Node

from oracle.chain.rpc import Endpoint
from oracle.chain.store import Store


class Died(BaseException):
    """Stands for `kill -9`."""


class Fate:
    """Counts what leaves a trace, and ends it before the one with the number `at`."""

    def __init__(self, monkeypatch, changes):
        self.at = self.count = 0
        self.armed = self.died = False
        self.changes = changes
        post, commit = Endpoint.post, Store.commit

        def fateful_post(endpoint, *call):
            self.step()
            return post(endpoint, *call)

        def fateful_commit(store):
            if store.open_for_ms:
                self.step()
            commit(store)

        monkeypatch.setattr(Endpoint, "post", fateful_post)
        monkeypatch.setattr(Store, "commit", fateful_commit)

    def step(self):
        if self.armed:
            self.count += 1
            if self.count == self.at:
                raise Died

    def tick(self, node):
        """Tick once; if it dies of that, start it again and let it tick."""
        self.armed = True
        try:
            node.parts.provider.tick()
        except Died:
            self.armed, self.died = False, True
            node.crash().open(**self.changes).parts.provider.tick()
        self.armed = False
        node.chain.settle()


def answer(fate, node, market, chain):
    for _ in range(4):
        fate.tick(node)
        chain.mine()


def decline(fate, node, market, chain):
    answer(fate, node, market, chain)


def replace(fate, node, market, chain):
    chain("evm_setAutomine", False)
    for _ in range(3):
        fate.tick(node)
        price = int(chain("eth_getBlockByNumber", "latest", False)["baseFeePerGas"], 16)
        for _ in range(2):  # what was sent is too cheap for these
            chain("anvil_setNextBlockBaseFeePerGas", hex(3 * price))
            chain.mine()
    chain("evm_setAutomine", True)
    answer(fate, node, market, chain)


def withdraw(fate, node, market, chain):
    chain("evm_setAutomine", False)
    fate.tick(node)
    chain("anvil_dropAllTransactions")
    chain.reorg(1)
    for _ in range(5):
        fate.tick(node)
        chain.mine()


WAYS = {
    answer: ({}, SETTLED, "final"),
    decline: ({"limits.max_input_bytes": 1}, OPEN, "declined"),
    replace: ({"limits.price_to_gas": 0.0}, SETTLED, "final"),
    withdraw: ({"chain.confirmations": 5}, 0, "undone"),
}


@pytest.mark.timeout(1200)
@pytest.mark.parametrize(
    "way",
    [
        answer,
        *(pytest.param(way, marks=pytest.mark.extended) for way in (decline, replace, withdraw)),
    ],
    ids=lambda way: way.__name__,
)
def test_fault_01_dies_before_any_step__is_as_if_it_had_not(
    way, provider, market, chain, tmp_path, monkeypatch
):
    changes, on_chain, state = WAYS[way]
    fate = Fate(monkeypatch, changes)
    base_fee = chain("eth_getBlockByNumber", "pending", False)["baseFeePerGas"]
    for at in itertools.count(1):
        before = chain("evm_snapshot")
        home = tmp_path / f"home-{at}"
        node = Node(chain, home, provider.number, provider.offer, provider.signer, provider.key)
        node.open(**changes)
        job_id = market.request(offer=node.offer)
        fate.at, fate.count, fate.died = at, 0, False
        way(fate, node, market, chain)

        chain("evm_setAutomine", True)
        finish(node, market)
        for _ in range(4):
            chain.mine()
            node.tick()
        check_books(node, market)

        assert market.state(job_id) == on_chain, (at, node.rows(), node.job(job_id).reason)
        assert node.state(job_id) in (state, None) if on_chain == 0 else node.state(job_id) == state
        assert node.worker.inferred in ([], [job_id], [job_id, job_id])
        live = [row for row in node.rows() if row[2] == "final"]
        assert len(live) == (on_chain != 0), node.rows()
        node.parts.store.close()
        chain("evm_revert", before)
        chain("anvil_setNextBlockBaseFeePerGas", base_fee)  # the snapshot does not hold it
        if not fate.died:
            break
    assert at > 20
    print(f"{way.__name__}: died before each of {at - 1} steps")
