"""errors

errors
├── did_you_mean
│   ├── when nothing is close: it says nothing
│   └── when a name is close: it names it
├── every error says what to do
├── BadInput is a ValueError too
└── the tree at the top of the file is the tree of classes
"""

import inspect
import re

import pytest

from offchain_worker import errors
from offchain_worker.errors import BadInput, WorkerError, did_you_mean

CLASSES = [
    kind for _, kind in inspect.getmembers(errors, inspect.isclass) if issubclass(kind, WorkerError)
]


def test_did_you_mean__when_nothing_is_close__says_nothing():
    assert did_you_mean("tpu", ["reference", "onnx"]) == ""


def test_did_you_mean__names_the_closest():
    assert did_you_mean("onyx", ["reference", "onnx"]) == "; did you mean 'onnx'?"


@pytest.mark.parametrize("kind", CLASSES)
def test_action__is_one_of_three(kind):
    assert kind.action in ("refuse", "retry", "stop")


def test_bad_input__is_a_value_error():
    assert issubclass(BadInput, ValueError)


def test_docstring__draws_every_class_with_its_action():
    drawn = re.findall(r"[├└]── (\w+)(?: \(.*?\))?\s+(refuse|retry|stop)\b", errors.__doc__)

    assert sorted(drawn) == sorted(
        (kind.__name__, kind.action) for kind in CLASSES if kind is not WorkerError
    )
