"""The process of the models. How jobs pass through it is tested in tests/oracle, with the process that starts it.

when nobody can ask it any more, because its parent was killed
└── it ends, and so does what a model has started
"""

import os
import subprocess
import sys

CHILD = """
import os, time
from offchain_worker.child import Inbox, _read

if os.fork() == 0:
    time.sleep(600)
print("started", flush=True)
_read(Inbox())
"""


def test_read__when_nobody_can_ask__ends_what_a_model_has_started():
    command = [sys.executable, "-c", CHILD]
    process = subprocess.Popen(
        command,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        env=os.environ | {"PYTHONPATH": os.getcwd()},
        start_new_session=True,  # as the sandbox does
    )
    assert process.stdout.readline() == b"started\n"

    # Whoever lives still holds the pipe, so this waits for both.
    assert process.communicate(timeout=60) == (b"", None)
