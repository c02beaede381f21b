"""A key with a remote signer: what is taken from it, and what becomes of jobs while it is away.

sign_transaction
├── when the signer changes a member, adds an access list, or signs with another key: nothing of it is taken
├── when it refuses, answers nonsense, is too slow, trickles, or is not there: it says so, and asks less and less often
└── it gives what the key itself would have signed, in each form that signers answer in
check
├── when it has another key, or does not know our token: that is for a person
└── when it is not to be trusted (TLS), or does not trust us: it is not asked
provider
├── when the signer is down at the start: it waits, says why, and serves when it is back
├── when it goes down while we run
│   ├── the answer keeps its nonce, and is signed when it is back
│   ├── what is signed already goes out again when it vanished
│   └── what is stuck is replaced later
├── when its reply is lost, even with our process: the same is asked again with the same nonce
├── when its reply was changed: nothing is stored or sent
├── when the key has come to this machine meanwhile: what waits is signed here
├── when the deadline passes meanwhile: the nonce is used up by nothing
└── as a process of its own: `doctor` finds it, `run` serves, and a wrong key ends it
"""

import json

import pytest
from click.testing import CliRunner
from eth_account import Account
from fault_steps import XOR_INPUT, finish, finish_process, serving, table, wait_for
from live_chain import ASSIGNED, REFUNDED, SETTLED
from remote_signer_server import CERTIFICATE, RemoteSignerServer

from oracle import config
from oracle.chain.events import to_terms
from oracle.cli import lattice
from oracle.errors import ConfigError, KeyUnavailable, SignerLied, SignerUnavailable
from oracle.keys import KeySigner, from_settings
from oracle.remote_signer import RemoteSigner

KEY = "0x" + "4c" * 32
ACCOUNT = Account.from_key(KEY)
ASKED = {
    "type": 2,
    "chainId": 31337,
    "nonce": 7,
    "to": "0x" + "22" * 20,
    "value": 0,
    "data": b"\1\2\3",
    "gas": 90_000,
    "maxFeePerGas": 2 * 10**9,
    "maxPriorityFeePerGas": 10**6,
}


@pytest.fixture(scope="module")
def server():
    with RemoteSignerServer(KEY) as running:
        yield running


def signer(server, address=ACCOUNT.address, **more):
    return RemoteSigner(server.url, address, **{"timeout_s": 0.5, **more})


# sign_transaction


@pytest.mark.parametrize(
    ("mode", "wrong"),
    [
        ("nonce", "another nonce"),
        ("to", "another to"),
        ("value", "another value"),
        ("gas", "another gas"),
        ("data", "another data"),
        ("maxFeePerGas", "another maxFeePerGas"),
        ("maxPriorityFeePerGas", "another maxPriorityFeePerGas"),
        ("chainId", "another chainId"),
        ("accessList", "an access list that nobody asked for"),
        ("wrong key", f"a signature that is not of {ACCOUNT.address}"),
        ("high s", f"a signature that is not of {ACCOUNT.address}"),
        ("nested", "no signed EIP-1559 transaction"),
        ("legacy", "no signed EIP-1559 transaction"),
        ("unsigned", "no signed EIP-1559 transaction"),
    ],
)
def test_sign_transaction__when_it_gives_something_else__takes_nothing(server, mode, wrong):
    server.mode(mode)

    with pytest.raises(SignerLied, match=wrong):
        signer(server).sign_transaction(ASKED)


@pytest.mark.parametrize(
    ("mode", "said"),
    [
        ("refuse", "refuses eth_signTransaction: No unlocked account matches the Sender"),
        ("garbage", "answers HTTP 502, but not JSON-RPC"),
        ("lose", "does not answer: RemoteProtocolError"),
        ("slow", "gives no reply in time"),
        ("trickle", "gives no reply in time"),
    ],
)
def test_sign_transaction__when_it_fails__says_why(server, mode, said):
    server.mode(mode)

    with pytest.raises(SignerUnavailable, match=said):
        signer(server).sign_transaction(ASKED)


def test_sign_transaction__when_it_failed__asks_again_only_after_a_rest(server):
    server.mode("refuse")
    remote = signer(server)
    with pytest.raises(SignerUnavailable):
        remote.sign_transaction(ASKED)
    server.mode("sign")
    before = len(server.signed())

    with pytest.raises(SignerUnavailable, match="No unlocked account"):
        remote.sign_transaction(ASKED)
    assert (len(server.signed()), remote.resting) == (before, True)
    wait_for(lambda: not remote.resting)
    remote.sign_transaction(ASKED)

    assert (len(server.signed()), remote.trouble) == (before + 1, "")


@pytest.mark.parametrize("mode", ["sign", "wrapped"])
@pytest.mark.parametrize("data", [b"", b"\1\2\3"])
def test_sign_transaction__gives_what_the_key_would_have_signed(server, mode, data):
    server.mode(mode)
    asked = {**ASKED, "data": data}

    assert signer(server).sign_transaction(asked) == KeySigner(ACCOUNT).sign_transaction(asked)


# check


def test_check__when_it_has_another_key__is_for_a_person(server):
    server.mode("sign")

    with pytest.raises(KeyUnavailable, match=r"has no key 0x1{40} \(eth_accounts names 1\)"):
        signer(server, "0x" + "11" * 20).check()


def test_check__when_the_token_is_wrong__is_for_a_person():
    with RemoteSignerServer(KEY, token="secret") as server:
        with pytest.raises(KeyUnavailable, match=r"does not let us in \(HTTP 401\)") as caught:
            signer(server, token="other").check()
        assert "other" not in str(caught.value)
        with pytest.raises(SignerUnavailable, match="does not let us in"):
            signer(server).sign_transaction(ASKED)

        signer(server, token="secret").check()


def test_check__when_its_certificate_is_not_trusted__does_not_ask():
    with RemoteSignerServer(KEY, tls=True) as server:
        with pytest.raises(SignerUnavailable, match="does not answer: ConnectError"):
            signer(server).check()

        signer(server, ca_file=CERTIFICATE).check()


def test_check__when_it_asks_for_our_certificate__shows_it():
    with RemoteSignerServer(KEY, tls=True, asks_for_certificate=True) as server:
        with pytest.raises(SignerUnavailable):
            signer(server, ca_file=CERTIFICATE).check()

        signer(server, ca_file=CERTIFICATE, cert_file=CERTIFICATE).check()


def test_from_settings__when_something_is_missing__names_it(tmp_path, monkeypatch):
    monkeypatch.setenv("LATTICE_SIGNER_TOKEN", "one\ntwo")

    def opened(**key):
        content = {
            "chain": {"rpc_urls": ["http://127.0.0.1:8545"], "deployment": "chain.json"},
            "key": {"source": "remote", **key},
        }
        return from_settings(config.check(content, tmp_path), 1)

    with pytest.raises(ConfigError, match=r"key.signer_url is missing"):
        opened()
    with pytest.raises(ConfigError, match=r"key.address is missing"):
        opened(signer_url="http://127.0.0.1:9000")
    with pytest.raises(ConfigError, match=r"key.signer_url: expected an http or https URL"):
        opened(signer_url="127.0.0.1:9000")
    with pytest.raises(ConfigError, match=r"key.address: expected an address"):
        opened(signer_url="http://127.0.0.1:9000", address="me")
    named = {"signer_url": "http://127.0.0.1:9000", "address": ACCOUNT.address}
    with pytest.raises(KeyUnavailable, match="not one line of plain text") as caught:
        opened(**named)
    assert "two" not in str(caught.value)
    with pytest.raises(KeyUnavailable, match="cannot read the token file"):
        opened(**named, signer_token_file="token")
    (tmp_path / "token").write_text("secret\n")
    with pytest.raises(KeyUnavailable, match="cannot use the certificates of"):
        opened(**named, signer_token_file="token", signer_ca_file="none.pem")
    assert "secret" not in repr(opened(**named, signer_token_file="token"))


def test_sign_digest__is_refused(server):
    with pytest.raises(KeyUnavailable, match="signs transactions only"):
        signer(server).sign_digest(bytes(32))


# provider


@pytest.fixture
def remote(provider, market):
    """A provider whose key is with a remote signer; neither has been started."""
    server = RemoteSignerServer(provider.key)
    provider.signer = signer(server, provider.signer.address)
    provider.server = server
    yield provider
    server.kill()


def awake(node):
    """Let the signer be asked at once."""
    node.signer._rests_until = 0.0
    return node


def nonces(node):
    """Under which nonces each calldata was signed, by the signer's own account."""
    found = {}
    for asked in node.server.signed():
        found.setdefault(asked.get("data", ""), set()).add(asked["nonce"])
    return found


def test_start__when_the_signer_is_down__waits_and_serves_when_it_is_back(remote, market):
    job_id = market.request()
    remote.open_unstarted()
    running = remote.parts.provider

    for _ in range(2):
        awake(remote)
        assert running.step() > 0
    assert "the signer http://127.0.0.1" in running.pulse.failure
    assert any("does not answer: ConnectError" in r for r in running.pulse.not_ready())
    remote.server.start()
    awake(remote)
    running.step()
    finish(remote, market)

    assert market.state(job_id) == SETTLED
    assert running.pulse.not_ready() == []


def test_start__when_the_signer_has_another_key__ends(remote):
    with RemoteSignerServer(KEY) as other:
        remote.signer = signer(other, remote.signer.address)
        remote.open_unstarted()

        with pytest.raises(KeyUnavailable, match="has no key"):
            remote.parts.provider.step()


def test_answer__when_the_signer_is_down__keeps_the_nonce_and_is_signed_later(
    remote, market, chain
):
    remote.server.start()
    remote.open()
    remote.server.kill()
    first, second = market.request(), market.request()

    remote.tick(3)
    remote.parts.provider.step()
    (reason,) = remote.parts.provider.pulse.not_ready()
    assert reason.startswith("nothing can be signed: the signer http://127.0.0.1")
    assert table(remote, "SELECT COUNT(*) FROM attempts") == [(0,)]
    assert {remote.state(first), remote.state(second)} <= {"inferred", "queued"}
    remote.server.start()
    awake(remote)
    finish(remote, market)

    assert {market.state(first), market.state(second)} == {SETTLED}
    assert all(len(used) == 1 for used in nonces(remote).values())
    assert sorted(remote.worker.inferred) == [first, second]
    remote.parts.provider.step()
    assert remote.parts.provider.pulse.not_ready() == []


def test_answer__when_the_reply_is_lost__asks_the_same_again(remote, market):
    remote.server.start()
    remote.open()
    remote.server.mode("lose")
    job_id = market.request()
    remote.tick_until(job_id, "queued")
    remote.server.mode("sign")
    more = market.request()

    awake(remote)
    finish(remote, market)

    assert {market.state(job_id), market.state(more)} == {SETTLED}
    assert all(len(used) == 1 for used in nonces(remote).values())
    assert len(remote.server.signed()) == len(nonces(remote)) + 1


def test_answer__when_killed_after_the_reply__asks_the_same_again(remote, market, monkeypatch):
    remote.server.start()
    remote.open()
    first, second = market.request(), market.request()
    real = remote.signer.sign_transaction

    def killed_then(transaction):
        real(transaction)
        raise KeyboardInterrupt

    monkeypatch.setattr(remote.signer, "sign_transaction", killed_then)
    with pytest.raises(KeyboardInterrupt):
        remote.tick_until(second, "queued")
    monkeypatch.undo()
    remote.crash().open()
    remote.parts.store.write(  # the other job is first now
        "UPDATE jobs SET retry_at_ms = 1e15 WHERE job_id = ? AND state = 'inferred'", (first,)
    )
    remote.tick()
    finish(remote, market)

    assert {market.state(first), market.state(second)} == {SETTLED}
    assert all(len(used) == 1 for used in nonces(remote).values())


def test_answer__when_the_reply_was_changed__stores_and_sends_nothing(remote, market, chain):
    remote.server.start()
    remote.open()
    remote.server.mode("to")
    job_id = market.request()

    for _ in range(3):
        awake(remote).tick()
    remote.parts.provider.step()
    assert table(remote, "SELECT COUNT(*) FROM attempts") == [(0,)]
    assert chain("eth_getTransactionCount", remote.signer.address, "pending") == "0x0"
    assert "gave a transaction with another to" in remote.parts.provider.pulse.not_ready()[0]
    remote.server.mode("sign")
    awake(remote)
    finish(remote, market)

    assert market.state(job_id) == SETTLED


def test_check__when_a_transaction_vanishes_and_the_signer_is_down__sends_it_again(
    remote, market, chain
):
    remote.server.start()
    remote.open()
    job_id = market.request()
    chain("evm_setAutomine", False)
    remote.tick_until(job_id, "broadcast")
    remote.server.kill()
    chain("anvil_dropAllTransactions")

    finish(remote, market)

    assert market.state(job_id) == SETTLED


def test_check__when_stuck_and_the_signer_is_down__replaces_it_later(remote, market, chain):
    remote.server.start()
    remote.open()
    job_id = market.request()
    chain("evm_setAutomine", False)
    remote.tick_until(job_id, "broadcast")
    remote.server.kill()
    raw = chain("eth_getRawTransactionByHash", table(remote, "SELECT hash FROM attempts")[0][0])
    for _ in range(3):
        chain("anvil_removePoolTransactions", remote.signer.address)
        chain.mine()
        chain("eth_sendRawTransaction", raw)
        awake(remote).tick()
    assert table(remote, "SELECT COUNT(*) FROM attempts") == [(1,)]
    remote.server.start()
    awake(remote)
    remote.parts.provider._submitter._looked_at = ("", 0.0)
    remote.tick()
    assert table(remote, "SELECT COUNT(*) FROM attempts") == [(2,)]

    finish(remote, market)

    assert market.state(job_id) == SETTLED


def test_answer__when_the_deadline_passes_meanwhile__uses_the_nonce_up(remote, market, chain):
    remote.server.start()
    remote.open()
    remote.server.kill()
    job_id = market.request(window_s=700)
    remote.tick_until(job_id, "queued")
    chain("evm_increaseTime", 800)
    chain.mine()
    awake(remote).tick(2)
    assert market.state(job_id) == ASSIGNED
    chain.send(
        *("InferenceRouter", "refund", job_id, to_terms(remote.job(job_id).job)),
        sender=market.requester,
    )
    remote.server.start()
    awake(remote)

    finish(remote, market)

    assert (market.state(job_id), remote.state(job_id)) == (REFUNDED, "lost")
    assert remote.rows() == [("answer", 0, "cancelled")]


def test_start__when_the_key_has_come_here__signs_what_the_remote_signer_did_not(
    remote, market, chain
):
    remote.server.start()
    remote.open()
    remote.server.kill()
    job_id = market.request()
    remote.tick_until(job_id, "queued")
    remote.crash()
    remote.signer = KeySigner(Account.from_key(remote.key))

    remote.open()
    later = market.request()
    finish(remote, market)

    assert {market.state(job_id), market.state(later)} == {SETTLED}


def test_provider_run__with_a_remote_signer__serves(remote, market, xor):
    server = RemoteSignerServer(remote.key, token="secret")
    (remote.home.parent / "token").write_text("secret\n")
    changes = serving(
        xor,
        **{
            "key.source": "remote",
            "key.signer_url": server.url,
            "key.address": remote.signer.address,
            "key.signer_token_file": str(remote.home.parent / "token"),
        },
    )
    process = remote.run(**changes)
    job_id = market.request(XOR_INPUT)
    found = doctor(remote)
    assert found["key"]["state"] == "fail"
    assert "does not answer" in found["key"]["found"]

    with server:
        assert doctor(remote)["key"] == {
            "state": "ok",
            "what": "key",
            "found": f"{remote.signer.address} from remote signer 127.0.0.1",
        }
        finish_process(remote, market, process)

        assert market.state(job_id) == SETTLED


def test_provider_run__when_the_signer_has_another_key__ends_and_doctor_says_why(remote, xor):
    with RemoteSignerServer(KEY) as server:
        changes = {
            "key.source": "remote",
            "key.signer_url": server.url,
            "key.address": remote.signer.address,
        }
        process = remote.run(**serving(xor, **changes))
        _, said = process.communicate(timeout=240)

        assert process.returncode == 1
        assert f"Error: the signer {server.url} has no key {remote.signer.address}" in said
        assert "has no key" in doctor(remote)["key"]["found"]


def doctor(node):
    """What `lattice provider doctor` finds, by what it looks at."""
    result = CliRunner().invoke(lattice, ["provider", "doctor", "--home", str(node.home), "--json"])
    return {finding["what"]: finding for finding in json.loads(result.output)}
