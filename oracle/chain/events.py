"""The router's events as plain Python, and what a job's events add up to.

A job on chain is the sum of its events, so after a reorg its state is found by adding up what is left.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from web3 import Web3

from offchain_worker.job import NO_ADDRESS, Job
from oracle.chain.abi import Event

Kind = Literal["requested", "declined", "taken", "answered", "settled", "refunded"]
OnChain = Literal["assigned", "open", "answered", "settled", "refunded", "gone"]

KINDS: dict[str, Kind] = {
    "InferenceRequested": "requested",
    "InferenceDeclined": "declined",
    "InferenceTaken": "taken",
    "InferenceAnswered": "answered",
    "InferenceSettled": "settled",
    "InferenceRefunded": "refunded",
}

JOB_FIELDS = {
    "modelId": "model_id",
    "version": "version",
    "offerId": "offer_id",
    "provider": "provider",
    "units": "units",
    "callbackGas": "callback_gas",
    "exclusiveUntil": "exclusive_until_s",
    "deadline": "deadline_s",
    "requester": "requester",
    "token": "token",
    "price": "price",
    "bond": "bond",
    "inputHash": "input_hash",
    "verifier": "verifier",
    "secondVerifier": "second_verifier",
    "resolution": "resolution",
}
"""Members of the contract's `Job`, in order, and our names for them."""


@dataclass(frozen=True, slots=True)
class RouterEvent:
    """One event. `fields` are its arguments by their Solidity names: integers, text, truth values; bytes as 0x hex."""

    kind: Kind
    job_id: int
    block_number: int
    block_hash: str
    tx_hash: str
    log_index: int
    fields: Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class ChainJob:
    """What the chain says about a job.

    Args:
        job_id: Job.
        status: Its state on chain; "settled" also when the callback failed, "gone" only for a stored job.
        terms: The contract's `Job` of the latest event that carried one, by Solidity names, bytes as 0x hex.
        input: Input, 0x hex, or None when the request itself was not seen.
        provider: Provider that has it, or answered it; 0 when nobody.
        missed: Provider that lost it to the one that took it; 0 when nobody did.
        units: Units charged; 0 while unanswered.
        output: Output, 0x hex; "" while unanswered.
        block_number: Block of its latest event.
        block_hash: Hash of that block.
    """

    job_id: int
    status: OnChain
    terms: Mapping[str, Any]
    input: str | None
    provider: int
    missed: int
    units: int
    output: str
    block_number: int
    block_hash: str


def add_up(events: Iterable[RouterEvent]) -> ChainJob | None:
    """Return what the events of one job add up to, or None when none of them carries the job.

    Args:
        events: Events of one job on one branch of the chain, in any order.
    """
    terms: Mapping[str, Any] | None = None
    status: OnChain = "assigned"
    payload: str | None = None
    provider = missed = units = 0
    output = ""
    last: RouterEvent | None = None
    for event in sorted(events, key=lambda event: (event.block_number, event.log_index)):
        last, fields = event, event.fields
        terms = fields.get("job", terms)
        match event.kind:
            case "requested":
                payload, provider, status = fields["input"], fields["provider"], "assigned"
            case "declined":
                provider, missed, status = 0, fields["provider"], "open"
            case "taken":
                provider, missed, status = fields["provider"], fields["missed"], "assigned"
            case "answered":
                units, output, status = fields["units"], fields["output"], "answered"
            case "settled":
                units, output, status = fields["units"], fields["output"], "settled"
            case "refunded":
                status = "refunded"
    if last is None or terms is None:
        return None
    return ChainJob(
        last.job_id,
        status,
        terms,
        payload,
        provider,
        missed,
        units,
        output,
        last.block_number,
        last.block_hash,
    )


def to_job(chain_job: ChainJob, chain_id: int, router: str, model_cid: str) -> Job:
    """Return the worker's `Job`. The input must be known."""
    terms = terms_of(chain_job.terms)
    fields = {ours: terms[theirs] for theirs, ours in JOB_FIELDS.items()}
    return Job(
        chain_id=chain_id,
        router=router,
        job_id=chain_job.job_id,
        input=bytes.fromhex((chain_job.input or "0x")[2:]),
        model_cid=model_cid,
        **fields,
    )


def terms_of(carried: Mapping[str, Any]) -> dict[str, Any]:
    """Return the contract's `Job` that an event carried, as calls take it: bytes, and addresses with checksum."""
    return {name: _plain(name, carried[name]) for name in JOB_FIELDS}


def to_terms(job: Job) -> dict[str, Any]:
    """Return a job as the contract's `Job`, for calls by web3.py."""
    return {
        theirs: Web3.to_checksum_address(value) if theirs in _ADDRESSES else value
        for theirs, value in ((theirs, getattr(job, ours)) for theirs, ours in JOB_FIELDS.items())
    }


_ADDRESSES = {"requester", "token", "verifier", "secondVerifier", "resolution"}


def _plain(name: str, value: Any) -> Any:
    if name in ("modelId", "inputHash"):
        return bytes.fromhex(value[2:])
    return Web3.to_checksum_address(value) if name in _ADDRESSES and value != NO_ADDRESS else value


class EventReader:
    """Turns raw logs of the router into `RouterEvent`s.

    Args:
        events: Events of the router.
    """

    def __init__(self, events: Iterable[Event]) -> None:
        self._events = {event.topic: event for event in events if event.name in KINDS}

    @property
    def topics(self) -> list[str]:
        """First topics of the events that are read, for a filter."""
        return list(self._events)

    def read(self, log: Mapping[str, Any]) -> RouterEvent:
        """Decode one log of `eth_getLogs` whose first topic is in `topics`."""
        event = self._events[log["topics"][0]]
        fields = _as_json(event.read(log))
        return RouterEvent(
            KINDS[event.name],
            fields.pop("jobId"),
            int(log["blockNumber"], 16),
            log["blockHash"],
            log["transactionHash"],
            int(log["logIndex"], 16),
            fields,
        )


def _as_json(value: Any) -> Any:
    """A value as JSON can hold it: bytes as 0x hex."""
    if isinstance(value, dict):
        return {name: _as_json(inner) for name, inner in value.items()}
    return "0x" + value.hex() if isinstance(value, bytes) else value
