"""Measures the tests of the contracts that move money, by how many random changes of the contracts they notice.

`make mutate SEED=1 N=200`; the same seed draws the same changes. Nothing is written: a changed contract replaces the
compiled one in the memory of a forked test process. The tests are collected once, so a change costs one compilation and
the tests up to the first that fails. A change that does not compile, or that compiles to the same code, is drawn again.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import random
import resource
import signal
import sys
import tempfile
import time
import tomllib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
from compiler import ROOT, SETTINGS, Code, CompileError, Compiler
from operators import Mutant, mutants

PLAN = Path(__file__).with_name("plan.toml")
TESTS = "tests/contracts"
CPU_LIMIT_S = 300
"""Processor time that the tests of one mutant may take; who needs more hangs, and counts as noticed."""
LEAST_KILLED = 0.9

Outcome = dict[str, Any]
"""What a forked process says: `kind` is killed, survived or redraw; `by` is the test that failed."""


class Mutation:
    """Runs in place of pytest's own loop over the collected tests.

    Args:
        seed: Of the draw.
        number: How many mutants to judge.
        jobs: How many at a time.
    """

    def __init__(self, seed: int, number: int, jobs: int) -> None:
        self.seed, self.number, self.jobs = seed, number, jobs
        self.plan: dict[str, dict[str, list[str]]] = tomllib.loads(PLAN.read_text())
        self.compilers = [Compiler() for _ in range(jobs)]
        self.survivors: list[Mutant] = []
        self.killed = 0
        self.running: dict[int, tuple[Slot, Mutant]] = {}

    # --- set-up

    def prepare(self, session: pytest.Session) -> None:
        """Compile the contracts unchanged, in the way that mutants will be, and run all tests on them once."""
        from ape import project

        self.paths = {}
        self.how: dict[str, str] = {}
        self.code: dict[str, Code] = {}
        for name in sorted({name for entry in self.plan.values() for name in entry["contracts"]}):
            self.paths[name] = str(project.contracts[name].source_id)
            for how in SETTINGS:
                try:
                    self.code[name] = self.compilers[0].code(self.paths[name], name, how)
                except CompileError:
                    continue
                self.how[name] = how
                break
            replace_code(name, self.code[name])
        self.sources = {path: (ROOT / path).read_bytes() for path in self.plan}
        trees = self.compilers[0].trees(list(self.plan))
        self.drawn = [m for p in self.plan for m in mutants(p, self.sources[p], trees[p])]
        random.Random(self.seed).shuffle(self.drawn)  # noqa: S311 -- repeatable, not secret
        gc.freeze()  # forked processes then share what is here

        def run_all() -> Outcome:
            return {i.nodeid: s for i, passed, s in run(session.items, session) if passed}

        self.seconds: dict[str, float] = Slot(run_all, self.folder / "all", limit_s=None).wait()
        broken = [item.nodeid for item in session.items if item.nodeid not in self.seconds]
        print(f"{len(self.seconds)} tests pass on the contracts as they are", flush=True)
        if broken:
            print(f"left out, because they fail on a build for mutants: {broken}", flush=True)

    def items_for(self, mutant: Mutant, session: pytest.Session) -> list[pytest.Item]:
        """Return the tests for a mutant: file by file as planned, in a file the quickest first."""
        files = [f"{TESTS}/{name}.py" for name in self.plan[mutant.path]["tests"]]
        chosen = [
            (files.index(file), self.seconds[item.nodeid], number)
            for number, item in enumerate(session.items)
            if (file := item.nodeid.split("::")[0]) in files and item.nodeid in self.seconds
        ]
        return [session.items[number] for _, _, number in sorted(chosen)]

    # --- one mutant, in a process of its own

    def judge(self, mutant: Mutant, compiler: Compiler, session: pytest.Session) -> Outcome:
        """Compile a mutant, put its code in, and run its tests up to the first that fails."""
        changed = {mutant.path: mutant.apply(self.sources[mutant.path]).decode()}
        same = True
        for name in self.plan[mutant.path]["contracts"]:
            try:
                code = compiler.code(self.paths[name], name, self.how[name], changed)
            except CompileError:
                return {"kind": "redraw"}
            same &= code == self.code[name]
            replace_code(name, code)
        if same:
            return {"kind": "redraw"}
        for item, passed, _ in run(self.items_for(mutant, session), session):
            if not passed:
                return {"kind": "killed", "by": item.nodeid}
        return {"kind": "survived"}

    # --- the loop

    def pytest_configure(self) -> None:
        """Make the property tests repeatable, and let them stop at the first example that fails."""
        phases = [hypothesis.Phase.explicit, hypothesis.Phase.generate]
        hypothesis.settings.register_profile(
            "mutation", derandomize=True, database=None, deadline=None, phases=phases
        )
        hypothesis.settings.load_profile("mutation")

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        """Judge mutants until there are enough."""
        signal.signal(signal.SIGTERM, lambda *_: sys.exit("ended by a signal"))
        try:
            with tempfile.TemporaryDirectory() as name:
                self.folder = Path(name)
                self.prepare(session)
                self.judge_all(session)
        finally:
            for slot, _ in self.running.values():
                slot.end()
            for compiler in self.compilers:
                compiler.close()
        return True

    def judge_all(self, session: pytest.Session) -> None:
        """Keep `jobs` processes busy; print every survivor when it is found."""
        running = self.running
        started = time.monotonic()
        queue = iter(self.drawn)
        judged = 0
        while judged < self.number:
            for number in range(self.jobs):
                if number not in running and judged + len(running) < self.number:
                    mutant = next(queue, None)
                    if mutant is None:
                        raise RuntimeError(
                            f"only {judged} mutants there are, expected {self.number}"
                        )
                    running[number] = (self.start(number, mutant, session), mutant)
            time.sleep(0.02)
            for number, (slot, mutant) in list(running.items()):
                if (outcome := slot.poll()) is None:
                    continue
                del running[number]
                if outcome["kind"] == "redraw":
                    continue
                judged += 1
                self.note(mutant, outcome, judged, time.monotonic() - started)

    def start(self, number: int, mutant: Mutant, session: pytest.Session) -> Slot:
        """Judge a mutant in place `number`."""
        compiler = self.compilers[number]
        return Slot(lambda: self.judge(mutant, compiler, session), self.folder / str(number))

    def note(self, mutant: Mutant, outcome: Outcome, judged: int, seconds: float) -> None:
        """Count an outcome, and say it."""
        if outcome["kind"] == "killed":
            self.killed += 1
            says = f"killed by {outcome['by'].removeprefix(TESTS + '/')}"
        else:
            self.survivors.append(mutant)
            says = f"SURVIVED ({mutant.operator})\n{mutant.path}\n{mutant.diff(self.sources[mutant.path])}"
        print(f"{judged}/{self.number} {seconds:5.0f} s  {says}", flush=True)


class Slot:
    """A forked process that does `work` and leaves its answer in a file.

    A process that ends without one broke something on its way, or used up its time: that counts as killed.
    """

    def __init__(
        self, work: Callable[[], Outcome], place: Path, limit_s: int | None = CPU_LIMIT_S
    ) -> None:
        self.place, self.limit_s = place, limit_s
        place.unlink(missing_ok=True)
        self.pid = os.fork()
        if self.pid == 0:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)
            self.run(work)

    def run(self, work: Callable[[], Outcome]) -> None:
        """In the new process: work, answer, end."""
        try:
            if self.limit_s is not None:
                resource.setrlimit(resource.RLIMIT_CPU, (self.limit_s, self.limit_s))
            answer = work()
            partial = self.place.with_suffix(".partial")
            partial.write_text(json.dumps(answer))
            partial.rename(self.place)
        finally:
            os._exit(0)

    def poll(self) -> Outcome | None:
        """Return the answer, or None while there is none."""
        if os.waitpid(self.pid, os.WNOHANG) == (0, 0):
            return None
        return self.answer()

    def wait(self) -> Outcome:
        """Return the answer when there is one."""
        os.waitpid(self.pid, 0)
        return self.answer()

    def end(self) -> None:
        """Stop the process."""
        os.kill(self.pid, signal.SIGKILL)
        os.waitpid(self.pid, 0)

    def answer(self) -> Outcome:
        """Return what the process left."""
        if not self.place.exists():
            return {"kind": "killed", "by": "its time limit, or a crash"}
        found: Outcome = json.loads(self.place.read_text())
        return found


def replace_code(name: str, code: Code) -> None:
    """Make Ape deploy `code` for the contract `name`."""
    from ape import project

    contract = project.contracts[name]
    contract.deployment_bytecode.bytecode = "0x" + code.creation
    contract.runtime_bytecode.bytecode = "0x" + code.runtime


def run(
    items: list[pytest.Item], session: pytest.Session
) -> Iterator[tuple[pytest.Item, bool, float]]:
    """Run tests without a word; yields each with whether it passed, and its seconds."""
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    session.config.pluginmanager.unregister(reporter)
    for item, following in zip(items, [*items[1:], None], strict=True):
        failed, started = session.testsfailed, time.monotonic()
        item.config.hook.pytest_runtest_protocol(item=item, nextitem=following)
        yield item, session.testsfailed == failed, time.monotonic() - started


def main() -> int:
    """Read the command line, judge, and return the exit status: 1 when too many survive."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--number", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=2)
    chosen = parser.parse_args()
    mutation = Mutation(chosen.seed, chosen.number, chosen.jobs)
    files = sorted({f"{TESTS}/{test}.py" for e in mutation.plan.values() for test in e["tests"]})
    status = pytest.main(["-qq", "--no-header", "-p", "no:cacheprovider", *files], [mutation])
    judged = mutation.killed + len(mutation.survivors)
    if status != pytest.ExitCode.OK or judged < chosen.number:
        return 2
    share = mutation.killed / judged
    print(f"seed {chosen.seed}: {mutation.killed} of {judged} mutants killed, {share:.1%}")
    for mutant in mutation.survivors:
        print(f"survived: {mutant.path}\n{mutant.diff(mutation.sources[mutant.path])}")
    return 0 if share >= LEAST_KILLED else 1


if __name__ == "__main__":
    sys.exit(main())
