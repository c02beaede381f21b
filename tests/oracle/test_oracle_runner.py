"""Where models run: which of them the settings choose, and how an outcome gets from one process to another.

open_runner, open_queue_worker
├── a model that would not fit into this machine's memory is refused before it is given to a process
├── ... unless it runs on another machine
├── when no queue is named: models run in processes of the provider's own, and there is no worker to start
└── when one is named and the packages for it are missing: one clear error
report_of, outcome_of
├── an outcome is the same on the other side
└── what is no report is an error of the job, never of the provider
"""

import pytest
from click.testing import CliRunner
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker import errors
from offchain_worker.commitment import payload_hash
from offchain_worker.job import Inference
from oracle import node
from oracle.cli import lattice
from oracle.errors import ConfigError
from oracle.services.runner import Inline, outcome_of, report_of
from oracle.services.sandbox import Sandbox


@pytest.fixture
def settings(provider):
    return provider.settings()


def test_open_runner__when_no_queue_is_named__models_run_here(settings, provider):
    contracts = node.connect(settings)
    runner = node.open_runner(settings, contracts, node.worker_setup(settings, contracts))

    assert isinstance(runner, Sandbox)
    assert runner.trouble == ""


@pytest.mark.parametrize(("queue", "state"), [("", "declined"), ("redis://127.0.0.1:1/0", "seen")])
def test_open_provider__when_the_model_would_not_fit__it_is_refused_before_it_is_begun(
    provider, market, xor, monkeypatch, queue, state
):
    monkeypatch.setattr(node, "memory_bytes", lambda: 1000)
    monkeypatch.setattr(node, "open_runner", lambda *rest: Inline(provider.worker))
    monkeypatch.setenv("LATTICE_KEY", provider.key)
    settings = provider.settings(**{"paths.store": str(xor.store), "queue.url": queue})
    job_id = market.request()

    with node.open_provider(settings) as running:
        running.start()
        running.tick()
        found = running._store.job(job_id)

    assert found.state == state if queue == "" else found.state != "declined"
    assert ("bytes of memory, got one that needs about" in found.reason) == (queue == "")
    assert provider.worker.inferred == ([] if queue == "" else [job_id])


def test_worker_run__when_no_queue_is_named__says_which_setting(settings, provider):
    result = CliRunner().invoke(lattice, ["worker", "run", "--home", str(provider.home)])

    assert isinstance(result.exception, ConfigError)
    assert "queue.url is empty" in str(result.exception)


def test_open_runner__when_packages_are_missing__says_what_to_install(provider, monkeypatch):
    monkeypatch.setattr(node, "find_spec", lambda name: None)
    settings = provider.settings(**{"queue.url": "redis://127.0.0.1:1/0"})
    contracts = node.connect(settings)

    with pytest.raises(ConfigError, match=r"lattice\[scale\]"):
        node.open_runner(settings, contracts, node.worker_setup(settings, contracts))
    with pytest.raises(ConfigError, match=r"lattice\[scale\]"):
        node.open_queue_worker(settings)


@given(st.binary(max_size=200), st.integers(1, 2**40))
def test_report__of_an_inference__is_the_same_on_the_other_side(output, job_id):
    inference = Inference(job_id, 1, output, payload_hash(output), "x", "cpu", 0.5, {"y": 1})

    assert outcome_of(report_of(inference)) == inference


@pytest.mark.parametrize("kind", [errors.BadInput, errors.ModelTimedOut, OSError, RuntimeError])
def test_report__of_an_error__is_the_same_on_the_other_side(kind):
    outcome = outcome_of(report_of(kind("why")))

    assert type(outcome) is kind
    assert "why" in str(outcome)


@given(
    st.dictionaries(
        st.sampled_from(["inference", "error", "text"]),
        st.none() | st.integers() | st.text() | st.dictionaries(st.text(), st.integers()),
    )
)
def test_outcome__of_what_is_no_report__is_an_error_of_the_job(report):
    outcome = outcome_of(report)

    assert isinstance(outcome, Exception)
