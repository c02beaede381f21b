"""Families that read text: one vector for each token."""

from typing import Any

from offchain_worker.pipeline.families.base import Family

SIZES: dict[str, Any] = {
    "vocab_size": 256,
    "hidden_size": 64,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "intermediate_size": 128,
    "max_position_embeddings": 64,
}
_DEBERTA = {
    "relative_attention": True,
    "pos_att_type": ["p2c", "c2p"],
    "position_buckets": 16,
    "max_relative_positions": -1,
    "share_att_key": True,
    "norm_rel_ebd": "layer_norm",
    "type_vocab_size": 0,
}
_DISTILBERT = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128}
_T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4}
_MODERNBERT = {"pad_token_id": 0, "global_attn_every_n_layers": 2, "local_attention": 8}

FAMILIES = (
    Family("bert", "BertModel", "BertConfig", SIZES),
    Family(
        "bert-classifier", "BertForSequenceClassification", "BertConfig", SIZES | {"num_labels": 5}
    ),
    Family(
        "distilbert",
        "DistilBertForSequenceClassification",
        "DistilBertConfig",
        SIZES | _DISTILBERT | {"num_labels": 5},
    ),
    Family("roberta", "RobertaModel", "RobertaConfig", SIZES | {"pad_token_id": 1}),
    Family("xlm-roberta", "XLMRobertaModel", "XLMRobertaConfig", SIZES | {"pad_token_id": 1}),
    Family("albert", "AlbertModel", "AlbertConfig", SIZES | {"embedding_size": 32}),
    Family("electra", "ElectraModel", "ElectraConfig", SIZES | {"embedding_size": 32}),
    Family("mpnet", "MPNetModel", "MPNetConfig", SIZES),
    Family("deberta-v2", "DebertaV2Model", "DebertaV2Config", SIZES | _DEBERTA),
    Family("modernbert", "ModernBertModel", "ModernBertConfig", SIZES | _MODERNBERT),
    Family("t5-encoder", "T5EncoderModel", "T5Config", {"vocab_size": 256} | _T5),
)
