"""Structured log lines: an event and its fields, `key=value`, one line each. Never a key, never a whole URL."""

import json
import logging
import sys
from logging.handlers import RotatingFileHandler
from pathlib import Path
from typing import Any

FILE_BYTES, FILES = 10_000_000, 4


def line(event: str, **fields: Any) -> str:
    """Return `event` followed by its fields. Text with blanks is quoted; floats have one decimal."""
    return " ".join(
        [event.replace(" ", "-"), *(f"{name}={_shown(value)}" for name, value in fields.items())]
    )


def start(level: str, file: Path | None = None) -> None:
    """Log to stderr, and to a file if there is one, with time and level.

    Args:
        level: A name of the logging module, in any case.
        file: Grows to 10 MB, then begins anew; the three before it are kept.
    """
    handlers: list[logging.Handler] = [logging.StreamHandler(sys.stderr)]
    if file is not None:
        file.parent.mkdir(parents=True, exist_ok=True)
        handlers.append(RotatingFileHandler(file, maxBytes=FILE_BYTES, backupCount=FILES - 1))
    logging.basicConfig(
        level=level.upper(),
        handlers=handlers,
        format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
