"""Job, Inference, Result

from_json
├── when the text is not JSON, or no map: it raises BadInput
├── when a field is missing: it raises BadInput that names it
├── when a field is unknown: it raises BadInput with the closest name
├── when a field is of the wrong kind or out of range: it raises BadInput that names it
└── it gives back what to_json wrote
Job
└── when a field is out of range: it raises BadInput that names it
"""

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from offchain_worker.errors import BadInput
from offchain_worker.job import Inference, Job, Result

RESULT = Result(
    job_id=7,
    units=1,
    output=b"\xa0",
    output_hash=b"\x01" * 32,
    backend="reference",
    device="cpu",
    duration_ms=0.5,
    answer={"y": [1, 2.5, "0x00", True]},
    proofs=(b"\x02" * 65, b""),
)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '"job"', b"\xff\xfe", "[" * 100_000])
def test_from_json__when_it_is_no_json_map__raises_bad_input(text):
    with pytest.raises(BadInput, match="expected Job as"):
        Job.from_json(text)


def test_from_json__when_field_is_missing__names_it(job_of):
    plain = json.loads(job_of().to_json())
    del plain["router"]

    with pytest.raises(BadInput, match="'router', which is missing"):
        Job.from_json(plain)


def test_from_json__when_field_is_unknown__names_the_closest(job_of):
    plain = json.loads(job_of().to_json()) | {"modelid": 1}

    with pytest.raises(BadInput, match=r"got 'modelid'; did you mean 'model_id'\?"):
        Job.from_json(plain)


@pytest.mark.parametrize(
    ("name", "value", "expected"),
    [
        ("job_id", -1, "an integer from 0 to 2^256 - 1"),
        ("job_id", 1 << 256, "an integer from 0 to 2^256 - 1"),
        ("job_id", "7", "an integer"),
        ("units", 1.0, "an integer"),
        ("units", True, "an integer"),
        ("units", 1 << 32, "an integer from 0 to 2^32 - 1"),
        ("deadline_s", 1 << 40, "an integer from 0 to 2^40 - 1"),
        ("price", 1 << 96, "an integer from 0 to 2^96 - 1"),
        ("router", "0x" + "1" * 39, "an address"),
        ("router", "11" * 21, "an address"),
        ("router", None, "an address"),
        ("model_id", "0x" + "11" * 31, "32 bytes"),
        ("model_id", "11" * 32, "hex that starts with 0x"),
        ("input", "0x1", "hex that starts with 0x"),
        ("input", 5, "hex that starts with 0x"),
        ("model_cid", "", "text that is not empty"),
    ],
)
def test_from_json__when_field_is_wrong__names_it(job_of, name, value, expected):
    plain = json.loads(job_of().to_json()) | {name: value}

    with pytest.raises(BadInput, match=f"expected {name} .*{re.escape(expected)}"):
        Job.from_json(plain)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("proofs", "0x00"),
        ("proofs", ["00"]),
        ("duration_ms", -1.0),
        ("duration_ms", float("inf")),
        ("duration_ms", "1"),
        ("answer", []),
    ],
)
def test_result_from_json__when_field_is_wrong__names_it(name, value):
    plain = json.loads(RESULT.to_json()) | {name: value}

    with pytest.raises(BadInput, match=f"expected {name}"):
        Result.from_json(plain)


def test_job__when_field_is_out_of_range__names_it(job_of):
    with pytest.raises(BadInput, match="expected version to be an integer from 0 to"):
        replace(job_of(), version=1 << 32)


@given(
    job_id=st.integers(0, 2**256 - 1), price=st.integers(0, 2**96 - 1), data=st.binary(max_size=64)
)
def test_job_json__round_trips(job_of, job_id, price, data):
    job = job_of(job_id=job_id, price=price, input=data)

    assert Job.from_json(job.to_json()) == job


def test_result_json__round_trips():
    assert Result.from_json(RESULT.to_json()) == RESULT


def test_inference_json__round_trips():
    inference = Inference(7, 1, b"\xa0", b"\x01" * 32, "onnx", "cpu", 3.0, {"label": "txt"})

    assert Inference.from_json(inference.to_json()) == inference


def test_inference_from_json__of_an_older_version__has_what_it_did_not_know():
    inference = Inference(
        7, 1, b"\xa0", b"\x01" * 32, "onnx", "cpu", 3.0, {}, batch=4, memory_bytes=1 << 20
    )
    plain = json.loads(inference.to_json())
    del plain["batch"], plain["memory_bytes"]

    assert Inference.from_json(plain) == replace(inference, batch=1, memory_bytes=0)
