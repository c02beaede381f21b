"""Sandbox: which backend a model gets, and jobs that run together. With backends that the tests made up.

finished
├── when a model was never measured: it is once nothing else is to be done, and the fastest that agrees takes over
├── when something else is always to be done: it is measured all the same, after a while
├── when it was killed meanwhile: the next one measures it; when it was measured: nobody does again
├── when a backend is chosen by name: that one runs, however slow
├── when the manifest allows batches, and the measurement agrees: jobs that wait run together, with the same answers
├── when the manifest does not: they never do
├── when one job of a batch
│   ├── fails, gives NaN, or is malformed: it fails alone
│   ├── kills the process: the others are answered, and it alone is to blame
│   └── never ends: the others are answered, and it alone has taken too long
├── when the process says what no such process says: its job fails, and the provider goes on
└── when it ends and has left a process of its own behind: that is noticed at once, and both are ended
drain
├── what is in the model is answered, as a whole
└── when its process dies over it: nothing waits any more
"""

import contextlib
import os
import signal
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from fault_steps import wait_for
from made_up_model import CHILDSIDE, VERIFIER, made_up_job, write_made_up

from offchain_worker.child import Setup
from offchain_worker.commitment import payload_hash
from offchain_worker.errors import BadInput, BadModel, BadOutput, ModelCrashed, ModelTimedOut
from offchain_worker.job import Inference
from offchain_worker.payload import encode
from offchain_worker.storage.store import EmbeddedStore
from oracle.services.sandbox import AHEAD, Sandbox

CRASH, HANG, FAIL, NOT_A_NUMBER, SLOW, FORK = 1001, 1002, 1003, 1004, 1005, 1006
"""What `childside/made_up.py` knows."""


class Home:
    """A store with the model, and sandboxes over it."""

    def __init__(self, folder):
        self.folder, self.open = folder, []
        self.store = EmbeddedStore(folder / "store")

    def add(self, **options):
        """Add the model and return its CID."""
        write_made_up(self.folder / "model", **options)
        return str(self.store.add_folder(self.folder / "model"))

    def sandbox(self, backend=None, **options):
        setup = Setup(
            str(self.folder / "store"),
            str(self.folder / "cache"),
            {VERIFIER: "signature"},
            backend,
        )
        self.open.append(Sandbox(setup, **options))
        return self.open[-1]

    @property
    def figures(self):
        return sorted((self.folder / "cache/figures").glob("*.json"))


@pytest.fixture
def home(tmp_path, monkeypatch):
    paths = filter(None, [str(CHILDSIDE), os.environ.get("PYTHONPATH")])
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(paths))
    ready = Home(tmp_path)
    yield ready
    for sandbox in ready.open:
        sandbox.close()


def run(sandbox, *jobs):
    """Run jobs that are all there at once; return what became of each, by number."""
    for job in jobs:
        sandbox.begin(job)
    return collect(sandbox, len(jobs))


def run_behind(sandbox, cid, *jobs):
    """Run jobs that all wait while another one is in the model."""
    slow = made_up_job(997, cid, SLOW)
    outcomes = run(sandbox, slow, *jobs)
    del outcomes[997]
    return outcomes


def collect(sandbox, count):
    done = []
    wait_for(lambda: done.extend(sandbox.finished()) or len(done) >= count)
    return {item.job.job_id: item.outcome for item in done}


def measure(home, sandbox, cid):
    """Run a job, and wait until the model has been measured."""
    run(sandbox, made_up_job(999, cid, 1))
    wait_for(lambda: sandbox.finished() == [] and home.figures and not sandbox._measuring)


def test_finished__when_never_measured__measures_and_takes_the_fastest_that_agrees(home):
    cid, sandbox = home.add(), home.sandbox()

    first = run(sandbox, made_up_job(1, cid, 1))[1]
    wait_for(lambda: sandbox.finished() == [] and home.figures and not sandbox._measuring)
    second = run(sandbox, made_up_job(2, cid, 1))[2]

    assert (first.backend, second.backend) == ("made-up", "made-up-fast")
    assert first.memory_bytes > 1 << 20
    assert second.answer["y"] == {"dtype": "float32", "shape": [1, 2], "data": [[2.0, 4.0]]}


def test_finished__when_there_is_always_work__measures_after_a_while(home, monkeypatch):
    monkeypatch.setattr("oracle.services.sandbox.PATIENCE_S", -1.0)
    cid, sandbox = home.add(), home.sandbox()
    for number in (1, 2):
        sandbox.begin(made_up_job(number, cid, SLOW))

    first = collect(sandbox, 1)

    assert list(first) == [1]
    assert (list(sandbox.busy), sandbox._measuring is not None) == ([2], True)
    wait_for(lambda: (sandbox.finished(), home.figures)[1])


def test_finished__when_killed_while_it_measured__the_next_one_measures(home):
    cid, killed = home.add(), home.sandbox()
    run(killed, made_up_job(1, cid, 1))
    wait_for(lambda: killed.finished() == [] and killed._measuring)
    killed.close()
    assert home.figures == []

    measure(home, home.sandbox(), cid)
    (file,) = home.figures
    written = file.stat().st_mtime_ns
    third = home.sandbox()
    outcome = run(third, made_up_job(3, cid, 1))[3]
    third.finished()

    assert outcome.backend == "made-up-fast"
    assert third._measuring is None
    assert file.stat().st_mtime_ns == written


def test_finished__when_a_backend_is_named__obeys(home):
    cid, sandbox = home.add(), home.sandbox("made-up")

    measure(home, sandbox, cid)

    assert run(sandbox, made_up_job(2, cid, 1))[2].backend == "made-up"


def measured(home, **options):
    """A sandbox whose process has loaded a measured model that may run in batches."""
    cid, sandbox = home.add(max_batch=8), home.sandbox(**options)
    measure(home, sandbox, cid)
    run(sandbox, made_up_job(998, cid, 1))
    return cid, sandbox


def test_finished__when_the_manifest_allows_batches__runs_what_waits_together(home):
    cid, sandbox = measured(home)
    assert sandbox.room == 2 * 8
    jobs = [made_up_job(n, cid, n, rows=1 + n % 2) for n in range(1, 16)]

    outcomes = run_behind(sandbox, cid, *jobs)

    sizes = {number: outcome.batch for number, outcome in outcomes.items()}
    assert max(sizes.values()) > 1
    assert max(sizes.values()) <= 8
    for n, outcome in outcomes.items():
        assert outcome.answer["y"]["data"] == [[2.0 * n, 2.0 * n]] * (1 + n % 2)


def test_finished__when_the_manifest_does_not__never_runs_jobs_together(home):
    cid, sandbox = home.add(), home.sandbox()
    measure(home, sandbox, cid)

    outcomes = run_behind(sandbox, cid, *(made_up_job(n, cid, n) for n in range(1, AHEAD)))

    assert [outcome.batch for outcome in outcomes.values()] == [1] * (AHEAD - 1)


@pytest.mark.parametrize(("poison", "error"), [(FAIL, BadModel), (NOT_A_NUMBER, BadOutput)])
def test_finished__when_one_of_a_batch_fails__the_others_do_not(home, poison, error):
    cid, sandbox = measured(home)
    jobs = [made_up_job(n, cid, poison if n == 5 else n) for n in range(1, 9)]

    outcomes = run_behind(sandbox, cid, *jobs)

    assert isinstance(outcomes.pop(5), error)
    assert all(isinstance(outcome, Inference) for outcome in outcomes.values())
    assert sandbox.killed == 0


def test_finished__when_one_of_a_batch_is_malformed__the_others_run_together(home):
    cid, sandbox = measured(home)
    payload = encode({"x": np.ones((1, 2), np.float64)})
    bad = replace(made_up_job(5, cid, 1), input=payload, input_hash=payload_hash(payload))
    jobs = [bad if n == 5 else made_up_job(n, cid, n) for n in range(1, 9)]

    outcomes = run_behind(sandbox, cid, *jobs)

    assert isinstance(outcomes.pop(5), BadInput)
    assert max(outcome.batch for outcome in outcomes.values()) > 1


@pytest.mark.parametrize(("poison", "error"), [(CRASH, ModelCrashed), (HANG, ModelTimedOut)])
def test_finished__when_one_of_a_batch_ends_the_process__it_alone_is_to_blame(home, poison, error):
    cid, sandbox = measured(home, time_s=4.0)
    jobs = [made_up_job(n, cid, poison if n == 5 else n) for n in range(1, 9)]

    outcomes = run_behind(sandbox, cid, *jobs)

    assert isinstance(outcomes.pop(5), error)
    assert all(isinstance(outcome, Inference) for outcome in outcomes.values())
    assert list(sandbox.busy) == []


def test_drain__answers_the_batch_that_is_in_the_model(home):
    cid, sandbox = measured(home)
    for n in range(1, 9):
        sandbox.begin(made_up_job(n, cid, SLOW))
    (child,) = sandbox._children
    wait_for(lambda: sandbox.finished() == [] and len(child.in_model) > 1)

    sandbox.drain()
    kept = list(sandbox.busy)
    outcomes = collect(sandbox, len(kept))

    assert sorted(outcomes) == sorted(kept)
    wait_for(lambda: sandbox.finished() == [] and not sandbox._children)


def test_drain__when_the_process_dies_over_a_batch__leaves_it_for_the_next_start(home):
    cid, sandbox = measured(home)
    for n in range(1, 9):
        sandbox.begin(made_up_job(n, cid, SLOW))
    (child,) = sandbox._children
    wait_for(lambda: sandbox.finished() == [] and len(child.in_model) > 1)
    sandbox.drain()
    os.kill(child._process.pid, signal.SIGKILL)

    wait_for(lambda: sandbox.finished() == [] and not sandbox._children)

    assert list(sandbox.busy) == []


@pytest.mark.parametrize(
    "said", [[], "x", {"begun": 7}, {"begun": [[]]}, {"number": []}, {"number": 1, "max_batch": 65}]
)
def test_finished__when_a_process_says_something_else__its_job_fails(home, said, monkeypatch):
    cid, sandbox = home.add(), home.sandbox()
    sandbox.begin(made_up_job(1, cid, SLOW))
    (child,) = sandbox._children
    monkeypatch.setattr(child._unpacker, "feed", lambda piece: [said])

    outcome = collect(sandbox, 1)[1]

    assert isinstance(outcome, ModelCrashed)
    assert "it wrote something else than answers" in str(outcome)
    assert list(sandbox.busy) == []


@pytest.mark.skipif(not Path("/proc").is_dir(), reason="needs the list of processes in /proc")
def test_finished__when_a_model_leaves_a_process_behind__both_are_ended(home):
    cid, sandbox = home.add(), home.sandbox(time_s=600.0)
    sandbox.begin(made_up_job(1, cid, FORK))
    group = sandbox._children[0]._process.pid

    died = collect(sandbox, 1)[1]

    assert isinstance(died, ModelCrashed)
    assert "ended with 3" in str(died)
    wait_for(lambda: alive_in(group) == [])


def alive_in(group):
    """Processes of a group that have not ended."""
    found = []
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            state, _, its_group = (folder / "stat").read_text().rpartition(")")[2].split()[:3]
            if state != "Z" and int(its_group) == group:
                found.append(int(folder.name))
    return found
