"""Many requests at once.

run
└── when 300 requests wait and nobody reads what the process says
    └── all are answered, once each
"""

import pytest
from fault_steps import XOR_INPUT, finish_process, serving, table, wait_for
from live_chain import SETTLED

BURST = 300


@pytest.mark.extended
def test_run__when_300_requests_wait_and_nobody_reads_its_log__all_are_answered(
    provider, market, chain, xor
):
    call = market.call(XOR_INPUT)
    chain("evm_setAutomine", False)
    for _ in range(BURST):
        chain("eth_sendTransaction", call)
    while int(chain("txpool_status")["pending"], 16):
        chain.mine()
    chain("evm_setAutomine", True)
    assert chain.read("InferenceRouter", "lastJobId") == BURST

    process = provider.run(**serving(xor))  # its log goes into a pipe that nobody empties
    sent = "SELECT job_id FROM jobs WHERE sent_at_ms IS NOT NULL"
    wait_for(lambda: len(table(provider, sent)) == BURST, 240)
    log = finish_process(provider, market, process)

    assert {market.state(job) for job in range(1, BURST + 1)} == {SETTLED}
    assert len(table(provider, "SELECT 1 FROM parts")) == BURST
    written = (provider.home / "logs/provider.log").read_text()
    assert len(log) < len(written)
