"""Settings, keys, policy and lease: what is refused at start, and in which words.

load
├── when the file is missing, or not TOML
├── when a section or setting is unknown (with a guess), missing, or of the wrong kind
└── when `template` wrote it, it is read back
keys
├── when the keystore is missing, no keystore, or the password wrong
├── when the raw key is not set, no key, or the chain is not local
└── no error and no log holds a key
policy
└── each reason to refuse, in words
lease
├── when it is taken, its holder is named
└── when somebody only looks whether it is (`doctor`, `status`), it is had a moment later
"""

import fcntl
import json
import tomllib
from dataclasses import fields, replace

import pytest
from eth_account import Account

from offchain_worker.job import NO_ADDRESS, Job
from offchain_worker.proofs.signature import recover
from oracle import config
from oracle.chain.listener import Head
from oracle.errors import ConfigError, HomeInUse, KeyUnavailable
from oracle.keys import from_environment, from_keystore, from_settings
from oracle.policy import Policy, Terms
from oracle.services.lease import Lease

KEY = "0x" + "4c" * 32
LEAST = {
    "chain": {"rpc_urls": ["http://127.0.0.1:8545"], "deployment": "chain.json"},
    "key": {"source": "env"},
}


def changed(section, **values):
    return {**LEAST, section: {**LEAST.get(section, {}), **values}}


def test_load__when_there_is_no_file__says_how_to_make_one(tmp_path):
    with pytest.raises(ConfigError, match=r"lattice.toml: make one with `lattice init`"):
        config.load(tmp_path)


def test_load__when_it_is_no_toml__says_where(tmp_path):
    (tmp_path / "lattice.toml").write_text("[chain\n")

    with pytest.raises(ConfigError, match=r"cannot read .*line 1"):
        config.load(tmp_path)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ({**LEAST, "chian": {}}, r"unknown section \[chian\]; did you mean 'chain'\?"),
        (
            changed("chain", rpc_url="x"),
            r"unknown setting chain.rpc_url; did you mean 'rpc_urls'\?",
        ),
        (
            {**LEAST, "log_levl": "info"},
            r"unknown section \[log_levl\]; did you mean 'log_level'\?",
        ),
        (
            changed("chain", quorum=2),
            r"chain.quorum: expected at most the number of chain.rpc_urls \(1\), got 2",
        ),
        (
            changed("chain", rpc_urls=["http://one/secret", "http://two", "http://one/secret/"]),
            r"chain.rpc_urls: expected each endpoint once, got http://one twice$",
        ),
        ({"key": {"source": "env"}}, "chain.rpc_urls is missing: JSON-RPC endpoints"),
        (
            changed("chain", rpc_urls=[]),
            r"chain.rpc_urls: expected a list of at least one .* got \[\]",
        ),
        (changed("chain", rpc_urls=["ftp://x"]), "chain.rpc_urls: expected"),
        (
            changed("chain", confirmations=0),
            "chain.confirmations: expected an integer from 1 to 1000, got 0",
        ),
        (changed("chain", confirmations=True), "expected an integer from 1 to 1000, got True"),
        (
            changed("key", source="file"),
            "key.source: expected one of 'keystore', 'ape', 'remote', 'env', got 'file'",
        ),
        (
            changed("provider", models=["0x12"]),
            "provider.models: expected a list of model identifiers",
        ),
        (
            changed("provider", backend="onx"),
            r"provider.backend: expected a backend of .* got 'onx'",
        ),
        (changed("keeper", claim="yes"), "keeper.claim: expected true or false, got 'yes'"),
        (changed("queue", url="http://x"), "queue.url: expected a redis or rediss URL"),
        (changed("queue", url="redis://"), "queue.url: expected a redis or rediss URL"),
        ({**LEAST, "limits": 3}, r"\[limits\]: expected a table of settings, got 3"),
        ({**LEAST, "log_level": "loud"}, "log_level: expected one of .* got 'loud'"),
    ],
)
def test_check__when_a_setting_is_wrong__names_it(tmp_path, content, message):
    with pytest.raises(ConfigError, match=message):
        config.check(content, tmp_path)


def test_template__is_read_back_and_has_every_setting(tmp_path):
    text = config.template(
        {"chain.rpc_urls": ["http://a"], "chain.deployment": 'x"y', "key.source": "env"}
    )
    (tmp_path / "lattice.toml").write_text(text)

    settings = config.load(tmp_path)

    assert settings.chain.deployment == 'x"y'
    assert settings == config.check(tomllib.loads(text), tmp_path)
    for section in ("chain", "key", "provider", "paths", "limits", "queue", "keeper", "server"):
        for item in fields(getattr(settings, section)):
            assert f"# {item.metadata['doc']}\n{item.name} = " in text


def test_from_keystore__opens_what_eth_account_made(tmp_path):
    file = tmp_path / "key.json"
    file.write_text(json.dumps(Account.encrypt(KEY, "right", kdf="pbkdf2", iterations=2)))
    digest = b"\7" * 32

    signer = from_keystore(file, "right")

    assert signer.address == Account.from_key(KEY).address
    assert recover(digest, signer.sign_digest(digest)) == signer.address.lower()
    with pytest.raises(KeyUnavailable, match="the password is wrong"):
        from_keystore(file, "wrong")


@pytest.mark.parametrize("text", ["", "{}", "[1]"])
def test_from_keystore__when_it_is_none__says_so(tmp_path, text):
    (tmp_path / "key.json").write_text(text)

    with pytest.raises(KeyUnavailable, match="it is not an Ethereum keystore"):
        from_keystore(tmp_path / "key.json", "")


def test_from_keystore__when_missing__says_so(tmp_path):
    with pytest.raises(KeyUnavailable, match=r"cannot read the keystore .*No such file"):
        from_keystore(tmp_path / "key.json", "")


def test_from_environment__when_the_chain_is_not_local__refuses(monkeypatch):
    monkeypatch.setenv("LATTICE_KEY", KEY)

    with pytest.raises(KeyUnavailable, match="only for local test chains, and this is chain 1"):
        from_environment("LATTICE_KEY", 1)


def test_from_environment__when_it_holds_no_key__does_not_show_it(monkeypatch):
    monkeypatch.setenv("LATTICE_KEY", "0xsecret")

    with pytest.raises(KeyUnavailable, match="holds no private key") as caught:
        from_environment("LATTICE_KEY", 31337)

    assert "secret" not in str(caught.value)
    monkeypatch.delenv("LATTICE_KEY")
    with pytest.raises(KeyUnavailable, match="LATTICE_KEY is not set"):
        from_environment("LATTICE_KEY", 31337)


def test_signer__shows_its_address_only(monkeypatch, caplog):
    monkeypatch.setenv("LATTICE_KEY", KEY)

    signer = from_environment("LATTICE_KEY", 31337)

    assert "4c4c" not in repr(signer) + str(signer) + caplog.text
    assert signer.address in caplog.text


def test_from_settings__when_the_file_or_password_is_missing__names_it(tmp_path, monkeypatch):
    monkeypatch.delenv("LATTICE_PASSWORD", raising=False)
    with pytest.raises(ConfigError, match=r"key.keystore is missing"):
        from_settings(config.check(changed("key", source="keystore"), tmp_path), 1)
    with pytest.raises(KeyUnavailable, match="LATTICE_PASSWORD is not set, expected the password"):
        from_settings(
            config.check(changed("key", source="keystore", keystore="k.json"), tmp_path), 1
        )
    named = changed("key", source="keystore", keystore="k.json", password_file="pw")
    with pytest.raises(KeyUnavailable, match="cannot read the password file"):
        from_settings(config.check(named, tmp_path), 1)


VERIFIER = "0x" + "aa" * 20
JOB = Job(
    **{
        "chain_id": 1,
        "router": VERIFIER,
        "job_id": 1,
        "model_id": bytes(32),
        "version": 1,
        "offer_id": 1,
    },
    **{"provider": 1, "units": 1, "callback_gas": 0, "exclusive_until_s": 1000, "deadline_s": 1000},
    **{
        "requester": VERIFIER,
        "token": NO_ADDRESS,
        "price": 10**15,
        "bond": 0,
        "input_hash": bytes(32),
    },
    **{"verifier": VERIFIER, "second_verifier": NO_ADDRESS, "resolution": NO_ADDRESS},
    **{"input": b"12345678", "model_cid": "bafy"},
)


def policy(time_s=100, gas_price_wei=10**9, **terms):
    return Policy(
        Terms(verifiers=frozenset({VERIFIER}), **terms),
        lambda: Head(1, "0x", time_s, 0),
        lambda: gas_price_wei,
    )


@pytest.mark.parametrize(
    ("rule", "job", "reason"),
    [
        ({"models": frozenset({"0x" + "11" * 32})}, {}, "is not served here"),
        ({}, {"verifier": "0x" + "bb" * 20}, "proof policy with verifier 0xbbbb"),
        ({}, {"second_verifier": "0x" + "bb" * 20}, "proof policy with verifier 0xbbbb"),
        ({}, {"resolution": "0x" + "bb" * 20}, "proof policy with resolution 0xbbbb"),
        ({"max_input_bytes": 7}, {}, "input of 8 bytes is larger than 7"),
        ({"max_callback_gas": 1}, {"callback_gas": 2}, "callback of 2 gas is above 1"),
        ({"time_s": 996}, {}, "deadline is 4 s away by the chain's clock, at least 5 s are needed"),
        ({"gas_price_wei": 10**10}, {}, "price of 1000000000000000 wei is not worth the gas"),
        ({}, {"callback_gas": 10**6}, "callback of 1000000 gas is above"),
    ],
)
def test_refuse__says_why(rule, job, reason):
    assert reason in (policy(**rule).refuse(replace(JOB, **job)) or "")


def test_refuse__when_the_model_would_not_fit_into_memory__says_so():
    terms = Terms(verifiers=frozenset({VERIFIER}))
    asked = []

    def too_large(model_cid):
        asked.append(model_cid)
        return "expected a smaller model"

    found = Policy(terms, lambda: Head(1, "0x", 100, 0), lambda: 10**9, too_large).refuse(JOB)

    assert (found, asked) == ("expected a smaller model", ["bafy"])


@pytest.mark.parametrize(
    ("rule", "job"),
    [
        ({}, {}),
        ({"models": frozenset({"0x" + "00" * 32})}, {}),
        ({"time_s": 995}, {}),
        ({"gas_price_wei": 10**12, "price_to_gas": 0.0}, {}),
        ({"gas_price_wei": 10**12}, {"token": "0x" + "bb" * 20}),
    ],
)
def test_refuse__when_nothing_speaks_against_it__takes_it(rule, job):
    assert policy(**rule).refuse(replace(JOB, **job)) is None


def test_lease__when_taken__names_its_holder(tmp_path):
    with (
        Lease(tmp_path / "lock", "this key"),
        pytest.raises(HomeInUse, match=r"process \d+ is running"),
        Lease(tmp_path / "lock", "this key"),
    ):
        pass
    with Lease(tmp_path / "lock", "this key"):
        pass


def test_lease__when_somebody_only_looks__is_had_a_moment_later(tmp_path, monkeypatch):
    real, looks = fcntl.flock, [BlockingIOError(), BlockingIOError()]

    def flock(descriptor, how):
        if looks:
            raise looks.pop()
        real(descriptor, how)

    monkeypatch.setattr(fcntl, "flock", flock)

    with Lease(tmp_path / "lock", "this"):
        assert looks == []
