"""Crash points for the fault tests: `CRASH_AT=<label>` ends the process there as `kill -9` would.

In the order in which a job meets them: seen (read, not committed), stored (committed, not inferred), inferred (not
committed), signed (committed, not sent), broadcast (sent, not noted), mined and final (read, not committed). A pinner
has queued (signed, not committed) instead of the first three. Without the variable this does nothing.
"""

import os
import signal

_AT = os.environ.get("CRASH_AT")


def crash_point(label: str) -> None:
    """End this process at once if the environment says so."""
    if label == _AT:
        os.kill(os.getpid(), signal.SIGKILL)
