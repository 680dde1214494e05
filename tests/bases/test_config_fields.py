"""Models of Hugging Face with fields that KerasHub or headstart would not follow: refused, or read by transformers."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.bases import encoders, huggingface, vision_transformers
from headstart.bases.config_fields import UnsupportedFieldError
from headstart.errors import InputError, UnavailableError

MODELS = Path(__file__).parents[1] / "files" / "transformers"
ROPE = {"rope_theta": 10000.0, "rope_type": "default"}
LLAMA_3 = {
    "rope_theta": 10000.0, "rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}  # fmt: skip
DECODER = {
    "vocab_size": 60, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2, "num_attention_heads": 4,
    "num_key_value_heads": 2, "max_position_embeddings": 64, "rms_norm_eps": 1e-5, "rope_parameters": ROPE,
    "hidden_act": "silu",
}  # fmt: skip
CONFIGS: dict[str, dict[str, Any]] = {
    "llama": {**DECODER, "pretraining_tp": 1, "mlp_bias": False, "head_dim": 8},
    "mistral": {**DECODER, "sliding_window": None, "dtype": "bfloat16"},
    "qwen2": {**DECODER, "use_sliding_window": False, "sliding_window": None, "layer_types": ["full_attention"] * 2},
    "qwen3": {**DECODER, "head_dim": 8, "use_sliding_window": False},
    "smollm3": {**DECODER, "no_rope_layers": [1, 0]},
    "gpt2": {"vocab_size": 60, "n_positions": 64, "n_embd": 32, "n_layer": 2, "n_head": 4},
    "albert": {
        "vocab_size": 60, "embedding_size": 16, "hidden_size": 32, "num_hidden_layers": 2, "num_hidden_groups": 1,
        "num_attention_heads": 4, "intermediate_size": 48, "inner_group_num": 1, "max_position_embeddings": 64,
        "type_vocab_size": 2, "hidden_act": "gelu_new",
    },
    "swin": {
        "image_size": 32, "patch_size": 4, "embed_dim": 8, "depths": [2, 2], "num_heads": [2, 4], "window_size": 4,
        "mlp_ratio": 4.0, "qkv_bias": True, "hidden_act": "gelu",
    },
}  # fmt: skip
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}
CHANGES: list[tuple[str, dict[str, Any]]] = [
    ("llama", {"rope_parameters": LINEAR}),
    ("llama", {"rope_parameters": {**LLAMA_3, "attention_factor": 2.0}}),
    ("llama", {"rope_parameters": {**ROPE, "partial_rotary_factor": 0.5}}),
    ("llama", {"attention_bias": True}),
    ("llama", {"mlp_bias": True}),
    ("llama", {"head_dim": 16}),
    ("llama", {"hidden_act": "gelu"}),
    ("llama", {"some_new_field": 1}),
    ("llama", {"auto_map": {"AutoModel": "modeling.Own"}}),
    ("llama", {"quantization_config": {"bits": 4}}),
    ("mistral", {"dtype": "float32"}),
    ("qwen2", {"rope_parameters": {**LINEAR, "rope_type": "yarn"}}),
    ("qwen2", {"rope_parameters": None, "rope_scaling": {"type": "linear", "factor": 4.0}}),
    ("qwen2", {"rope_parameters": LLAMA_3}),
    ("qwen2", {"use_sliding_window": True}),
    ("qwen2", {"layer_types": ["full_attention", "sliding_attention"]}),
    ("qwen3", {"attention_bias": True}),
    ("smollm3", {"mlp_bias": True}),
    ("gpt2", {"activation_function": "relu"}),
    ("gpt2", {"layer_norm_epsilon": 1e-3}),
    ("gpt2", {"scale_attn_by_inverse_layer_idx": True}),
    ("gpt2", {"scale_attn_weights": False}),
    ("gpt2", {"n_inner": 64}),
    ("gpt2", {"add_cross_attention": True}),
    ("albert", {"hidden_act": "gelu"}),
    ("albert", {"layer_norm_eps": 1e-5}),
    ("swin", {"hidden_act": "relu"}),
    ("swin", {"layer_norm_eps": 1e-3}),
    ("swin", {"use_absolute_embeddings": True}),
    ("swin", {"num_channels": 4}),
]


@pytest.fixture
def without_transformers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)


def _write(folder: Path, kind: str, changes: dict[str, Any]) -> Path:
    config = {"model_type": kind, "architectures": ["A"], "use_cache": True, **CONFIGS[kind], **changes}
    (folder / "config.json").write_text(json.dumps(config))
    return folder


@pytest.mark.usefixtures("without_transformers")
@pytest.mark.parametrize(("kind", "change"), CHANGES)
def test_a_field_that_kerashub_does_not_follow_is_named(kind: str, change: dict[str, Any], tmp_path: Path) -> None:
    field = list(change)[-1]
    with pytest.raises(InputError, match=rf"has {field} = .* headstart cannot build.*headstart\[transformers\]"):
        hs.load_base(f"hf:{_write(tmp_path, kind, change)}")


@pytest.mark.usefixtures("without_transformers")
@pytest.mark.parametrize("kind", list(CONFIGS))
def test_the_usual_fields_are_accepted(kind: str, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="has no weights"):  # the next thing that is looked at
        hs.load_base(f"hf:{_write(tmp_path, kind, {})}")


@pytest.mark.usefixtures("without_transformers")
@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("bert", {"hidden_act": "gelu_new"}),
        ("bert", {"position_embedding_type": "relative_key"}),
        ("bert", {"is_decoder": True}),
        ("bert", {"auto_map": {"AutoModel": "modeling.Own"}}),
        ("electra", {"embedding_size": 8}),
        ("distilbert", {"activation": "gelu_new"}),
        ("vit", {"hidden_act": "quick_gelu"}),
        ("dinov2", {"use_swiglu_ffn": True}),
    ],
)
def test_a_field_that_headstart_does_not_follow_is_named(name: str, change: dict[str, Any], tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / name, tmp_path / name)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps({**config, **change}))
    with pytest.raises(InputError, match=rf"has {next(iter(change))} = .* headstart cannot build"):
        hs.load_base(f"hf:{folder}")


@pytest.mark.usefixtures("without_transformers")
@pytest.mark.parametrize(
    ("read", "kind", "change"),
    [
        (vision_transformers.read_config, "vit", {"image_size": [32, 48]}),
        (encoders.read_config, "mpnet", {"relative_attention_num_buckets": 16}),
    ],
)
def test_sizes_that_headstart_does_not_build_are_named(read: Any, kind: str, change: dict[str, Any]) -> None:
    with pytest.raises(UnsupportedFieldError, match=f"m has {next(iter(change))} = .* in its config.json"):
        read({**json.loads((MODELS / kind / "config.json").read_text()), **change}, "m")


@pytest.mark.usefixtures("without_transformers")
@pytest.mark.parametrize(("kind", "name"), [("bert", "num_hidden_layers"), ("vit", "hidden_size")])
def test_a_config_without_a_size_is_refused(kind: str, name: str, tmp_path: Path) -> None:
    """transformers has a default for each kind of model; it reads such a model."""
    folder = shutil.copytree(MODELS / kind, tmp_path / kind)
    config = json.loads((folder / "config.json").read_text())
    del config[name]
    (folder / "config.json").write_text(json.dumps(config))
    with pytest.raises(InputError, match=rf"has no {name} in its config\.json.* With transformers it can be used"):
        hs.load_base(f"hf:{folder}")


def test_missing_fields_have_the_defaults_of_transformers(tmp_path: Path) -> None:
    folder = shutil.copytree(MODELS / "mpnet", tmp_path / "mpnet")
    config = json.loads((folder / "config.json").read_text())
    expected = hs.load_base(f"hf:{folder}").reader()
    for name in ("pad_token_id", "layer_norm_eps", "hidden_act"):
        config.pop(name, None)
    (folder / "config.json").write_text(json.dumps(config))
    assert hs.load_base(f"hf:{folder}").reader() == expected  # the padding of MPNet is 1, and its positions follow it


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return ["w1 w2 ! w5 w6", "w7", " ".join(f"w{i * 7 % 60}" for i in range(1, 40)) + " ! !"]


def _save(model: Any, folder: Path) -> Path:
    """A model with larger weights than at its start, and a tokenizer whose id 0 is a word."""
    import tokenizers
    import torch
    import transformers

    torch.manual_seed(0)
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.eval().save_pretrained(folder)
    words = {"!": 0, **{f"w{i}": i for i in range(1, 60)}}
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel(words, unk_token="w1"))
    tokenizer.pre_tokenizer = tokenizers.pre_tokenizers.WhitespaceSplit()
    transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer).save_pretrained(folder)
    return folder


def _by_transformers(model: Any, folder: Path, texts: list[str]) -> np.ndarray:
    import tokenizers
    import torch

    tokenizer = tokenizers.Tokenizer.from_file(str(folder / "tokenizer.json"))
    ids = [torch.tensor([tokenizer.encode(text).ids]) for text in texts]
    body = getattr(model, "model", getattr(model, "transformer", model))
    with torch.no_grad():
        return np.stack([body(input_ids=row).last_hidden_state[0].mean(0).numpy() for row in ids])


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_llama_with_scaled_positions_equals_transformers_and_can_be_saved(tmp_path: Path, texts: list[str]) -> None:
    """KerasHub's converter leaves out the epsilon, and reads the scaling only as transformers 4 wrote it."""
    transformers = pytest.importorskip("transformers")
    pytest.importorskip("keras_hub")
    config = transformers.LlamaConfig(**{**DECODER, "rms_norm_eps": 1e-2, "rope_parameters": LLAMA_3})
    folder = _save(transformers.LlamaForCausalLM(config), tmp_path / "llama")
    expected = _by_transformers(transformers.LlamaForCausalLM.from_pretrained(folder).eval(), folder, texts)
    base = hs.load_base(f"hf:{folder}")
    assert not base.frozen_reason
    features = hs.extract(base, texts, precision="float32").rows(range(3))
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())
    reader = base.reader()
    ids = reader.batch([reader.decode(text.encode()) for text in texts])
    np.savez(tmp_path / "saved.npz", ids=ids, features=features)
    base.model().save(tmp_path / "saved.keras")
    program = (
        "import keras, keras_hub, numpy, sys\n"
        "saved = numpy.load(sys.argv[2])\n"
        "features = keras.models.load_model(sys.argv[1]).predict(saved['ids'], verbose=0)\n"
        "numpy.testing.assert_allclose(features, saved['features'], atol=1e-4)"
    )
    command = [sys.executable, "-c", program, tmp_path / "saved.keras", tmp_path / "saved.npz"]
    subprocess.run(command, check=True, env={**os.environ, "KERAS_BACKEND": "tensorflow"})


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_what_kerashub_does_not_follow_is_read_by_transformers(
    tmp_path: Path, texts: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    transformers = pytest.importorskip("transformers")
    config = transformers.GPT2Config(**CONFIGS["gpt2"], activation_function="relu", bos_token_id=1, eos_token_id=1)
    model = transformers.GPT2Model(config)
    folder = _save(model, tmp_path / "gpt2")
    base = hs.load_base(f"preset:{folder}")
    assert "converted from transformers" in base.frozen_reason
    features = hs.extract(base, texts, precision="float32").rows(range(3))
    expected = _by_transformers(model, folder, texts)
    np.testing.assert_allclose(features, expected, atol=1e-5 * np.abs(expected).max())
    monkeypatch.setattr(huggingface, "find_spec", lambda name: None)
    with pytest.raises((InputError, UnavailableError), match="has activation_function = 'relu'"):
        hs.load_base(f"preset:{folder}")
