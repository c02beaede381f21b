"""A model that writes text, in every format that runs here

generate
├── each format adds the tokens that the original adds, with a KV cache where the format has one
├── after the first step, a backend with a cache is given one token at a time
├── ONNX and Core ML models that were imported to write text have one; their check goes token by token
├── ... but for Core ML models with a window, which run on the whole text
└── a token outside of the vocabulary is refused
a job for an imported model
├── it is answered with text; a batch of them, too
└── when the text or the number of tokens does not fit: it raises BadInput
"""

import numpy as np
import pytest
from small_models import make_model
from tokenizers import Tokenizer
from tokenizers.models import WordLevel
from tokenizers.pre_tokenizers import Whitespace

from offchain_worker import manifest as manifests
from offchain_worker.backends import onnx as onnx_backend
from offchain_worker.backends import open_backend
from offchain_worker.errors import BadInput, BadModel, CheckFailed, ConversionFailed
from offchain_worker.generation import Generates, generate
from offchain_worker.manifest import Step
from offchain_worker.pipeline import check, convert_coreml, convert_onnx
from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.importing import import_folder
from offchain_worker.pipeline.package import About, write_package
from offchain_worker.pipeline.random_model import build, save

pytestmark = pytest.mark.extended

PROMPT = [9, 77, 200, 31]
BACKENDS = {"torch": "torch", "onnx": "onnx", "coreml-cpu": "coreml", "mlx": "mlx"}
CACHED = {"torch", "mlx"}


@pytest.fixture(scope="module")
def models(tmp_path_factory):
    folder = tmp_path_factory.mktemp("models")
    return {name: make_model(format, folder / name) for name, format in BACKENDS.items()}


def opened(models, name):
    backend = open_backend(name)
    backend.load(models[name].folder, models[name].manifest)
    return backend


def without_cache(models, most):
    """What the original adds when it runs on the whole text for each token."""
    backend, tokens = opened(models, "torch"), list(PROMPT)
    for _ in range(most):
        (logits,) = backend.run({"input_ids": np.array([tokens], np.int32)}).values()
        tokens.append(int(logits[0, -1].argmax()))
    return tokens[len(PROMPT) :]


@pytest.mark.parametrize("name", BACKENDS)
def test_generate__adds_what_the_original_adds(models, name):
    backend = opened(models, name)

    added = generate(backend, models[name].manifest, PROMPT, 8, ())

    assert isinstance(backend, Generates) == (name in CACHED)
    assert added == without_cache(models, 8)
    assert len(set(added)) > 2
    stopped = generate(backend, models[name].manifest, PROMPT, 8, {added[3]})
    assert stopped == added[: added.index(added[3])]


@pytest.mark.parametrize("name", sorted(CACHED))
def test_generate__with_a_cache__is_given_one_token_at_a_time(models, name):
    backend = opened(models, name)
    inner, widths = backend._model, []

    class Watched:
        """The model, and how many tokens it was given each time."""

        @property
        def model(self):
            return lambda **given: self(given.pop("input_ids"), inner.model, **given)

        def __call__(self, tokens, function=inner, **given):
            widths.append(tokens.shape[1])
            if function is inner:
                return inner(tokens, **given)
            return function(input_ids=tokens, **given)

        def __getattr__(self, attribute):
            return getattr(inner, attribute)

    backend._model = Watched()
    backend.generate(PROMPT, 5, ())

    assert widths == [4, 1, 1, 1, 1]


ABOUT = About("n", "token-generation", "s", "MIT", preprocess=Step("prompt"))
INPUTS = {"onnx": ["input_ids", "past"], "coreml": ["input_ids", "position", "past"]}


@pytest.mark.parametrize(
    ("name", "format", "precision"),
    [
        ("gpt2", "onnx", "float32"),
        ("mistral", "onnx", "float32"),
        ("gemma", "onnx", "int8"),
        ("gpt2", "coreml", "float32"),
        ("qwen3", "coreml", "float16"),
        ("phi", "coreml", "int4"),
    ],
)
def test_write_package__to_write_text__has_a_cache(name, format, precision, tmp_path):
    original = build(FAMILIES[name])
    manifest = write_package(original, tmp_path, tmp_path / "m", format, precision, ABOUT)

    report = check.check(original, tmp_path / "m", manifest)

    assert [spec.name for spec in manifest.inputs] == INPUTS[format]
    assert report.inputs == check.INPUTS
    backend = open_backend({"coreml": "coreml-cpu"}.get(format, format))
    backend.load(tmp_path / "m", manifest)
    added = generate(backend, manifest, PROMPT, 40, ())
    assert len(added) == (40 if format == "onnx" else 16 - len(PROMPT))


def test_write_package__of_core_ml_with_a_window__has_no_cache_and_writes_the_same(tmp_path):
    original = build(FAMILIES["mistral"])
    manifest = write_package(original, tmp_path, tmp_path / "m", "coreml", "float32", ABOUT)

    check.check(original, tmp_path / "m", manifest)

    assert [spec.name for spec in manifest.inputs] == ["input_ids"]


def test_check__when_the_cache_is_lost__fails(tmp_path, monkeypatch):
    original = build(FAMILIES["llama"])
    manifest = write_package(original, tmp_path, tmp_path / "m", "onnx", "float32", ABOUT)
    run = onnx_backend.Backend.run

    def forgetful(self, inputs):
        found = run(self, inputs)
        return {**found, "present": np.zeros_like(found["present"])}

    monkeypatch.setattr(onnx_backend.Backend, "run", forgetful)
    with pytest.raises(CheckFailed, match="does not compute what the original computes"):
        check.check(original, tmp_path / "m", manifest)


def test_convert_step__when_there_is_no_such_cache__is_refused():
    with pytest.raises(ConversionFailed, match="whose step torch"):
        convert_onnx.convert_step(build(FAMILIES["t5-encoder"]))
    with pytest.raises(ConversionFailed, match="whose step coremltools"):
        convert_coreml.convert_step(build(FAMILIES["t5-encoder"]), 16)


@pytest.mark.parametrize("name", BACKENDS)
def test_generate__when_a_token_is_outside_the_vocabulary__is_refused(models, name):
    with pytest.raises((BadInput, BadModel)):
        generate(opened(models, name), models[name].manifest, [9, 100_000], 2, ())


@pytest.fixture(scope="module")
def imported(tmp_path_factory):
    """A small llama with a tokenizer of 256 words, imported to ONNX."""
    folder = tmp_path_factory.mktemp("writing")
    save(FAMILIES["llama"], folder / "source")
    words = {f"w{at}": at for at in range(256)}
    tokenizer = Tokenizer(WordLevel(words, unk_token="w3"))
    tokenizer.pre_tokenizer = Whitespace()
    tokenizer.save(str(folder / "source/tokenizer.json"))
    about = {"name": "small", "origin": "tests", "licence": "Apache-2.0", "sequence": 16}
    (done,) = import_folder(folder / "source", folder / "to", ["onnx"], "float32", **about)
    return done.folder


def test_job__is_answered_with_text(imported, store, worker, job_of):
    cid = str(store.add_folder(imported))
    jobs = [
        job_of({"text": "w9 w77 w200 w31", "new_tokens": n}, job_id=n, model_cid=cid)
        for n in (3, 5)
    ]

    short, long = worker.infer_all(jobs)

    manifest = manifests.load(imported)
    assert [spec.name for spec in manifest.inputs] == ["input_ids", "past"]
    assert (manifest.task, manifest.max_batch) == ("token-generation", 1)
    assert len(long.answer["tokens"]) == 5
    assert long.answer["tokens"][:3] == short.answer["tokens"]
    assert long.answer["text"] == " ".join(f"w{token}" for token in long.answer["tokens"])
    assert worker.infer(jobs[1]).output == long.output


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"text": ""}, "expected 1 to 63 tokens of text, got 0"),
        ({"text": "w9 " * 64}, "expected 1 to 63 tokens of text, got 64"),
        ({"text": "w9", "new_tokens": 0}, "expected new_tokens from 1 to 256, got 0"),
        ({"text": "w9", "new_tokens": 257}, "expected new_tokens from 1 to 256, got 257"),
        ({"text": ["w9"]}, 'expected {"text": text'),
        ({"text": "w9", "temperature": 1}, 'expected {"text": text'),
    ],
)
def test_job__when_the_text_does_not_fit__raises_bad_input(
    imported, store, worker, job_of, values, message
):
    cid = str(store.add_folder(imported))

    with pytest.raises(BadInput, match=message):
        worker.infer(job_of(values, model_cid=cid))
