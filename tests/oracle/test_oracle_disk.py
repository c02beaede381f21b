"""A disk that is full when a provider starts. What happens when it fills later is fault 34.

start
├── the database cannot be opened for want of room
│   ├── that is a reason to wait, and nothing is said of deleting it
│   └── the provider waits, and goes on
└── the lock cannot say who holds it: it is held all the same
"""

import errno
import os
import sqlite3

import pytest

from oracle import node as wiring
from oracle.chain import store
from oracle.errors import HomeInUse, StoreBusy, StoreUnusable
from oracle.services.lease import Lease


@pytest.fixture
def full_disk(monkeypatch):
    """Let opening a database fail so many times."""
    left, opened = [], store.open_file

    def fails(path):
        if not left:
            return opened(path)
        error = sqlite3.OperationalError("database or disk is full")
        error.sqlite_errorcode = left.pop()
        raise error

    monkeypatch.setattr(store, "open_file", fails)
    return lambda *codes: left.extend(codes)


@pytest.mark.parametrize(
    "code", [sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_IOERR_SHMSIZE]
)
def test_open__when_the_disk_is_full_or_locked__says_nothing_of_deleting(tmp_path, full_disk, code):
    full_disk(code)

    with pytest.raises(StoreBusy, match=r"jobs.sqlite: database or disk is full$"):
        store.Store(tmp_path / "jobs.sqlite", {})


def test_open__when_it_is_a_folder__is_for_a_person(tmp_path):
    with pytest.raises(StoreUnusable, match="unable to open") as caught:
        store.Store(tmp_path, {})

    assert not isinstance(caught.value, StoreBusy)


def test_run__when_the_disk_is_full_at_the_start__waits(
    provider, chain, full_disk, monkeypatch, caplog
):
    monkeypatch.setenv("LATTICE_KEY", provider.key)
    monkeypatch.setattr(wiring, "DATABASE_WAIT_S", 0.01)
    full_disk(*[sqlite3.SQLITE_FULL] * 3)

    with wiring.open_provider(provider.settings()) as running:
        running.step()
        assert running.failures == 0

    assert caplog.text.count("database-busy") == 3


def test_lease__when_the_disk_is_full__is_held_all_the_same(tmp_path, monkeypatch):
    def full(descriptor, data):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "write", full)
    with Lease(tmp_path / "lock", "this"):
        monkeypatch.undo()
        with pytest.raises(HomeInUse, match="process unknown is running with this"):
            Lease(tmp_path / "lock", "this").__enter__()
