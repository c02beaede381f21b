"""Figures of a provider on which alerts rely: each says what docs/operators.md says, and falls back when it is over.

figures
├── those of the design have its names and labels
├── events: read, read again, undone by a reorg
├── tx_oldest_unconfirmed_seconds
│   ├── counts from when the transaction was made, not from when its job last changed
│   ├── counts transactions without a job, too
│   └── after five minutes /readyz says so
├── nonce_gap
│   ├── of a key that replaced another, or whose nonces were used elsewhere: 0 once that is mined
│   └── of a gap below what waits: its size
├── tx_reverts: by the name of the error
├── lost_jobs: by the chain's clock
├── stake_at_risk_wei: the provider's stake
├── rpc_in_sync: 0 of an endpoint that is away, on another branch, or of another chain
└── chain_lag_blocks: grows while events cannot be read
"""

import re
import time

import pytest
from eth_account import Account
from fault_proxy import FaultProxy, lose_request, other_branch, refuse, wrong_chain
from fault_steps import wait_for
from live_chain import ETHER

from oracle.keys import KeySigner
from oracle.server import health
from oracle.server.health import Pulse

DESIGN = {
    "chain_head": set(),
    "chain_lag_blocks": set(),
    "reorg_depth_bucket": {"le"},
    "reorgs_total": set(),
    "events_seen": set(),
    "events_duplicate": set(),
    "events_undone": set(),
    "jobs": {"state"},
    "inference_seconds_bucket": {"le"},
    "queue_wait_seconds_bucket": {"le"},
    "tx_inflight": set(),
    "tx_bumps_total": set(),
    "tx_oldest_unconfirmed_seconds": set(),
    "nonce_gap": set(),
    "tx_reverts": {"reason", "purpose"},
    "rpc_errors": {"node", "class"},
    "rpc_disagreements": set(),
    "wallet_balance_wei": set(),
    "stake_at_risk_wei": set(),
    "deadline_misses": set(),
    "paid_wei": set(),
    "lost_jobs": set(),
    "double_pay_reverts": set(),
}


def page(node):
    """The figures: values by labels, by name without its prefix."""
    node.parts.store.commit()
    found = {}
    for row in node.parts.provider.metrics.page().splitlines():
        if not row.startswith("#"):
            name, labels, value = re.fullmatch(r"lattice_(\w+)(\{.*\})? (\S+)", row).groups()
            found.setdefault(name, {})[labels or ""] = float(value)
    return found


def figure(node, name):
    (value,) = page(node)[name].values()
    return value


def labels(text):
    return set(re.findall(r"(\w+)=", text))


@pytest.fixture
def stuck(provider, market, chain):
    """A provider whose answer was sent, and is not mined."""
    provider.open()
    provider.job_id = market.request()
    chain("evm_setAutomine", False)
    provider.tick()
    assert provider.rows() == [("answer", 0, "sent")]
    return provider


def revert(node, market, chain):
    """Let the answer of `stuck` come too late, and see it fail."""
    chain("evm_increaseTime", 4000)
    wait_for(lambda: chain.mine() or (node.tick() and node.rows() == [("answer", 0, "reverted")]))


def test_figures__have_the_names_and_labels_of_the_design(stuck, market, chain):
    revert(stuck, market, chain)
    stuck.parts.listener._rpc.errors["http://127.0.0.1:9", "RpcUnreachable"] += 1

    found = page(stuck)

    shown = {name: set().union(*map(labels, found[name])) for name in DESIGN if name in found}
    assert shown == DESIGN


def test_events__are_counted_when_read_read_again_and_undone(provider, market, chain):
    provider.open(**{"chain.confirmations": 5})
    listener = provider.parts.listener
    market.request()
    wait_for(lambda: listener.tick() and figure(provider, "events_seen") == 1)
    assert figure(provider, "events_duplicate") == 0

    listener._rescanned_at = float("-inf")
    chain.mine()
    wait_for(lambda: listener.tick() and figure(provider, "events_seen") == 2)
    assert figure(provider, "events_duplicate") == 1

    chain.reorg(2)
    wait_for(lambda: listener.tick() and figure(provider, "events_undone") == 1)


def test_oldest_unconfirmed__counts_from_when_the_transaction_was_made(stuck, chain, monkeypatch):
    stuck.parts.store.write("UPDATE jobs SET changed_at_ms = 0")  # as that of an old job to refund
    look_again(stuck)
    assert figure(stuck, "tx_oldest_unconfirmed_seconds") < 200

    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 1000)
    assert 1000 <= figure(stuck, "tx_oldest_unconfirmed_seconds") < 1200
    monkeypatch.undo()

    chain("evm_setAutomine", True)
    wait_for(
        lambda: (
            chain.mine() or look_again(stuck) or figure(stuck, "tx_oldest_unconfirmed_seconds") == 0
        )
    )


def look_again(node):
    """Let the loop look at every row, whether or not there is a new block, and note how it goes."""
    node.parts.provider._submitter._looked_at = ("", 0.0)
    node.parts.provider._listened_at = float("-inf")
    node.parts.provider.step()


def test_oldest_unconfirmed__of_what_has_no_job__counts_too(provider, chain, monkeypatch):
    provider.open()
    provider.tick()
    chain("evm_setAutomine", False)
    provider.parts.outbox.fill(0)
    look_again(provider)

    real = time.monotonic
    monkeypatch.setattr(time, "monotonic", lambda: real() + 1000)

    assert figure(provider, "tx_oldest_unconfirmed_seconds") >= 1000


def test_not_ready__when_a_transaction_waits_for_long__says_it(monkeypatch):
    pulse = Pulse(1e9, started=True, endpoints=1, endpoints_in_sync=1)
    pulse.tx_waits_since = time.monotonic() - health.STUCK_AFTER_S + 60
    assert pulse.not_ready() == []

    pulse.tx_waits_since -= 60

    (said,) = pulse.not_ready()
    assert said.startswith("a transaction has waited for 300 s to be mined")


def test_nonce_gap__after_the_key_was_replaced__is_none(provider, market, chain):
    provider.open()
    for _ in range(2):
        provider.tick_until(market.request(), "mined")
        chain.mine(3)
    account = Account.create()
    chain("anvil_setBalance", account.address, hex(ETHER))
    owner = chain.accounts[3]
    chain.send("ProviderStaking", "setOperator", provider.number, account.address, sender=owner)
    provider.crash()
    provider.signer, provider.key = KeySigner(account), account.key.to_0x_hex()
    provider.worker.signer = provider.signer
    chain("anvil_setNonce", account.address, hex(7))
    provider.open()

    provider.tick_until(market.request(), "mined")

    assert [row[1] for row in provider.rows()] == [0, 1, 7]
    assert figure(provider, "nonce_gap") == 0


def test_nonce_gap__when_a_nonce_was_used_elsewhere__is_none_once_ours_is_mined(
    provider, market, chain
):
    provider.open()
    provider.tick_until(market.request(), "mined")
    chain("anvil_setNonce", provider.signer.address, hex(3))

    provider.tick_until(market.request(), "mined")

    assert [row[1] for row in provider.rows()] == [0, 3]
    assert figure(provider, "nonce_gap") == 0


def test_nonce_gap__below_what_waits__is_its_size(provider, chain):
    provider.open()
    for nonce in (0, 3):
        provider.parts.outbox.fill(nonce)

    assert figure(provider, "nonce_gap") == 2


def test_tx_reverts__are_counted_by_the_name_of_the_error(stuck, market, chain):
    revert(stuck, market, chain)

    assert page(stuck)["tx_reverts"] == {'{purpose="answer",reason="RouterTooLate"}': 1}


def test_lost_jobs__when_the_machines_clock_is_ahead__go_by_the_chains(
    provider, market, chain, monkeypatch
):
    provider.open(**{"limits.max_input_bytes": 1})
    job_id = market.request()
    chain("evm_increaseTime", 1200)  # too late to decline
    chain.mine()
    provider.tick_until(job_id, "dead")
    provider.parts.provider.step()
    assert figure(provider, "lost_jobs") == 0

    chain("evm_increaseTime", 4000)
    chain.mine()
    wait_for(lambda: look_again(provider) or figure(provider, "lost_jobs") == 1)


def test_stake_at_risk__is_the_providers_stake(provider, chain):
    provider.open().tick()

    assert figure(provider, "stake_at_risk_wei") == ETHER


def test_chain_lag__grows_while_events_cannot_be_read(provider, market, chain):
    with FaultProxy(chain.url) as proxy:
        provider.open(**{"chain.rpc_urls": [proxy.url]}).tick()
        assert figure(provider, "chain_lag_blocks") == 0
        proxy.add(refuse(-32000, "not now"), "eth_getLogs")
        chain.mine(12)

        wait_for(lambda: look_again(provider) or figure(provider, "chain_lag_blocks") == 12)


@pytest.mark.parametrize("fault", [lose_request, other_branch, wrong_chain(5)])
def test_rpc_in_sync__of_an_endpoint_that_is_of_no_use__is_0(fault, provider, market, chain):
    with FaultProxy(chain.url) as one, FaultProxy(chain.url) as two:
        one.add(fault)
        provider.open(**{"chain.rpc_urls": [one.url, two.url, chain.url]})
        provider.tick_until(market.request(), "mined")

        found = page(provider)["rpc_in_sync"]

    assert {labels: value for labels, value in found.items() if one.url in labels} == {
        f'{{node="{one.url}"}}': 0
    }
    assert sorted(found.values()) == [0, 1, 1]
