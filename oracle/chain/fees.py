"""What a transaction offers for its gas (EIP-1559), and how much more when it has to be replaced."""

from dataclasses import dataclass
from typing import Any

from oracle.chain.rpc import Rpc
from oracle.errors import RpcRefused

BUMP_PERCENT = 15
"""By how much a replacement raises both caps; nodes ask for at least 10."""
LEAST_TIP_WEI = 1_000_000
BLOCKS_LOOKED_AT = 5


@dataclass(frozen=True, slots=True)
class Fees:
    """Most per gas in all, and most of it for the block's producer, in wei."""

    max_fee_wei: int
    tip_wei: int


def suggest(rpc: Rpc, base_fee_wei: int, cap_wei: int) -> Fees:
    """Return fees for the next blocks: twice the base fee plus the median tip of 5 blocks, at most `cap_wei`.

    The tip is what we pay whatever the base fee is. So where a quorum decides about money, no single endpoint names it.
    """
    try:
        histories = rpc.ask_all("eth_feeHistory", hex(BLOCKS_LOOKED_AT), "latest", [50])
    except RpcRefused:  # not every chain has it
        histories = []
    tip_wei = max(_middle([_tip(history) for history in histories]), LEAST_TIP_WEI)
    max_fee_wei = min(2 * base_fee_wei + tip_wei, cap_wei)
    return Fees(max_fee_wei, min(tip_wei, max_fee_wei))


def raised(last: Fees, now: Fees, cap_wei: int) -> Fees | None:
    """Return fees for a replacement, at least 15 % above `last` in both parts, or None when that is above `cap_wei`."""
    max_fee_wei = max(_bumped(last.max_fee_wei), now.max_fee_wei)
    tip_wei = max(_bumped(last.tip_wei), now.tip_wei)
    return Fees(max_fee_wei, min(tip_wei, max_fee_wei)) if max_fee_wei <= cap_wei else None


def _tip(history: dict[str, Any]) -> int:
    """Median tip of the blocks of one endpoint's history, in wei; 0 where it makes no sense."""
    try:
        return _middle([int(reward[0], 16) for reward in history.get("reward") or []])
    except (TypeError, ValueError, IndexError):
        return 0


def _middle(values: list[int]) -> int:
    return sorted(values)[(len(values) - 1) // 2] if values else 0


def _bumped(wei: int) -> int:
    """`wei` raised by 15 %, rounded up."""
    return -(-wei * (100 + BUMP_PERCENT) // 100)
