"""Model folders as people have them: odd, incomplete, or in the way of what is written

from_folder
├── when positions begin behind the padding, as in roberta: a text is as long as places are left
├── with images of one colour: inputs have one
├── when weights have other shapes than the configuration says: it raises BadModel and names one
└── when the model does not run on inputs that we can draw: it raises BadModel with the reason
import_folder
├── texts of one token are enough to convert and to check
├── a longer text is cut to what the model can take, and then runs
├── when the tokenizer has tokens that the model has not: it raises BadModel
├── images are prepared as the model's own file says, where that is scaling and shifting; else requests carry tensors
├── a model that picks one label of several answers with it; one that gives a number, or many labels, with its numbers
├── weights in several files: the torch format has all of them
├── what was at the place is replaced when the new folder is whole; after an error it is still there
├── when something else than an artifact folder is at the place: it is refused, and left alone
└── when the source is at the place, or in it: it is refused, and left alone
write_package
└── when the packages of a converter are missing: it raises ToolNotInstalled with what to install
write_manifest
└── when nobody could read it: it raises BadModel
"""

import json
import sys
from dataclasses import replace

import pytest
import safetensors.torch
import torch
import transformers
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from offchain_worker import manifest as manifests
from offchain_worker import pipeline
from offchain_worker.backends import open_for
from offchain_worker.errors import BadModel, CheckFailed, ToolNotInstalled
from offchain_worker.pipeline import write_manifest
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.families.base import Family
from offchain_worker.pipeline.importing import describe, import_folder
from offchain_worker.pipeline.package import About, write_package
from offchain_worker.pipeline.random_model import build, save
from offchain_worker.pipeline.xor_model import MANIFEST as XOR
from offchain_worker.processing import open_preprocess
from offchain_worker.transformers_model import from_folder

pytestmark = pytest.mark.extended

ABOUT = {"name": "small", "origin": "tests", "licence": "MIT", "sequence": 16}
GREY = {"num_channels": 1, "image_size": 32, "patch_size": 8, "hidden_size": 32}
LAYERS = {"num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 64}
T5 = {"vocab_size": 256, "d_model": 32, "d_kv": 8, "d_ff": 64, "num_layers": 1, "num_heads": 4}


@pytest.fixture
def bert(tmp_path):
    save(FAMILIES["bert"], tmp_path / "bert")
    return tmp_path / "bert"


def write_tokenizer(folder, **more):
    words = {"[PAD]": 0, "cat": 7, "dog": 8, "sits": 9, "runs": 10, **more}
    tokenizer = Tokenizer(WordLevel(words, unk_token="[PAD]"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "tokenizer.json"))


@pytest.mark.parametrize(("name", "places"), [("roberta", 62), ("mpnet", 62), ("bert", 64)])
def test_from_folder__when_positions_begin_behind_the_padding__counts_the_places_left(
    name, places, tmp_path
):
    save(FAMILIES[name], tmp_path / "m")

    original = from_folder(tmp_path / "m", sequence=1_000)

    assert [spec.shape for spec in original.inputs] == [(1, places), (1, places)]


def test_from_folder__with_images_of_one_colour__draws_such(tmp_path):
    save(Family("grey", "ViTModel", "ViTConfig", GREY | LAYERS), tmp_path / "m")

    assert from_folder(tmp_path / "m").inputs[0].shape == (1, 1, 32, 32)


def test_from_folder__when_weights_have_other_shapes__names_one(bert):
    config = json.loads((bert / "config.json").read_text())
    (bert / "config.json").write_text(json.dumps(config | {"vocab_size": 200}))

    with pytest.raises(BadModel, match=r"word_embeddings.weight.*\(256, 64\).*\(200, 64\)"):
        from_folder(bert)


@pytest.mark.parametrize(
    ("family", "reason"),
    [
        (Family("t5", "T5ForConditionalGeneration", "T5Config", T5), "T5ForConditionalGeneration"),
        (
            Family("tiny", "BertModel", "BertConfig", FAMILIES["bert"].sizes | {"vocab_size": 3}),
            "BertModel",
        ),
    ],
)
def test_from_folder__when_it_does_not_run_on_what_we_draw__says_so(family, reason, tmp_path):
    save(family, tmp_path / "m")

    with pytest.raises(BadModel, match=f"expected .*{reason}"):
        from_folder(tmp_path / "m")


@pytest.mark.parametrize("format", ["onnx", "coreml"])
def test_import_folder__for_texts_of_one_token__is_checked(format, bert, tmp_path):
    about = {**ABOUT, "sequence": 1}

    (found,) = import_folder(bert, tmp_path / "out", [format], "float32", **about)

    assert found.report.cosine == pytest.approx(1)


@pytest.mark.parametrize("name", ["roberta", "bert"])
def test_import_folder__with_a_text_that_is_too_long__cuts_it(name, tmp_path):
    save(FAMILIES[name], tmp_path / "m")
    write_tokenizer(tmp_path / "m")

    (found,) = import_folder(tmp_path / "m", tmp_path / "out", ["onnx"], "float32", **ABOUT)
    prepare = open_preprocess(found.folder, found.manifest)
    backend = open_for("onnx")
    backend.load(found.folder, found.manifest)
    arrays = prepare({"text": "cat sits dog runs " * 100}).arrays

    assert arrays["input_ids"].shape == (1, found.manifest.preprocess.options["tokens"])
    assert backend.run(arrays)["last_hidden_state"].shape == (*arrays["input_ids"].shape, 64)


def test_import_folder__when_the_tokenizer_has_other_tokens__raises(bert, tmp_path):
    write_tokenizer(bert, The=5_000)

    with pytest.raises(BadModel, match=r"expected an original that runs on .* tokenizer"):
        import_folder(bert, tmp_path / "out", ["onnx"], "float32", **ABOUT)


MEAN = {"image_mean": [0.5, 0.5, 0.5], "image_std": [0.2, 0.2, 0.2]}


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        (MEAN, "image"),
        ({**MEAN, "rescale_factor": 1 / 255}, "image"),
        ({**MEAN, "rescale_factor": 1 / 127.5}, "tensor"),
        ({**MEAN, "rescale_offset": True}, "tensor"),
        ({**MEAN, "do_rescale": False}, "tensor"),
        ({**MEAN, "do_normalize": False}, "tensor"),
        ({**MEAN, "do_flip_channel_order": True}, "tensor"),
        ({**MEAN, "image_mean": [0.5]}, "tensor"),
        ({**MEAN, "image_std": [0, 0, 0]}, "tensor"),
        ({"image_mean": "abc", "image_std": "abc"}, "tensor"),
        ([1], "tensor"),
    ],
)
def test_describe__prepares_images_as_the_model_says(said, kind, vit, tmp_path):
    original, source = vit
    (source / "preprocessor_config.json").write_text(json.dumps(said))

    found = describe(original, source, "n", "s", "MIT")

    assert found.preprocess.kind == kind


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ({}, "labels"),
        ({"problem_type": "single_label_classification"}, "labels"),
        ({"problem_type": "multi_label_classification"}, "tensor"),
        ({"num_labels": 1}, "tensor"),
        ({"num_labels": 1, "problem_type": "regression"}, "tensor"),
    ],
)
def test_describe__answers_with_a_label_only_where_one_is_picked(said, kind, tmp_path):
    classifier = FAMILIES["bert-classifier"]
    original = build(replace(classifier, sizes=classifier.sizes | said))

    found = describe(original, tmp_path, "n", "s", "MIT")

    assert (found.task, found.postprocess.kind) == ("text-classification", kind)


@pytest.fixture(scope="module")
def vit(tmp_path_factory):
    source = tmp_path_factory.mktemp("vit") / "m"
    save(FAMILIES["vit"], source)
    return from_folder(source), source


def test_import_folder__with_weights_in_several_files__takes_all_of_them(bert, tmp_path):
    model = transformers.AutoModel.from_pretrained(bert)
    model.save_pretrained(tmp_path / "parts", max_shard_size="200KB")
    assert len(list((tmp_path / "parts").glob("*.safetensors"))) > 1

    (found,) = import_folder(tmp_path / "parts", tmp_path / "out", ["torch"], "float32", **ABOUT)
    backend = open_for("torch")
    backend.load(found.folder, found.manifest)

    assert sum(name.endswith(".safetensors") for name in found.manifest.files) > 1
    assert found.report.cosine == pytest.approx(1)


def test_import_folder__when_one_is_there__replaces_it_with_a_whole_one(bert, tmp_path):
    import_folder(bert, tmp_path / "out", ["torch"], "float32", **ABOUT)
    (tmp_path / "out/torch-float32/old").touch()
    weights = safetensors.torch.load_file(bert / "model.safetensors")
    still = {name: torch.zeros_like(tensor) for name, tensor in weights.items()}
    (tmp_path / "still").mkdir()
    (tmp_path / "still/config.json").write_bytes((bert / "config.json").read_bytes())
    safetensors.torch.save_file(still, tmp_path / "still/model.safetensors", {"format": "pt"})

    with pytest.raises(CheckFailed, match="outputs that vary"):
        import_folder(tmp_path / "still", tmp_path / "out", ["torch"], "float32", **ABOUT)
    assert (tmp_path / "out/torch-float32/old").exists()

    (found,) = import_folder(bert, tmp_path / "out", ["torch"], "float32", **ABOUT)

    assert found.folder == tmp_path / "out/torch-float32"
    assert manifests.load(found.folder) == found.manifest
    assert [entry.name for entry in (tmp_path / "out").iterdir()] == ["torch-float32"]
    assert not (found.folder / "old").exists()


def test_import_folder__when_something_else_is_there__leaves_it_alone(bert, tmp_path):
    mine = tmp_path / "out/torch-float32/letter.txt"
    mine.parent.mkdir(parents=True)
    mine.write_text("mine")

    with pytest.raises(BadModel, match=r"expected nothing, or an artifact folder, at .*torch-flo"):
        import_folder(bert, tmp_path / "out", ["torch"], "float32", **ABOUT)

    assert mine.read_text() == "mine"


@pytest.mark.parametrize("inner", ["", "original"])
def test_import_folder__when_the_source_is_there__leaves_it_alone(inner, bert, tmp_path):
    source = tmp_path / "out/torch-float32" / inner
    source.parent.mkdir(parents=True, exist_ok=True)
    bert.rename(source)
    (tmp_path / "out/torch-float32" / manifests.FILE_NAME).write_text("{}")

    with pytest.raises(BadModel, match="expected a place outside of the model's own folder"):
        import_folder(source, tmp_path / "out", ["torch"], "float32", **ABOUT)

    assert (source / "model.safetensors").exists()


@pytest.mark.parametrize(
    ("format", "package", "extra"),
    [("onnx", "onnx", "pipeline"), ("coreml", "coremltools", "coreml"), ("mlx", "mlx_lm", "mlx")],
)
def test_write_package__when_a_converter_is_missing__says_what_to_install(
    format, package, extra, bert, tmp_path, monkeypatch
):
    for name in [name for name in sys.modules if name.split(".")[0] == package]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, package, None)
    for module in ("convert", "quantize"):
        monkeypatch.delitem(sys.modules, f"offchain_worker.pipeline.{module}_{format}", False)
        monkeypatch.delattr(pipeline, f"{module}_{format}", False)

    original, about = from_folder(bert, sequence=16), About("n", "embedding", "s", "MIT")
    with pytest.raises(ToolNotInstalled, match=rf"'{package}'.*pip install 'lattice\[.*{extra}"):
        write_package(original, bert, tmp_path / "out", format, "float32", about)


def test_write_manifest__when_nobody_could_read_it__raises_bad_model(tmp_path):
    with pytest.raises(BadModel, match="expected text that is not empty in licence"):
        write_manifest(tmp_path, replace(XOR, licence=""))

    assert not (tmp_path / manifests.FILE_NAME).exists()
