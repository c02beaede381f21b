"""Calls that share a transaction: how many fit, and which of them is to blame when they would fail together.

A transaction costs 21,000 gas before it does anything, and every call after the first finds warm what the first had to
load. So whatever is ready at the same time goes together. Nothing waits for company.
"""

from collections.abc import Iterable

from oracle.chain.listener import Head
from oracle.chain.outbox import Call, Outbox
from oracle.errors import Reverted, RpcRefused

MOST_BYTES = 65_536
"""Most calldata of one transaction; nodes take twice as much."""
MOST_CALL_GAS = 8_000_000
"""Most gas of the calls of one transaction, as reckoned here; half of what a transaction may use."""
MOST_COST_WEI = 5 * 10**17
"""Most that one transaction may offer for its gas; many nodes refuse more than twice as much."""
CALL_GAS = 120_000
GAS_PER_BYTE = 40
"""What a byte of calldata costs at most (EIP-7623)."""
CALL_BYTES = 900
"""Calldata of an answer without its output."""


def most_gas(outbox: Outbox, head: Head, balance_wei: int) -> int:
    """Return how much gas calls that share a transaction may need together.

    A node refuses a transaction that its sender could not pay for at the highest price that it offers.
    """
    cost_wei = min(balance_wei // 2, MOST_COST_WEI)
    block_gas = head.gas_limit // 4 or MOST_CALL_GAS
    return min(MOST_CALL_GAS, block_gas, cost_wei // max(outbox.fees().max_fee_wei, 1))


def groups(calls: Iterable[Call], most: int, most_gas: int) -> list[list[Call]]:
    """Return the calls in groups that fit into one transaction each, in order.

    Args:
        calls: Of one contract.
        most: Most calls in a group.
        most_gas: Most gas of a group; a call that needs more is alone in its own.
    """
    found: list[list[Call]] = []
    gas = size = 0
    for call in calls:
        call_size = CALL_BYTES + sum(len(a) for a in call.arguments if isinstance(a, bytes))
        call_gas = CALL_GAS + call.callback_gas + GAS_PER_BYTE * call_size
        full = gas + call_gas > most_gas or size + call_size > MOST_BYTES
        if not found or full or len(found[-1]) >= most:
            found.append([])
            gas = size = 0
        found[-1].append(call)
        gas, size = gas + call_gas, size + call_size
    return found


def _add_halves(outbox: Outbox, calls: list[Call]) -> dict[str, Reverted]:
    half = len(calls) // 2
    refused: dict[str, Reverted] = {}
    problem: RpcRefused | None = None
    for part in (calls[:half], calls[half:]):
        try:
            refused |= add_together(outbox, part)
        except RpcRefused as error:
            problem = error
    if problem is not None:
        raise problem
    return refused


def add_together(outbox: Outbox, calls: list[Call]) -> dict[str, Reverted]:
    """Queue calls in one transaction. Returns, by purpose, why calls would fail; all others are queued.

    When they would fail together, each is asked for alone; those that fail are left out. Should the rest still fail, it
    is queued one by one. What the node refuses, because it is too large or for one of them, is halved.

    Raises:
        As `Outbox.add`. Some of the calls may be queued then: `Outbox.has` knows.
    """
    try:
        outbox.add(*calls)
        return {}
    except Reverted as error:
        if len(calls) == 1:
            return {calls[0].purpose: error}
    except RpcRefused:
        if len(calls) == 1:
            raise
        return _add_halves(outbox, calls)
    refused: dict[str, Reverted] = {}
    for call in calls:
        if reason := outbox.why_not(call):
            refused[call.purpose] = reason
    rest = [call for call in calls if call.purpose not in refused]
    for group in [rest] if refused and rest else [[call] for call in rest]:
        refused |= add_together(outbox, group)
    return refused
