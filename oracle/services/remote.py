"""A provider's models in workers elsewhere: jobs go out through a queue in Redis, and replies come back.

Nothing here is durable, and nothing needs to be: a job stays "seen" in the database until its inference is stored
there. Whenever the connection to Redis is made anew, all that is under way is sent anew; a reply that comes twice
counts once. A worker that ends with its job in hand leaves it to the next (`broker.py`).
"""

import asyncio
import contextlib
import json
import logging
import secrets
import threading
from collections import deque
from collections.abc import Collection, Coroutine
from typing import Any

from redis.asyncio import Redis
from redis.exceptions import RedisError
from taskiq import SendTaskError
from taskiq.kicker import AsyncKicker

from offchain_worker.errors import ModelCrashed, ModelTimedOut
from offchain_worker.job import Inference, Job
from oracle.logs import line
from oracle.services.broker import TASK, JobBroker, Names, shown
from oracle.services.runner import Done, outcome_of
from oracle.services.waker import Waker

OWNER = "connection"
"""Field of the hash of wanted jobs: which of our connections filled it."""
REPLY_WAIT_S = 1
FIRST_WAIT_S = 0.5
LONGEST_WAIT_S = 15.0
CLOSE_TIMEOUT_S = 10.0

_log = logging.getLogger(__name__)


class Remote:
    """Gives jobs to workers through Redis. A `Runner`.

    Args:
        url: Redis.
        names: The queue's.
        ahead: Most jobs that may be in the queue and in workers at once.
        lost_after_s: After how long without a sign of life a job is taken from a worker, in seconds.
    """

    def __init__(self, url: str, names: Names, *, ahead: int, lost_after_s: float) -> None:
        self._url = url
        self._names = names
        self._ahead = ahead
        self._run = secrets.token_hex(8)
        self._lock = threading.Lock()
        self._jobs: dict[int, tuple[Job, str]] = {}
        """Jobs under way, each with the token of the message that counts."""
        self._sent: dict[int, str] = {}
        """Token by job of what the workers were told; of the thread alone."""
        self._news: deque[int] = deque()
        """Jobs of which the thread has to tell Redis something: they are in `_jobs`, or not any more."""
        self._replies: deque[bytes] = deque()
        self._waker = Waker()
        self._connected = False
        self._draining = False
        self._stop = asyncio.Event()
        self._reason = "not connected yet"
        self.killed = 0
        """Jobs that ended their model's process, or took too long in it."""
        self._broker = JobBroker(url, names.stream, lost_after_s)
        self._loop = asyncio.new_event_loop()
        self._has_news = asyncio.Event()
        self._thread = threading.Thread(target=self._serve, name="queue", daemon=True)
        self._thread.start()

    @property
    def trouble(self) -> str:
        """Why no model can run now; empty when one can."""
        return "" if self._connected else f"the queue at {shown(self._url)}: {self._reason}"

    @property
    def room(self) -> int:
        """How many more jobs may be begun now."""
        return self._ahead - len(self._jobs) if self._connected and not self._draining else 0

    @property
    def busy(self) -> Collection[int]:
        """Numbers of the jobs that were begun and are not done."""
        return list(self._jobs)

    def begin(self, job: Job) -> None:
        """Put a job into the queue."""
        with self._lock:
            self._jobs[job.job_id] = (job, secrets.token_hex(8))
        self._tell(job.job_id)

    def finished(self) -> list[Done]:
        """Return what has come back since the last call."""
        self._waker.clear()
        done = []
        while self._replies:
            job_id, reply = _reply(self._replies.popleft())
            with self._lock:
                job, _ = self._jobs.pop(job_id, (None, ""))
            if job is None:  # it came before, or was forgotten
                continue
            self._tell(job.job_id)
            outcome = outcome_of(reply)
            if isinstance(outcome, Inference) and outcome.job_id != job.job_id:
                outcome = RuntimeError(f"a worker answered job {outcome.job_id} instead")
            self.killed += isinstance(outcome, ModelCrashed | ModelTimedOut)
            done.append(Done(job, outcome))
        return done

    def filenos(self) -> list[int]:
        """A pipe that is readable when a reply has come."""
        return [self._waker.fileno]

    def drain(self) -> None:
        """Forget what is not done: what a worker has in its model is run again after the next start."""
        self._draining = True
        with self._lock:
            forgotten = list(self._jobs)
            self._jobs.clear()
        for job_id in forgotten:
            self._tell(job_id)

    def close(self) -> None:
        """End the thread. What is in the queue is not wanted any more: the next start sends it anew."""
        self._loop.call_soon_threadsafe(self._end)
        self._thread.join(CLOSE_TIMEOUT_S)

    def _tell(self, job_id: int) -> None:
        self._news.append(job_id)
        self._loop.call_soon_threadsafe(self._has_news.set)

    # What follows runs in the thread.
    # Nothing is cancelled: redis-py has been seen to swallow a cancellation, and then the loop would wait for ever.

    def _serve(self) -> None:
        self._loop.run_until_complete(self._stay_connected())
        with contextlib.suppress(RedisError, OSError):
            self._loop.run_until_complete(self._forget(self._broker.redis()))

    async def _forget(self, redis: Redis) -> None:
        await redis.delete(self._names.wanted, self._names.begun)

    def _end(self) -> None:
        self._stop.set()
        self._hang_up()

    def _hang_up(self) -> None:
        """Let both directions of the present connection end."""
        self._connected = False
        self._has_news.set()

    async def _stay_connected(self) -> None:
        wait_s = FIRST_WAIT_S
        while not self._stop.is_set():
            try:
                redis = self._broker.redis()
                connection = await self._connect(redis)
                wait_s = FIRST_WAIT_S
                await self._both(self._pass_on_all(redis), self._receive(redis, connection))
            except Exception as error:  # a mistake of ours must not end the thread either
                self._connected = False
                self._reason = type(error).__name__
                expected = isinstance(error, RedisError | OSError | SendTaskError)
                _log.warning(
                    line("queue away", at=shown(self._url), reason=self._reason),
                    exc_info=None if expected else error,
                )
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._stop.wait(), wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)

    async def _both(self, *directions: Coroutine[Any, Any, None]) -> None:
        """Run until both directions have ended; when one fails, the other ends soon."""

        async def run(direction: Coroutine[Any, Any, None]) -> None:
            try:
                await direction
            finally:
                self._hang_up()

        for outcome in await asyncio.gather(*map(run, directions), return_exceptions=True):
            if outcome is not None:
                raise outcome

    async def _connect(self, redis: Redis) -> str:
        """Begin with an empty slate, and send everything that is under way. Returns the name of the connection."""
        connection = secrets.token_hex(8)
        await self._forget(redis)
        await redis.hset(self._names.wanted, OWNER, connection)
        self._news.clear()
        self._sent.clear()
        with self._lock:
            under_way = list(self._jobs)
            for job_id in under_way:
                self._jobs[job_id] = (self._jobs[job_id][0], secrets.token_hex(8))
        for job_id in under_way:
            await self._pass_on(redis, job_id)
        self._connected = True
        _log.info(line("queue", at=shown(self._url), sent=len(under_way)))
        self._waker.wake()
        return connection

    async def _pass_on_all(self, redis: Redis) -> None:
        while self._connected:
            await self._has_news.wait()
            self._has_news.clear()
            while self._news:
                await self._pass_on(redis, self._news.popleft())

    async def _pass_on(self, redis: Redis, job_id: int) -> None:
        """Send a job, or tell the workers that it is not wanted any more."""
        with self._lock:
            job, token = self._jobs.get(job_id, (None, ""))
        if (before := self._sent.get(job_id, "")) == token:
            return
        if before:
            del self._sent[job_id]
            await redis.hdel(self._names.wanted, str(job_id))
            await redis.hdel(self._names.begun, before)
        if job is not None:
            self._sent[job_id] = token
            await redis.hset(self._names.wanted, str(job_id), token)
            replies = self._names.replies(self._run)
            await AsyncKicker(TASK, self._broker, {}).kiq(job.to_json(), token, replies)

    async def _receive(self, redis: Redis, connection: str) -> None:
        replies = self._names.replies(self._run)
        while self._connected:
            found = await redis.blpop([replies], timeout=REPLY_WAIT_S)
            if found:
                self._replies.append(found[1])
                self._waker.wake()
            elif (
                self._connected
                and await redis.hget(self._names.wanted, OWNER) != connection.encode()
            ):
                raise RedisError("it has forgotten what was in it")


def _reply(data: bytes) -> tuple[int, dict[str, Any]]:
    """Return the job that a reply is about and the reply; job 0, which there never is, when it is none."""
    try:
        reply = json.loads(data)
    except ValueError:
        reply = None
    if isinstance(reply, dict) and isinstance(reply.get("job"), int):
        return reply["job"], reply
    _log.error(line("bad reply", size_bytes=len(data)))
    return 0, {}
