"""processing

open_preprocess, open_postprocess
├── when the kind is unknown: it raises BadModel with the closest name
├── when an option is unknown or missing: it raises BadModel
└── it opens each kind of the dictionary
tensor
├── when a value is no tensor: it raises BadInput
└── it passes tensors through
"""

from dataclasses import replace

import numpy as np
import pytest

from offchain_worker.errors import BadInput, BadModel
from offchain_worker.manifest import Step
from offchain_worker.pipeline.magika_model import MANIFEST as MAGIKA
from offchain_worker.pipeline.xor_model import MANIFEST as XOR
from offchain_worker.processing import KINDS, open_postprocess, open_preprocess
from offchain_worker.processing.base import Tensors


@pytest.mark.parametrize(
    ("step", "message"),
    [
        (Step("tensors"), r"got 'tensors'; did you mean 'tensor'\?"),
        (Step("tensor", {"scale": 2}), r"options \[\] .* got \['scale'\]"),
        (Step("magika"), r"got \[\]"),
    ],
)
def test_open__when_step_is_wrong__raises_bad_model(xor_folder, step, message):
    with pytest.raises(BadModel, match=message):
        open_preprocess(xor_folder, replace(XOR, preprocess=step))
    with pytest.raises(BadModel, match=message):
        open_postprocess(xor_folder, replace(XOR, postprocess=step))


def test_open__opens_each_kind(xor_folder, magika_folder):
    opened = set()
    for folder, manifest in ((xor_folder, XOR), (magika_folder, MAGIKA)):
        opened.add(open_preprocess(folder, manifest).__class__.__module__)
        opened.add(open_postprocess(folder, manifest).__class__.__module__)

    assert opened == {KINDS["tensor"], KINDS["magika"]}  # the others have files of their own


def test_tensor__when_value_is_no_tensor__raises_bad_input(xor_folder):
    with pytest.raises(BadInput, match="a tensor at 'x', got list"):
        open_preprocess(xor_folder, XOR)({"x": [1.0]})


def test_tensor__passes_through(xor_folder):
    x = np.zeros((1, 2), np.float32)

    assert open_preprocess(xor_folder, XOR)({"x": x}) == Tensors({"x": x})
    assert open_postprocess(xor_folder, XOR)({"y": x}) == {"y": x}
