"""Structured log lines: an event and its fields, `key=value`, one line each. Never a key, never a whole URL."""

import json
import logging
import sys
from typing import Any


def line(event: str, **fields: Any) -> str:
    """Return `event` followed by its fields. Text with blanks is quoted; floats have one decimal."""
    return " ".join(
        [event.replace(" ", "-"), *(f"{name}={_shown(value)}" for name, value in fields.items())]
    )


def start(level: str) -> None:
    """Log to stderr with time and level. `level` is a name of the logging module, in any case."""
    logging.basicConfig(
        level=level.upper(),
        stream=sys.stderr,
        format="%(asctime)s.%(msecs)03d %(levelname)s %(message)s",
        datefmt="%Y-%m-%dT%H:%M:%S",
    )


def _shown(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.1f}"
    text = str(value)
    return json.dumps(text) if not text or any(c in text for c in ' "=\n') else text
