"""extras

make test-extended
└── it has installed every extra, so that no suite of tests/offchain_worker/extended is left out
"""

from importlib.util import find_spec

import pytest


@pytest.mark.extended
@pytest.mark.parametrize(
    "package",
    [
        "torch",
        "transformers",
        "coremltools",
        "mlx_lm",
        "onnx",
        "onnxscript",
        "huggingface_hub",
        "tokenizers",
    ],
)
def test_extras__are_installed(package):
    assert find_spec(package) is not None
