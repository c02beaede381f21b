"""A worker that takes jobs from a provider's queue: `lattice worker run`. It has no key and asks no chain.

One job at a time, its model in a process of its own, with the provider's limits. A job stays this worker's as long as
it says so every few seconds, and is done when its reply is in Redis; before that, another worker takes it over.
"""

import asyncio
import json
import logging
import select
import signal
from collections.abc import Awaitable, Callable
from typing import Any

from redis.exceptions import RedisError
from taskiq import Context, TaskiqDepends
from taskiq.acks import AcknowledgeType
from taskiq.receiver import Receiver

from offchain_worker.child import Setup
from offchain_worker.errors import ModelCrashed
from offchain_worker.job import Inference, Job
from oracle.logs import line
from oracle.services.broker import AWAY_S, TASK, JobBroker, Names
from oracle.services.runner import report_of
from oracle.services.sandbox import Sandbox

MOST_BEGINNINGS = 3
"""How many workers may begin a job; when the last of them has ended over it too, the job is to blame."""
REPLIES_KEPT_S = 3600
LOOK_S = 0.5

_log = logging.getLogger(__name__)


class QueueWorker:
    """Runs jobs from a queue until it is told to end.

    Args:
        url: Redis.
        names: The queue's.
        setup: What the model's process makes its worker from.
        lost_after_s: After how long without a sign of life a job is taken from this worker, in seconds.
        time_s: Longest time of one job in the model, in seconds.
        memory_mib: Most memory of the model's process, in MiB; 0 for any.
    """

    def __init__(
        self,
        url: str,
        names: Names,
        setup: Setup,
        *,
        lost_after_s: float,
        time_s: float,
        memory_mib: int,
    ) -> None:
        self._names = names
        self._lost_after_s = lost_after_s
        self._broker = JobBroker(url, names.stream, lost_after_s)
        self._broker.register_task(self._task(), task_name=TASK)
        self._sandbox = Sandbox(setup, time_s=time_s, memory_mib=memory_mib)
        self._stop = asyncio.Event()
        self._failure: OSError | None = None

    def run(self) -> None:
        """Work until SIGTERM or SIGINT; the job that is in the model is finished first.

        Raises:
            OSError: the disk or the memory of this machine fails. Its job goes to another worker.
        """
        logging.getLogger("taskiq").setLevel(logging.WARNING)
        try:
            asyncio.run(self._serve())
        finally:
            self._sandbox.close()
        if self._failure is not None:
            raise self._failure
        _log.info(line("stopped"))

    async def _serve(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._end)
        beating = asyncio.create_task(self._beat())
        _log.info(line("working", queue=self._names.stream, worker=self._broker.consumer_name))
        receiver = Receiver(
            self._broker, max_async_tasks=1, run_startup=False, ack_type=AcknowledgeType.MANUAL
        )  # a label of the task does not do it: it counts where jobs are sent
        await receiver.listen(self._stop)
        beating.cancel()

    def _end(self) -> None:
        self._broker.ending = True
        self._stop.set()

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(self._lost_after_s / 4)
            try:
                await self._broker.beat()
            except (RedisError, OSError) as error:
                _log.warning(line("queue away", reason=type(error).__name__))

    def _task(self) -> Callable[..., Awaitable[None]]:
        """What taskiq calls: it takes no methods."""

        async def infer(
            job: str,
            token: str,
            replies: str,
            context: Context = TaskiqDepends(),  # noqa: B008  # taskiq's way
        ) -> None:
            await self._infer(Job.from_json(job), token, replies, context.ack)

        return infer

    async def _infer(
        self, job: Job, token: str, replies: str, ack: Callable[[], Awaitable[None]]
    ) -> None:
        """Run one job, unless it is not wanted any more, and reply."""
        redis = self._broker.redis()
        number = str(job.job_id)
        if await self._patiently(lambda: redis.hget(self._names.wanted, number)) == token.encode():
            begun = await self._patiently(lambda: redis.hincrby(self._names.begun, token, 1))
            outcome = await self._outcome(job, begun)
            if isinstance(outcome, OSError):  # this machine's fault, not the job's
                self._failure = outcome
                self._end()
                return
            reply = json.dumps({"job": job.job_id, **report_of(outcome)})
            await self._patiently(lambda: redis.rpush(replies, reply))
            await self._patiently(lambda: redis.expire(replies, REPLIES_KEPT_S))
            failed = {} if isinstance(outcome, Inference) else {"error": outcome}
            _log.info(line("job", job=job.job_id, **failed))
        await self._patiently(ack)

    async def _outcome(self, job: Job, begun: int) -> Inference | Exception:
        if begun > MOST_BEGINNINGS:
            return ModelCrashed(f"{MOST_BEGINNINGS} workers ended while they ran it")
        return await asyncio.to_thread(self._run_model, job)

    def _run_model(self, job: Job) -> Inference | Exception:
        try:
            self._sandbox.begin(job)
            while not (done := self._sandbox.finished()):
                select.select(self._sandbox.filenos(), [], [], LOOK_S)
        except Exception as error:
            return error  # else taskiq would log it, and nobody would hear of the job again
        return done[0].outcome

    async def _patiently(self, call: Callable[[], Awaitable[Any]]) -> Any:
        """Do something with Redis; wait while it is away."""
        while True:
            try:
                return await call()
            except (RedisError, OSError) as error:
                _log.warning(line("queue away", reason=type(error).__name__))
                await asyncio.sleep(AWAY_S)
