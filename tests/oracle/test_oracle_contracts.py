"""Contracts: the manifest, the deployment record, and every error by its name.

contracts
├── when the record or the manifest is missing or wrong
│   └── DeploymentMismatch says which and what to do
├── when a call reverts
│   └── Reverted carries name, both values, and what to do
├── the arguments of a log are those that web3.py reads
├── when the manifest has no such event or function
│   └── DeploymentMismatch says what to run
└── the table of errors
    ├── has every error of the manifest, and no other
    └── knows each selector once
"""

import json

import pytest

from oracle.chain.contracts import Contracts, Deployment, error_table, read_manifest
from oracle.chain.events import JOB_FIELDS
from oracle.chain.reverts import MEANINGS
from oracle.errors import DeploymentMismatch, Reverted

SOLIDITY = {"Error", "Panic", "Unknown"}


def errors():
    return {
        entry["name"]: entry
        for abi in read_manifest().values()
        for entry in abi
        if entry["type"] == "error"
    }


def test_meanings__cover_every_error_of_the_manifest_and_no_other():
    assert set(MEANINGS) == set(errors()) | SOLIDITY


def test_meanings__tell_a_person_what_to_do():
    assert [name for name, meaning in MEANINGS.items() if len(meaning.advice) < 15] == []


def test_error_table__has_one_entry_per_error():
    assert len(error_table(read_manifest())) == len(errors()) + 2


def test_job_fields__are_those_of_the_contract():
    requested = next(
        e for e in read_manifest()["InferenceRouter"] if e.get("name") == "InferenceRequested"
    )
    job = next(item for item in requested["inputs"] if item["name"] == "job")

    assert [item["name"] for item in job["components"]] == list(JOB_FIELDS)


def test_read_deployment__when_missing__says_what_to_do(tmp_path):
    with pytest.raises(DeploymentMismatch, match="deploy with `ape run deploy`"):
        Deployment.read(tmp_path / "chain-1.json")


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"contracts": {"Vault": {"address": "0x1"}}}'])
def test_read_deployment__when_it_is_none__names_the_file(tmp_path, text):
    file = tmp_path / "chain-1.json"
    file.write_text(text)

    with pytest.raises(DeploymentMismatch, match=r"chain-1.json is not a deployment record"):
        Deployment.read(file)


def test_read_manifest__when_it_is_none__names_the_file(tmp_path):
    (tmp_path / "manifest.json").write_text("{}")

    with pytest.raises(DeploymentMismatch, match="is not a manifest"):
        read_manifest(tmp_path / "manifest.json")


def test_handle__when_the_record_lacks_it__names_those_it_has(tmp_path, anvil):
    record = json.loads(anvil.record.read_text())
    del record["contracts"]["Vault"]
    (tmp_path / "record.json").write_text(json.dumps(record))
    contracts = Contracts(anvil.contracts.rpc, Deployment.read(tmp_path / "record.json"))

    with pytest.raises(
        DeploymentMismatch,
        match="has no Vault, it has Batches, BlockRandomness, IPFSIncentives, InferenceRouter",
    ):
        contracts.handle("Vault")


def test_simulate__when_it_reverts__decodes_both_values_and_says_what_to_do(anvil):
    contracts = anvil.contracts
    data = contracts.encode("Vault", "withdraw", "0x" + "00" * 20, 7, anvil.accounts[1])

    with pytest.raises(Reverted) as caught:
        contracts.simulate(anvil.accounts[1], contracts.address("Vault"), data)

    assert (caught.value.name, caught.value.arguments) == (
        "VaultBalanceTooLow",
        {"free": 0, "needed": 7},
    )
    assert str(caught.value) == (
        "VaultBalanceTooLow(free=0, needed=7): deposit what is missing (`lattice account deposit`)"
    )


def test_read__when_it_reverts__decodes_the_error(anvil):
    with pytest.raises(Reverted) as caught:
        anvil.contracts.read("ModelRegistry", "model", b"\1" * 32)

    assert caught.value.arguments == {"modelId": "0x" + "01" * 32}


def test_read__gives_structs_by_member_name(market, provider):
    found = market.chain.read("ProviderStaking", "providerOf", provider.number)

    assert found["operator"] == provider.signer.address
    assert set(found) == {
        "owner",
        "operator",
        "payout",
        "stake",
        "unbonding",
        "unlockAt",
        "jailedUntil",
    }


def test_event__reads_a_log_as_web3_does(chain, market, provider):
    asked = {"address": chain.contracts.address("InferenceRouter"), "fromBlock": "0x0"}
    event = chain.contracts.event("InferenceRouter", "OfferOpened")
    (log,) = chain("eth_getLogs", {**asked, "topics": [event.topic]})

    found = event.read(log)

    opened = chain.contracts.handle("InferenceRouter").events.OfferOpened()
    (theirs,) = opened.get_logs(from_block=0)
    assert found == {
        **theirs["args"],
        "market": in_lower_case(theirs["args"]["market"]),
        "terms": dict(theirs["args"]["terms"]),
    }


def in_lower_case(values):
    return {
        name: value.lower() if isinstance(value, str) else value for name, value in values.items()
    }


def test_event__when_the_manifest_has_none__says_what_to_run(chain):
    with pytest.raises(DeploymentMismatch, match=r"no event Vault.Nothing: run `ape run manifest`"):
        chain.contracts.event("Vault", "Nothing")
