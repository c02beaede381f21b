"""The queue between a provider and its workers: a Redis stream, through taskiq. Needs the extra `scale`.

In Redis, all below one name per chain, router and provider:

    NAME               stream of jobs; a message stays pending until its reply is written
    NAME:wanted        job → token of the message that counts; any other message about the job is passed over
    NAME:begun         token → how many workers have begun it
    NAME:replies:RUN   list of replies for one start of the provider

Redis may forget all of it at any time: what counts is the provider's job database.
"""

import asyncio
import logging
from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from redis.asyncio import Redis
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff
from redis.exceptions import RedisError, ResponseError
from taskiq import AckableMessage
from taskiq_redis import RedisStreamBroker

from oracle.chain.contracts import Contracts
from oracle.logs import line

TASK = "infer"
GROUP = "workers"
WAIT_MS = 1_000
"""How long one look into the queue waits for a job."""
AWAY_S = 1.0
"""Pause before the next try when Redis does not answer, in seconds."""
REPLY_TIMEOUT_S = 5.0
MOST_MESSAGES = 10_000

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Names:
    """What a provider's queue is called in Redis."""

    stream: str

    @classmethod
    def of(cls, contracts: Contracts, provider: int) -> "Names":
        """Return the names for one provider of one deployment."""
        chain_id = contracts.deployment.chain_id
        router = contracts.address("InferenceRouter").lower()
        return cls(f"lattice:{chain_id}:{router}:{provider}")

    @property
    def wanted(self) -> str:
        """Hash of job → token."""
        return f"{self.stream}:wanted"

    @property
    def begun(self) -> str:
        """Hash of token → number of workers that began it."""
        return f"{self.stream}:begun"

    def replies(self, run: str) -> str:
        """List of replies for one start of the provider."""
        return f"{self.stream}:replies:{run}"


class JobBroker(RedisStreamBroker):  # type: ignore[misc]  # taskiq is not installed where mypy runs
    """taskiq's broker with a `listen` that takes one job at a time, those of workers that ended first.

    taskiq's own takes a hundred, and looks for those of ended workers only when a new one comes.

    Args:
        url: Redis.
        name: Name of the stream.
        lost_after_s: After how long without `beat` a job of one worker is given to another, in seconds.
    """

    def __init__(self, url: str, name: str, lost_after_s: float) -> None:
        super().__init__(
            url,
            queue_name=name,
            consumer_group_name=GROUP,
            consumer_id="0",
            maxlen=MOST_MESSAGES,
            idle_timeout=int(lost_after_s * 1000),
            socket_timeout=REPLY_TIMEOUT_S,
            socket_connect_timeout=REPLY_TIMEOUT_S,
            retry=Retry(NoBackoff(), 0),  # whoever calls has to know that Redis was away
        )
        self.ending = False
        """Set it to end `listen`: redis-py has been seen to swallow a cancellation."""

    async def listen(self) -> AsyncGenerator[AckableMessage, None]:
        """Yield jobs; wait for Redis while it is away."""
        while not self.ending:
            try:
                found = await self._next()
            except (RedisError, OSError) as error:
                _log.warning(line("queue away", reason=type(error).__name__))
                await asyncio.sleep(AWAY_S)
                continue
            if found is not None:
                number, fields = found
                ack = self._ack_generator(id=number, queue_name=self.queue_name)
                yield AckableMessage(data=fields[b"data"], ack=ack)

    async def beat(self) -> None:
        """Say that this worker still has its job."""
        mine = {"name": self.queue_name, "groupname": GROUP, "consumername": self.consumer_name}
        redis = self.redis()
        held = await redis.xpending_range(**mine, min="-", max="+", count=10)
        if held:
            numbers = [entry["message_id"] for entry in held]
            await redis.xclaim(**mine, min_idle_time=0, message_ids=numbers, justid=True)

    def redis(self) -> Redis:
        """Return a client over this broker's connections."""
        return Redis(connection_pool=self.connection_pool)

    async def _next(self) -> tuple[bytes, dict[bytes, Any]] | None:
        """One message that is now this worker's, or None."""
        redis = self.redis()
        mine = {"groupname": GROUP, "consumername": self.consumer_name}
        try:
            _, left, *_ = await redis.xautoclaim(
                self.queue_name, **mine, min_idle_time=self.idle_timeout, count=1
            )
            if not left:
                new = await redis.xreadgroup(
                    **mine, streams={self.queue_name: ">"}, count=1, block=WAIT_MS
                )
                left = new[0][1] if new else []
        except ResponseError as error:
            if "NOGROUP" not in str(error):
                raise
            await self._declare_consumer_group()  # the first worker, or Redis has forgotten
            return None
        number, fields = left[0] if left else (b"", None)
        if left and fields is None:  # it was pending, and the stream has been cut since
            await redis.xack(self.queue_name, GROUP, number)
        return (number, fields) if fields else None


def shown(url: str) -> str:
    """Return a Redis URL without what may be secret in it."""
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.hostname}" + (f":{parts.port}" if parts.port else "")
