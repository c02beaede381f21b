"""Whether a provider lives and is ready, from plain attributes: the loop writes them, another thread reads them."""

import time
from dataclasses import dataclass, field

LOOP_DEAD_AFTER_S = 120.0
"""A loop that has not beaten for so long hangs. It beats with every round and every try of an endpoint."""

STUCK_AFTER_S = 300.0
"""How long a transaction may wait to be mined before it is said that nothing is being answered."""


@dataclass
class Pulse:
    """What the loop writes down as it goes round. Times are monotonic, in seconds.

    Args:
        stale_head_s: How long there may be no new block.
    """

    stale_head_s: float
    beat_at: float = field(default_factory=time.monotonic)
    head_number: int = 0
    head_time_s: int = 0
    """The chain's time at that block, Unix time."""
    head_at: float = field(default_factory=time.monotonic)
    started: bool = False
    stopping: bool = False
    failure: str = ""
    """Why the last round failed; empty when it did not."""
    halted_until: int = 0
    funds_low: bool = False
    no_signer: str = ""
    """Why nothing can be signed; empty when it can."""
    no_models: str = ""
    """Why no model can run; empty when one can."""
    tx_waits_since: float | None = None
    """Since when the oldest transaction has waited to be mined; None when none waits."""
    no_artifact: str = ""
    """Why a job could not be run: its model is not here. Empty when one was run since, or none waits any more."""
    endpoints: int = 0
    endpoints_in_sync: int = 0
    endpoints_needed: int = 1

    def beat(self) -> None:
        """Note that the loop goes on: it has gone round, or an endpoint has answered or failed in its time."""
        self.beat_at = time.monotonic()

    def saw(self, number: int, time_s: int) -> None:
        """Note the head of the chain."""
        self.head_time_s = time_s
        if number != self.head_number:
            self.head_number, self.head_at = number, time.monotonic()

    @property
    def tx_waits_s(self) -> float:
        """How long the oldest transaction has waited to be mined, in seconds; 0 when none waits."""
        since = self.tx_waits_since
        return 0.0 if since is None else max(time.monotonic() - since, 0.0)

    def dead(self) -> list[str]:
        """Return why the process should be restarted; empty when it lives."""
        silent_s = time.monotonic() - self.beat_at
        return (
            [f"the loop has not gone round for {silent_s:.0f} s"]
            if silent_s > LOOP_DEAD_AFTER_S
            else []
        )

    def not_ready(self) -> list[str]:
        """Return why no job is being answered now, one sentence each; empty when it is ready."""
        still_s = time.monotonic() - self.head_at
        waits_s = self.tx_waits_s
        few = self.endpoints_in_sync < self.endpoints_needed
        reasons = {
            "it is catching up with the chain": not self.started,
            "it is ending": self.stopping,
            self.failure: bool(self.failure),
            f"there has been no new block for {still_s:.0f} s": still_s > self.stale_head_s,
            f"{self.endpoints_in_sync} of {self.endpoints} endpoints are in sync, "
            f"at least {self.endpoints_needed} are needed": few,
            f"a reorg undid what was final; nothing is answered until block {self.halted_until}": (
                self.halted_until > self.head_number
            ),
            "the operator has too little money for gas": self.funds_low,
            f"a transaction has waited for {waits_s:.0f} s to be mined": waits_s >= STUCK_AFTER_S,
            f"nothing can be signed: {self.no_signer}": bool(self.no_signer),
            f"no model can run: {self.no_models}": bool(self.no_models),
            f"a job waits for its model: {self.no_artifact}": bool(self.no_artifact),
        }
        return [*self.dead(), *(reason for reason, holds in reasons.items() if holds)]
