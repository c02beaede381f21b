"""processing.magika: the same answers as the package magika, label and score, bit for bit.

prepare
├── when the payload is not {"file": bytes}: it raises BadInput
├── when the config is malformed: it raises BadModel
└── when the file is empty or has too few bytes: the answer is known without the model
answer
├── when the scores are of a wrong shape: it raises BadOutput
├── when the model is not sure: it answers txt or unknown
└── for many files, and for random bytes: it is magika's
"""

import gzip
import io
import json
import random
import shutil
import sqlite3
import sys
import tarfile
import zipfile
import zlib
from pathlib import Path

import magika
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from offchain_worker import errors
from offchain_worker.backends.onnx import Backend
from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.pipeline.magika_model import MANIFEST
from offchain_worker.processing.base import Known
from offchain_worker.processing.magika import Postprocess, Preprocess

SOURCE = Path(errors.__file__).read_bytes()
MODEL = Path(magika.__file__).parent / "models" / "standard_v3_3" / "model.onnx"
NOISE = random.Random(7).randbytes((1 << 20) + 1)  # noqa: S311 - no secret, the same each time


def a_zip():
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("a.txt", "hello " * 50)
    return file.getvalue()


def a_tar():
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w") as archive:
        archive.addfile(tarfile.TarInfo("a"), io.BytesIO())
    return file.getvalue()


def a_database():
    connection = sqlite3.connect(":memory:")
    connection.execute("create table job (id integer primary key, input blob)")
    return connection.serialize()


def a_png():
    def chunk(kind, data):
        return (
            len(data).to_bytes(4, "big") + kind + data + zlib.crc32(kind + data).to_bytes(4, "big")
        )

    header = (1).to_bytes(4, "big") * 2 + bytes([8, 0, 0, 0, 0])
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b"")
    )


FILES = {
    "empty": b"",
    "one byte": b"a",
    "one byte that is no text": b"\xff",
    "seven bytes": b"1234567",
    "eight bytes": b"12345678",
    "only white space": b" \n\t" * 2000,
    "eight bytes in white space": b" " * 5000 + b"12345678" + b" " * 5000,
    "white space, then much": b"\n" * 4090 + b"import os\n" * 100,
    "few bytes that are no text": b"\x80 \t\n" + b" " * 100,
    "text cut inside a letter": b" " * 4095 + "é".encode() + b" " * 100,
    "python": SOURCE,
    "python, 4096 bytes": SOURCE[:4096],
    "python, 1023 bytes": SOURCE[:1023],
    "python in little": b"import sys\nprint(sys.argv)\n",
    "unicode": "Ein schöner Tag über den Wölken, 日本語テキスト, привет мир. ".encode() * 20,
    "json": json.dumps({"a": [1, 2, {"b": None}], "c": "text"}, indent=2).encode(),
    "html": b"<!doctype html><html><head><title>x</title></head><body><p>hello</p></body></html>",
    "solidity": b"// SPDX-License-Identifier: MIT\npragma solidity ^0.8.0;\ncontract A { uint x; }\n",
    "markdown": b"# Title\n\nSome *text* with `code`.\n\n- one\n- two\n",
    "csv": b"id,name,price\n" + b"".join(b"%d,item%d,%d.50\n" % (i, i, i) for i in range(50)),
    "shell": b'#!/bin/sh\nset -eu\nfor f in *; do echo "$f"; done\n',
    "gzip": gzip.compress(SOURCE, mtime=0),
    "zip": a_zip(),
    "tar": a_tar(),
    "png": a_png(),
    "sqlite": a_database(),
    "npy": np.lib.format.magic(1, 0) + bytes(100),
    "executable": Path(sys.executable).resolve().read_bytes()[: 2 << 20],
    "onnx, 3 MB": MODEL.read_bytes(),
    "noise": NOISE[:5000],
    "noise over 1 MiB": NOISE,
    "zeros": bytes(10_000),
    "letters": b"x" * 3000,
}


@pytest.fixture(scope="module")
def package():
    return magika.Magika()


@pytest.fixture(scope="module")
def ours(magika_folder):
    backend = Backend()
    backend.load(magika_folder, MANIFEST)
    prepare, answer = Preprocess(magika_folder, MANIFEST), Postprocess(magika_folder, MANIFEST)

    def run(file):
        prepared = prepare({"file": file})
        if isinstance(prepared, Known):
            return prepared.answer
        return answer(backend.run(prepared.arrays))

    yield run
    backend.close()


@pytest.fixture
def config_with(magika_folder, tmp_path):
    """Return a function that copies the artifact folder with changes in its config."""

    def make(**changes):
        folder = tmp_path / "changed"
        shutil.copytree(magika_folder, folder, ignore=shutil.ignore_patterns("*.onnx"))
        path = folder / "config.min.json"
        path.write_text(json.dumps(json.loads(path.read_text()) | changes))
        return folder

    return make


@pytest.mark.parametrize(
    "values", [{}, {"file": "text"}, {"file": b"x", "more": 1}, {"files": b"x"}]
)
def test_prepare__when_payload_is_wrong__raises_bad_input(magika_folder, values):
    with pytest.raises(BadInput, match=r'{"file": bytes or a link}'):
        Preprocess(magika_folder, MANIFEST)(values)


@pytest.mark.parametrize(
    "changes",
    [
        {"beg_size": 0},
        {"beg_size": "1024"},
        {"beg_size": 8192},
        {"block_size": 1 << 30},
        {"min_file_size_for_dl": 2000},
        {"mid_size": 1},
        {"use_inputs_at_offsets": True},
    ],
)
def test_prepare__when_config_is_malformed__raises_bad_model(config_with, changes):
    with pytest.raises(BadModel, match="magika config"):
        Preprocess(config_with(**changes), MANIFEST)


@pytest.mark.parametrize(
    "changes",
    [{"thresholds": []}, {"target_labels_space": ["no such type"]}, {"overwrite_map": None}],
)
def test_answer__when_config_is_malformed__raises_bad_model(config_with, changes):
    with pytest.raises(BadModel, match="magika config"):
        Postprocess(config_with(**changes), MANIFEST)


@pytest.mark.parametrize(
    ("file", "label"),
    [(b"", "empty"), (b"a", "txt"), (b"\xff", "unknown"), (b" " * 9000, "txt")],
)
def test_prepare__when_file_is_too_short_for_the_model__answers_at_once(magika_folder, file, label):
    prepared = Preprocess(magika_folder, MANIFEST)({"file": file})

    assert prepared == Known({"label": label, "score": 1.0})


def test_answer__when_scores_are_of_wrong_shape__raises_bad_output(magika_folder):
    with pytest.raises(BadOutput, match=r"of shape \(1, 214\), got \(2, 214\)"):
        Postprocess(magika_folder, MANIFEST)({"target_label": np.zeros((2, 214), np.float32)})


@pytest.mark.parametrize(
    ("likely", "score", "label"),
    [
        ("python", 0.5, "python"),
        ("python", 0.4999, "txt"),
        ("zip", 0.4999, "unknown"),
        ("markdown", 0.7499, "txt"),
        ("markdown", 0.75, "markdown"),
        ("randomtxt", 1.0, "txt"),
        ("randombytes", 1.0, "unknown"),
    ],
)
def test_answer__takes_the_likely_label_or_a_general_one(magika_folder, likely, score, label):
    labels = json.loads((magika_folder / "config.min.json").read_text())["target_labels_space"]
    scores = np.zeros((1, len(labels)), np.float32)
    scores[0, labels.index(likely)] = score

    answer = Postprocess(magika_folder, MANIFEST)({"target_label": scores})

    assert answer == {"label": label, "score": float(np.float32(score))}


@pytest.mark.parametrize("name", FILES)
def test_answer__is_magikas(ours, package, name):
    expected = package.identify_bytes(FILES[name])

    assert ours(FILES[name]) == {"label": str(expected.output.label), "score": expected.score}


@settings(max_examples=60, deadline=None)
@given(
    st.one_of(
        st.binary(max_size=64),
        st.text(st.characters(exclude_categories=["Cs"]), max_size=64).map(str.encode),
        st.tuples(st.integers(0, 5000), st.integers(0, 5000)).map(
            lambda cut: SOURCE[cut[0] :][: cut[1]]
        ),
        st.tuples(st.integers(4080, 4100), st.binary(max_size=40)).map(
            lambda parts: b" " * parts[0] + parts[1]
        ),
    )
)
def test_answer__for_random_bytes__is_magikas(ours, package, file):
    expected = package.identify_bytes(file)

    assert ours(file) == {"label": str(expected.output.label), "score": expected.score}
