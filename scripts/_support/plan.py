"""What is deployed, in order of dependence, and with which constructor arguments. Needs no chain and no Ape."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

DEFAULT_FEE_BPS = 200
HIGHEST_FEE_BPS = 1_000
MIN_STAKE = 10**17
"""Least stake of a provider, in wei: one ticket's worth."""
UNIT_FEE = 10**13
"""Protocol fee that counts as one success of a provider, in wei: that of a job of 0.0005 ether at 2 %."""
DEFAULT_BLOCK_MS = 12_000
HIGHEST_BLOCK_MS = 600_000
NATIVE = "0x0000000000000000000000000000000000000000"


@dataclass(frozen=True, slots=True)
class Settings:
    """What a deployment chooses, once and for ever.

    Args:
        treasury: Address that gets the protocol's share of earnings.
        admin: Address that grants the roles of ProtocolAccess, and holds them at first.
        fee_bps: The protocol's share, in basis points (1/10,000), at most 1,000.
        ring_bits: The router can look up 2^ring_bits final jobs, see docs/decisions/0006-recycled-cells.md.
        block_ms: Time from one block to the next on this chain, in milliseconds, 1 to 600,000.

    Raises:
        ValueError: the fee or the time between blocks is out of range.
    """

    treasury: str
    admin: str
    fee_bps: int = DEFAULT_FEE_BPS
    ring_bits: int = 14
    block_ms: int = DEFAULT_BLOCK_MS

    def __post_init__(self) -> None:
        if not 1 <= self.block_ms <= HIGHEST_BLOCK_MS:
            raise ValueError(
                f"expected 1 to {HIGHEST_BLOCK_MS} milliseconds between blocks, got {self.block_ms}"
            )
        if not 0 <= self.fee_bps <= HIGHEST_FEE_BPS:
            raise ValueError(
                f"expected a protocol fee of 0 to {HIGHEST_FEE_BPS} basis points, got {self.fee_bps}"
            )


Arguments = Callable[[Mapping[str, str], Settings], list[Any]]


def _module(at: Mapping[str, str], chosen: Settings) -> list[Any]:
    """What every module that pays offers is given."""
    return [
        *(at["InferenceRouter"], at["Vault"], at["ModelRegistry"], at["ProviderStaking"]),
        chosen.treasury,
    ]


PLAN: dict[str, Arguments] = {
    "Vault": lambda at, chosen: [],
    "ProtocolAccess": lambda at, chosen: [chosen.admin, chosen.admin],
    "ModelRegistry": lambda at, chosen: [],
    "ProviderStaking": lambda at, chosen: [at["Vault"], NATIVE, MIN_STAKE, at["ProtocolAccess"]],
    "SignatureVerifier": lambda at, chosen: [],
    "InferenceRouter": lambda at, chosen: [
        *(at["Vault"], at["ModelRegistry"], at["ProviderStaking"]),
        *(chosen.treasury, chosen.fee_bps, chosen.ring_bits),
        *(at["ProtocolAccess"], at["SignatureVerifier"]),
    ],
    "BlockRandomness": lambda at, chosen: [chosen.block_ms],
    "IPFSIncentives": lambda at, chosen: [
        *(at["Vault"], at["ModelRegistry"], at["BlockRandomness"])
    ],
    "SignedRequests": lambda at, chosen: [*_module(at, chosen), at["SignatureVerifier"]],
    "Batches": lambda at, chosen: _module(at, chosen),
    "Recurring": lambda at, chosen: [at["InferenceRouter"], at["Vault"]],
    "Lanes": lambda at, chosen: [at["InferenceRouter"], at["Vault"], at["ProviderStaking"]],
    "Licences": lambda at, chosen: [
        *(at["InferenceRouter"], at["Vault"], at["ModelRegistry"]),
        *(chosen.treasury, chosen.fee_bps),
    ],
    "Pricing": lambda at, chosen: [at["InferenceRouter"], at["Vault"], at["ModelRegistry"]],
    "Reputation": lambda at, chosen: [at["InferenceRouter"], UNIT_FEE],
    "ResultCache": lambda at, chosen: [*_module(at, chosen), at["SignatureVerifier"]],
}
"""Contract to its arguments, given the addresses of those above it."""
