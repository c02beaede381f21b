"""lengths

of
├── when a manifest names none: None
├── what it wrote, it reads
└── when they have another form, or do not rise: it raises BadModel
fit
└── the shortest that holds a text, else the longest
check
└── when inputs have none of the lengths, or different ones: it raises BadInput
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker import manifest as manifests
from offchain_worker.errors import BadInput, BadModel
from offchain_worker.lengths import Lengths


@pytest.fixture(scope="module")
def manifest(xor_folder):
    return manifests.load(xor_folder)


def named(manifest, text):
    return replace(manifest, runtime={"lengths": text})


def test_of__when_none_are_named__is_none(manifest):
    assert Lengths.of(manifest) is None


@given(st.integers(1, 5000), st.booleans())
def test_of__reads_what_was_written(manifest, longest, is_range):
    lengths = Lengths.flexible(longest) if is_range else Lengths.enumerated(longest)

    assert Lengths.of(named(manifest, str(lengths))) == lengths


@pytest.mark.parametrize("text", ["", "16,8", "8,8", "0,8", "8-2", "-4", "8,,9", "a", "2-8-9", 16])
def test_of__when_they_are_malformed__raises_bad_model(manifest, text):
    with pytest.raises(BadModel, match=r"runtime\.lengths"):
        Lengths.of(named(manifest, text))


@pytest.mark.parametrize(
    ("lengths", "length", "fits"),
    [
        (Lengths.enumerated(100), 1, 16),
        (Lengths.enumerated(100), 16, 16),
        (Lengths.enumerated(100), 17, 32),
        (Lengths.enumerated(100), 65, 100),
        (Lengths.enumerated(100), 500, 100),
        (Lengths.enumerated(8), 3, 8),
        (Lengths.flexible(100), 1, 2),
        (Lengths.flexible(100), 57, 57),
        (Lengths.flexible(100), 500, 100),
    ],
)
def test_fit__is_the_shortest_that_holds_it(lengths, length, fits):
    assert lengths.fit(length) == fits


@pytest.mark.parametrize("shapes", [[(1, 17)], [(1, 0)], [(1, 16), (1, 32)], [(16,)]])
def test_check__when_a_length_is_not_among_them__raises_bad_input(shapes):
    inputs = {str(at): np.zeros(shape, np.int32) for at, shape in enumerate(shapes)}

    with pytest.raises(BadInput, match="expected inputs of one length of 16,32"):
        Lengths.enumerated(32).check(inputs)
    Lengths.enumerated(32).check({"x": np.zeros((1, 32))})
