"""Messages over a pipe: JSON with its length in front, so that one that is cut off is never taken for a whole one."""

import json
import struct
from typing import Any

MAX_BYTES = 8 << 20
"""Longest message. A job with its input, or an inference with its output, is well below."""

_LENGTH = struct.Struct(">I")


class BadFrame(ValueError):
    """What came is no message: too long, or no JSON."""


def pack(message: Any) -> bytes:
    """Return a message as bytes."""
    body = json.dumps(message).encode()
    return _LENGTH.pack(len(body)) + body


class Unpacker:
    """Puts messages together from the pieces in which a pipe gives them."""

    def __init__(self) -> None:
        self._data = bytearray()

    def feed(self, piece: bytes) -> list[Any]:
        """Take a piece, and return the messages that are complete now.

        Raises:
            BadFrame: the sender writes something else than messages.
        """
        self._data += piece
        messages = []
        while len(self._data) >= _LENGTH.size:
            (length,) = _LENGTH.unpack_from(self._data)
            if length > MAX_BYTES:
                raise BadFrame(f"expected a message of at most {MAX_BYTES} bytes, got {length}")
            end = _LENGTH.size + length
            if len(self._data) < end:
                break
            try:
                messages.append(json.loads(bytes(self._data[_LENGTH.size : end])))
            except ValueError as error:
                raise BadFrame(f"expected JSON, got something else: {error}") from None
            del self._data[:end]
        return messages
