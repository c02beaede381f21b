"""generation

generate
├── it adds the most likely token, the first of equals, until there are enough
├── when a token ends the text: it stops before it
├── when the format fixes the length: texts are padded to it, and end with it
├── when the manifest names lengths: texts are padded to the next
├── of a model that is one step: it gives each token once, and keeps what was computed
├── ... which ends where a fixed past is full, and has the form that a step has
├── when the prompt is empty or leaves no room: it raises BadInput
├── when logits are not finite: it raises BadOutput
└── when the model does not write text: it raises BadModel
"""

from dataclasses import replace

import numpy as np
import pytest

from offchain_worker.errors import BadInput, BadModel, BadOutput
from offchain_worker.generation import generate
from offchain_worker.manifest import TensorSpec
from offchain_worker.pipeline.xor_model import MANIFEST as XOR

VOCABULARY = 10


class Counting:
    """Made up: the most likely token is the last one plus one, and after 9 comes what `after` says."""

    def __init__(self, after=0):
        self.after, self.widths = after, []

    def run(self, inputs):
        tokens = inputs["input_ids"]
        self.widths.append(tokens.shape[1])
        logits = np.zeros((*tokens.shape, VOCABULARY), np.float32)
        for at, token in enumerate(tokens[0]):
            following = int(token) + 1 if token < 9 else self.after
            logits[0, at, following] = np.nan if following < 0 else 1
        return {"logits": logits}


def manifest_of(tokens=-1, **changes):
    return replace(
        XOR,
        inputs=(TensorSpec("input_ids", "int32", (1, tokens)),),
        outputs=(TensorSpec("logits", "float32", (1, tokens, VOCABULARY)),),
        **changes,
    )


def test_generate__adds_the_most_likely_token():
    backend = Counting()

    assert generate(backend, manifest_of(), [3, 1], 4, ()) == [2, 3, 4, 5]
    assert backend.widths == [2, 3, 4, 5]


def test_generate__when_all_are_as_likely__takes_the_first():
    class Flat(Counting):
        def run(self, inputs):
            return {"logits": np.ones((1, inputs["input_ids"].shape[1], VOCABULARY), np.float32)}

    assert generate(Flat(), manifest_of(), [3], 2, ()) == [0, 0]


def test_generate__when_a_token_ends_the_text__stops_before_it():
    assert generate(Counting(), manifest_of(), [1], 9, {5, 7}) == [2, 3, 4]


def test_generate__when_the_length_is_fixed__pads_to_it_and_ends_with_it():
    backend = Counting()

    assert generate(backend, manifest_of(5), [1, 2], 9, ()) == [3, 4, 5]
    assert backend.widths == [5, 5, 5]


def test_generate__when_there_are_lengths__pads_to_the_next():
    backend = Counting()

    added = generate(backend, manifest_of(runtime={"lengths": "2,4,6"}), [1, 2], 9, ())

    assert added == [3, 4, 5, 6]
    assert backend.widths == [2, 4, 4, 6]


@pytest.mark.parametrize(("prompt", "message"), [([], "at least one"), ([1] * 5, "fewer than 5")])
def test_generate__when_the_prompt_does_not_fit__raises_bad_input(prompt, message):
    with pytest.raises(BadInput, match=message):
        generate(Counting(), manifest_of(5), prompt, 1, ())


def test_generate__when_logits_are_not_finite__raises_bad_output():
    with pytest.raises(BadOutput, match="expected finite numbers in 'logits'"):
        generate(Counting(after=-1), manifest_of(), [8], 3, ())


class Step(Counting):
    """Made up: the same as one step, with what it has seen in `past`."""

    def __init__(self, vocabulary=VOCABULARY):
        super().__init__()
        self.given = []

    def run(self, inputs):
        tokens = inputs["input_ids"]
        self.given.append((tokens[0].tolist(), inputs["past"][0, 0, 0, :, 0].tolist()))
        present = np.broadcast_to(
            tokens[0].astype(np.float32)[None, :, None], (2, 1, 1, tokens.shape[1], 1)
        )
        return {**super().run(inputs), "present": present}


def step_of(length):
    past = TensorSpec("past", "float32", (2, 1, 1, length, 1))
    position = [TensorSpec("position", "int32", (1,))] if length != -1 else []
    manifest = manifest_of()
    return replace(manifest, inputs=(*manifest.inputs, *position, past))


def test_generate__of_a_step_whose_past_grows__gives_each_token_once():
    backend = Step()

    assert generate(backend, step_of(-1), [3, 1], 3, ()) == [2, 3, 4]
    assert backend.given == [([3, 1], []), ([2], [3, 1]), ([3], [3, 1, 2])]


def test_generate__of_a_step_whose_past_is_fixed__fills_it_and_ends_with_it():
    backend = Step()

    assert generate(backend, step_of(4), [3, 1], 9, ()) == [2, 3]
    assert backend.given == [([3], [0, 0, 0, 0]), ([1], [3, 0, 0, 0]), ([2], [3, 1, 0, 0])]


@pytest.mark.parametrize(
    "shape", [(2, 1, 1, 4), (2, 1, -1, 4, 1), (2, 1, 1, 4, -1), (10**6, 1, 10**6, 4, 1)]
)
def test_generate__when_past_has_another_form__raises_bad_model(shape):
    manifest = step_of(4)
    bad = replace(manifest, inputs=(*manifest.inputs[:2], TensorSpec("past", "float32", shape)))

    with pytest.raises(BadModel, match="of a model that writes text"):
        generate(Step(), bad, [1], 1, ())


def test_generate__when_the_model_does_not_write__raises_bad_model():
    with pytest.raises(BadModel, match="of a model that writes text"):
        generate(Counting(), XOR, [1], 1, ())
