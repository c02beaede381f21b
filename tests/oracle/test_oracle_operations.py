"""Pages, doctor, drain and logs of a provider, and the files in ops/ that rely on them.

pages
├── /readyz
│   ├── when all is well: 200
│   ├── when something is not: 503 and the reason
│   └── when the model of a job is not here: no, until it is, or no job waits
├── when somebody connects and says nothing: it is let go
├── /livez: 200 as long as the loop goes round, also while nothing can be answered
└── /metrics
    ├── every figure has a line of help and is named in docs/operators.md
    └── it agrees with the database
ops
├── alerts and dashboard name only figures that there are, and every alert is explained
└── the units start the command that there is
doctor
├── when all is well: nothing fails
├── when something is missing: it says what to do, and the exit code is 1
├── when the key is another's, or nobody has the number: it says which of the two to change
├── when the backend that is named cannot run the model here: it says so, unless models run elsewhere
├── when the endpoint is away or the database's disk is full: it says what to look at
└── before the first start, and with a provider running: it writes nothing
status, run
└── when the database is damaged or empty: one line, no traceback
port
└── when it is taken: it says what to change
drain, logs
└── the running process ends with 0, and its log is shown
"""

import configparser
import json
import plistlib
import re
import shutil
import socket
import urllib.error
import urllib.request
from pathlib import Path

import pytest
from click.testing import CliRunner
from fault_proxy import FaultProxy, lose_request
from fault_steps import XOR_INPUT, serving, wait_for
from live_chain import SETTLED, free_port

from offchain_worker.errors import ArtifactMissing
from oracle.cli import lattice, main
from oracle.server import http
from oracle.server.health import LOOP_DEAD_AFTER_S, Pulse
from oracle.server.http import HealthServer
from oracle.server.metrics import HELP, HISTOGRAMS, PREFIX, Histogram

ROOT = Path(__file__).parent.parent.parent


def get(port, page):
    """Status and text of a page."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{page}", timeout=10) as reply:
            return reply.status, reply.read().decode()
    except urllib.error.HTTPError as error:
        return error.code, error.read().decode()


@pytest.fixture
def served(provider, market, chain):
    """A provider of this process with its pages, behind an endpoint that can be lost."""
    with FaultProxy(chain.url) as proxy:
        provider.open(**{"chain.rpc_urls": [proxy.url]})
        running = provider.parts.provider
        server = HealthServer("127.0.0.1", 0, running.pulse, running.metrics)
        server.start()
        provider.port, provider.proxy = server.port, proxy
        yield provider
        server.close()


def test_readyz__when_all_is_well__says_yes(served):
    served.parts.provider.step()

    assert get(served.port, "/readyz") == (200, '{"ok": true, "reasons": []}\n')


def test_readyz__when_the_endpoint_is_lost__says_why_and_livez_still_yes(served):
    served.parts.provider.step()
    served.proxy.add(lose_request)

    served.parts.provider._listened_at = float("-inf")
    served.parts.provider.step()

    status, text = get(served.port, "/readyz")
    assert status == 503
    assert "connection refused or lost" in json.loads(text)["reasons"][0]
    assert get(served.port, "/livez")[0] == 200
    served.proxy.heal()
    served.parts.provider.step()
    assert get(served.port, "/readyz")[0] == 200


def listen(node):
    """One step in which the chain is asked for news."""
    node.parts.provider._listened_at = float("-inf")
    return node.parts.provider.step() >= 0


@pytest.mark.parametrize("comes", [True, False])
def test_readyz__when_the_model_is_not_here__says_no_while_a_job_waits(comes, served, market):
    served.worker.failures = [ArtifactMissing("no folder bafy: fetch it first")]
    job_id = market.request()
    wait_for(lambda: listen(served) and served.worker.inferred)

    status, text = get(served.port, "/readyz")
    assert (status, json.loads(text)["reasons"]) == (
        503,
        ["a job waits for its model: no folder bafy: fetch it first"],
    )

    served.parts.store.write("UPDATE jobs SET retry_at_ms = 0")
    if comes:
        served.tick_until(job_id, "mined", "final")
    else:
        served.parts.store.bury(job_id, 1, "for the test")
    served.parts.provider.step()
    assert get(served.port, "/readyz")[0] == 200


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"started": False}, "catching up"),
        ({"stopping": True}, "ending"),
        ({"funds_low": True}, "too little money"),
        ({"halted_until": 10**9}, "a reorg undid"),
        ({"endpoints_in_sync": 0}, "0 of 1 endpoints"),
        ({"tx_waits_since": float("-inf")}, "a transaction has waited"),
        ({"head_at": float("-inf")}, "no new block"),
        ({"beat_at": -LOOP_DEAD_AFTER_S}, "has not gone round"),
    ],
)
def test_not_ready__when_something_is_wrong__says_it(change, reason):
    pulse = Pulse(60.0, started=True, endpoints=1, endpoints_in_sync=1, head_number=5)
    assert pulse.not_ready() == []

    for name, value in change.items():
        setattr(pulse, name, value)

    (said,) = pulse.not_ready()
    assert reason in said


def test_pages__when_somebody_connects_and_says_nothing__lets_go(monkeypatch):
    monkeypatch.setattr(http, "CLIENT_TIMEOUT_S", 0.05)
    server = HealthServer("127.0.0.1", 0, Pulse(1.0), None)
    server.start()
    try:
        with socket.create_connection(("127.0.0.1", server.port), timeout=20) as silent:
            assert silent.recv(1) == b""
    finally:
        server.close()


def test_metrics__agree_with_the_database(served, market):
    job_id = market.request()
    served.tick_until(job_id, "mined", "final")
    served.parts.store.commit()
    served.parts.provider.step()

    _, page = get(served.port, "/metrics")

    values = dict(row.rsplit(" ", 1) for row in page.splitlines() if not row.startswith("#"))
    assert sum(float(v) for k, v in values.items() if k.startswith("lattice_jobs{")) == 1
    assert values["lattice_inference_seconds_count"] == "1"
    assert values["lattice_inference_batch_sum"] == "1"
    assert values['lattice_inferences_total{backend="recording",device="cpu"}'] == "1"
    assert 'lattice_model_memory_bytes{backend="recording",device="cpu"}' in values
    assert float(values["lattice_wallet_balance_wei"]) > float(values["lattice_wallet_needed_wei"])
    assert values["lattice_lost_jobs"] == values["lattice_double_pay_reverts"] == "0"
    assert {PREFIX + name for name in HELP} <= {
        re.sub(r"(_bucket|_sum|_count)?(\{.*)?$", "", name) for name in values
    } | {"lattice_tx_reverts", "lattice_rpc_errors", "lattice_inference_seconds"}


def test_histogram__counts_what_is_below_each_bound():
    histogram = Histogram((1, 5))
    for value in (0.5, 1, 3, 9):
        histogram.add(value)

    assert histogram.lines("h") == [
        'h_bucket{le="1"} 2',
        'h_bucket{le="5"} 3',
        'h_bucket{le="+Inf"} 4',
        "h_sum 13.5",
        "h_count 4",
    ]


def test_ops__name_only_figures_that_there_are_and_are_explained():
    known = {PREFIX + name for name in HELP if name not in HISTOGRAMS}
    known |= {f"{PREFIX}{h}{end}" for h in HISTOGRAMS for end in ("_bucket", "_sum", "_count")}
    alerts = (ROOT / "ops/alerts.yml").read_text()
    board = json.loads((ROOT / "ops/grafana-dashboard.json").read_text())
    guide = (ROOT / "docs/operators.md").read_text()
    shown = " ".join(target["expr"] for panel in board["panels"] for target in panel["targets"])

    assert set(re.findall(r"lattice_\w+", alerts + " " + shown)) <= known
    for alert in re.findall(r"alert: (\w+)", alerts):
        assert f"| `{alert}` |" in guide
    for name in HELP:
        assert f"`{name}`" in guide
    assert {name for name in HELP if PREFIX + name not in shown} <= {"finality_violations_total"}


def test_ops__units_start_the_command_that_there_is():
    unit = configparser.ConfigParser(strict=False)
    unit.optionxform = str
    unit.read(ROOT / "ops/lattice-provider.service")
    agent = plistlib.loads((ROOT / "ops/lattice-provider.plist").read_bytes())

    for command in (unit["Service"]["ExecStart"].split(), agent["ProgramArguments"]):
        assert command[0].endswith("/bin/lattice")
        assert CliRunner().invoke(lattice, [*command[1:], "--help"]).exit_code == 0
    assert int(unit["Service"]["TimeoutStopSec"]) > 30 < agent["ExitTimeOut"]


def run(node, *arguments):
    done = CliRunner(env={"LATTICE_KEY": node.key}).invoke(
        lattice, [*arguments, "--home", str(node.home)]
    )
    return done.exit_code, done.output


def test_doctor__when_all_is_well__nothing_fails(provider, xor, chain):
    provider.settings(**serving(xor))

    code, shown = run(provider, "provider", "doctor", "--json")

    findings = {item["what"]: item for item in json.loads(shown[shown.index("[") :])}
    assert code == 0, shown
    assert {item["state"] for item in findings.values()} <= {"ok", "warn"}
    assert findings["operator"]["state"] == findings[f"offer {provider.offer}"]["state"] == "ok"
    assert findings["process"]["found"].startswith("none is running")


def test_doctor__when_things_are_missing__says_what_to_do(provider, tmp_path, chain):
    chain("anvil_setBalance", provider.signer.address, "0x1")
    provider.settings(
        **{"paths.store": str(tmp_path / "empty")},
        **{"chain.rpc_urls": [chain.url, "http://127.0.0.1:9"]},
    )

    code, shown = run(provider, "provider", "doctor", "--json")

    findings = {item["what"]: item for item in json.loads(shown[shown.index("[") :])}
    assert code == 1
    assert findings["money for gas"]["state"] == "fail"
    assert f"send some to {provider.signer.address}" in findings["money for gas"]["found"]
    assert findings[f"offer {provider.offer}"]["state"] == "fail"
    assert findings["endpoint http://127.0.0.1:9"]["state"] == "warn"


def test_doctor__when_something_fails__the_command_ends_with_1(
    provider, chain, capsys, monkeypatch
):
    monkeypatch.setenv("LATTICE_KEY", provider.key)
    chain("anvil_setBalance", provider.signer.address, "0x0")
    provider.settings()

    with pytest.raises(SystemExit) as ended:
        main(["provider", "doctor", "--home", str(provider.home)])

    assert ended.value.code == 1
    lines = capsys.readouterr().out.splitlines()
    (line,) = [line for line in lines if line.startswith("fail  money for gas: 0 wei")]
    assert line.endswith(f"send some to {provider.signer.address}")  # whole, to be copied


def test_doctor__when_an_offer_is_cheaper_than_gas__warns(provider, xor, chain):
    provider.settings(**serving(xor), **{"limits.price_to_gas": 1000.0})

    code, shown = run(provider, "provider", "doctor", "--json")

    findings = {item["what"]: item for item in json.loads(shown[shown.index("[") :])}
    price = findings[f"offer {provider.offer}'s price"]
    assert (code, price["state"]) == (0, "warn")
    assert "is declined at the present price of gas" in price["found"]


def looked_over(node):
    """What `doctor` found: the exit code, and what it says by what it is about."""
    code, shown = run(node, "provider", "doctor", "--json")
    return code, {item["what"]: item for item in json.loads(shown[shown.index("[") :])}


def test_doctor__when_nobody_has_the_number__says_to_look_at_it(provider, chain):
    provider.settings(**{"provider.number": 4321})

    code, findings = looked_over(provider)

    assert (code, findings["operator"]["state"]) == (1, "fail")
    assert "there is no provider 4321 on this chain" in findings["operator"]["found"]
    assert "provider.number" in findings["operator"]["found"]


def test_doctor__when_the_key_is_not_the_operators__says_what_to_do(provider, chain):
    provider.settings()
    provider.key = "0x" + "11" * 32

    code, findings = looked_over(provider)

    assert (code, findings["operator"]["state"]) == (1, "fail")
    assert f"is {provider.signer.address}, and the key is 0x" in findings["operator"]["found"]
    assert "name the operator's key under [key]" in findings["operator"]["found"]


@pytest.mark.parametrize("elsewhere", [False, True])
def test_doctor__when_the_named_backend_does_not_run_the_model__fails_unless_it_runs_elsewhere(
    provider, xor, chain, elsewhere
):
    queue = {"queue.url": "redis://127.0.0.1:9"} if elsewhere else {}
    provider.settings(**serving(xor), **{"provider.backend": "integer"}, **queue)

    code, findings = looked_over(provider)

    offer = findings[f"offer {provider.offer}"]
    assert (code, offer["state"]) == ((0, "ok") if elsewhere else (1, "fail"))
    assert elsewhere or "got 'integer'" in offer["found"]


def test_doctor__when_the_endpoint_is_away__says_what_to_look_at(provider, chain):
    provider.settings(**{"chain.rpc_urls": ["http://127.0.0.1:9"]})

    code, findings = looked_over(provider)

    assert (code, findings["chain"]["state"]) == (1, "fail")
    assert "chain.rpc_urls" in findings["chain"]["found"]


def test_doctor__looks_at_the_disk_of_the_database_too(provider, chain, tmp_path, monkeypatch):
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    provider.settings(**{"paths.database": str(elsewhere / "jobs.sqlite")})
    real = shutil.disk_usage
    monkeypatch.setattr(
        shutil,
        "disk_usage",
        lambda path: real(path)._replace(free=(5 if Path(path) == elsewhere else 5000) << 20),
    )

    disk = looked_over(provider)[1]["disk"]

    assert disk["state"] == "warn"
    assert disk["found"].startswith(f"5 MiB free in {elsewhere}")


def files_below(folder):
    files = (path for path in folder.rglob("*") if path.is_file())
    return {path: path.read_bytes() for path in files if path.suffix != ".sqlite-shm"}


def test_doctor__before_the_first_start__makes_nothing(provider, chain):
    provider.settings(**{"paths.database": "data/jobs.sqlite"})
    before = sorted(provider.home.rglob("*"))

    found = looked_over(provider)[1]["job database"]

    assert (found["state"], found["found"].partition(":")[0]) == ("ok", "none yet")
    assert sorted(provider.home.rglob("*")) == before


def test_doctor__of_a_database__writes_nothing_and_shows_its_jobs(provider, market, chain):
    provider.home = provider.home.with_name("home 100%25 #1?")
    provider.open()
    provider.tick_until(market.request(), "mined")
    provider.parts.store.commit()
    before = files_below(provider.home)

    found = looked_over(provider)[1]["job database"]

    assert (found["state"], found["found"].partition(": ")[2]) == ("ok", "1 mined")
    assert run(provider, "provider", "status", "--json")[0] == 0
    assert files_below(provider.home) == before


@pytest.mark.parametrize("content", [b"", b"no database at all, and longer than its head" * 99])
def test_status__when_the_database_is_damaged__is_one_line(provider, chain, capsys, content):
    provider.settings(**{"paths.database": "broken.sqlite"})
    (provider.home / "broken.sqlite").write_bytes(content)

    with pytest.raises(SystemExit) as ended:
        main(["provider", "status", "--home", str(provider.home)])

    error = capsys.readouterr().err
    assert (ended.value.code, error.count("\n")) == (1, 1)
    assert "broken.sqlite" in error
    assert "it is rebuilt from the chain" in error


def test_run__when_a_page_of_the_database_is_damaged__ends_with_one_line(
    provider, market, chain, monkeypatch, capsys
):
    monkeypatch.setenv("LATTICE_KEY", provider.key)
    provider.open()
    for _ in range(20):
        market.request()
    provider.tick()
    provider.crash()
    file = provider.home / "jobs.sqlite"
    with file.open("r+b") as database:  # all but the head, and the pages that say where tables are
        database.seek(3 * 4096)
        database.write(b"\xff" * (file.stat().st_size - 3 * 4096))

    with pytest.raises(SystemExit) as ended:
        main(["provider", "run", "--home", str(provider.home)])

    last = capsys.readouterr().err.splitlines()[-1]
    assert ended.value.code == 1
    assert last.startswith("Error: cannot ")
    assert "it is rebuilt from the chain" in last
    del provider.parts


def test_doctor__when_the_database_is_of_another_version__says_to_delete_it(provider, chain):
    provider.open()
    provider.parts.store.set_note("schema", "1")
    provider.parts.store.commit()

    found = looked_over(provider)[1]["job database"]

    assert found["state"] == "fail"
    assert "was made by another version of this program (1, expected " in found["found"]
    assert found["found"].endswith("delete the file, and it is rebuilt from the chain")


def test_doctor__when_the_database_is_damaged__says_to_delete_it(provider, chain):
    provider.settings(**{"paths.database": "broken.sqlite"})
    (provider.home / "broken.sqlite").write_bytes(b"no database at all" * 99)

    found = looked_over(provider)[1]["job database"]

    assert found["state"] == "fail"
    assert "it is rebuilt from the chain" in found["found"]


def test_run__when_the_port_is_taken__says_what_to_change(provider, chain, monkeypatch, capsys):
    monkeypatch.setenv("LATTICE_KEY", provider.key)
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        provider.settings(**{"server.port": holder.getsockname()[1]})

        with pytest.raises(SystemExit):
            main(["provider", "run", "--home", str(provider.home)])

    assert "choose another server.port, or stop what listens there" in capsys.readouterr().err


def test_drain_and_logs__of_a_running_process(provider, market, xor, chain):
    port = free_port()
    job_id = market.request(XOR_INPUT)
    process = provider.run(**serving(xor), **{"server.port": port})
    wait_for(lambda: market.state(job_id) == SETTLED)
    assert get(port, "/readyz")[0] == 200
    assert "lattice_ready 1" in get(port, "/metrics")[1]
    assert get(port, "/other")[0] == 404

    code, shown = run(provider, "provider", "drain")

    assert (code, shown.strip()) == (0, f"process {process.pid} has ended")
    assert process.wait(240) == 0
    assert run(provider, "provider", "drain")[1].startswith("no provider is running")
    code, log = run(provider, "provider", "logs", "--lines", "3")
    assert code == 0
    assert "stopped" in log.splitlines()[-1]
