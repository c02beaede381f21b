"""Reads the router's events into the job database: each once, none missed, and undone when their block vanishes.

A durable cursor (number, hash) says up to where. Near the head, blocks are followed one by one by their parent hashes,
and their logs are asked for by block hash, so that logs and branch always fit; older blocks are read in ranges. When
the branch at the cursor is no longer the chain's, the cursor goes back to the common ancestor and the jobs above it
are undone. (`removed` flags are not used: nodes forget to set them.) That an endpoint leaves logs out is told by the
bloom filter in the block's header, or else by a second reading: of what a start catches up with, and then every hour.
Logs that are only late are read with one of the next ticks.
"""

import logging
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass

from oracle.chain.bloom import Bloom
from oracle.chain.contracts import Contracts
from oracle.chain.events import EventReader, RouterEvent
from oracle.chain.history import Log, Topics, essence, read_logs
from oracle.chain.rpc import Block
from oracle.chain.store import Store
from oracle.chain.tracker import Tracker
from oracle.errors import RpcRefused
from oracle.faults import crash_point
from oracle.logs import line

NEAR_BLOCKS = 32
"""How far behind the head blocks are read one by one; further back in ranges."""
BLOCKS_PER_COMMIT = 64
RESCAN_BLOCKS = 2 * NEAR_BLOCKS
"""How many blocks are read a second time at least; more when more came since the last time."""
MOST_AT_START = 20_000
"""How many of the blocks that it catches up with at a start are read a second time."""
LONGEST_HALT_BLOCKS = 64
"""After a reorg of what was final: how long nothing is answered or sent at most, in blocks."""
BLOOM_TRIES = 3
DOUBTFUL_TICKS = 20
"""With how many further ticks a block is asked for the logs that its header speaks of: they may only be late."""
_CALM_FROM = "calm_from"

_STATUS = ("", "assigned", "open", "answered", "settled", "settled", "refunded", "archived")
"""Our word for each `JobState` of the contract. An archived job was settled or refunded: its events say which."""

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Head:
    """The latest block: `time_s` is Unix time and the only clock for deadlines, `base_fee_wei` is per gas.

    `gas_limit` is the most gas of all its transactions; 0 when the chain does not say.
    """

    number: int
    hash: str
    time_s: int
    base_fee_wei: int
    gas_limit: int = 0

    @classmethod
    def of(cls, block: Block) -> "Head":
        """Read a block of JSON-RPC."""
        return cls(
            int(block["number"], 16),
            block["hash"],
            int(block["timestamp"], 16),
            int(block.get("baseFeePerGas", "0x0"), 16),
            int(block.get("gasLimit", "0x0"), 16),
        )


class Listener:
    """Moves the cursor to the head of the chain.

    Args:
        store: Job database; written, and committed once per tick or every 64 blocks.
        tracker: Decides which jobs to keep.
        confirmations: Blocks from an answer's own to the one that makes it final, both included.
        range_blocks: Most blocks of one query for logs.
        rescan_every_s: How often the newest blocks are read a second time, in seconds.
    """

    def __init__(
        self,
        contracts: Contracts,
        store: Store,
        tracker: Tracker,
        *,
        confirmations: int,
        range_blocks: int = 1000,
        rescan_every_s: float = 3600.0,
    ) -> None:
        self._contracts = contracts
        self._rpc = contracts.rpc
        self._store = store
        self._tracker = tracker
        self._confirmations = confirmations
        self._range_blocks = range_blocks
        self._router = contracts.address("InferenceRouter")
        self._first = contracts.deployment.at("InferenceRouter").block
        self._reader = EventReader(contracts.events("InferenceRouter"))
        self._bloom = Bloom(self._router, self._reader.topics)
        self._rescan_every_s = rescan_every_s
        self._rescanned_at = time.monotonic()
        self._rescanned_up_to: int | None = None
        self._head: Head | None = None
        self._doubtful: dict[tuple[int, str], int] = {}
        """Number and hash of blocks that may lack their logs, and how many more times they are asked for."""
        self.calm_from = int(store.note(_CALM_FROM) or 0)
        """Block from which on there may be answers again, after a reorg of what was final; a restart keeps it."""
        self.reorgs: list[int] = []
        """Depth of each reorg since the start, in blocks."""
        self.finality_violations = 0
        """Reorgs since the start that undid what was final."""
        self.newest = 0
        """Number of the newest block that an endpoint has shown, whether or not it was read."""
        self.events = Counter[str]()
        """Events of our jobs since the start: "seen", of these "duplicate" (we had them), and "undone"."""
        self.missed_events = 0
        """Jobs with events that an endpoint left out and that were found later."""

    def current(self) -> Head:
        """Return the latest block that was read. Not before the first `tick`."""
        assert self._head is not None  # noqa: S101  # a mistake of ours, not of the outside
        return self._head

    @property
    def reread_from(self) -> int:
        """Block from which on events are read a second time at some time; 0 before the start."""
        return max((self._rescanned_up_to or 0) - RESCAN_BLOCKS, 0)

    def start(self) -> Head:
        """Catch up, read that a second time, and compare open jobs with the contract's own state."""
        before = self._store.cursor()
        head = self.tick()
        self._rescanned_up_to = max(before[0] if before else 0, head.number - MOST_AT_START)
        self._rescan(head)
        self._reconcile()
        self._store.commit()
        return head

    def tick(self) -> Head:
        """Read everything new. Committed when it returns.

        Raises:
            RpcError: the chain could not be asked; what was read so far is kept, and the next tick goes on.
        """
        block = self._rpc.head()
        head = Head.of(block)
        self.newest = head.number
        cursor = self._store.cursor()
        if cursor is None:
            self._start_at(max(self._first - 1, 0))
        elif cursor[1] == head.hash:
            self._head = head
            self._ask_again()
            self._store.commit()
            return head
        self._follow(head, block)
        self._ask_again()
        for job_id in self._store.finish_up_to(head.number - self._confirmations + 1):
            _log.info(line("job", job=job_id, state="final"))
            crash_point("final")
        self._store.commit()
        self._head = head
        if time.monotonic() - self._rescanned_at > self._rescan_every_s:
            self._rescan(head)
            self._reconcile()
            self._store.commit()
        return head

    def _start_at(self, number: int) -> None:
        block = self._rpc.block(number)
        if block is None:
            raise RpcRefused("eth_getBlockByNumber", 0, f"the node has no block {number} yet")
        self._store.set_cursor(number, block["hash"])

    def _follow(self, head: Head, head_block: Block) -> None:
        number, block_hash = self._cursor()
        is_next = head.number == number + 1 and head_block["parentHash"] == block_hash
        if not is_next and (head.number <= number or not self._is_canonical(number, block_hash)):
            self._go_back(head)
            number, block_hash = self._cursor()
        if head.number - number > NEAR_BLOCKS:
            self._read_history(number + 1, head.number - NEAR_BLOCKS)
            number, block_hash = self._cursor()
        while number < head.number:
            block = head_block if number + 1 == head.number else self._rpc.block(number + 1)
            if block is None or block["parentHash"] != block_hash:
                return  # the branch changed while we read; the next tick goes back
            logs = self._logs_in(block)
            number, block_hash = number + 1, block["hash"]
            self._take(logs, number)
            self._store.set_cursor(number, block_hash)
            if number % BLOCKS_PER_COMMIT == 0:
                self._store.commit()

    def _logs_in(self, block: Block) -> list[Log]:
        """The router's logs of one block, asked for again when the block's header says that there are some."""
        number = int(block["number"], 16)
        for attempt in range(BLOOM_TRIES):
            logs = self._logs_of(block["hash"])
            if logs or not self._bloom.may_have(block):
                self.missed_events += attempt > 0
                return logs
            _log.warning(line("missed events", block=number, found_by="bloom"))
        self._doubtful[number, block["hash"]] = DOUBTFUL_TICKS
        return []

    def _logs_of(self, block_hash: str) -> list[Log]:
        wanted = {
            "address": self._router,
            "topics": [self._reader.topics],
            "blockHash": block_hash,
        }
        logs: list[Log] = self._rpc.agreed("eth_getLogs", wanted, what_counts=essence)
        return logs

    def _ask_again(self) -> None:
        """Ask for what may be missing: a busy endpoint shows a block before its logs. The filter may be wrong, too."""
        cursor = self._cursor()[0]
        for block, left in list(self._doubtful.items()):
            self._doubtful[block] = left - 1  # first: asking may fail
            on_chain = block[0] <= cursor and self._is_canonical(*block)
            logs = self._logs_of(block[1]) if on_chain else []
            if logs or not on_chain or left <= 1:
                del self._doubtful[block]
            self.missed_events += self._take(logs, cursor)

    def _cursor(self) -> tuple[int, str]:
        cursor = self._store.cursor()
        assert cursor is not None  # noqa: S101  # set by tick before anything else
        return cursor

    def _is_canonical(self, number: int, block_hash: str) -> bool:
        block = self._rpc.block(number)
        return block is not None and block["hash"] == block_hash

    def _go_back(self, head: Head) -> None:
        """Put the cursor to the newest remembered block that is still on the chain, and undo what was above it."""
        self._rpc.recheck()  # another chain behind the same URL looks like a deep reorg
        was = self._cursor()[0]
        for number, block_hash in self._store.blocks():
            if self._is_canonical(number, block_hash):
                break
        else:
            number = max(self._first - 1, 0)
            _log.critical(
                line(
                    "reorg too deep",
                    note="deeper than we remember; reading the whole history again",
                )
            )
            self._start_at(number)
            block_hash = self._cursor()[1]
        undone, events = self._store.undo_above(number, block_hash)
        self.events["undone"] += events
        if was > number:
            self._note_reorg(was - number, head, len(undone))
        self._refresh(undone, number)

    def _note_reorg(self, depth: int, head: Head, jobs: int) -> None:
        """Report a reorg. Where it undid what was final, halt until the new branch has grown by as many blocks."""
        self.reorgs.append(depth)
        _log.warning(line("reorg", depth=depth, head=head.number, jobs=jobs))
        if depth >= self._confirmations:
            self.finality_violations += 1
            self.calm_from = max(self.calm_from, head.number + min(depth, LONGEST_HALT_BLOCKS))
            self._store.set_note(_CALM_FROM, str(self.calm_from))
            _log.critical(
                line(
                    "finality violated",
                    depth=depth,
                    confirmations=self._confirmations,
                    halted_until_block=self.calm_from,
                )
            )

    def _read_history(self, first: int, last: int) -> None:
        for end, logs in self._logs([self._reader.topics], first, last):
            block = self._rpc.block(end)
            if block is None:
                return
            self._take(logs, end)
            self._store.set_cursor(end, block["hash"])
            self._store.commit()
            _log.debug(line("history", up_to=end, of=last))

    def _logs(self, topics: Topics, first: int, last: int) -> Iterator[tuple[int, list[Log]]]:
        return read_logs(self._rpc, self._router, topics, first, last, self._range_blocks)

    def _take(self, logs: list[Log], last: int) -> int:
        """Store the events of logs, with which all up to block `last` are read. Returns how many jobs changed."""
        if not logs:
            return 0
        events = self._tracker.select(self._reader.read(log) for log in logs)
        changed = self._add(events)
        self._refresh(changed, last)
        return len(changed)

    def _add(self, events: list[RouterEvent]) -> list[int]:
        """Store events; returns the jobs for which there is something new."""
        changed, duplicates = self._store.add_events(events)
        self.events["seen"] += len(events)
        self.events["duplicate"] += duplicates
        return changed

    def _refresh(self, job_ids: list[int], last: int) -> None:
        """Bring jobs up to date with their events, all of which up to block `last` are read."""
        incomplete = self._tracker.refresh(job_ids)
        for job_id in incomplete:  # it was taken over from a provider that we do not listen to
            self._add(self._past_of(job_id, self._first, last))
        if incomplete:
            self._tracker.refresh(incomplete)

    def _past_of(self, job_id: int, first: int, last: int) -> list[RouterEvent]:
        """Every event of one job in these blocks: none above the cursor, since what is not read cannot be undone."""
        topics: Topics = [self._reader.topics, f"0x{job_id:064x}"]
        ranges = self._logs(topics, first, last)
        return [self._reader.read(log) for _, logs in ranges for log in logs]

    def _rescan(self, head: Head) -> None:
        """Read the newest blocks again: endpoints have been seen to leave logs out."""
        self._rescanned_at = time.monotonic()
        first = head.number - RESCAN_BLOCKS
        if self._rescanned_up_to is not None:
            first = min(first, self._rescanned_up_to)
        last = read = self._cursor()[0]
        if self._rpc.quorum > 1:  # those that are a little late would seem to leave the newest out
            last -= self._rpc.max_lag_blocks
        self._rescanned_up_to = last
        for _, logs in self._logs([self._reader.topics], max(self._first, first), last):
            if missed := self._take(logs, read):
                self.missed_events += missed
                _log.warning(line("missed events", jobs=missed, found_by="second reading"))

    def _reconcile(self) -> None:
        """Ask the contract for the state of each open job, and read the events of those that differ.

        Asked is for the cursor's block: what happened later is not missed, but still to be read.
        """
        block = self._cursor()[0]
        for job in self._store.open_on_chain():
            state = _STATUS[
                self._contracts.read("InferenceRouter", "stateOf", job.job_id, block=block)
            ]
            if state != job.status:
                self.missed_events += 1
                _log.warning(line("missed events", job=job.job_id, stored=job.status, chain=state))
                self._add(self._past_of(job.job_id, job.block_number, block))
                self._refresh([job.job_id], block)
