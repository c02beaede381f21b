"""The operator's money for gas: whether there is enough to take on more jobs. And the provider's stake, to be shown."""

import logging
import time

from oracle.chain.contracts import Contracts
from oracle.chain.listener import Head
from oracle.chain.outbox import Outbox
from oracle.logs import line
from oracle.policy import ANSWER_GAS

LOOK_EVERY_S = 10.0
STAKE_EVERY_S = 60.0
ANSWERS_AHEAD = 3
"""For how many answers at the present fee there has to be money before another job is taken on."""

_log = logging.getLogger(__name__)


class Purse:
    """Looks at the operator's balance now and then.

    Args:
        provider: Our number.
    """

    def __init__(self, contracts: Contracts, outbox: Outbox, provider: int) -> None:
        self._contracts = contracts
        self._provider = provider
        self._outbox = outbox
        self._looked_at = float("-inf")
        self._looked_block = ""
        self.balance_wei = 0
        """The balance when it was last looked at."""
        self.needed_wei = 0
        """The least balance with which jobs are taken on."""
        self.stake_wei = 0
        self._stake_looked_at = float("-inf")

    @property
    def is_empty(self) -> bool:
        """Whether there was too little money at the last look."""
        return self.balance_wei < self.needed_wei

    def look(self, head: Head) -> None:
        """Read the balance every ten seconds, and while there is too little, with every block."""
        now = time.monotonic()
        every_block = self.is_empty and self._looked_block != head.hash
        if now - self._looked_at < LOOK_EVERY_S and not every_block:
            return
        self._looked_at, self._looked_block = now, head.hash
        was_empty = self.is_empty
        said = self._contracts.rpc.ask_all("eth_getBalance", self._outbox.sender, "latest")
        self.balance_wei = sorted(int(wei, 16) for wei in said)[len(said) // 2]
        self.needed_wei = ANSWERS_AHEAD * ANSWER_GAS * self._outbox.gas_price_wei()
        if now - self._stake_looked_at > STAKE_EVERY_S:
            self.stake_wei = self._contracts.read("ProviderStaking", "stakeOf", self._provider)
            self._stake_looked_at = now
        if self.is_empty != was_empty:
            report, event = (
                (_log.critical, "funds low") if self.is_empty else (_log.info, "funds back")
            )
            report(
                line(
                    event,
                    account=self._outbox.sender,
                    balance_wei=self.balance_wei,
                    needed_wei=self.needed_wei,
                )
            )
