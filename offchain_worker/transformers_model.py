"""A model of the transformers library as a function from named tensors to named tensors.

The `torch` backend runs these, and the pipeline takes them as the originals that every conversion is compared with.
Weights come from safetensors only, and no code from the model's folder is ever run.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import torch
import transformers

from offchain_worker import safe_json
from offchain_worker.errors import BadModel, did_you_mean, first_line
from offchain_worker.manifest import TensorSpec

CONFIG, WEIGHTS, POOLING = "config.json", "model.safetensors", "1_Pooling/config.json"

Kind = Literal["tokens", "mask", "image", "sound", "features"]

_DTYPES: dict[str, str] = {"tokens": "int32", "mask": "int32"}
_FIRST_TOKEN = 4  # smaller ones are mostly padding, start and end
_OUTPUTS = {
    "WithProjection": ("text_embeds", "image_embeds"),
    "ForObjectDetection": ("logits", "pred_boxes"),
}


@dataclass(frozen=True, slots=True)
class Input:
    """One input of a model, and how to draw values that mean something to it."""

    name: str
    kind: Kind
    shape: tuple[int, ...]
    """Sizes for which the model is converted; the batch of 1 comes first."""
    vocabulary: int = 0
    """Tokens are below this."""
    last: int | None = None
    """Token that ends a text, where the model looks for one."""

    @property
    def spec(self) -> TensorSpec:
        """Name, dtype and shape."""
        return TensorSpec(self.name, _DTYPES.get(self.kind, "float32"), self.shape)


class Original(torch.nn.Module):  # type: ignore[misc]  # torch is optional, so Any to mypy
    """Takes tensors in the order of `inputs`, gives a tuple of tensors in the order of `outputs`."""

    def __init__(
        self, model: torch.nn.Module, inputs: Sequence[Input], outputs: Sequence[str]
    ) -> None:
        super().__init__()
        self.model = model
        self.inputs = tuple(inputs)
        self.outputs = tuple(outputs)
        self._fixed = {"use_cache": False} if _writes_text(model) else {}

    def forward(self, *tensors: torch.Tensor, **named: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """Run the model once, on tensors in order or by name."""
        if tensors:
            named = {spec.name: tensor for spec, tensor in zip(self.inputs, tensors, strict=True)}
        found = self.model(**named, **self._fixed)
        if self.outputs == ("sentence_embedding",):
            return (_pool(found[0], named["attention_mask"]),)
        return tuple(found[name] for name in self.outputs)


def from_folder(folder: Path, *, sequence: int = 128, samples: int = 16_000) -> Original:
    """Open a model folder of the hub: `config.json` and `model.safetensors`.

    Args:
        folder: With a folder `1_Pooling` (sentence-transformers), the output is one vector of length 1 for each text.
        sequence: Tokens of an input of text.
        samples: Samples of an input of sound.

    Raises:
        BadModel: It is none, wants code of its own, or its weights are not those that its configuration asks for.
    """
    architecture, config = _read_config(folder)
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise BadModel(
            f"expected weights in {WEIGHTS} or in several such files (never pickle), which are missing"
        )
    _check_index(folder)
    _check_size(architecture, config, weights)
    try:
        model, report = architecture.from_pretrained(
            folder,
            config=config,
            dtype=torch.float32,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            ignore_mismatched_sizes=True,  # the report says more of them than the error
        )
    except Exception as error:  # the library has no common root for what it raises
        raise BadModel(
            f"expected weights that {architecture.__name__} loads, got: {first_line(error)}"
        ) from error
    if report["missing_keys"]:
        missing = sorted(report["missing_keys"])
        raise BadModel(
            f"expected weights for all of {architecture.__name__}, {len(missing)} are missing, such as {missing[0]!r}"
        )
    if report["mismatched_keys"]:
        name, stored, asked = sorted(report["mismatched_keys"])[0]
        raise BadModel(
            f"expected weights of the shapes that {CONFIG} asks for, got {name!r} of {tuple(stored)} in place of "
            f"{tuple(asked)}"
        )
    pooled = (folder / POOLING).is_file()
    if pooled:
        _check_pooling(folder)
    return describe(model, sequence=sequence, samples=samples, pooled=pooled)


def describe(
    model: Any, *, sequence: int = 128, samples: int = 16_000, pooled: bool = False
) -> Original:
    """Find out what a loaded model takes and gives.

    Raises:
        BadModel: It takes something for which there is no way to draw an input, or does not run on what was drawn.
    """
    model = model.eval().requires_grad_(False)
    if model.main_input_name == "input_features" and model.config.is_encoder_decoder:
        model = model.get_encoder()  # the half of a speech model that is one function
    name = type(model).__name__
    try:
        inputs = _inputs(model, sequence, samples)
        answer = _first_answer(model, inputs)
    except BadModel:
        raise
    except Exception as error:  # what a model raises has no common root
        raise BadModel(
            f"expected a model that runs on its main input {model.main_input_name!r} alone, got {name}, which says: "
            f"{first_line(error)}"
        ) from error
    names = [key for key, value in answer.items() if torch.is_tensor(value)]
    wanted = next((outputs for end, outputs in _OUTPUTS.items() if name.endswith(end)), ())
    outputs = [key for key in wanted if key in names] or [
        key for key in ("logits", "last_hidden_state", "pooler_output") if key in names
    ][:1]
    if pooled:
        outputs = ["sentence_embedding"]
    if not outputs:
        raise BadModel(f"expected outputs that are known of {name}, got {names}")
    original = Original(model, inputs, outputs)
    original.eval()
    return original


def longest_text(model: Any) -> int | None:
    """Return how many tokens a model of texts can take, None where nothing says so."""
    most = getattr(model.config, "max_position_embeddings", None)
    if not isinstance(most, int) or most < 1:
        return None
    # Some count positions from behind the padding's own number, which takes places off the table: roberta, mpnet.
    taken = [
        module.padding_idx + 1
        for name, module in model.named_modules()
        if name.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None
    ]
    return most - max(taken, default=0)


def draw(spec: Input, rng: np.random.Generator, at: int) -> np.ndarray[Any, Any]:
    """Return values for an input: sample `at` of a check. The first has no padding, later ones may."""
    if spec.kind == "tokens":
        tokens = rng.integers(_FIRST_TOKEN, spec.vocabulary, spec.shape).astype(np.int32)
        if spec.last is not None:
            tokens[tokens == spec.last] = _FIRST_TOKEN
            tokens[:, -1] = spec.last
        return tokens
    if spec.kind == "mask":
        most = spec.shape[-1]
        kept = most if at == 0 else int(rng.integers(min(2, most), most + 1))
        mask = np.zeros(spec.shape, np.int32)
        mask[..., :kept] = 1
        return mask
    if spec.kind == "image":
        return _image(rng, spec.shape)
    return rng.standard_normal(spec.shape).astype(np.float32)


def _image(rng: np.random.Generator, shape: tuple[int, ...]) -> np.ndarray[Any, Any]:
    """Return a coloured image with large and small patches: of plain noise, all images have the same averages."""
    image = np.zeros(shape)
    for patches in (1, 4, 16):
        coarse = rng.standard_normal((*shape[:2], patches, patches))
        rows, columns = (np.arange(size) * patches // size for size in shape[2:])
        image += coarse[:, :, rows][:, :, :, columns]
    return image.astype(np.float32)


def _first_answer(model: Any, inputs: Sequence[Input]) -> Any:
    """Return what the model gives, under the library's names."""
    found, rng = Original(model, inputs, ()), np.random.default_rng(0)
    tensors = {spec.name: torch.from_numpy(draw(spec, rng, 0)) for spec in inputs}
    with torch.no_grad():
        return found.model(**tensors, **found._fixed)


def _inputs(model: Any, sequence: int, samples: int) -> list[Input]:
    config, main = model.config, model.main_input_name
    inputs: list[Input] = []
    if main == "input_ids":
        length = min(sequence, longest_text(model) or sequence)
        last = config.eos_token_id if type(model).__name__.startswith("CLIPText") else None
        inputs.append(Input(main, "tokens", (1, length), int(config.vocab_size), last))
        if not _writes_text(model) and not type(model).__name__.startswith("SiglipText"):
            inputs.append(Input("attention_mask", "mask", (1, length)))
    if main == "pixel_values":
        colours = getattr(config, "num_channels", None) or 3
        inputs.append(Input("pixel_values", "image", (1, colours, *_image_size(config))))
    if main == "input_values":
        inputs.append(Input(main, "sound", (1, samples)))
    if main == "input_features":
        frames = 2 * getattr(config, "max_source_positions", samples // 2)
        inputs.append(Input(main, "features", (1, int(config.num_mel_bins), frames)))
    if not inputs:
        raise BadModel(f"expected a model of text, images or sound, got one of {main!r}")
    return inputs


def _image_size(config: Any) -> tuple[int, int]:
    size = getattr(config, "image_size", None) or 224
    if isinstance(size, int):
        return size, size
    height, width = size
    return int(height), int(width)


def _writes_text(model: Any) -> bool:
    return type(model).__name__.endswith(("ForCausalLM", "LMHeadModel"))


def _pool(tokens: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Return the mean over the tokens that count, of length 1."""
    weights = mask.unsqueeze(-1).to(tokens.dtype)
    mean = (tokens * weights).sum(1) / weights.sum(1).clamp(min=1e-9)
    return torch.nn.functional.normalize(mean, p=2.0, dim=1)


def _read_config(folder: Path) -> tuple[Any, Any]:
    """Return class and configuration of the model in `folder`."""
    file = folder / CONFIG
    if not file.is_file():
        raise BadModel(f"expected {CONFIG} in the model folder, which is missing")
    try:
        plain = safe_json.loads(file.read_bytes())
    except ValueError as error:
        raise BadModel(f"expected {CONFIG} in JSON, got: {error}") from None
    names = plain.get("architectures") if isinstance(plain, dict) else None
    if not isinstance(names, list) or not names or not isinstance(names[0], str):
        raise BadModel(f'expected "architectures" in {CONFIG}, got {names!r}')
    if "auto_map" in plain:
        raise BadModel(
            f"expected a model of the transformers library, got one with code of its own (auto_map in {CONFIG}), "
            "which is never run"
        )
    architecture = getattr(transformers, names[0], None)
    if not isinstance(architecture, type) or not issubclass(
        architecture, transformers.PreTrainedModel
    ):
        hint = did_you_mean(names[0], [name for name in dir(transformers) if name[0].isupper()])
        raise BadModel(
            f"expected an architecture of transformers {transformers.__version__}, got {names[0]!r}{hint}"
        )
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True)
    except Exception as error:  # the library has no common root for what it raises
        raise BadModel(
            f"expected a {CONFIG} that transformers reads, got: {first_line(error)}"
        ) from error
    return architecture, config


def weight_files(folder: Path) -> list[str]:
    """Return the names of the files that hold a model's weights, an index of them among these."""
    index = folder / f"{WEIGHTS}.index.json"
    if (folder / WEIGHTS).is_file() or not index.is_file():
        return [WEIGHTS]
    named = safe_json.loads(index.read_bytes())["weight_map"].values()
    return [index.name, *sorted(set(named))]


def _check_size(architecture: Any, config: Any, weights: Sequence[Path]) -> None:
    """Refuse a configuration that asks for far more memory than its weights fill, before any is taken."""
    try:
        with torch.device("meta"):
            model = architecture(config)
    except Exception as error:  # sizes that do not fit each other fail anywhere
        raise BadModel(
            f"expected a {CONFIG} that makes a {architecture.__name__}, got: {first_line(error)}"
        ) from error
    asked = sum(parameter.numel() for parameter in model.parameters())
    most = 2 * sum(
        file.stat().st_size for file in weights
    )  # weights have at least half a byte each
    if asked > most:
        raise BadModel(
            f"expected a {CONFIG} that asks for at most {most} weights, as its safetensors could hold, got {asked}"
        )


def _check_index(folder: Path) -> None:
    """Refuse an index of weights that leads out of the folder: the library would follow it."""
    file = folder / f"{WEIGHTS}.index.json"
    if not file.is_file():
        return
    try:
        names = set(safe_json.loads(file.read_bytes())["weight_map"].values())
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise BadModel(f"expected {file.name} with a weight_map, got bad {error}") from None
    for name in names:
        if not isinstance(name, str) or Path(name).name != name or not (folder / name).is_file():
            raise BadModel(f"expected files inside the model folder in {file.name}, got {name!r}")


def _check_pooling(folder: Path) -> None:
    try:
        plain = safe_json.loads((folder / POOLING).read_bytes())
    except ValueError as error:
        raise BadModel(f"expected {POOLING} in JSON, got: {error}") from None
    modes = [
        key for key, value in plain.items() if key.startswith("pooling_mode_") and value is True
    ]
    if modes != ["pooling_mode_mean_tokens"]:
        raise BadModel(f"expected pooling by the mean of tokens in {POOLING}, got {modes}")
