"""Keeper: refunds, claims, and leaves alone what costs more than it brings in.

tick
├── when a refund costs more gas than it brings back
│   └── it is left, unless told to
├── when a job of somebody else ran out
│   └── it is left, unless told to refund any
├── when earnings are below the gas of claiming them
│   └── they are left, unless told to
├── when it is worth it
│   └── it is done once
├── when jobs ended long ago
│   └── they are not read again, and what their offer earns later is claimed
├── when a job is settled long after its deadline
│   └── what it earned is claimed
└── when the model has other terms since the offer was opened
    └── the earnings are claimed all the same, and no history is read for it
"""

import pytest
from fault_proxy import FaultProxy
from live_chain import ASSIGNED, ETHER, NATIVE, PRICE, REFUNDED

from oracle.services.keeper import LATE_BLOCKS


def expired(node, market, chain):
    """A job that nobody answered until its deadline."""
    job_id = market.request(window_s=650)
    node.parts.listener.tick()
    node.parts.store.move(job_id, "dead", "for the test")
    chain("evm_increaseTime", 700)
    chain.mine()
    return job_id


SELDOM = {"keeper.every_s": 3600.0}
"""It looks when `keep` says so, and not whenever a busy machine has let a tenth of a second pass."""


def keep(node):
    node.parts.provider._keeper._looked_at = float("-inf")
    node.tick()


def gas_costs(chain, wei):
    """Let the next block's base fee be `wei`, and the one after too, nearly."""
    chain("anvil_setNextBlockBaseFeePerGas", hex(wei))
    chain.mine()


@pytest.mark.parametrize(("always", "state"), [(False, ASSIGNED), (True, REFUNDED)])
def test_tick__when_a_refund_costs_more_than_it_brings__is_left_unless_told(
    always, state, provider, market, chain
):
    provider.open(**SELDOM, **{"keeper.requesters": [market.requester], "keeper.always": always})
    job_id = expired(provider, market, chain)
    gas_costs(chain, 20 * 10**9)

    keep(provider)

    assert market.state(job_id) == state


@pytest.mark.parametrize(
    ("which", "state"), [("own", ASSIGNED), ("any", REFUNDED), ("none", ASSIGNED)]
)
def test_tick__when_the_job_is_somebody_elses__is_left_unless_told(
    which, state, provider, market, chain
):
    provider.open(**SELDOM, **{"keeper.refund": which})
    job_id = expired(provider, market, chain)

    keep(provider)

    assert market.state(job_id) == state


def test_tick__refunds_own_requests_once(provider, market, chain):
    provider.open(**SELDOM, **{"keeper.requesters": [market.requester.lower()]})
    job_id = expired(provider, market, chain)

    for _ in range(3):
        keep(provider)

    assert market.state(job_id) == REFUNDED
    assert [word for word, _, _ in provider.rows()] == ["refund"]


@pytest.mark.parametrize(("always", "left"), [(False, PRICE), (True, 0)])
def test_tick__when_earnings_are_below_the_gas__leaves_them_unless_told(
    always, left, provider, market, chain
):
    provider.open(
        **SELDOM, **{"keeper.claim": True, "keeper.always": always, "limits.price_to_gas": 0.0}
    )
    provider.tick_until(market.request(), "mined", "final")
    gas_costs(chain, 20 * 10**9)

    keep(provider)

    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == left


def test_tick__claims_what_is_worth_it_each_time(provider, market, chain):
    gas_costs(chain, 10**9)
    provider.open(**SELDOM, **{"keeper.claim": True, "limits.price_to_gas": 0.0})
    for _ in range(2):
        provider.tick_until(market.request(), "mined", "final")
        gas_costs(chain, 10**9)
        for _ in range(4):
            keep(provider)
            chain.mine()

    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == 0
    assert [word for word, _, _ in provider.rows()] == ["answer", "claim", "answer", "claim"]
    assert chain.read("Vault", "free", chain.accounts[3], "0x" + "00" * 20) > PRICE
    assert chain.read("Vault", "free", chain.accounts[3], "0x" + "00" * 20) < ETHER


def test_tick__when_old_jobs_are_not_read_again__claims_what_their_offer_earns(
    provider, market, chain
):
    gas_costs(chain, 10**9)
    provider.open(**SELDOM, **{"keeper.claim": True, "limits.price_to_gas": 0.0})
    provider.tick_until(market.request(), "mined", "final")
    keep(provider)
    chain("anvil_mine", hex(LATE_BLOCKS + 1))
    keep(provider)  # it still looks at what may have been settled since the look before
    read = []
    real = provider.parts.store.read

    def spy(sql, values=()):
        rows = real(sql, values)
        read.extend(row for row in rows if "offer_id" in row.keys())  # noqa: SIM118  # a Row
        return rows

    provider.parts.store.read = spy
    for _ in range(4):
        keep(provider)
        chain.mine()
    assert read == []

    provider.tick_until(market.request(), "mined", "final")
    gas_costs(chain, 10**9)
    for _ in range(4):
        keep(provider)
        chain.mine()

    assert [row["offer_id"] for row in read] == [provider.offer] * len(read)
    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == 0


def test_tick__when_a_job_is_settled_long_after_its_deadline__claims_what_it_earned(
    provider, market, chain
):
    """As under a resolution, whose window may be days long."""
    gas_costs(chain, 10**9)
    provider.open(**SELDOM, **{"keeper.claim": True, "limits.price_to_gas": 0.0})
    keep(provider)  # nothing was earned before the first look
    provider.tick_until(market.request(), "mined", "final")
    provider.parts.store.write("UPDATE jobs SET deadline_s = 1")
    gas_costs(chain, 10**9)
    for _ in range(4):
        keep(provider)
        chain.mine()

    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == 0


def test_tick__when_the_model_has_new_terms__claims_and_reads_no_history(provider, market, chain):
    gas_costs(chain, 10**9)
    with FaultProxy(chain.url) as proxy:
        settings = {"chain.rpc_urls": [proxy.url], "limits.price_to_gas": 0.0}
        provider.open(**SELDOM, **settings, **{"keeper.claim": True})
        proxy.calls.clear()
        provider.tick_until(market.request(), "mined", "final")
        owner = chain.accounts[1]
        terms = {"receiver": owner, "price": 7, "royaltyBps": 0, "token": NATIVE}
        model_id = market.market["modelId"]
        for _ in range(2):
            chain.send("ModelRegistry", "openTerms", model_id, terms, sender=owner)
        gas_costs(chain, 10**9)
        for _ in range(4):
            keep(provider)
            chain.mine()

        asked = [params[0] for _, method, params in proxy.calls if method == "eth_getLogs"]
        assert [wanted for wanted in asked if "fromBlock" in wanted] == []
    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == 0
