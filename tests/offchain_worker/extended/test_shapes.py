"""Core ML programs that take texts of several lengths, and what they are to run on

write_package
├── enumerated or flexible: each length computes what the original computes, and another is refused as bad input
├── with weights in 4 bits, too
├── the compute units stand in the manifest
└── when the model reads no texts, or shapes have an unknown name: it raises ConversionFailed
the preprocessing of texts
└── it pads to one of the manifest's lengths, and cuts to the longest
"""

from dataclasses import replace

import numpy as np
import pytest
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from offchain_worker.backends import open_for
from offchain_worker.errors import BadInput, ConversionFailed
from offchain_worker.manifest import Step, TensorSpec
from offchain_worker.pipeline import check
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.package import About, CoreMl, write_package
from offchain_worker.pipeline.random_model import build
from offchain_worker.pipeline.xor_model import MANIFEST as XOR
from offchain_worker.processing import open_preprocess

pytestmark = pytest.mark.extended


def about(**how):
    return About("small", "test", "tests", "Apache-2.0", coreml=CoreMl(**how))


@pytest.mark.parametrize(
    ("name", "shapes", "precision", "sequence", "lengths"),
    [
        ("bert", "enumerated", "float32", 40, "16,32,40"),
        ("bert-classifier", "flexible", "float32", 16, "2-16"),
        ("mpnet", "flexible", "float32", 16, "2-16"),
        ("llama", "enumerated", "float32", 40, "16,32,40"),
        ("llama", "flexible", "int4", 16, "2-16"),
    ],
)
def test_write_package__with_several_lengths__computes_what_the_original_does(
    name, shapes, precision, sequence, lengths, tmp_path
):
    original = build(replace(FAMILIES[name], sequence=sequence))

    folder = tmp_path / "model"
    manifest = write_package(original, tmp_path, folder, "coreml", precision, about(shapes=shapes))

    assert manifest.runtime == {"lengths": lengths}
    assert {spec.shape for spec in manifest.inputs} == {(1, -1)}
    report = check.check(original, folder, manifest)
    assert report.inputs == 2 * len(lengths.replace("-", ",").split(","))
    backend = open_for("coreml", "coreml-cpu")
    backend.load(folder, manifest)
    wrong = {spec.name: np.ones((1, 41), np.int32) for spec in manifest.inputs}
    with pytest.raises(BadInput, match="expected inputs of one length of"):
        backend.run(wrong)


def test_write_package__notes_the_compute_units(tmp_path):
    original = build(FAMILIES["resnet"])

    manifest = write_package(
        original, tmp_path, tmp_path / "m", "coreml", "float32", about(compute_units="cpu_and_ne")
    )

    assert manifest.runtime == {"compute_units": "cpu_and_ne"}
    check.check(original, tmp_path / "m", manifest)


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ({"shapes": "flexible"}, "expected a model of texts for flexible shapes"),
        ({"shapes": "round"}, "expected shapes of fixed, enumerated, flexible"),
        ({"compute_units": "abacus"}, "compute units of all, cpu_and_ne"),
    ],
)
def test_write_package__when_it_cannot_be__raises_conversion_failed(how, reason, tmp_path):
    original = build(FAMILIES["resnet"])

    with pytest.raises(ConversionFailed, match=reason):
        write_package(original, tmp_path, tmp_path / "m", "coreml", "float32", about(**how))


@pytest.mark.parametrize(
    ("lengths", "words", "width"),
    [("4,8", 1, 4), ("4,8", 5, 8), ("4,8", 9, 8), ("2-8", 1, 2), ("2-8", 5, 5), ("2-8", 9, 8)],
)
def test_text__is_padded_to_one_of_the_lengths(lengths, words, width, tmp_path):
    tokenizer = Tokenizer(WordLevel({"[PAD]": 0, "word": 1}, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(tmp_path / "tokenizer.json"))
    specs = [TensorSpec(name, "int32", (1, -1)) for name in ("input_ids", "attention_mask")]
    manifest = replace(
        XOR,
        inputs=tuple(specs),
        preprocess=Step("text", {"tokenizer": "tokenizer.json", "tokens": 512}),
        runtime={"lengths": lengths},
    )

    prepared = open_preprocess(tmp_path, manifest)({"text": " ".join(["word"] * words)})

    kept = min(words, 8)
    assert prepared.arrays["input_ids"].tolist() == [[1] * kept + [0] * (width - kept)]
    assert prepared.arrays["attention_mask"].tolist() == [[1] * kept + [0] * (width - kept)]
