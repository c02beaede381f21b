"""Families that write text: for each token, how likely each next one is."""

from offchain_worker.pipeline.families.base import Family
from offchain_worker.pipeline.families.encoders import SIZES

_SIZES = SIZES | {"num_key_value_heads": 2, "bos_token_id": 1, "eos_token_id": 2}
_GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "n_positions": 64}
_HEAD = {"head_dim": 16}
_WIDE = {
    "intermediate_size": 256
}  # mlx-lm takes four times hidden_size, whatever the configuration says

FAMILIES = (
    Family("gpt2", "GPT2LMHeadModel", "GPT2Config", _SIZES | _GPT2, mlx=True),
    Family("gpt-neox", "GPTNeoXForCausalLM", "GPTNeoXConfig", _SIZES | _WIDE, mlx=True),
    Family(
        "opt",
        "OPTForCausalLM",
        "OPTConfig",
        _SIZES | {"ffn_dim": 128, "word_embed_proj_dim": 64},
        mlx_lacks="mlx-lm 0.32.2 has no such model: there is no mlx_lm/models/opt.py",
    ),
    Family("llama", "LlamaForCausalLM", "LlamaConfig", _SIZES, mlx=True),
    Family(
        "mistral",
        "MistralForCausalLM",
        "MistralConfig",
        _SIZES | {"sliding_window": 8},
        mlx_lacks="mlx-lm 0.32.2 attends to all tokens, so a window on every layer is not kept (cosine 0.80): "
        "mlx_lm/models/llama.py, which it takes for mistral, wants one layer of full_attention",
    ),
    Family(
        "mistral-without-window",
        "MistralForCausalLM",
        "MistralConfig",
        _SIZES | {"sliding_window": None},
        mlx=True,
    ),
    Family("qwen2", "Qwen2ForCausalLM", "Qwen2Config", _SIZES, mlx=True),
    Family("qwen3", "Qwen3ForCausalLM", "Qwen3Config", _SIZES | _HEAD, mlx=True),
    Family("gemma", "GemmaForCausalLM", "GemmaConfig", _SIZES | _HEAD, mlx=True),
    Family("phi", "PhiForCausalLM", "PhiConfig", _SIZES | {"num_key_value_heads": 4}, mlx=True),
    Family("stablelm", "StableLmForCausalLM", "StableLmConfig", _SIZES, mlx=True),
    Family("olmo2", "Olmo2ForCausalLM", "Olmo2Config", _SIZES | {"pad_token_id": 0}, mlx=True),
)
