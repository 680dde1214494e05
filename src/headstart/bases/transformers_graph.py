"""Models of Hugging Face that neither headstart nor KerasHub builds: frozen features, as transformers computes them.

transformers runs once, in a separate process, and OpenVINO converts the torch model there to a graph. The graph is
compared with torch at other sizes before it is used. After that, neither is needed. A model's own code is never run:
models that transformers does not include are refused, and so are pickles.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import hf_tokenizer, image_processor
from headstart.bases.base import Base, BaseSpec, ImageBase, files_sha256, read_licence
from headstart.bases.cached_facts import cached_facts
from headstart.bases.text import MAX_TOKENS, TextBase
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, one_line
from headstart.system.extras import require
from headstart.system.keras_worker import INFERENCE_BACKEND
from headstart.system.settings import cache_folder

_FACTS_VERSION = 2
"""Part of the cache's folder names: increase it if the facts about a model change."""

_FILES = ("*.json", "*/config.json", "model*.safetensors", "*.txt", "*.model", "README.md")
_TOKENIZER = "tokenizer.json"
_MAX_DIFFERENCE = 1e-3  # of a feature, relative to the largest
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

    model, has_pooler = _open(Path(folder), name)
    torch.manual_seed(0)
    is_text = model.main_input_name == "input_ids"
    if is_text:
        facts, module, examples = _text_module(model, Path(folder), Path(out), name)
    elif model.main_input_name == "pixel_values" and size:
        facts, module, examples = _image_module(model, has_pooler, size)
    else:
        raise InputError(f"{name} has the input {model.main_input_name}: expected a model of texts or of images.")
    shape = _convert(module.eval(), examples, Path(out, "model.xml"), name)
    facts |= {"gives": [None, shape[-1]] if is_text else list(shape[1:])}
    Path(out, "facts.json").write_text(json.dumps(facts))


def _open(folder: Path, name: str) -> tuple[Any, bool]:
    """The part of a model that encodes texts or images, and whether the files contain the weights of its pooler."""
    import torch
    import transformers

    transformers.logging.set_verbosity_error()
    try:
        config = transformers.AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        config.use_cache = False
        model, loaded = transformers.AutoModel.from_pretrained(
            folder, config=config, local_files_only=True, trust_remote_code=False, use_safetensors=True,
            dtype=torch.float32, attn_implementation="eager", output_loading_info=True,
        )  # fmt: skip
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, AttributeError) as exc:
        raise InputError(f"transformers cannot read {name}: {one_line(str(exc))}") from exc
    missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(
            f"the weights of {name} are incomplete: {', '.join(missing[:3])} of its config.json is missing."
        )
    has_pooler = not loaded["missing_keys"]
    if hasattr(model, "vision_model") and hasattr(model, "text_model"):  # of CLIP and similar models, use the images
        return model.vision_model, has_pooler
    return (model.get_encoder() if config.is_encoder_decoder else model), has_pooler


def _text_module(model: Any, folder: Path, out: Path, name: str) -> tuple[dict[str, Any], Any, list[Any]]:
    """Facts, a torch module from int32 ids (n, t) to token vectors (n, t, d), and examples of its input."""
    import torch

    (out / _TOKENIZER).write_text(_tokenizer(folder, name), encoding="utf-8")
    words = model.get_input_embeddings().num_embeddings
    pad = model.config.pad_token_id
    pad = words if pad is None else int(pad)
    positions = getattr(model.config, "max_position_embeddings", None) or MAX_TOKENS

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any) -> Any:
            mask = ids != pad
            ids = ids if pad < words else torch.where(mask, ids, 0)
            states = self.model(input_ids=ids.long(), attention_mask=mask.long()).last_hidden_state
            return states * mask[..., None]

    def make_example(n: int, t: int) -> Any:
        ids = torch.randint(0, words, (n, t), dtype=torch.int32)
        ids[ids == pad] = (pad + 1) % words
        ids[0, t - t // 3 :] = pad
        return ids

    facts = {"modality": "text", "takes": [None], "pad": pad, "max_length": min(int(positions), MAX_TOKENS)}
    return facts, States(), [make_example(*shape) for shape in (_TRACED_SHAPE, *_COMPARED_SHAPES)]


def _tokenizer(folder: Path, name: str) -> str:
    """The content of ``tokenizer.json``: the model's own file, or older files converted by transformers."""
    if (folder / _TOKENIZER).is_file():
        return hf_tokenizer.read(folder, name)
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as exc:
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
    return facts, Features(), [torch.randn(n, *size, 3) for n in (_TRACED_SHAPE[0], 1, 3)]


def _convert(module: Any, examples: list[Any], xml: Path, name: str) -> tuple[int, ...]:
    """Convert a torch module to an OpenVINO graph, compare the two and write the graph; returns the output shape.

    Raises:
        InputError: torch or OpenVINO cannot run the module, or the results differ.
    """
    import openvino
    import torch

    first = examples[0]
    try:
        with torch.no_grad():
            expected = [module(example).numpy() for example in examples]
            dynamic = [-1, -1] if first.ndim == 2 else [-1, *first.shape[1:]]
            kind = openvino.Type.i32 if first.ndim == 2 else openvino.Type.f32
            graph = openvino.convert_model(module, example_input=(first,), input=[(dynamic, kind)])
    except (RuntimeError, ValueError, TypeError, IndexError) as exc:
        size = "" if first.ndim == 2 else f" at {first.shape[1]}x{first.shape[2]} pixels"
        raise InputError(f"{name} cannot be used{size}: {one_line(str(exc))}") from exc
    openvino.save_model(graph, str(xml), compress_to_fp16=False)
    compiled = openvino.Core().compile_model(str(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for example, reference in zip(examples, expected, strict=True):
        difference = _relative_difference(compiled(example.numpy())[0], reference)
        if not difference <= _MAX_DIFFERENCE:
            raise InputError(
                f"the OpenVINO graph of {name} differs from transformers by {difference:.1e} for inputs of shape "
                f"{tuple(example.shape)}: it cannot be used. Please report this."
            )
    return tuple(expected[0].shape)


def _relative_difference(output: np.ndarray, reference: np.ndarray) -> float:
    """The largest absolute difference, relative to the largest reference value; infinite for different shapes."""
    if output.shape != reference.shape:
        return np.inf
    return float(np.abs(output - reference).max() / max(np.abs(reference).max(), 1e-12))
