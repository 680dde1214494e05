"""Models of Hugging Face that neither headstart nor KerasHub builds: frozen features, as transformers computes them.

transformers runs once, in a process of its own, and OpenVINO takes down what torch does there; what it has taken down
is compared with torch at other sizes before it is used. From then on neither is needed. No code of a model's own is
run: what transformers does not know itself is refused, and so are pickles.
"""

import json
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import image_processor
from headstart.bases.base import Base, BaseSpec, ImageBase, files_sha256, stated_licence
from headstart.bases.reading import read_once
from headstart.bases.text import LONGEST, TextBase
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError
from headstart.system.extras import require
from headstart.system.keras_worker import INFERENCE_BACKEND
from headstart.system.settings import cache_folder

_READ_VERSION = 1
"""Part of the cache's folder names: raise it when what is read from a model changes."""

_FILES = ("*.json", "*/config.json", "model*.safetensors", "*.txt", "*.model", "README.md")
_PROCESSOR, _TOKENIZER = "preprocessor_config.json", "tokenizer.json"
_MAX_DIFFERENCE = 1e-3  # of a feature, relative to the largest
_SIZES = ((3, 17), (1, 2), (2, 40))  # texts, and tokens of the longest; _EXAMPLE is what torch is watched with
_EXAMPLE = (2, 9)


def from_folder(folder: Path, spec: BaseSpec) -> Base:
    """A model in a local folder as a base; ``spec`` says what it is called.

    Raises:
        InputError: transformers cannot read it, or it is for neither images nor texts.
        UnavailableError: transformers or torch is not installed.
    """
    weights = sorted(folder.glob("model*.safetensors"))
    if not weights:
        raise InputError(
            f"{folder} has no model.safetensors: expected the weights in that form. A pickle (pytorch_model.bin) can "
            "run code as it is read and is refused."
        )
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern)})
    digest = files_sha256(files)
    processor = image_processor.read(folder, spec.handle) if (folder / _PROCESSOR).is_file() else None
    size = spec.input_size or (processor.size if processor else None)
    kept = cache_folder() / "transformers" / f"{digest[:32]}-{'x'.join(map(str, size or ()))}-v{_READ_VERSION}"

    def backend() -> str:
        for module in ("torch", "transformers"):
            require(module, extra="transformers", purpose=f"reading {spec.handle}")
        return "torch"  # in a process for Keras's OpenVINO backend, nobody may even look for TensorFlow, as torch does

    reader = "headstart.bases.transformers_graph:read_model"
    facts = read_once(kept, reader, folder, spec.handle, backend, size=size)
    common: dict[str, Any] = {
        "spec": spec,
        "build": partial(_build, kept),
        "weights_path": weights[0],
        "weights_sha256": digest,
        "feature_dim": facts["gives"][-1],
        "licence": stated_licence(folder),
        "files": {path.relative_to(folder).as_posix(): path for path in files},
        "frozen_because": "headstart has it from transformers, as a graph without gradients",
        "backends": (INFERENCE_BACKEND,),
    }
    if facts["modality"] == "text":
        content = (kept / _TOKENIZER).read_text(encoding="utf-8")
        tokenizer = SubwordTokenizer(content, facts["max_length"], facts["pad"])
        return TextBase(tokenizer=tokenizer, max_length=facts["max_length"], **common)
    if processor is None or size is None:
        raise InputError(f"{spec.handle} does not say how it wants its images: expected {_PROCESSOR} in its folder.")
    return ImageBase(input_size=size, preprocessing=processor.preprocessing, resize=processor.resize, **common)


def _build(kept: Path, include_top: bool) -> Any:
    import keras

    from headstart.bases.openvino_layer import layer_of

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("the graph was taken down with its channels last")
    facts = json.loads((kept / "facts.json").read_text())
    layer, constants = layer_of(kept / "model.xml", facts["gives"], "transformer")
    inputs = keras.Input(facts["takes"], dtype="int32" if facts["modality"] == "text" else "float32")
    network = keras.Model(inputs, layer(inputs), name="transformer_network")
    layer.set_weights([constants])
    return network


def read_model(folder: str, out: str, name: str, size: list[int] | None) -> None:
    """Write what :func:`from_folder` needs of a model: its graph, ``facts.json`` and a tokenizer for texts.

    Raises:
        InputError: transformers cannot read it, or it is for neither images nor texts.
    """
    import torch

    model, has_pooler = _open(Path(folder), name)
    torch.manual_seed(0)
    is_text = model.main_input_name == "input_ids"
    if is_text:
        facts, module, examples = _of_texts(model, Path(folder), Path(out), name)
    elif model.main_input_name == "pixel_values" and size:
        facts, module, examples = _of_images(model, has_pooler, size)
    else:
        raise InputError(f"{name} takes {model.main_input_name}: expected a model of texts, or of images.")
    shape = _take_down(module.eval(), examples, Path(out, "model.xml"), name)
    facts |= {"gives": [None, shape[-1]] if is_text else list(shape[1:])}
    Path(out, "facts.json").write_text(json.dumps(facts))


def _open(folder: Path, name: str) -> tuple[Any, bool]:
    """The part of a model that sees texts or images, and whether the weights of what pools its states are here."""
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
        raise InputError(f"transformers cannot read {name}: {' '.join(str(exc).split())[:400]}") from exc
    missing = sorted(key for key in loaded["missing_keys"] if "pooler" not in key)
    if missing:
        raise InputError(f"the weights of {name} lack {', '.join(missing[:3])}: they are not all of its config.json's.")
    has_pooler = not loaded["missing_keys"]
    if hasattr(model, "vision_model") and hasattr(model, "text_model"):  # CLIP and the like: images are its purpose
        return model.vision_model, has_pooler
    return (model.get_encoder() if config.is_encoder_decoder else model), has_pooler


def _of_texts(model: Any, folder: Path, out: Path, name: str) -> tuple[dict[str, Any], Any, list[Any]]:
    import torch

    (out / _TOKENIZER).write_text(_tokenizer(folder, name), encoding="utf-8")
    words = model.get_input_embeddings().num_embeddings
    pad = model.config.pad_token_id
    pad = words if pad is None else int(pad)
    positions = getattr(model.config, "max_position_embeddings", None) or LONGEST

    class States(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, ids: Any) -> Any:
            seen = ids != pad
            ids = ids if pad < words else torch.where(seen, ids, 0)
            states = self.model(input_ids=ids.long(), attention_mask=seen.long()).last_hidden_state
            return states * seen[..., None]

    def example(n: int, t: int) -> Any:
        ids = torch.randint(0, words, (n, t), dtype=torch.int32)
        ids[ids == pad] = (pad + 1) % words
        ids[0, t - t // 3 :] = pad
        return ids

    facts = {"modality": "text", "takes": [None], "pad": pad, "max_length": min(int(positions), LONGEST)}
    return facts, States(), [example(*shape) for shape in (_EXAMPLE, *_SIZES)]


def _tokenizer(folder: Path, name: str) -> str:
    """The content of a ``tokenizer.json``: the model's own, or what transformers makes of older files."""
    if (folder / _TOKENIZER).is_file():
        return (folder / _TOKENIZER).read_text(encoding="utf-8")
    import transformers

    try:
        tokenizer = transformers.AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        return str(tokenizer.backend_tokenizer.to_str())
    except (OSError, ValueError, KeyError, ImportError, AttributeError) as exc:
        raise InputError(f"transformers finds no tokenizer for {name}: {' '.join(str(exc).split())[:300]}") from exc


def _of_images(model: Any, has_pooler: bool, size: list[int]) -> tuple[dict[str, Any], Any, list[Any]]:
    import torch

    first_is_class = any("cls_token" in key or "class_embedding" in key for key in model.state_dict())

    class Features(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = model

        def forward(self, pixels: Any) -> Any:
            given = self.model(pixel_values=pixels.permute(0, 3, 1, 2))
            pooled = getattr(given, "pooler_output", None)
            if pooled is not None and has_pooler:
                return pooled.flatten(1)
            states = given.last_hidden_state
            if states.ndim == 4:
                return states.permute(0, 2, 3, 1)
            return states[:, 0] if first_is_class else states.mean(1)

    facts = {"modality": "image", "takes": [*size, 3]}
    return facts, Features(), [torch.randn(n, *size, 3) for n in (_EXAMPLE[0], 1, 3)]


def _take_down(module: Any, examples: list[Any], xml: Path, name: str) -> tuple[int, ...]:
    """Write the graph of what a torch module computes, compared with it; gives the shape of an output."""
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
        raise InputError(f"{name} cannot be used{size}: {' '.join(str(exc).split())[:300]}") from exc
    openvino.save_model(graph, str(xml), compress_to_fp16=False)
    compiled = openvino.Core().compile_model(str(xml), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    for example, said in zip(examples, expected, strict=True):
        given = compiled(example.numpy())[0]
        worst = np.inf if given.shape != said.shape else np.abs(given - said).max() / max(np.abs(said).max(), 1e-12)
        if not worst <= _MAX_DIFFERENCE:
            raise InputError(
                f"what OpenVINO took down of {name} differs from what transformers computes by {worst:.1e} for inputs "
                f"of shape {tuple(example.shape)}: it cannot be used. Please report this."
            )
    return tuple(expected[0].shape)
