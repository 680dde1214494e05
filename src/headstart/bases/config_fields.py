"""Which fields of a Hugging Face model's ``config.json`` a network built without transformers follows.

A model is built by headstart or KerasHub only if every field that matters has a value that the network follows. Each
field is in one of three groups: it is followed with any value, it does not matter for features, or it must have
one of a few values, because the network computes as if it had.

Sources: the configurations and models of transformers 5.24; the converters and backbones of KerasHub 0.32.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

from headstart.errors import InputError


class UnsupportedFieldError(InputError):
    """A field of a model's configuration has a value that the network would not follow."""


class Rules(NamedTuple):
    """The fields of one kind of model.

    Attributes:
        supported: fields that the network follows with any value; they must be there.
        ignored: fields that do not matter for features, besides those of all models.
        values: the values that a field must have, some computed from the configuration; a missing field has the first.
    """

    supported: frozenset[str]
    ignored: frozenset[str] = frozenset()
    values: Mapping[str, tuple[Any, ...]] = {}


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split())


_IGNORED = _names(
    """
    model_type architectures transformers_version torch_dtype dtype _name_or_path name_or_path initializer_range
    use_cache return_dict return_dict_in_generate output_attentions output_hidden_states output_scores
    output_past chunk_size_feed_forward problem_type id2label label2id num_labels torchscript use_bfloat16
    tf_legacy_loss tie_word_embeddings tie_encoder_decoder gradient_checkpointing task_specific_params finetuning_task
    tokenizer_class prefix cross_attention_hidden_size _attn_implementation_autoset _commit_hash auto_map
    bos_token_id eos_token_id pad_token_id sep_token_id cls_token_id unk_token_id decoder_start_token_id
    max_length min_length do_sample early_stopping num_beams num_beam_groups diversity_penalty temperature top_k top_p
    typical_p repetition_penalty length_penalty no_repeat_ngram_size encoder_no_repeat_ngram_size bad_words_ids
    num_return_sequences forced_bos_token_id forced_eos_token_id remove_invalid_values suppress_tokens
    begin_suppress_tokens exponential_decay_length_penalty
    hidden_dropout_prob attention_probs_dropout_prob attention_dropout hidden_dropout classifier_dropout
    classifier_dropout_prob drop_path_rate dropout embd_pdrop attn_pdrop resid_pdrop
    """
)
"""Fields of all models that concern training, generation, classifiers and files."""

COMMON_VALUES: dict[str, tuple[Any, ...]] = {
    "is_decoder": (False,),
    "add_cross_attention": (False,),
    "is_encoder_decoder": (False,),
    "pruned_heads": ({}, None),
    "quantization_config": (None,),
    "adapters": (None,),
}
"""Fields of all models that must have one of these values."""


def _even_head_dim(config: Mapping[str, Any]) -> Any:
    return config["hidden_size"] // config["num_attention_heads"]


_DECODER = _names(
    "vocab_size hidden_size intermediate_size num_hidden_layers num_attention_heads num_key_value_heads rms_norm_eps"
)
_DECODER_IGNORED = _names("max_position_embeddings max_window_layers rope_theta rope_parameters rope_scaling")
_NO_WINDOW = {"use_sliding_window": (False,), "layer_types": (None, "full_attention")}
_SILU = {"hidden_act": ("silu", "swish")}

KERASHUB: dict[str, Rules] = {
    "albert": Rules(
        _names(
            "vocab_size embedding_size hidden_size num_hidden_layers num_hidden_groups num_attention_heads "
            "intermediate_size inner_group_num max_position_embeddings type_vocab_size"
        ),
        _names("down_scale_factor gap_size net_structure_type num_memory_blocks layers_to_keep"),
        {
            "hidden_act": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
            "layer_norm_eps": (1e-12,),
            "position_embedding_type": ("absolute",),
        },
    ),
    "gpt2": Rules(
        _names("vocab_size n_positions n_embd n_layer n_head"),
        _names(
            "n_ctx summary_type summary_use_proj summary_activation summary_proj_to_labels summary_first_dropout "
            "reorder_and_upcast_attn"
        ),
        {
            "activation_function": ("gelu_new", "gelu_pytorch_tanh", "gelu_fast"),
            "layer_norm_epsilon": (1e-5,),
            "n_inner": (None, lambda config: 4 * config["n_embd"]),
            "scale_attn_weights": (True,),
            "scale_attn_by_inverse_layer_idx": (False,),
        },
    ),
    "llama": Rules(
        _DECODER,
        _DECODER_IGNORED | {"pretraining_tp"},
        {**_SILU, "attention_bias": (False,), "mlp_bias": (False,), "head_dim": (None, _even_head_dim)},
    ),
    "mistral": Rules(_DECODER | {"sliding_window"}, _DECODER_IGNORED | {"head_dim"}, _SILU),
    "qwen2": Rules(
        _DECODER,
        _DECODER_IGNORED | {"sliding_window"},
        {**_SILU, **_NO_WINDOW, "use_mrope": (False,), "head_dim": (None, _even_head_dim)},
    ),
    "qwen3": Rules(
        _DECODER | {"head_dim"},
        _DECODER_IGNORED | {"sliding_window"},
        {**_SILU, **_NO_WINDOW, "attention_bias": (False,)},
    ),
    "smollm3": Rules(
        _DECODER | {"no_rope_layers"},
        _DECODER_IGNORED | {"sliding_window", "no_rope_layer_interval", "pretraining_tp"},
        {
            **_SILU,
            **_NO_WINDOW,
            "attention_bias": (False,),
            "mlp_bias": (False,),
            "head_dim": (None, _even_head_dim),
        },
    ),
    "swin": Rules(
        _names("image_size patch_size embed_dim depths num_heads window_size mlp_ratio qkv_bias"),
        _names("encoder_stride num_layers hidden_size stage_names out_features out_indices"),
        {
            "hidden_act": ("gelu",),
            "layer_norm_eps": (1e-5,),
            "num_channels": (3,),
            "use_absolute_embeddings": (False,),
            "path_norm": (True,),
        },
    ),
}
"""``model_type`` -> the fields of the models that KerasHub 0.32 converts, if it can read their files."""

_HAS_ROPE = {"llama", "mistral", "qwen2", "qwen3", "smollm3"}
_LLAMA3 = {
    "factor": "rope_frequency_adjustment_factor",
    "low_freq_factor": "rope_low_freq_factor",
    "high_freq_factor": "rope_high_freq_factor",
    "original_max_position_embeddings": "rope_pretraining_sequence_length",
}
"""Parameters of Llama 3's rotary positions -> their names in KerasHub."""


def check_kerashub(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """Check that KerasHub's converter follows every field of a configuration.

    Args:
        config: with a ``model_type`` of :data:`KERASHUB`.
        source: of the model, for the message.

    Returns:
        Arguments of KerasHub's backbone that its converter leaves out.

    Raises:
        UnsupportedFieldError: it does not follow a field.
    """
    kind: str = config["model_type"]
    rules = KERASHUB[kind]
    check_code(config, source)
    check_values(config, {**COMMON_VALUES, **rules.values}, source)
    known_fields = rules.supported | rules.ignored | rules.values.keys() | _IGNORED | COMMON_VALUES.keys()
    for name in config:
        if name not in known_fields:
            raise unsupported(source, name, config[name])
    for name in rules.supported:
        if name not in config:
            raise unsupported(source, name, None)
    if kind == "mistral" and config.get("dtype", config.get("torch_dtype")) not in ("float16", "bfloat16"):
        raise unsupported(source, "dtype", config.get("dtype", config.get("torch_dtype")))  # it rounds to float16
    if kind not in _HAS_ROPE:
        return {}
    rope = _rope(config, source)
    if kind != "llama":
        return {}
    return {"layer_norm_epsilon": config["rms_norm_eps"], **{_LLAMA3[name]: value for name, value in rope.items()}}


def _rope(config: Mapping[str, Any], source: str) -> dict[str, Any]:
    """The parameters of scaled rotary positions: those of Llama 3, or none."""
    parameters = config.get("rope_parameters") or config.get("rope_scaling") or {}
    kind = parameters.get("rope_type", parameters.get("type", "default"))
    name = "rope_parameters" if config.get("rope_parameters") else "rope_scaling"
    known_keys = {"rope_type", "type", "rope_theta"} | (_LLAMA3.keys() if kind == "llama3" else set())
    if kind not in ("default", "llama3") or parameters.keys() - known_keys:
        raise unsupported(source, name, parameters)
    if kind == "llama3" and (config["model_type"] != "llama" or not parameters.keys() >= _LLAMA3.keys()):
        raise unsupported(source, name, parameters)
    if "rope_theta" not in parameters and config.get("rope_theta") is None:
        raise unsupported(source, "rope_theta", None)
    return {key: value for key, value in parameters.items() if key in _LLAMA3} if kind == "llama3" else {}


def check_values(config: Mapping[str, Any], values: Mapping[str, tuple[Any, ...]], source: str) -> None:
    """Check the fields that must have certain values; the first value is meant where the field is missing.

    Raises:
        UnsupportedFieldError: a field has another value.
    """
    for name, allowed in values.items():
        if name not in config and callable(allowed[0]):
            continue
        allowed_values = [value(config) if callable(value) else value for value in allowed]
        value = config.get(name, allowed_values[0])
        if any(part not in allowed_values for part in (value if isinstance(value, list) else [value])):
            raise unsupported(source, name, value)


def check_code(config: Mapping[str, Any], source: str) -> None:
    """Check that a model does not need code of its own.

    Raises:
        UnsupportedFieldError: it is.
    """
    if "AutoModel" in (config.get("auto_map") or {}):
        raise unsupported(source, "auto_map", config["auto_map"])


def unsupported(source: str, name: str, value: Any) -> UnsupportedFieldError:
    """The error about a field; None means that it is missing."""
    has = f"no {name}" if value is None else f"{name} = {value!r}"
    return UnsupportedFieldError(f"{source} has {has} in its config.json, which headstart cannot build.")
