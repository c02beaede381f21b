"""What IPFSIncentives.sol decides, calculated off chain exactly as there. Integers only; all rounds down."""

from eth_abi.abi import encode
from eth_utils.crypto import keccak

GIB = 1 << 30
DAY_S = 86_400
MAX_MISSED = 3


def pay_of(rate_wei: int, size_bytes: int, period_s: int) -> int:
    """Pay per answered challenge in wei, for a rate in wei per GiB and day."""
    return rate_wei * size_bytes * period_s // (GIB * DAY_S)


def bond_left(bond_wei: int, missed: int) -> int:
    """What is left of a bond after so many misses, in wei."""
    if missed < 2:
        return bond_wei
    return bond_wei - bond_wei // 2 if missed == 2 else 0


def owed(
    pay_wei: int,
    bond_wei: int,
    *,
    proved: int,
    claimed: int,
    missed: int,
    ended: bool,
    settled: bool,
) -> int:
    """What a claim pays, in wei."""
    back = bond_left(bond_wei, missed) if ended and not settled else 0
    return (proved - claimed) * pay_wei + back


def leaves_of(
    value: bytes, deal_id: int, pinner: str, challenge: int, samples: int, leaves: int
) -> list[int]:
    """The leaves that a challenge asks for.

    Args:
        value: Value of its round, 32 bytes.
        deal_id: Deal.
        pinner: Address.
        challenge: Number of the challenge, from 0.
        samples: Leaves per challenge.
        leaves: Leaves of the version.
    """
    types = ["bytes32", "uint256", "address", "uint256"]
    seed = keccak(encode(types, [value, deal_id, pinner, challenge]))
    numbers = (keccak(encode(["bytes32", "uint256"], [seed, i])) for i in range(samples))
    return [int.from_bytes(number) % leaves for number in numbers]


def next_round(value: bytes, round_: int, period_rounds: int) -> int:
    """Round of the challenge after one that was answered."""
    return round_ + period_rounds // 2 + int.from_bytes(value) % period_rounds


def round_after_miss(round_: int, period_rounds: int) -> int:
    """Round of the challenge after one that was missed."""
    return round_ + period_rounds + period_rounds // 2
