"""Every backend that runs here, on one and the same small model, against one and the same list.

a backend
├── it computes what the original computes
├── it gives the same bits each time
├── its device is one that it names
├── when an input is missing, extra, or of wrong kind, dtype, shape, size, or NaN: it raises BadInput, and goes on
├── when the manifest has an unknown runtime option: it raises BadModel
├── when the manifest names tensors that the model has not: it raises BadModel
├── when a file is missing, cut off, noise or a symlink: it raises BadModel
├── before load and after close: it raises RuntimeError
└── when the device is unknown or not here: it raises BackendUnknown or BackendNotSupported
a backend that does not run here: the test is skipped with the reason
"""

import sys
from dataclasses import replace

import numpy as np
import pytest
from small_models import FORMAT_OF, make_model

from offchain_worker.backends import BACKENDS, FORMATS, base, open_backend, open_for
from offchain_worker.errors import BackendNotSupported, BackendUnknown, BadInput, BadModel
from offchain_worker.manifest import TensorSpec

pytestmark = pytest.mark.extended


@pytest.fixture(scope="module", params=list(BACKENDS))
def small(request, tmp_path_factory):
    """A model in the backend's format, with inputs and the answer of the original."""
    if request.param == "coreml" and sys.platform != "darwin":
        pytest.skip("Core ML predicts on macOS only")
    folder = tmp_path_factory.mktemp("models") / request.param
    return request.param, make_model(FORMAT_OF[request.param], folder)


@pytest.fixture
def loaded(small):
    name, model = small
    backend = open_backend(name)
    backend.load(model.folder, model.manifest)
    yield backend, model
    backend.close()


def test_suite__knows_each_backend():
    assert set(FORMAT_OF) == set(BACKENDS)
    assert {name for names in FORMATS.values() for name in names} == set(BACKENDS)


def test_run__computes_what_the_original_computes(loaded):
    backend, model = loaded

    found = backend.run(model.inputs)

    base.check_outputs(found, model.manifest.outputs)
    assert set(found) == set(model.expected)
    for name, expected in model.expected.items():
        np.testing.assert_allclose(found[name], expected, rtol=0, atol=model.tolerance)


def test_run__gives_the_same_bits_each_time(loaded):
    backend, model = loaded

    first, second = backend.run(model.inputs), backend.run(model.inputs)

    assert [a.tobytes() for a in first.values()] == [a.tobytes() for a in second.values()]


def test_load_and_run__in_another_instance__gives_the_same_bits(loaded, small):
    backend, model = loaded
    other = open_for(model.manifest.format, small[0])
    other.load(model.folder, model.manifest)

    first, second = backend.run(model.inputs), other.run(model.inputs)
    other.close()

    assert [a.tobytes() for a in first.values()] == [a.tobytes() for a in second.values()]


def wrong_inputs(inputs):
    name = next(iter(inputs))
    good = inputs[name]
    rest = {other: array for other, array in inputs.items() if other != name}
    yield rest
    yield {**inputs, "more": good}
    yield {**rest, name: good.tolist()}
    yield {**rest, name: good.astype(np.float64)}
    yield {**rest, name: good[..., None]}
    yield {**rest, name: good[0]}
    yield {**rest, name: good[:0]}
    yield {**rest, name: good[:, :0]}
    yield {**rest, name: good.astype(good.dtype.newbyteorder(">"))}
    yield {
        **rest,
        name: np.broadcast_to(good.dtype.type(0), (base.MAX_TENSOR_BYTES, *good.shape[1:])),
    }
    if good.dtype.kind == "f":
        yield {**rest, name: good * np.nan}
        yield {**rest, name: good * 0 + np.inf}


def test_run__when_input_is_wrong__raises_bad_input_and_goes_on(loaded):
    backend, model = loaded
    before = backend.run(model.inputs)

    for wrong in wrong_inputs(model.inputs):
        with pytest.raises(BadInput):
            backend.run(wrong)

    assert [a.tobytes() for a in backend.run(model.inputs).values()] == [
        a.tobytes() for a in before.values()
    ]


def test_run__when_input_lies_backwards_in_memory__gives_the_same_bits(loaded):
    backend, model = loaded
    turned = {name: np.flip(np.flip(array).copy()) for name, array in model.inputs.items()}

    found, expected = backend.run(turned), backend.run(model.inputs)

    assert [a.tobytes() for a in found.values()] == [a.tobytes() for a in expected.values()]


def test_run__when_a_token_is_outside_the_vocabulary__raises_and_goes_on(loaded):
    backend, model = loaded
    if "input_ids" not in model.inputs:
        return  # this model reads no tokens

    for token in (-1_000_000, 256, 2**31 - 1):
        tokens = model.inputs["input_ids"].copy()
        tokens[0, 3] = token
        with pytest.raises((BadInput, BadModel)):
            backend.run({"input_ids": tokens})

    assert backend.run(model.inputs).keys() == model.expected.keys()


def test_load__when_option_is_unknown__raises_bad_model(small):
    name, model = small
    with pytest.raises(BadModel, match="got 'speed'"):
        open_backend(name).load(model.folder, replace(model.manifest, runtime={"speed": "high"}))


@pytest.mark.parametrize("part", ["inputs", "outputs"])
def test_load__when_manifest_names_other_tensors__raises_bad_model(small, part):
    name, model = small
    if name == "reference":
        return  # its files have no names for tensors, so every name is right
    other = replace(model.manifest, **{part: (TensorSpec("other", "float32", (-1, 2)),)})

    with pytest.raises(BadModel):
        open_backend(name).load(model.folder, other)


@pytest.mark.parametrize("damage", ["missing", "cut", "noise", "symlink"])
def test_load__when_a_file_is_damaged__raises_bad_model(small, tmp_path, damage):
    name, model = small
    for at, file in enumerate(model.manifest.files):
        folder = model.copy_to(tmp_path / f"{at}")
        target = folder / file
        data = target.read_bytes()
        target.unlink()
        if damage == "cut":
            target.write_bytes(data[: len(data) // 2])
        elif damage == "noise":
            target.write_bytes(np.random.default_rng(at).bytes(len(data)))
        elif damage == "symlink":
            target.symlink_to(model.folder / file)
        if damage == "noise" and file.endswith("weight.bin"):
            continue  # raw numbers: any bytes are some weights
        with pytest.raises(BadModel):
            open_backend(name).load(folder, model.manifest)


def test_run__before_load_and_after_close__raises_runtime_error(small):
    name, model = small
    backend = open_backend(name)
    with pytest.raises(RuntimeError, match="load"):
        backend.run(model.inputs)
    backend.load(model.folder, model.manifest)
    backend.close()
    backend.close()

    with pytest.raises(RuntimeError, match="load"):
        backend.run(model.inputs)


def test_open_backend__when_device_is_unknown__raises_backend_unknown(small):
    with pytest.raises(BackendUnknown, match="expected a device of backend"):
        open_backend(f"{small[0]}:abacus")


@pytest.mark.parametrize(
    "name",
    [
        "onnx:cuda",
        "torch:cuda",
        "torch:rocm",
        *(
            []
            if sys.platform == "darwin"
            else ["torch:mps", "mlx:gpu", "coreml", "coreml:cpu_and_ne"]
        ),
    ],
)
def test_open_backend__when_device_is_not_here__says_what_it_needs(name):
    with pytest.raises(BackendNotSupported, match="which this machine lacks; usable here: "):
        open_backend(name)
