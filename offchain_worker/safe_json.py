"""JSON that comes from strangers: read only when it is not nested too deeply.

The standard library's reader recurses in C. It counts on Python's recursion limit to stop it, and some packages
(py-evm, which Ape brings) raise that limit so far that a hundred thousand brackets end the process. So depth is
counted first.
"""

import json
import re
from typing import Any

MAX_DEPTH = 32

_STRINGS = re.compile(rb'"(?:[^"\\]|\\.)*"?', re.DOTALL)


def loads(text: str | bytes, **options: Any) -> Any:
    """Read JSON as `json.loads` does, with the same options.

    Raises:
        ValueError: It is not JSON, or nested deeper than 32.
    """
    data = text.encode() if isinstance(text, str) else text
    depth = 0
    for byte in _STRINGS.sub(b"", data):
        if byte in b"[{":
            depth += 1
            if depth > MAX_DEPTH:
                raise ValueError(f"expected JSON nested at most {MAX_DEPTH} deep, got more")
        elif byte in b"]}":
            depth -= 1
    return json.loads(data, **options)
