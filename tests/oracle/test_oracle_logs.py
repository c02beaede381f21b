"""Log lines to a pipe or a terminal.

UnreadHandler
├── when the lines are read
│   └── all of them come, in order
├── when nobody reads for a while
│   └── it does not wait, and says afterwards how many lines were left out
└── when the reader is gone
    └── nothing happens
"""

import contextlib
import logging
import os

import pytest

from oracle.logs import UnreadHandler


@pytest.fixture
def pipe():
    reader, writer = os.pipe()
    handler = UnreadHandler(writer)
    yield reader, handler
    for descriptor in (reader, writer):
        with contextlib.suppress(OSError):  # closed by the test
            os.close(descriptor)


def say(handler, text):
    handler.handle(logging.makeLogRecord({"msg": text}))


def test_handler__when_it_is_read__all_lines_come(pipe):
    reader, handler = pipe
    heard = b""
    for number in range(3_000):
        say(handler, f"line {number} " + "x" * (number % 700))
        heard += os.read(reader, 1 << 16)

    numbers = [int(line.split()[1]) for line in heard.decode().splitlines()]
    assert numbers == list(range(3_000))


def test_handler__when_nobody_reads__leaves_lines_out_and_says_how_many(pipe):
    reader, handler = pipe
    for number in range(3_000):  # three times as much as a pipe holds, and it would wait for ever
        say(handler, f"line {number} " + "x" * 60)
    heard = os.read(reader, 1 << 20)
    say(handler, "line 3000")
    heard += os.read(reader, 1 << 16)

    *before, left_out, last = heard.decode().splitlines()
    assert [int(line.split()[1]) for line in before] == list(range(len(before)))
    assert left_out == f"log-lines-left-out count={3_000 - len(before)}"
    assert last == "line 3000"


def test_handler__when_the_reader_is_gone__nothing_happens(pipe):
    reader, handler = pipe
    os.close(reader)

    say(handler, "line")
