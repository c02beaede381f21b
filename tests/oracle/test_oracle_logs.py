"""Log lines to a pipe or a terminal.

UnreadHandler
├── when the lines are read
│   └── all of them come, in order
├── when nobody reads for a while
│   └── it does not wait, and says afterwards how many lines were left out
└── when the reader is gone
    └── nothing happens
JsonFormatter
├── every event is one line of JSON with its fields as they were
└── what is no event of ours, or an exception, is one too
written
├── lines go to the file until the end, and it is closed then, also after an error
└── when the disk is full
    └── lines are left out there, and nothing else is said
tail
├── the last lines, and no more
└── when it follows and the file is begun anew
    └── what was written before and after comes, each line once
"""

import contextlib
import errno
import io
import json
import logging
import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oracle.logs import JsonFormatter, LogFile, UnreadHandler, line, tail, written


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


def as_json(**record):
    text = JsonFormatter().format(logging.makeLogRecord({"levelname": "INFO", **record}))
    assert "\n" not in text
    return json.loads(text)


@given(
    st.dictionaries(
        st.text().filter(lambda name: name not in ("time", "level", "event")),
        st.none() | st.booleans() | st.integers() | st.text(),
    )
)
def test_json__of_an_event__has_its_fields_as_they_were(fields):
    said = as_json(msg=line("job lost", **fields))

    assert (said.pop("level"), said.pop("event")) == ("info", "job-lost")
    assert said.pop("time").endswith("+00:00")
    assert said == fields


def test_json__of_another_message_or_an_exception__is_one_line():
    try:
        raise ValueError("two\nlines")
    except ValueError as error:
        said = as_json(msg="%s", args=("x",), exc_info=(ValueError, error, error.__traceback__))

    assert (said["event"], said["text"]) == ("message", "x")
    assert "two\nlines" in said["trace"]
    assert as_json(msg=line("failed", reason=OSError("why")))["reason"] == "why"


def test_written__ends_with_an_error__file_is_closed_and_has_the_lines(tmp_path):
    root, file = logging.getLogger(), tmp_path / "logs" / "provider.log"
    before = (list(root.handlers), root.level)

    def fails():
        with written("info", file):
            logging.getLogger("oracle").info(line("one"))
            opened.extend(h for h in root.handlers if isinstance(h, LogFile))
            raise KeyError

    opened = []
    with pytest.raises(KeyError):
        fails()
    logging.getLogger("oracle").error(line("two"))

    assert [handler.stream for handler in opened] == [None]
    assert [text.split()[-1] for text in file.read_text().splitlines()] == ["one"]
    assert (list(root.handlers), root.level) == before


class FullDisk(io.StringIO):
    def flush(self):
        raise OSError(errno.ENOSPC, "No space left on device")


def test_written__when_the_disk_is_full__lines_are_left_out_in_silence(tmp_path, capfd):
    with written("error", tmp_path / "provider.log"):
        (handler,) = (h for h in logging.getLogger().handlers if isinstance(h, LogFile))
        handler.setStream(FullDisk()).close()
        logging.getLogger("oracle").error(line("lost"))

    assert "Traceback" not in capfd.readouterr().err


def test_tail__gives_the_last_lines(tmp_path):
    file = tmp_path / "provider.log"
    file.write_text("one\ntwo\nthree\n")

    assert list(tail(file, 2)) == ["two\n", "three\n"]


def test_tail__when_the_file_is_begun_anew__gives_each_line_once(tmp_path):
    handler = LogFile(tmp_path / "provider.log")
    say(handler, "one")
    lines = tail(tmp_path / "provider.log", 10, follow=True)
    found = [next(lines)]
    say(handler, "two")
    handler.doRollover()
    say(handler, "3")

    found += [next(lines), next(lines)]
    say(handler, "four")

    assert [*found, next(lines)] == ["one\n", "two\n", "3\n", "four\n"]
    handler.close()
