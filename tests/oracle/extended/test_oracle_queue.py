"""Many workers on one queue: `queue.url` and `lattice worker run`, with a real Redis and real processes.

queue
├── when several workers run
│   └── every job is answered once
├── when a worker is killed with a job in its model
│   └── another runs it
├── when a job has ended three workers
│   └── it is to blame
├── when a worker's machine cannot start a process
│   └── it ends, and its job is left to another
├── when a worker is told to end
│   └── it answers the job in its model first, and takes no other
├── when Redis ends and comes back empty
│   └── the provider says so, and no job is lost
├── when Redis is frozen
│   └── that is noticed, and no job is lost
├── when a reply comes twice, or is none, or is about another job
│   └── it counts once, or not at all
├── when a job is begun again as soon as it has failed
│   └── it is sent again
└── when the provider forgets a job
    └── no worker runs it
"""

import contextlib
import errno
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request

import pytest
from fault_steps import XOR_INPUT, finish_process, in_the_model, serving, table, wait_for
from live_chain import ROOT, SETTLED, free_port
from redis import Redis
from redis_server import RedisServer
from stress_model import ask

from offchain_worker.child import Setup
from offchain_worker.commitment import payload_hash
from offchain_worker.errors import ModelCrashed
from offchain_worker.job import Inference
from oracle.services.broker import GROUP, Names
from oracle.services.queue_worker import QueueWorker
from oracle.services.remote import Remote
from oracle.services.runner import report_of

pytestmark = pytest.mark.extended

LONG = 2**40
NAMES = Names("lattice:test")


@pytest.fixture
def redis():
    server = RedisServer()
    yield server
    server.kill()


@pytest.fixture
def processes():
    """Processes of one test; those that it leaves are killed."""
    started = []
    yield started
    for process in started:
        process.kill()
        process.wait()


@pytest.fixture
def workers(processes):
    """Starts worker processes."""

    def start(node):
        log = node.home / f"worker-{len(processes)}.log"
        process = subprocess.Popen(
            [sys.executable, "-m", "oracle", "worker", "run", "--home", str(node.home)],
            cwd=ROOT,
            env={name: value for name, value in os.environ.items() if name != "LATTICE_KEY"},
            stderr=log.open("w"),
        )
        process.log = log
        processes.append(process)
        return process

    return start


@pytest.fixture
def run(redis, processes):
    """Starts a provider whose models are behind the queue."""

    def start(node, store, **changes):
        queue = {"queue.url": redis.url, "queue.lost_after_s": 2.0, **changes}
        process = node.run(**serving(store, **queue))
        processes.append(process)
        return process

    return start


def ready(port):
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/readyz", timeout=5) as page:
            return page.read().decode()
    except urllib.error.HTTPError as error:
        return error.read().decode()
    except OSError:
        return ""


def answered(log):
    return log.read_text().count("INFO job ")


def test_queue__when_several_workers_run__every_job_is_answered_once(
    provider, market, chain, xor, redis, run, workers
):
    process = run(provider, xor)
    team = [workers(provider) for _ in range(3)]
    jobs = [market.request(XOR_INPUT) for _ in range(40)]

    wait_for(lambda: {market.state(job) for job in jobs} == {SETTLED})
    finish_process(provider, market, process)

    done = [answered(worker.log) for worker in team]
    assert sum(done) >= len(jobs)  # more when a busy machine made a worker look lost
    assert table(provider, "SELECT COUNT(*) FROM parts") == [(len(jobs),)]
    assert not Redis.from_url(redis.url).exists(f"{stream(redis)}:wanted")


def test_queue__when_a_worker_is_killed_with_a_job__another_runs_it(
    stress, chain, redis, run, workers
):
    node, market = stress.node, stress.market
    process = run(node, stress)
    first = workers(node)
    job = market.request(ask(rounds=3 * 10**6))
    wait_for(lambda: held(redis) == 1)
    first.kill()
    first.wait()
    second = workers(node)

    wait_for(lambda: market.state(job) == SETTLED)
    finish_process(node, market, process)
    assert answered(second.log) == 1


def test_queue__when_a_job_has_ended_three_workers__it_is_to_blame(
    stress, chain, redis, run, workers
):
    node, market = stress.node, stress.market
    process = run(node, stress, **{"limits.max_tries": 1, "queue.lost_after_s": 1.0})
    bad = market.request(ask(rounds=LONG))
    for _ in range(3):
        worker = workers(node)
        wait_for(lambda worker=worker: in_the_model(worker))
        worker.kill()
        worker.wait()
    workers(node)
    good = market.request(ask())

    wait_for(lambda: market.state(good) == SETTLED)
    finish_process(node, market, process)
    ((job, reason),) = table(node, "SELECT job_id, reason FROM dead_letters")
    assert job == bad
    assert "3 workers ended while they ran it" in reason


def test_queue__when_a_worker_is_told_to_end__it_answers_what_is_in_its_model(
    stress, chain, redis, run, workers
):
    node, market = stress.node, stress.market
    process = run(node, stress)
    worker = workers(node)
    first = market.request(ask(rounds=5 * 10**6))
    wait_for(lambda: held(redis) == 1)
    second = market.request(ask())
    worker.send_signal(signal.SIGTERM)

    assert worker.wait(60) == 0
    wait_for(lambda: market.state(first) == SETTLED)
    assert market.state(second) != SETTLED
    workers(node)
    finish_process(node, market, process)
    assert market.state(second) == SETTLED


@pytest.mark.parametrize("way", ["ends", "freezes"])
def test_queue__when_redis_is_away__no_job_is_lost(
    way, provider, market, chain, xor, redis, run, workers
):
    port = free_port()
    process = run(provider, xor, **{"server.port": port})
    workers(provider)
    wait_for(lambda: '"ok": true' in ready(port))
    before = market.request(XOR_INPUT)
    wait_for(lambda: market.state(before) == SETTLED)

    if way == "ends":
        redis.kill()
    else:
        redis.freeze()
    jobs = [market.request(XOR_INPUT) for _ in range(3)]
    wait_for(lambda: "no model can run: the queue at redis://127.0.0.1" in ready(port))
    assert {market.state(job) for job in jobs}.isdisjoint({SETTLED})
    redis.kill()
    redis.start()

    wait_for(lambda: {market.state(job) for job in jobs} == {SETTLED})
    finish_process(provider, market, process)
    assert table(provider, "SELECT COUNT(*) FROM parts") == [(4,)]


@pytest.fixture
def remote(redis):
    found = Remote(redis.url, NAMES, ahead=8, lost_after_s=1.0)
    wait_for(lambda: found.room)
    yield found
    found.close()


def inference(job):
    return Inference(
        job_id=job.job_id,
        units=1,
        output=b"\xa0",
        output_hash=payload_hash(b"\xa0"),
        backend="x",
        device="cpu",
        duration_ms=1.0,
        answer={},
    )


def test_worker__when_no_process_can_be_started__ends_and_leaves_its_job(
    remote, redis, some_jobs, xor, tmp_path, monkeypatch
):
    def full(job):
        raise OSError(errno.EAGAIN, "Resource temporarily unavailable")

    setup = Setup(str(xor.store), str(tmp_path), {})
    worker = QueueWorker(redis.url, NAMES, setup, lost_after_s=1.0, time_s=60.0, memory_mib=0)
    monkeypatch.setattr(worker._sandbox, "begin", full)
    remote.begin(some_jobs[0])
    end = threading.Timer(20.0, os.kill, (os.getpid(), signal.SIGTERM))  # should it go on
    end.start()

    with pytest.raises(OSError, match="Resource temporarily unavailable"):
        worker.run()

    end.cancel()
    assert Redis.from_url(redis.url).xpending(NAMES.stream, GROUP)["pending"] == 1


def test_remote__when_replies_are_bad_or_twice__each_job_is_done_once(remote, redis, some_jobs):
    one, two, three = some_jobs
    client = Redis.from_url(redis.url)
    for job in some_jobs:
        remote.begin(job)
    wait_for(lambda: client.xlen(NAMES.stream) == 3)
    replies = NAMES.replies(remote._run)
    good = json.dumps({"job": one.job_id, **report_of(inference(one))})
    for reply in (
        *(good, good, "no JSON", "[]", '{"job": {}}', '{"job": 99, "error": "x"}'),
        json.dumps({"job": two.job_id, "inference": {"units": 1}}),
        json.dumps({"job": three.job_id, **report_of(inference(one))}),
    ):
        client.rpush(replies, reply)

    done = []
    wait_for(lambda: done.extend(remote.finished()) or len(done) >= 3)
    time.sleep(0.2)
    done += remote.finished()

    outcomes = {item.job.job_id: item.outcome for item in done}
    assert len(done) == len(outcomes) == 3
    assert outcomes[one.job_id] == inference(one)
    assert isinstance(outcomes[two.job_id], RuntimeError)
    assert isinstance(outcomes[three.job_id], RuntimeError)
    wait_for(lambda: client.hlen(NAMES.wanted) == 1)


def test_remote__when_a_job_ended_its_process__it_counts(remote, redis, some_jobs):
    remote.begin(some_jobs[0])
    crash = {"job": some_jobs[0].job_id, **report_of(ModelCrashed("it ended"))}
    Redis.from_url(redis.url).rpush(NAMES.replies(remote._run), json.dumps(crash))

    wait_for(remote.finished)

    assert remote.killed == 1


def test_remote__when_a_job_is_begun_again_at_once__it_is_sent_again(remote, redis, some_jobs):
    client = Redis.from_url(redis.url)
    job = some_jobs[0]
    failed = json.dumps({"job": job.job_id, **report_of(RuntimeError("no"))})
    for count in range(1, 30):
        remote.begin(job)
        wait_for(lambda count=count: client.xlen(NAMES.stream) == count)
        client.rpush(NAMES.replies(remote._run), failed)
        wait_for(remote.finished)

    assert remote.busy == []
    wait_for(lambda: client.hlen(NAMES.wanted) == 1)


def test_remote__when_drained__forgets_what_is_not_done(remote, redis, some_jobs):
    client = Redis.from_url(redis.url)
    for job in some_jobs:
        remote.begin(job)
    wait_for(lambda: client.hlen(NAMES.wanted) == 4)

    remote.drain()

    assert (remote.busy, remote.room) == ([], 0)
    wait_for(lambda: client.hlen(NAMES.wanted) == 1)


@pytest.fixture
def some_jobs(provider, market, chain):
    """Three jobs as a provider reads them."""
    provider.open()
    numbers = [market.request() for _ in range(3)]
    provider.parts.listener.tick()
    return [provider.job(number).job for number in numbers]


def stream(redis):
    keys = Redis.from_url(redis.url).keys("lattice:*")
    return min((key.decode() for key in keys), key=len)


def held(redis):
    """How many jobs are with a worker."""
    client = Redis.from_url(redis.url)
    with contextlib.suppress(Exception):
        return client.xpending(stream(redis), GROUP)["pending"]
    return 0
