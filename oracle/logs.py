"""Structured log lines: an event and its fields, `key=value`, one line each. Never a key, never a whole URL."""

import io
import json
import logging
import os
import select
import sys
import time
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import IO, Any

FILE_BYTES, FILES = 10_000_000, 4
PIECE_BYTES = 512
"""What a pipe that is writable takes at once on every system, in bytes."""
LOOK_S = 0.2
"""How often a log that is followed is looked at, in seconds."""


class UnreadHandler(logging.Handler):
    """Writes to a pipe or a terminal, and never waits for its reader.

    A pipe that nobody empties, or a terminal stopped with Ctrl-S, would else stop the whole provider. Lines that do
    not fit are left out, and the next one that fits says how many.

    Args:
        descriptor: File descriptor of the pipe or terminal.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__()
        self._descriptor = descriptor
        self._begun = b""
        """The rest of a line that was cut."""
        self._left_out = 0

    def emit(self, record: logging.LogRecord) -> None:
        """Write one line, or count it."""
        if not self._write():
            self._left_out += 1
            return
        text = self.format(record) + "\n"
        if self._left_out:
            left_out = line("log lines left out", count=self._left_out)
            note = logging.makeLogRecord(
                {"msg": left_out, "levelname": "WARNING", "levelno": logging.WARNING}
            )
            text = self.format(note) + "\n" + text
            self._left_out = 0
        self._begun = text.encode(errors="replace")
        self._write()

    def _write(self) -> bool:
        """Write what was begun as far as it is taken. Returns whether all of it was."""
        while self._begun:
            _, writable, _ = select.select([], [self._descriptor], [], 0)
            if not writable:
                return False
            try:
                sent = os.write(self._descriptor, self._begun[:PIECE_BYTES])
            except OSError:  # the reader is gone for good; the log file goes on
                sent = len(self._begun)
            self._begun = self._begun[sent:]
        return True


class Line(str):
    """A line of text that still knows the event and the fields that it was made of."""

    event: str
    fields: dict[str, Any]


def line(event: str, **fields: Any) -> Line:
    """Return `event` followed by its fields. Text with blanks is quoted; floats have one decimal."""
    name = event.replace(" ", "-")
    text = Line(" ".join([name, *(f"{key}={_shown(value)}" for key, value in fields.items())]))
    text.event, text.fields = name, fields
    return text


class JsonFormatter(logging.Formatter):
    """One JSON object per line: `time` (UTC), `level`, `event`, and the event's fields."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the object; a message that is no event of ours stands in `text`."""
        at = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        said: dict[str, Any] = {"time": at, "level": record.levelname.lower()}
        if isinstance(record.msg, Line):
            said |= {"event": record.msg.event, **record.msg.fields}
        else:
            said |= {"event": "message", "text": record.getMessage()}
        if record.exc_info:
            said["trace"] = self.formatException(record.exc_info)
        return json.dumps(said, default=str)


class LogFile(RotatingFileHandler):
    """A file that grows to 10 MB and then begins anew; the three before it are kept.

    Lines for which the disk has no room are left out: stderr has them all the same.
    """

    def __init__(self, file: Path) -> None:
        file.parent.mkdir(parents=True, exist_ok=True)
        super().__init__(file, maxBytes=FILE_BYTES, backupCount=FILES - 1)

    def handleError(self, record: logging.LogRecord) -> None:
        """Pass over what the disk refuses: else a trace of each line goes to stderr, and waits for its reader."""
        if not isinstance(sys.exc_info()[1], OSError):
            super().handleError(record)


def tail(file: Path, lines: int, *, follow: bool = False) -> Iterator[str]:
    """Yield the last lines of a log; to `follow`, then what comes, also when the file is begun anew (`LogFile`).

    Raises:
        OSError: it cannot be read.
    """
    log = file.open(errors="replace")
    try:
        yield from deque(log, lines)
        while follow:
            if text := log.readline():
                yield text
            elif _is_begun_anew(file, log):
                yield from log  # what came in before it was renamed
                log.close()
                log = file.open(errors="replace")
            else:
                time.sleep(LOOK_S)
    finally:
        log.close()


def _is_begun_anew(file: Path, log: IO[str]) -> bool:
    """Whether the log has another file by now, or was cut."""
    try:
        now, read = file.stat(), os.fstat(log.fileno())
    except FileNotFoundError:  # it was renamed, and the new one is not there yet
        return False
    return now.st_ino != read.st_ino or now.st_size < log.tell()


@contextmanager
def written(level: str, file: Path | None = None, *, form: str = "text") -> Iterator[None]:
    """Log to stderr, and to a file if there is one, with time and level, until the end of the `with`.

    Args:
        level: A name of the logging module, in any case.
        file: As `LogFile`.
        form: "text" or "json".
    """
    formatter = (
        JsonFormatter()
        if form == "json"
        else logging.Formatter(
            "%(asctime)s.%(msecs)03d %(levelname)s %(message)s", "%Y-%m-%dT%H:%M:%S"
        )
    )
    handlers: list[logging.Handler] = [_to_stderr(), *([LogFile(file)] if file else [])]
    root = logging.getLogger()
    level_before = root.level
    root.setLevel(level.upper())
    for handler in handlers:
        handler.setFormatter(formatter)
        root.addHandler(handler)
    try:
        yield
    finally:
        for handler in handlers:
            root.removeHandler(handler)
            with suppress(OSError):  # a full disk, again
                handler.close()
        root.setLevel(level_before)


def _to_stderr() -> logging.Handler:
    try:
        return UnreadHandler(sys.stderr.fileno())
    except (
        io.UnsupportedOperation
    ):  # stderr is no file, but something of the program that called us
        return logging.StreamHandler(sys.stderr)


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
