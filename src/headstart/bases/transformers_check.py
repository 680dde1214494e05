"""Models and tokenizers of Hugging Face, compared with transformers where that is installed."""

import importlib
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import hf_tokenizer
from headstart.errors import InputError

_MAX_DIFFERENCE = 1e-3  # of a token vector, relative to the largest
_TEXTS = (3, 40)  # texts, tokens of the longest


def compare(folder: Path, backbone: Any, name: str) -> None:
    """Compare the token vectors of a converted model with those of transformers, for random input.

    A model that transformers cannot read is not compared.

    Args:
        folder: of the model.
        backbone: of KerasHub.
        name: of the model, for the message.

    Raises:
        InputError: the vectors differ.
    """
    torch = importlib.import_module("torch")
    transformers = importlib.import_module("transformers")
    transformers.logging.set_verbosity_error()
    try:
        model = transformers.AutoModel.from_pretrained(
            folder, local_files_only=True, trust_remote_code=False, use_safetensors=True, dtype=torch.float32,
            attn_implementation="eager",
        )  # fmt: skip
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError):
        return
    inputs = _images(backbone) if len(backbone.inputs) == 1 else _texts(backbone)
    with torch.no_grad():
        of_torch = {key: torch.from_numpy(value) for key, value in inputs["transformers"].items()}
        expected = model.eval()(**of_torch).last_hidden_state.numpy()
    output = backbone(inputs["kerashub"], training=False)
    output = np.asarray(output["sequence_output"] if isinstance(output, dict) else output)
    mask = inputs["mask"]
    difference = np.abs(output * mask - expected * mask).max() / max(np.abs(expected * mask).max(), 1e-12)
    if not difference <= _MAX_DIFFERENCE:
        raise InputError(
            f"KerasHub's conversion of {name} differs from transformers by {difference:.1e}: it cannot be used. "
            "Please report this."
        )


def compare_tokens(folder: Path, content: str, name: str) -> None:
    """Compare a tokenizer with the one that transformers makes of a model's files, for texts in several scripts.

    A tokenizer that transformers cannot read is not compared.

    Args:
        folder: of the model.
        content: of ``tokenizer.json``.
        name: of the model, for the message.

    Raises:
        InputError: the ids of a text differ: the class replaces steps of the file by its own.
    """
    tokenizers, transformers = importlib.import_module("tokenizers"), importlib.import_module("transformers")
    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError):
        return
    of_file = tokenizers.Tokenizer.from_str(content)
    of_file.no_truncation()
    of_file.no_padding()
    for text in hf_tokenizer.TEST_TEXTS:
        if of_file.encode(text).ids != list(tokenizer(text)["input_ids"]):
            raise InputError(
                f"{name}: for {text!r}, its tokenizer.json gives other tokens than {type(tokenizer).__name__} of the "
                "installed transformers. If the file is right, set tokenizer_class to PreTrainedTokenizerFast in its "
                "tokenizer_config.json; if the class is right, write the file again: "
                "AutoTokenizer.from_pretrained(FOLDER).save_pretrained(FOLDER)."
            )


def _texts(backbone: Any) -> dict[str, Any]:
    """Random token ids; the second text is shorter."""
    length = min(_TEXTS[1], getattr(backbone, "max_sequence_length", None) or _TEXTS[1])
    ids = np.random.default_rng(0).integers(0, backbone.vocabulary_size, (_TEXTS[0], length))
    mask = np.ones_like(ids)
    mask[1, length // 2 :] = 0
    tensors = {"token_ids": ids, "padding_mask": mask, "segment_ids": np.zeros_like(ids)}
    return {
        "transformers": {"input_ids": ids, "attention_mask": mask},
        "kerashub": {tensor.name: tensors[tensor.name].astype("int32") for tensor in backbone.inputs},
        "mask": mask[..., None],
    }


def _images(backbone: Any) -> dict[str, Any]:
    """Random pixels, already scaled."""
    shape = backbone.inputs[0].shape[1:]
    pixels = np.random.default_rng(0).normal(size=(2, *shape)).astype(np.float32)
    channels_first = np.ascontiguousarray(pixels.transpose(0, 3, 1, 2))
    return {"transformers": {"pixel_values": channels_first}, "kerashub": pixels, "mask": np.float32(1)}
