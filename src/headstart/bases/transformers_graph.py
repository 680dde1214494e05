"""Models of Hugging Face that neither headstart nor KerasHub builds: frozen features, as transformers computes them.

transformers runs once, in a separate process, and OpenVINO converts the torch model there to a graph. The graph is
compared with torch at other sizes before it is used. After that, neither is needed. A model's own code is never run:
models that transformers does not include are refused, and so are pickles.
"""

import json
import re
from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import hf_tokenizer, image_processor, transformers_check
from headstart.bases.base import Base, BaseSpec, ImageBase, files_sha256, read_licence
from headstart.bases.cached_facts import cached_facts
from headstart.bases.text import MAX_TOKENS, TextBase, check_padding
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, one_line
from headstart.system.extras import require
from headstart.system.keras_worker import INFERENCE_BACKEND
from headstart.system.settings import cache_folder

_FACTS_VERSION = 4
"""Part of the cache's folder names: increase it if the facts about a model change."""

_FILES = ("*.json", "*/config.json", "model*.safetensors", "*.txt", "*.model", "README.md")
_TOKENIZER = "tokenizer.json"
_MAX_DIFFERENCE = 1e-3  # of a feature, relative to the largest
_ATTENTION = ("eager", "sdpa")
"""Implementations of attention that are converted, the one that OpenVINO converts best first.

transformers itself may compute with another one, and the two may differ: 5.24 adds the positions of Falcon's ALiBi
twice in ``eager``.
"""

_INPUT_DTYPE = {"image": "float32", "text": "int32"}
_TRACED_SHAPE = (2, 9)  # texts, tokens of the longest: the example for the conversion
_COMPARED_SHAPES = ((3, 17), (1, 2), (2, 40))  # texts, tokens of the longest: further examples for the comparison


def from_folder(folder: Path, spec: BaseSpec) -> Base:
    """Load a model from a local folder as the base of a spec.

    Raises:
        InputError: transformers cannot read it, or its input is neither images nor texts.
        UnavailableError: transformers or torch is not installed.
    """
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise InputError(
            f"{folder} has no model.safetensors: expected the weights in this format. A pickle (pytorch_model.bin) can "
            "run code when it is read and is refused."
        )
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    digest = files_sha256(files)
    processor = image_processor.read(folder, spec.handle) if image_processor.is_there(folder) else None
    size = spec.input_size or (processor.size if processor else None)
    cached = cache_folder() / "transformers" / f"{digest[:32]}-{'x'.join(map(str, size or ()))}-v{_FACTS_VERSION}"

    def choose_backend() -> str:
        for module in ("torch", "transformers"):
            require(module, extra="transformers", purpose=f"reading {spec.handle}")
        return "torch"  # torch looks for TensorFlow, which a process for the OpenVINO backend does not allow

    reader = "headstart.bases.transformers_graph:read_model"
    facts = cached_facts(cached, reader, folder, spec.handle, choose_backend, size=size)
    common: dict[str, Any] = {
        "spec": spec,
        "build": partial(_build, cached),
        "weights_path": weights[0],
        "weights_sha256": digest,
        "feature_dim": facts["gives"][-1],
        "licence": read_licence(folder),
        "files": {path.relative_to(folder).as_posix(): path for path in files},
        "frozen_reason": "headstart uses it as a graph without gradients, converted from transformers",
        "backends": (INFERENCE_BACKEND,),
    }
    make_base = {"image": _image_base, "text": _text_base}[facts["modality"]]
    return make_base(folder, cached, facts, common)


def _text_base(folder: Path, cached: Path, facts: dict[str, Any], common: dict[str, Any]) -> TextBase:
    content = (cached / _TOKENIZER).read_text(encoding="utf-8")
    tokenizer = SubwordTokenizer(content, facts["max_length"], facts["pad"])
    return TextBase(tokenizer=tokenizer, max_length=facts["max_length"], **common)


def _image_base(folder: Path, cached: Path, facts: dict[str, Any], common: dict[str, Any]) -> ImageBase:
    spec = common["spec"]
    processor = image_processor.read(folder, spec.handle)
    return ImageBase(
        input_size=spec.input_size or processor.size,
        preprocessing=processor.preprocessing,
        resize=processor.resize,
        resize_rule=processor.rule,
        **common,
    )


def _build(cached: Path, include_top: bool) -> Any:
    import keras

    from headstart.bases.openvino_layer import layer_from_files

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("the graph can only be used with channels last")
    facts = json.loads((cached / "facts.json").read_text())
    layer, constants = layer_from_files(cached / "model.xml", facts["gives"], "transformer")
    inputs = keras.Input(facts["takes"], dtype=_INPUT_DTYPE[facts["modality"]])
    network = keras.Model(inputs, layer(inputs), name="transformer_network")
    layer.set_weights([constants])
    return network


def read_model(folder: str, out: str, name: str, size: list[int] | None) -> None:
    """Write a model for :func:`from_folder`: its graph, ``facts.json``, and a tokenizer for texts.

    Raises:
        InputError: transformers cannot read it, or its input is neither images nor texts.
    """
    import torch

    torch.manual_seed(0)
    facts, module, examples = _open_module(Path(folder), Path(out), name, size, attention=None)
    expected, repeated = (_compute(module, examples, name) for _ in range(2))
    difference = _relative_difference(repeated[0], expected[0])
    if not difference <= _MAX_DIFFERENCE:
        raise InputError(
            f"{name} computes other features for the same input each time (they differ by {difference:.1e}): it draws "
            "random numbers. Use another model."
        )
    del module
    errors: list[InputError] = []
    for attention in _ATTENTION:
        try:
            _, candidate, _ = _open_module(Path(folder), Path(out), name, size, attention)
            _convert(candidate, examples, expected, Path(out, "model.xml"), name)
            break
        except InputError as exc:
            errors.append(exc)
    else:
        raise errors[0]
    shape = expected[0].shape
    facts |= {"gives": [None, shape[-1]] if examples[0].ndim == 2 else list(shape[1:])}
    Path(out, "facts.json").write_text(json.dumps(facts))


def _open_module(
    folder: Path, out: Path, name: str, size: list[int] | None, attention: str | None
) -> tuple[dict[str, Any], Any, list[Any]]:
    """Facts about a model, a torch module from its input to its features, and examples of the input."""
    model, has_pooler = _open(folder, name, attention)
    if model.main_input_name == "input_ids":
        return _text_module(model, folder, out, name)
    if model.main_input_name == "pixel_values" and size:
        return _image_module(model, has_pooler, size)
    raise InputError(f"{name} has the input {model.main_input_name}: expected a model of texts or of images.")


def _open(folder: Path, name: str, attention: str | None) -> tuple[Any, bool]:
    """The part of a model that encodes texts or images, and whether the files contain the weights of its pooler.

    Args:
        folder: of the model.
        name: for messages.
        attention: implementation of its attention; None means the one that transformers chooses.
    """
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config.use_cache = False
        if hasattr(config, "mask_ratio"):  # of ViTMAE: the part of an image that is hidden, at random
            config.mask_ratio = 0.0
        model, loaded = transformers.AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32, output_loading_info=True,
            **({"attn_implementation": attention} if attention else {}),
        )  # fmt: skip
    except Exception as exc:  # models raise exceptions of any kind for unexpected files
        raise InputError(f"transformers cannot read {name}: {one_line(str(exc))}") from exc
    _refuse_ignored_weights(model, loaded["unexpected_keys"], name)
    missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(
            f"the weights of {name} are incomplete: {', '.join(missing[:3])} of its config.json is missing."
        )
    has_pooler = not loaded["missing_keys"]
    if hasattr(model, "vision_model") and hasattr(model, "text_model"):  # of CLIP and similar models, use the images
        return model.vision_model, has_pooler
    return (model.get_encoder() if config.is_encoder_decoder else model), has_pooler


def _parents(key: str) -> set[str]:
    """The modules around a weight, by their paths."""
    parts = key.split(".")
    return {".".join(parts[:i]) for i in range(1, len(parts))}


def _refuse_ignored_weights(model: Any, keys: Iterable[str], name: str) -> None:
    """Refuse a file with weights of modules that the model has, but without these weights: it is another model.

    For example, transformers 5 no longer computes the relative positions of a BERT, and takes it for one without them.
    Weights of other modules, such as heads, are left out.
    """
    prefix = f"{model.base_model_prefix}."
    modules = {module for module, _ in model.named_modules() if re.search(r"\.\d+\.", f".{module}.")}
    ignored = sorted(key for key in keys if _parents(key.removeprefix(prefix)) & modules)
    if ignored:
        raise InputError(
            f"the installed transformers does not use weights of {name}, such as {ignored[0]}: its features would not "
            "be those of the model. Use a version of transformers that does, or another model."
        )


def _text_module(model: Any, folder: Path, out: Path, name: str) -> tuple[dict[str, Any], Any, list[Any]]:
    """Facts, a torch module from int32 ids (n, t) to token vectors (n, t, d), and examples of its input."""
    import torch

    (out / _TOKENIZER).write_text(_tokenizer(folder, name), encoding="utf-8")
    words = model.get_input_embeddings().weight.shape[0]
    pad = words  # no token: in some models, the padding of the configuration is a word, or the end of a text
    filler = model.config.pad_token_id
    filler = int(filler) if filler is not None and 0 <= filler < words else 0
    positions = min(_positions(model), MAX_TOKENS)

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any) -> Any:
            mask = ids != pad
            ids = torch.where(mask, ids, filler)
            states = self.model(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state
            return states * mask[..., None]

    def make_example(n: int, t: int) -> Any:
        ids = torch.randint(0, words, (n, t), dtype=torch.int32)
        ids[0, t - t // 3 :] = pad
        return ids

    facts = {"modality": "text", "takes": [None], "pad": pad, "max_length": positions}
    module = States().eval()
    examples = [make_example(n, min(t, positions)) for n, t in (_TRACED_SHAPE, *_COMPARED_SHAPES)]

    def compute(ids: np.ndarray) -> np.ndarray:
        return _compute(module, [torch.from_numpy(ids)], name)[0]

    check_padding(compute, examples[0][1:].numpy(), pad, positions, name)
    return facts, module, examples


def _positions(model: Any) -> int:
    """The number of tokens that a model has positions for; in some, such as RoBERTa's, those of padding come first."""
    positions = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS
    for path, module in model.named_modules():
        if path.endswith("position_embeddings") and getattr(module, "padding_idx", None) is not None:
            positions = min(positions, len(module.weight) - module.padding_idx - 1)
    return int(positions) if positions > 0 else MAX_TOKENS  # -1 in XLNet: no limit


def _tokenizer(folder: Path, name: str) -> str:
    """The content of ``tokenizer.json``: the model's own file, or older files converted by transformers.

    Raises:
        InputError: it has no tokenizer, or transformers makes another one of the model's own file.
    """
    if (folder / _TOKENIZER).is_file():
        content = hf_tokenizer.read(folder, name)
        transformers_check.compare_tokens(folder, content, name)
        return content
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except (OSError, ValueError, KeyError, ImportError, AttributeError, TypeError) as exc:
        raise InputError(f"transformers finds no tokenizer for {name}: {one_line(str(exc))}") from exc


def _image_module(model: Any, has_pooler: bool, size: list[int]) -> tuple[dict[str, Any], Any, list[Any]]:
    """Facts, a torch module from pixels (n, h, w, 3) to features, and examples of its input."""
    import torch

    has_class_token = any("cls_token" in key or "class_embedding" in key for key in model.state_dict())

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            output = self.model(pixel_values=pixels.permute(0, 3, 1, 2))
            pooled = getattr(output, "pooler_output", None)
            if pooled is not None and has_pooler:
                return pooled.flatten(1)
            states = output.last_hidden_state
            if states.ndim == 4:
                return states.permute(0, 2, 3, 1)
            return states[:, 0] if has_class_token else states.mean(1)

    facts = {"modality": "image", "takes": [*size, 3]}
    return facts, Features().eval(), [torch.randn(n, *size, 3) for n in (_TRACED_SHAPE[0], 1, 3)]


def _compute(module: Any, examples: list[Any], name: str) -> list[np.ndarray]:
    """The outputs of a torch module.

    Raises:
        InputError: torch cannot run it.
    """
    import torch

    try:
        with torch.no_grad():
            return [module(example).numpy() for example in examples]
    except Exception as exc:  # of transformers, torch or OpenVINO: they have no common base
        raise _unusable(name, examples[0], exc) from exc


def _unusable(name: str, example: Any, exc: Exception) -> InputError:
    size = "" if example.ndim == 2 else f" at {example.shape[1]}x{example.shape[2]} pixels"
    return InputError(f"{name} cannot be used{size}: {one_line(str(exc))}")


def _convert(module: Any, examples: list[Any], expected: list[np.ndarray], xml: Path, name: str) -> None:
    """Convert a torch module to an OpenVINO graph and write it, if it computes what transformers computes.

    Raises:
        InputError: OpenVINO cannot run the module, or the results differ.
    """
    import openvino
    import torch

    first = examples[0]
    try:
        with torch.no_grad():
            module(first)  # some models keep what they compute at the first call
            dynamic = [-1, -1] if first.ndim == 2 else [-1, *first.shape[1:]]
            kind = openvino.Type.i32 if first.ndim == 2 else openvino.Type.f32
            graph = openvino.convert_model(module, example_input=(first,), input=[(dynamic, kind)])
    except Exception as exc:  # of transformers, torch or OpenVINO: they have no common base
        raise _unusable(name, first, exc) from exc
    openvino.save_model(graph, str(xml), compress_to_fp16=False)
    try:
        compiled = openvino.Core().compile_model(str(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        outputs = [compiled(example.numpy())[0] for example in examples]
    except RuntimeError as exc:  # the graph has the sizes of the first example in it
        raise InputError(f"OpenVINO cannot compute {name} at other sizes: {one_line(str(exc))}") from exc
    for example, output, reference in zip(examples, outputs, expected, strict=True):
        difference = _relative_difference(output, reference)
        if not difference <= _MAX_DIFFERENCE:
            raise InputError(
                f"the OpenVINO graph of {name} differs from transformers by {difference:.1e} for inputs of shape "
                f"{tuple(example.shape)}: it cannot be used. Please report this."
            )


def _relative_difference(output: np.ndarray, reference: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest reference value; infinite for different shapes."""
    if output.shape != reference.shape:
        return np.inf
    return float(np.abs(output - reference).max() / max(np.abs(reference).max(), 1e-12))
