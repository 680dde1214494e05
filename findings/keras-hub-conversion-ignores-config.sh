#!/bin/sh
# keras-hub 0.32.0, transformers 5.24.0, torch 2.13.0: models of Hugging Face that KerasHub converts to something else.
#
# Expected: Backbone.from_preset(FOLDER) of a folder that transformers has saved gives the model of that folder, or an
#   error. KerasHub's documentation offers from_preset("hf://ORG/MODEL") and local folders for this.
# Seen: the converters read the fields that they know and never look at the others. No warning, no error, other vectors:
#   GPT-2 with activation_function="relu" is computed with GELU; with scale_attn_by_inverse_layer_idx without that scale;
#   Qwen2 with rope_parameters of linear scaling (as for long contexts) without any scaling; Llama with rms_norm_eps=1e-2
#   with an epsilon of 1e-6; and Mistral's weights are rounded to float16, also for dtype="float32". The same models with
#   the values that the converters assume differ by 1e-6.
# Why it matters: features and fine-tuned models are silently worse than those of the published model; published Llama
#   models have rms_norm_eps=1e-5. A converted model should be compared with transformers once.
# Source: keras_hub/src/utils/transformers/convert_gpt2.py, convert_qwen.py, convert_llama3.py, convert_mistral.py.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet torch==2.13.0
"$work/venv/bin/python" -m pip install --quiet torch==2.13.0 transformers==5.24.0 keras==3.15.1 safetensors sentencepiece regex kagglehub==1.0.2
"$work/venv/bin/python" -m pip install --quiet --no-deps keras-hub==0.32.0
cd "$work"
KERAS_BACKEND=torch "$work/venv/bin/python" - <<'PYTHON' 2>errors || { tail -5 errors; exit 1; }
import keras_hub
import numpy as np
import torch
import transformers as hf

SIZES = dict(
    vocab_size=60, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
    num_key_value_heads=2, max_position_embeddings=64, head_dim=8,
)
GPT2 = dict(vocab_size=60, n_embd=32, n_layer=2, n_head=4, n_positions=64)
LINEAR = {"rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}


def difference(make, config, **options):
    """The largest difference of a token vector from that of transformers, relative to the largest value."""
    torch.manual_seed(0)
    model = make(config(**options))
    for weights in model.parameters():
        if weights.ndim > 1:
            torch.nn.init.normal_(weights, std=0.3)
    model.eval().save_pretrained("model")
    backbone = keras_hub.models.Backbone.from_preset("model", dtype="float32")
    ids = np.random.default_rng(0).integers(0, 60, (2, 40))
    with torch.no_grad():
        body = getattr(model, "model", model)
        expected = body(input_ids=torch.from_numpy(ids)).last_hidden_state.numpy()
        output = backbone({"token_ids": ids, "padding_mask": np.ones_like(ids)}).detach().cpu().numpy()
    return float(np.abs(output - expected).max() / np.abs(expected).max())


gpt2, llama, qwen2 = (hf.GPT2Model, hf.GPT2Config), (hf.LlamaForCausalLM, hf.LlamaConfig), (hf.Qwen2ForCausalLM, hf.Qwen2Config)
mistral = (hf.MistralForCausalLM, hf.MistralConfig)
found = {
    "GPT-2, usual": difference(*gpt2, **GPT2),
    "GPT-2, relu": difference(*gpt2, **GPT2, activation_function="relu"),
    "GPT-2, inverse layer index": difference(*gpt2, **GPT2, scale_attn_by_inverse_layer_idx=True),
    "Llama, usual": difference(*llama, **SIZES),
    "Llama, rms_norm_eps 1e-2": difference(*llama, **SIZES, rms_norm_eps=1e-2),
    "Qwen2, usual": difference(*qwen2, **SIZES),
    "Qwen2, linear scaling": difference(*qwen2, **SIZES, rope_parameters=LINEAR),
    "Mistral, usual, float32": difference(*mistral, **SIZES),
}
for name, value in found.items():
    print(f"{name:28s} {value:.1e}")
usual = [value for name, value in found.items() if name.endswith("usual")]
others = [value for name, value in found.items() if not name.endswith("usual")]
assert max(usual) < 1e-5 and min(others) > 5e-4
PYTHON
