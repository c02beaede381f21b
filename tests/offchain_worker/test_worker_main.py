"""python -m offchain_worker

main
├── when the file is missing, or no job: it prints one line and gives 1
├── when the model is nowhere: it prints one line and gives 1
└── it prints the result of examples/job.json, and of a job for magika, and keeps the store
"""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from offchain_worker.__main__ import main
from offchain_worker.job import Job, Result
from offchain_worker.storage.cid import RAW, Cid

ROOT = Path(__file__).parents[2]
EXAMPLE = ROOT / "examples" / "job.json"


def test_main__when_file_is_missing__prints_one_line(tmp_path, capsys):
    code = main([str(tmp_path / "none.json")])

    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (1, "", 1)
    assert shown.err.startswith("FileNotFoundError: ")


def test_main__when_it_is_no_job__prints_one_line(tmp_path, capsys):
    (tmp_path / "job.json").write_text("{}")

    code = main([str(tmp_path / "job.json")])

    shown = capsys.readouterr()
    assert (code, shown.out) == (1, "")
    assert shown.err == "BadInput: expected Job with field 'chain_id', which is missing\n"


@pytest.mark.parametrize(
    ("cid", "error"), [("bafy", "BadArtifact"), (str(Cid.of(RAW, b"nowhere")), "ArtifactMissing")]
)
def test_main__when_model_is_nowhere__prints_one_line(tmp_path, capsys, job_of, cid, error):
    (tmp_path / "job.json").write_text(job_of(model_cid=cid).to_json())

    code = main([str(tmp_path / "job.json"), "--store", str(tmp_path / "store")])

    shown = capsys.readouterr()
    assert (code, shown.out, shown.err.count("\n")) == (1, "", 1)
    assert shown.err.startswith(f"{error}: ")


def test_main__runs_the_example():
    command = [sys.executable, "-m", "offchain_worker", "examples/job.json"]
    shown = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)

    result = Result.from_json(shown.stdout)
    assert result.answer["y"]["data"] == [[0.0], [1.0], [1.0], [0.0]]
    assert (result.job_id, len(result.proofs[0]), shown.stderr) == (1, 65, "")


def test_main__runs_magika_and_keeps_the_store(tmp_path, capsys, job_of, magika_cid):
    job = job_of({"file": b"<html><body>hello</body></html>\n" * 10}, model_cid=magika_cid)
    (tmp_path / "job.json").write_text(job.to_json())

    code = main([str(tmp_path / "job.json"), "--store", str(tmp_path / "kept")])

    assert (code, json.loads(capsys.readouterr().out)["answer"]["label"]) == (0, "html")
    assert (tmp_path / "kept" / "models" / magika_cid / "model.onnx").is_file()


def test_example__is_written_as_to_json_writes_it():
    text = EXAMPLE.read_text()

    assert text == Job.from_json(text).to_json() + "\n"
