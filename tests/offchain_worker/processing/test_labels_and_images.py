"""processing.labels and processing.image

labels
├── when the option or the logits do not fit: it raises BadModel or BadOutput
└── it gives the most likely label of each row, and the probability that softmax gives
image
├── when the option or the value does not fit: it raises BadModel or BadInput
├── an image of the model's own size is only scaled and shifted
├── a smaller or larger image: each new pixel is the mean of the area that it covers
└── the mean of an image survives any change of size
"""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.manifest import Step, TensorSpec
from offchain_worker.pipeline.xor_model import MANIFEST
from offchain_worker.processing import open_postprocess, open_preprocess

LABELS = replace(MANIFEST, postprocess=Step("labels", {"labels": ["cat", "dog", "bird"]}))


def image_manifest(height=4, width=4, mean=(0, 0, 0), std=(1, 1, 1)):
    return replace(
        MANIFEST,
        inputs=(TensorSpec("pixel_values", "float32", (-1, 3, height, width)),),
        preprocess=Step("image", {"mean": list(mean), "std": list(std)}),
    )


def test_labels__gives_the_most_likely_and_its_probability(tmp_path):
    logits = np.log(np.array([[0.2, 0.7, 0.1], [0.5, 0.25, 0.25]], np.float32))

    answer = open_postprocess(tmp_path, LABELS)({"logits": logits})

    assert answer["labels"] == ["dog", "cat"]
    np.testing.assert_allclose(answer["scores"], [0.7, 0.5], rtol=1e-6)


@pytest.mark.parametrize(
    "outputs",
    [
        {},
        {"logits": np.zeros((1, 2), np.float32)},
        {"logits": np.zeros(3, np.float32)},
        {"scores": np.zeros((1, 3), np.float32)},
    ],
)
def test_labels__when_logits_do_not_fit__raises_bad_output(tmp_path, outputs):
    with pytest.raises(BadOutput, match=r"expected logits of shape \(batch, 3\)"):
        open_postprocess(tmp_path, LABELS)(outputs)


@pytest.mark.parametrize("labels", ["cat", [1, 2], None])
def test_labels__when_option_is_wrong__raises_bad_model(tmp_path, labels):
    with pytest.raises(BadModel, match="a list of texts as labels"):
        open_postprocess(tmp_path, replace(LABELS, postprocess=Step("labels", {"labels": labels})))


def test_open_preprocess__when_kind_has_none__raises_bad_model(tmp_path):
    with pytest.raises(BadModel, match="a processing kind with a Preprocess, got 'labels'"):
        open_preprocess(tmp_path, replace(LABELS, preprocess=LABELS.postprocess))


def test_image__of_the_models_size__is_scaled_and_shifted(tmp_path):
    image = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    mean, std = np.array([0.5, 0.4, 0.3], np.float32), np.array([0.2, 0.3, 0.4], np.float32)

    prepared = open_preprocess(tmp_path, image_manifest(mean=mean, std=std))({"image": image})

    found = prepared.arrays["pixel_values"]
    expected = ((image.astype(np.float32) / 255 - mean) / std).transpose(2, 0, 1)[None]
    assert found.dtype == np.float32
    np.testing.assert_allclose(found, expected, rtol=1e-6)


def test_image__of_twice_the_size__becomes_means_of_four(tmp_path):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)

    found = open_preprocess(tmp_path, image_manifest())({"image": image}).arrays["pixel_values"]

    expected = image.astype(np.float64).reshape(4, 2, 4, 2, 3).mean(axis=(1, 3)) / 255
    np.testing.assert_allclose(found[0], expected.transpose(2, 0, 1), rtol=1e-6)


@given(st.integers(1, 20), st.integers(1, 20), st.integers(1, 9), st.integers(1, 9))
def test_image__of_any_size__keeps_its_mean(tmp_path_factory, height, width, to_height, to_width):
    folder = tmp_path_factory.getbasetemp()
    image = np.random.default_rng(height * 31 + width).integers(
        0, 256, (height, width, 3), np.uint8
    )

    prepared = open_preprocess(folder, image_manifest(to_height, to_width))({"image": image})

    found = prepared.arrays["pixel_values"]
    assert found.shape == (1, 3, to_height, to_width)
    np.testing.assert_allclose(
        found[0].mean(axis=(1, 2)), image.mean(axis=(0, 1)) / 255, rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    "values",
    [
        {},
        {"image": b"\x89PNG"},
        {"image": np.zeros((4, 4, 3), np.float32)},
        {"image": np.zeros((4, 4), np.uint8)},
        {"image": np.zeros((4, 4, 4), np.uint8)},
        {"image": np.zeros((0, 4, 3), np.uint8)},
        {"image": np.zeros((4, 4, 3), np.uint8), "more": 1},
    ],
)
def test_image__when_value_does_not_fit__raises_bad_input(tmp_path, values):
    with pytest.raises(BadInput, match=r"uint8 of shape \(height, width, 3\)"):
        open_preprocess(tmp_path, image_manifest())(values)


@pytest.mark.parametrize(
    ("mean", "std"), [((0, 0), (1, 1, 1)), ((0, 0, 0), (1, 1, 0)), (("a",) * 3, (1,) * 3)]
)
def test_image__when_option_is_wrong__raises_bad_model(tmp_path, mean, std):
    with pytest.raises(BadModel, match="mean"):
        open_preprocess(tmp_path, image_manifest(mean=mean, std=std))
