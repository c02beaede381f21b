"""Which assigned jobs are refused: what the terms of the offer could not exclude.

The contract enforces price, input size, window, capacity and proof policy of the offer. What is left changes with time:
the models served today, the memory that they need, the price of gas, and how late it is already by the chain's clock.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from offchain_worker.job import NO_ADDRESS, Job
from oracle.chain.listener import Head

ANSWER_GAS = 120_000
"""What an answer costs without its callback, in gas."""


@dataclass(frozen=True, slots=True)
class Terms:
    """What a provider is willing to do.

    Args:
        models: Model identifiers, 0x hex in lower case, or empty for every model that it was assigned.
        verifiers: Addresses of the verifiers for which it can make proofs, in lower case.
        max_input_bytes: Largest input, in bytes.
        max_callback_gas: Most gas of a callback.
        least_time_s: Least time between now and the deadline, in seconds of chain time.
        price_to_gas: Least price of a job as a multiple of what its answer costs in gas (native token only); 0 to take
            any price.
    """

    models: frozenset[str] = frozenset()
    verifiers: frozenset[str] = field(default_factory=frozenset)
    max_input_bytes: int = 16_384
    max_callback_gas: int = 300_000
    least_time_s: int = 5
    price_to_gas: float = 1.0


class Policy:
    """Says whether a job is refused, and why.

    Args:
        terms: What the provider is willing to do.
        head: Returns the latest block: its time is the only clock.
        gas_price_wei: Returns what one gas costs now, in wei.
        too_large: Says of a model's CID why it would not fit into memory; None when it would.
    """

    def __init__(
        self,
        terms: Terms,
        head: Callable[[], Head],
        gas_price_wei: Callable[[], int],
        too_large: Callable[[str], str | None] = lambda model_cid: None,
    ) -> None:
        self._terms = terms
        self._head = head
        self._gas_price_wei = gas_price_wei
        self._too_large = too_large

    def refuse(self, job: Job) -> str | None:
        """Return why the job is refused, as one sentence for people, or None when it is taken."""
        terms = self._terms
        model_id = "0x" + job.model_id.hex()
        if terms.models and model_id not in terms.models:
            return f"model {model_id} is not served here"
        if job.resolution != NO_ADDRESS:
            return f"proof policy with resolution {job.resolution} is not known here"
        for verifier in (job.verifier, job.second_verifier):
            if verifier != NO_ADDRESS and verifier.lower() not in terms.verifiers:
                return f"proof policy with verifier {verifier} is not known here"
        if len(job.input) > terms.max_input_bytes:
            return f"input of {len(job.input)} bytes is larger than {terms.max_input_bytes}"
        if job.callback_gas > terms.max_callback_gas:
            return f"callback of {job.callback_gas} gas is above {terms.max_callback_gas}"
        left_s = job.deadline_s - self._head().time_s
        if left_s < terms.least_time_s:
            return f"deadline is {left_s} s away by the chain's clock, at least {terms.least_time_s} s are needed"
        return self._too_cheap(job) or self._too_large(job.model_cid)

    def _too_cheap(self, job: Job) -> str | None:
        if self._terms.price_to_gas == 0 or job.token != NO_ADDRESS:
            return None
        cost_wei = (ANSWER_GAS + job.callback_gas) * self._gas_price_wei()
        needed_wei = int(cost_wei * self._terms.price_to_gas)
        if job.price < needed_wei:
            return f"price of {job.price} wei is not worth the gas: at least {needed_wei} wei are needed now"
        return None
