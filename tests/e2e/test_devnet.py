"""`ape run devnet`, as somebody who tries the operator's guide runs it.

devnet
├── when an address to fund is none
│   └── it says so at once, and starts nothing
└── else
    ├── it prints an endpoint and a deployment record, and has funded each address
    ├── it mines by itself
    └── Ctrl-C and SIGTERM end it and its chain, with exit code 0
"""

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from fault_steps import wait_for

from oracle.chain.contracts import Contracts, Deployment
from oracle.chain.rpc import Rpc
from oracle.errors import RpcUnreachable

ROOT = Path(__file__).parents[2]
OWNER, OPERATOR = "0x" + "ab" * 20, "0x" + "CD" * 20


def devnet(*arguments, **more):
    return subprocess.Popen(
        [Path(sys.executable).parent / "ape", "run", "devnet", *arguments],
        cwd=ROOT,
        env=os.environ | {"COLUMNS": "200", "NO_COLOR": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        **more,
    )


def test_devnet__when_an_address_is_none__says_so_at_once(tmp_path):
    process = devnet("--home", str(tmp_path), "--fund", "0xOwner")

    said, _ = process.communicate(timeout=240)

    assert process.returncode == 2
    assert "expected an address, 0x and 40 hex digits, got '0xOwner'" in said
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGTERM])
def test_devnet__funds_mines_and_ends_with_its_chain(tmp_path, ending):
    process = devnet("--home", str(tmp_path), "--fund", OWNER, "--fund", OPERATOR)
    try:
        said = {}
        for row in process.stdout:
            name, _, value = row.strip().partition(": ")
            said[name] = value
            if row.startswith("Ctrl-C ends it"):
                break
        assert {"chain", "record"} <= set(said), said
        record = Deployment.read(Path(said["record"]))
        rpc = Rpc([said["chain"]], record.chain_id, record.genesis, tries=1)
        number = int(rpc.head()["number"], 16)

        for address in (OWNER, OPERATOR):
            assert int(rpc.call("eth_getBalance", address, "latest"), 16) == 100 * 10**18
        assert Contracts(rpc, record).read("InferenceRouter", "lastJobId") == 0
        wait_for(lambda: int(rpc.head()["number"], 16) > number + 1)

        process.send_signal(ending)
        rest, _ = process.communicate(timeout=60)
        assert process.returncode == 0, rest
        with pytest.raises(RpcUnreachable):
            rpc.head()
    finally:
        process.kill()
        process.wait()
