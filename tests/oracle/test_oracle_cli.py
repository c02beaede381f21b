"""The `lattice` command, as people use it.

lattice
├── when something is wrong
│   └── one line on stderr, exit code 1, nothing lost
├── request send
│   ├── says first that everything is public, and asks once
│   ├── pays with the request itself, waits, and prints the answer decoded
│   └── waits on when the endpoint fails meanwhile
├── request refund
│   └── gives the money back after the deadline
├── provider register, offer, close, status, claim
│   └── the settings keep their place and mode when the number is noted
├── provider profile: measures a model once, and shows what it found
├── model import, register, show, revenue
└── account deposit, withdraw, show
"""

import json

import pytest
from eth_account import Account
from fault_proxy import FaultProxy, status
from live_chain import ASK, ETHER, MODEL_PRICE, PRICE, REFUNDED, SETTLED, start_anvil

from offchain_worker.pipeline.xor_model import write_xor
from oracle import config
from oracle.cli import main
from oracle.cli.common import Session
from oracle.cli.request import wait_for_answer

ONE = '{"dtype": "float32", "shape": [1, 2], "data": [1, 0]}'


class Person:
    """Somebody with a key, money and a home folder."""

    def __init__(self, chain, home, monkeypatch, capsys):
        self.account = Account.create()
        self.chain, self.home, self.capsys = chain, home, capsys
        chain("anvil_setBalance", self.account.address, hex(100 * ETHER))
        monkeypatch.setenv("LATTICE_KEY", self.account.key.to_0x_hex())

    def init(self, url=""):
        return self(
            "init",
            "--rpc",
            url or self.chain.url,
            "--deployment",
            str(self.chain.record),
            "--key-env",
            "LATTICE_KEY",
        )

    def __call__(self, *words, code=0):
        """Run a command with our home folder; returns (stdout, stderr)."""
        noun, verb, *rest = [*words, ""] if len(words) == 1 else words
        place = [noun] if noun == "init" else [noun, verb]
        rest = list(words[1:]) if noun == "init" else rest
        try:
            main([*place, "--home", str(self.home), *rest])
            ended = 0
        except SystemExit as error:
            ended = error.code
        out, err = self.capsys.readouterr()
        assert ended == code, (ended, out, err)
        return out, err

    def json(self, *words):
        return json.loads(self(*words, "--json")[0])

    def fails(self, *words):
        """The one line of an error."""
        _, err = self(*words, code=1)
        (line,) = [text for text in err.splitlines() if text.startswith("Error: ")]
        assert err.strip().splitlines()[-1] == line
        return line


@pytest.fixture
def person(chain, tmp_path, monkeypatch, capsys):
    someone = Person(chain, tmp_path / "person", monkeypatch, capsys)
    someone.init()
    return someone


def model_id(market):
    return "0x" + market.market["modelId"].hex()


def test_init__when_it_is_there_already__keeps_it(person):
    assert "lattice.toml is there already" in person.fails(
        "init", "--rpc", "http://x", "--deployment", "d", "--key-env", "K"
    )


def test_init__when_the_key_is_with_a_remote_signer__notes_it(person, tmp_path):
    home, operator = tmp_path / "remote", "0x" + "ab" * 20
    person.home = home
    rest = ("--rpc", "http://x", "--deployment", "d", "--signer", "https://signer.example:9000")

    assert "go together" in person.fails("init", *rest)
    person("init", *rest, "--signer-address", operator)

    key = config.load(home).key
    assert (key.source, key.signer_url, key.address) == (
        "remote",
        "https://signer.example:9000",
        operator,
    )


def test_init__when_no_key_is_named__says_which_there_are(person, tmp_path):
    person.home = tmp_path / "new"

    assert "name one key" in person.fails("init", "--rpc", "http://x", "--deployment", "d")


def test_any__when_there_is_no_home__says_how_to_make_one(person, tmp_path):
    person.home = tmp_path / "nowhere"

    assert "make one with `lattice init`" in person.fails("account", "show")


def test_any__when_the_endpoint_is_down__says_so(person, tmp_path):
    person.home = tmp_path / "down"
    person.init("http://127.0.0.1:9")

    assert "http://127.0.0.1:9 does not answer" in person.fails("account", "show")


def test_any__when_the_chain_is_another__names_both(person, tmp_path):
    other = start_anvil("--chain-id", "1337")
    try:
        person.home = tmp_path / "other"
        person.init(other.url)

        assert "serves chain 1337, expected chain 31337" in person.fails("account", "show")
    finally:
        other.process.kill()
        other.process.wait()


def test_request_send__when_the_model_is_unknown__says_so(person):
    line = person.fails("request", "send", "0x" + "01" * 32, "--text", "a=b", "--yes")

    assert line.startswith(
        f"Error: RegistryModelUnknown(modelId=0x{'01' * 32}): check the model's identifier"
    )


def test_request_send__when_nobody_offers__says_so(person, market):
    assert "nobody offers model" in person.fails(
        "request", "send", model_id(market), "--text", "a=b", "--yes"
    )


def test_request_send__when_the_fee_is_too_low__shows_both(person, market, provider):
    line = person.fails(
        "request", "send", model_id(market), "--text", "a=b", "--yes", "--max-price", "5"
    )

    assert (
        line
        == f"Error: RouterFeeTooLow(allowed=5, asked={PRICE}): allow at least what is asked (`--max-price`)"
    )


def test_request_send__when_the_deadline_has_passed__shows_the_limits(person, market, provider):
    line = person.fails(
        "request", "send", model_id(market), "--text", "a=b", "--yes", "--deadline-s", "-5"
    )

    assert line.startswith("Error: RouterDeadlineOutOfRange(deadline=")


def test_request_send__when_the_input_is_no_json__says_so(person, market):
    person("request", "send", model_id(market), "--value", "x={", code=2)


def test_request_send__when_nobody_confirms_that_it_is_public__sends_nothing(
    person, market, provider
):
    _, err = person("request", "send", model_id(market), "--value", f"x={ONE}", code=1)

    assert "PUBLIC for ever" in err
    assert market.chain.read("InferenceRouter", "lastJobId") == 0


def test_request_send__pays_waits_and_prints_the_answer(person, market, provider, chain, xor):
    process = provider.run(**{"paths.store": str(xor.store)})
    try:
        shown = person.json("request", "send", model_id(market), "--value", f"x={ONE}", "--yes")
    finally:
        process.terminate()
        process.communicate(timeout=240)

    assert (shown["job"], shown["state"], shown["price"]) == (1, "settled", PRICE)
    assert shown["answer"] == {"y": {"dtype": "float32", "shape": [1, 1], "data": [[1.0]]}}
    assert market.state(1) == SETTLED
    assert person.json("request", "show", "1") == shown
    assert "1.0" in person("request", "show", "1")[0]
    _, err = person("request", "send", model_id(market), "--value", f"x={ONE}", "--no-wait")
    assert "PUBLIC" not in err


def test_request_send__when_the_endpoint_fails_while_it_waits__waits_on(
    person, market, provider, chain, tmp_path
):
    job_id = market.request()
    provider.open().tick_until(job_id, "mined", "final")
    with FaultProxy(chain.url) as proxy:
        person.home = tmp_path / "behind"
        person.init(proxy.url)
        proxy.add(status(503), "eth_blockNumber", times=3)  # one look, with all its tries

        job = wait_for_answer(Session(person.home), job_id, first=0, timeout_s=240)

    assert (job.job_id, job.status) == (job_id, "settled")


def test_request_refund__gives_the_money_back(person, market, provider, chain):
    person.json(
        "request",
        "send",
        model_id(market),
        "--text",
        "a=b",
        "--yes",
        "--no-wait",
        "--deadline-s",
        "700",
    )
    line = person.fails("request", "refund", "1")
    assert line.startswith("Error: RouterTooEarly(time=")
    chain("evm_increaseTime", 800)
    chain.mine()

    out, _ = person("request", "refund", "1")

    assert f"0.0011 ether of job 1 went back to {person.account.address}" in out
    assert market.state(1) == REFUNDED
    assert person.json("account", "show")["free_in_vault"] == PRICE


def test_request_show__when_there_is_no_such_job__names_the_latest(person):
    assert person.fails("request", "show", "7") == "Error: there is no job 7, the latest is 0"


def test_account__deposits_shows_and_withdraws(person):
    person("account", "deposit", "1ether")
    shown = person.json("account", "show")
    assert (shown["free_in_vault"], shown["router_may_spend"]) == (ETHER, True)

    assert person.fails("account", "withdraw", "2ether").startswith(
        f"Error: VaultBalanceTooLow(free={ETHER}, needed={2 * ETHER})"
    )
    person("account", "withdraw", "1ether")

    assert person.json("account", "show")["free_in_vault"] == 0
    assert person.account.address in person("account", "show")[0]


def test_model_and_provider__from_a_folder_to_being_paid(person, chain, tmp_path, xor):
    write_xor(tmp_path / "xor")

    registered = person.json(
        "model",
        "register",
        str(tmp_path / "xor"),
        "--price",
        str(MODEL_PRICE),
        "--royalty-bps",
        "1000",
    )
    assert registered["cid"] == str(xor.cid)
    model = person.json("model", "show", registered["model"])
    assert (model["price"], model["format"], model["cid"]) == (
        MODEL_PRICE,
        "reference",
        str(xor.cid),
    )
    assert person.json("provider", "register", "--stake", "1ether")["provider"] == 1
    offer = person.json(
        "provider", "offer", registered["model"], "--ask", str(ASK), "--window-s", "30"
    )
    assert (offer["offer"], offer["price_wei"]) == (1, PRICE)
    again = ("provider", "offer", registered["model"], "--ask", "5")
    assert "`lattice provider close`" in person.fails(*again)
    assert person("provider", "close", "1")[0] == "offer 1 is closed\n"
    assert "OfferIsClosed" in person.fails("provider", "close", "1")
    assert person.json(*again)["price_wei"] == MODEL_PRICE + 5
    assert person("provider", "claim")[0].strip() == "nothing to claim"
    assert "there is no job database" in person.fails("provider", "status")


def test_register__when_the_settings_are_a_link__changes_what_it_points_to(person, tmp_path):
    file, real = person.home / config.FILE_NAME, tmp_path / "elsewhere" / "settings"
    real.parent.mkdir()
    file.rename(real)
    real.chmod(0o600)
    file.symlink_to(real)

    number = person.json("provider", "register", "--stake", "1ether")["provider"]

    assert f"\nnumber = {number}\n" in real.read_text()
    assert (file.is_symlink(), real.stat().st_mode & 0o777) == (True, 0o600)
    assert list(real.parent.iterdir()) == [real]


def test_model_import__puts_the_model_into_the_store_and_a_folder(person, tmp_path, xor):
    out, _ = person("model", "import", "xor", "--to", str(tmp_path / "xor"))

    assert str(xor.cid) in out
    assert (tmp_path / "xor" / "manifest.json").is_file()


def test_provider_profile__measures_a_model_once(person):
    cid = person("model", "import", "xor")[0].split()[-1]

    (first,) = person.json("provider", "profile", cid)
    (second,) = person.json("provider", "profile", cid)
    shown, _ = person("provider", "profile", cid)

    assert first["backend"] == "reference:cpu"
    assert 0 < first["p50_ms"] <= first["p99_ms"]
    assert second == first
    assert "reference:cpu" in shown
    assert "as the model's CID" in person.fails("provider", "profile", "xor")


def test_provider_run__when_not_registered__says_so(person):
    assert "provider.number is 0" in person.fails("provider", "run")


def test_provider_status_and_claim__show_what_was_earned(person, provider, market, chain, capsys):
    provider.open()
    market.request()
    provider.tick(2)
    home, person.home = person.home, provider.home

    shown = person.json("provider", "status")
    assert (shown["jobs"], shown["given_up"]) == ({"mined": 1}, [])
    assert "mined" in person("provider", "status")[0]
    person.home = home
    text = (home / "lattice.toml").read_text().replace("number = 0", f"number = {provider.number}")
    (home / "lattice.toml").write_text(text)
    model = "0x" + bytes(market.market["modelId"]).hex()
    (before,) = person.json("model", "revenue", model)
    assert (before["claimed"], before["units"], before["unclaimed"]) == (0, 0, PRICE)

    (claimed,) = person.json("provider", "claim")

    (after,) = person.json("model", "revenue", model)
    assert (after["claimed"], after["units"], after["unclaimed"]) == (PRICE, 1, 0)
    assert after["fees"] == claimed["to_protocol"]

    assert claimed["to_provider"] + claimed["to_model"] + claimed["to_protocol"] == PRICE
    assert chain.read("InferenceRouter", "offer", provider.offer)["earned"] == 0
