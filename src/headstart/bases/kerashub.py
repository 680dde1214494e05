"""Models in folders that KerasHub reads: presets as ``save_to_preset`` writes them, and those of Hugging Face and timm.

A separate process reads the settings of the model once, by KerasHub, and stores them in the cache: size, scaling and
resizing of images from its ImageConverter; tokenizer, special tokens and maximum length of texts. The network is then
rebuilt layer by layer, so that fine-tuning can start at any block.
"""

import importlib
import inspect
import json
import math
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import config_fields, hf_tokenizer, image_processor, kerashub_tokens, transformers_check
from headstart.bases.base import Base, BaseSpec, ImageBase, Preprocessing, files_sha256, read_licence, refuse_weights
from headstart.bases.cached_facts import cached_facts
from headstart.bases.text import MAX_TOKENS, TextBase, check_padding, token_mask
from headstart.data.resizing import Interpolation, ResizeRule
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, UnavailableError, field_name, one_line
from headstart.system import keras_compat, keras_worker
from headstart.system.settings import cache_folder

_FACTS_VERSION = 8
"""Part of the cache's folder names: increase it if the facts about a model change."""

_FILES = ("*.json", "*/config.json", "*.weights.h5", "*.safetensors", "*.txt", "*.model", "assets/**/*", "README.md")
_MASKS = ("padding_mask", "decoder_padding_mask")
_TEXT_INPUTS = {"token_ids", "padding_mask", "segment_ids"}


def from_folder(folder: Path, spec: BaseSpec) -> Base:
    """Load a model from a local folder as the base of a spec.

    Raises:
        InputError: KerasHub cannot read it, or its input is neither images nor texts.
        UnavailableError: KerasHub is not installed.
    """
    refuse_weights(spec)
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()})
    if folder / "config.json" not in files:
        raise InputError(f"{folder} has no config.json: expected a preset as save_to_preset writes it.")
    read_converted(folder, spec.handle)  # before the weights are read
    weights = next((path for path in files if path.suffix in (".h5", ".safetensors")), None)
    if weights is None:
        raise InputError(f"{folder} has no weights: expected model.weights.h5 or model.safetensors.")
    digest = files_sha256(files)
    cached = cache_folder() / "kerashub" / f"{digest[:32]}-v{_FACTS_VERSION}"

    def choose_backend() -> str:
        check_installed(spec.handle)
        return kerashub_backend()

    facts = cached_facts(cached, "headstart.bases.kerashub:read_model", folder, spec.handle, choose_backend)
    if "refused" in facts:
        raise InputError(facts["refused"])
    common: dict[str, Any] = {
        "spec": spec,
        "weights_path": weights,
        "weights_sha256": digest,
        "feature_dim": facts["feature_dim"],
        "licence": read_licence(folder),
        "files": {path.relative_to(folder).as_posix(): path for path in files},
    }
    make_base = {"image": _image_base, "text": _text_base}[facts["modality"]]
    return make_base(folder, cached, facts, common)


def _image_base(folder: Path, cached: Path, facts: dict[str, Any], common: dict[str, Any]) -> ImageBase:
    spec = common["spec"]
    is_preset = read_converted(folder, spec.handle) is None
    processor = _preset_processor(facts) if is_preset else image_processor.read(folder, spec.handle)
    size = _size(spec, facts)
    if spec.input_size is None and size != tuple(processor.size):  # only transformers follows the processor then
        raise config_fields.unsupported(spec.handle, "image_size", size[0])
    return ImageBase(
        input_size=size,
        preprocessing=processor.preprocessing,
        resize=processor.resize,
        resize_rule=processor.rule,
        build=partial(_build_images, folder, size),
        **common,
    )


def _text_base(folder: Path, cached: Path, facts: dict[str, Any], common: dict[str, Any]) -> TextBase:
    content = (cached / "tokenizer.json").read_text(encoding="utf-8")
    return TextBase(
        tokenizer=SubwordTokenizer(content, facts["max_length"], facts["pad"]),
        max_length=facts["max_length"],
        build=partial(_build_texts, folder, facts["pad"]),
        fine_tune_learning_rate=2e-4,
        fine_tune_epochs=3,
        **common,
    )


def read_converted(folder: Path, source: str) -> dict[str, Any] | None:
    """The arguments that KerasHub's converter leaves out for a model of Hugging Face; None for a preset of KerasHub.

    Raises:
        UnsupportedFieldError: KerasHub would not follow a field of the model's configuration.
    """
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    if config.get("model_type") not in config_fields.KERASHUB:
        return None
    return config_fields.check_kerashub(config, source)


def _preset_processor(facts: Mapping[str, Any]) -> image_processor.ImageProcessor:
    preprocessing = Preprocessing("the preset's own", _number(facts["scale"]), _number(facts["offset"]))
    return image_processor.ImageProcessor(
        facts["input_size"], preprocessing, facts["resize"], ResizeRule.from_json(facts["resize_rule"])
    )


def check_installed(name: str) -> None:
    """Check that KerasHub is installed, without importing it: that would import Keras and TensorFlow.

    Args:
        name: of the base, for the message.

    Raises:
        UnavailableError: it is not installed.
    """
    if find_spec("keras_hub") is None:
        raise UnavailableError(
            f"{name} needs the Python package 'keras-hub', which is not installed. "
            "Install it with: pip install 'headstart[kerashub]'"
        )


def kerashub_backend() -> str:
    """The Keras backend for KerasHub: TensorFlow if it is installed, because KerasHub imports it anyway."""
    return "tensorflow" if find_spec("tensorflow") else keras_worker.INFERENCE_BACKEND


def _number(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _size(spec: BaseSpec, facts: Mapping[str, Any]) -> tuple[int, int]:
    default = facts["input_size"]
    size = spec.input_size
    if size is not None and facts["only_size"] and list(size) != default:
        raise InputError(
            f"{size[0]}x{size[1]} cannot be used with {spec.handle}: expected {default[0]}x{default[1]}.",
            field="input_size",
        )
    if size is None and default is None:
        raise InputError(
            f"{spec.handle} does not state its image size: set {field_name('input_size', 224)}, for example."
        )
    height, width = size or default
    return int(height), int(width)


def _backbone(folder: Path, **options: Any) -> Any:
    hub = importlib.import_module("keras_hub")
    options |= read_converted(folder, str(folder)) or {}
    try:
        backbone = hub.models.Backbone.from_preset(str(folder), dtype="float32", **options)
    except Exception as exc:  # its converters raise exceptions of any kind for unexpected files
        raise InputError(f"KerasHub cannot read {folder}: {one_line(str(exc))}") from exc
    for layer in keras_compat.all_layers(backbone, include_self=False):
        if type(layer).__module__.startswith("keras_hub."):
            _fix_config(layer)
    return backbone


_CLASS_KEYS = {"norm_layer": "norm_layer", "_downsample_cls": "downsample"}
"""Attributes of Swin's layers that are classes -> their names in the configuration."""


def _fix_config(layer: Any) -> None:
    """Make a layer of KerasHub 0.32 save a configuration that it can load.

    The first layer of ViT saves arguments that it does not accept, and Llama's layers leave out the scaling of their
    positions. Swin's layers fail because they save classes as if they were layers: here, classes are saved in the form
    of functions. They also have no build method of their own.
    """
    original_get_config = layer.get_config
    parameters = {"name", "trainable", "dtype", *inspect.signature(type(layer).__init__).parameters}
    if type(layer).__name__ == "LlamaTransformerDecoder":
        layer.rope_scaling_factor = None  # its configuration reads this attribute, which it does not have

    def get_config() -> dict[str, Any]:
        classes = {name: kind for name in _CLASS_KEYS if isinstance(kind := getattr(layer, name, None), type)}
        for name in classes:
            setattr(layer, name, None)
        config = {name: value for name, value in original_get_config().items() if name in parameters}
        config |= {
            name: value
            for name in parameters - config.keys()
            if isinstance(value := getattr(layer, name, None), bool | int | float | str)
        }
        for name, kind in classes.items():
            setattr(layer, name, kind)
            module = "keras.layers" if kind.__module__.startswith("keras.") else kind.__module__
            config[_CLASS_KEYS[name]] = {"class_name": "function", "config": kind.__name__, "module": module}
        return config

    layer.get_config = get_config
    if not keras_compat.has_own_build(layer):
        layer.get_build_config = lambda: None  # with a build configuration, Keras would not build it on the first call


def _build_images(folder: Path, size: tuple[int, int], include_top: bool) -> Any:
    import keras

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a preset can only be built with channels last")
    backbone = _backbone(folder)
    if tuple(backbone.inputs[0].shape[1:3]) != size and None not in backbone.inputs[0].shape[1:]:
        backbone = _backbone(folder, image_shape=(*size, 3))
    pixels = keras.Input((*size, 3), name="images")
    x = _run(backbone, [pixels])
    if len(x.shape) == 3:  # tokens: the class token, which is the first one, or the mean of all
        has_class = any("class_token" in weight.path or "cls_token" in weight.path for weight in backbone.weights)
        x = x[:, 0] if has_class else keras.layers.GlobalAveragePooling1D(name="tokens")(x)
    return keras.Model(pixels, x, name="backbone")


def _build_texts(folder: Path, pad: int, include_top: bool) -> Any:
    return _text_network(_backbone(folder), pad)


def _text_network(backbone: Any, pad: int) -> Any:
    """A model from token ids (n, t) to vectors (n, t, d), which are zero for padding."""
    import keras
    from keras import ops

    ids = keras.Input((None,), dtype="int32", name="ids")
    mask = ops.cast(ops.not_equal(ids, pad), "int32")
    tensors = {
        "token_ids": ids * mask,  # no word has the id for padding
        "padding_mask": mask,
        "segment_ids": ops.zeros_like(ids),
    }
    call = _CallWithMask(tensors["padding_mask"])
    x = _run(backbone, [tensors[tensor.name] for tensor in backbone.inputs], call)
    return keras.Model(ids, call.zero_padding(x["sequence_output"] if isinstance(x, dict) else x), name="backbone")


class _CallWithMask:
    """Calls layers so that only the first one needs a mask in addition to its input; see :func:`token_mask`.

    Args:
        mask: int32 (n, t), 0 for padding.
    """

    def __init__(self, mask: Any) -> None:
        self._mask = mask
        self._masked_output: Any = None  # the last output whose padding is zero

    def __call__(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        from keras import ops

        name = next((name for name in _MASKS if kwargs.get(name) is not None), None)
        if name is None:
            return layer(*args, **kwargs)
        if self._masked_output is not None:
            self._mask = ops.cast(token_mask(self._masked_output)[:, :, 0], "int32")
        self._masked_output = layer(*args, **{**kwargs, name: self._mask}) * self._float_mask()
        return self._masked_output

    def zero_padding(self, x: Any) -> Any:
        """The network's output (n, t, d), zero for padding."""
        if x is self._masked_output:
            return x
        return x * (self._float_mask() if self._masked_output is None else token_mask(self._masked_output))

    def _float_mask(self) -> Any:
        from keras import ops

        return ops.expand_dims(ops.cast(self._mask, "float32"), -1)


def _run(backbone: Any, inputs: list[Any], call: Any = None) -> Any:
    """Apply a backbone to symbolic inputs, with its nested encoders replaced by their layers."""
    return keras_compat.run_graph(backbone, inputs, _unroll, call)


def _unroll(layer: Any) -> Any:
    kind = type(layer).__name__
    if kind == "ViTEncoder":
        return partial(_apply_in_sequence, [layer.dropout, *layer.encoder_layers, layer.layer_norm])
    if kind == "DINOV2Encoder":
        return lambda x, **_: (_apply_in_sequence(layer.layers, x), {})
    return layer


def _apply_in_sequence(layers: list[Any], x: Any, **_: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def read_model(folder: str, out: str, name: str) -> None:
    """Write the facts for :func:`from_folder`: ``facts.json``, and ``tokenizer.json`` for a text model.

    Runs in a Keras process. If KerasHub cannot read the model, the facts contain the reason, and the next call does not
    try again.
    """
    try:
        facts = _facts(Path(folder), Path(out), name)
    except InputError as exc:
        if isinstance(exc.__cause__, ImportError):  # the package may be installed later
            raise
        facts = {"refused": str(exc)}
    Path(out, "facts.json").write_text(json.dumps(facts))


def _facts(folder: Path, out: Path, name: str) -> dict[str, Any]:
    backbone = _backbone(folder)
    is_converted = read_converted(folder, name) is not None
    compares = is_converted and find_spec("transformers") and find_spec("torch")
    if compares:
        transformers_check.compare(folder, backbone, name)
    inputs = {tensor.name for tensor in backbone.inputs}
    output = backbone.output
    output = output.get("sequence_output") if isinstance(output, dict) else output
    shape = getattr(output, "shape", None)
    if len(inputs) == 1 and len(backbone.inputs[0].shape) == 4 and shape is not None:
        size = backbone.inputs[0].shape[1:3]
        facts = {
            "modality": "image",
            "feature_dim": shape[-1],
            "input_size": None if None in size else size,
            "only_size": None not in size and len(shape) == 3,  # its positions are learned
        }
        return facts if is_converted else {**facts, **_image_facts(folder, facts["input_size"], name)}
    if "token_ids" in inputs <= _TEXT_INPUTS and shape is not None and len(shape) == 3:
        write_tokenizer = _copy_tokenizer if is_converted else _rebuild_tokenizer
        write_tokenizer(folder, out, name)
        if compares:
            transformers_check.compare_tokens(folder, (out / "tokenizer.json").read_text(encoding="utf-8"), name)
        pad = int(backbone.vocabulary_size)  # KerasHub's own id for padding is that of a word in some models
        length = min(getattr(backbone, "max_sequence_length", None) or MAX_TOKENS, MAX_TOKENS)
        network = _text_network(backbone, pad)
        ids = np.random.default_rng(0).integers(0, pad, (1, min(9, length)), np.int32)
        check_padding(lambda ids: np.asarray(network(ids, training=False)), ids, pad, length, name)
        return {"modality": "text", "feature_dim": shape[-1], "max_length": length, "pad": pad}
    raise InputError(f"{name} has the inputs {', '.join(sorted(inputs))}: expected a model of images or of texts.")


_INTERPOLATIONS: dict[str, Interpolation] = {
    "nearest": "nearest", "bilinear": "bilinear", "bicubic": "bicubic", "lanczos3": "lanczos",
}  # fmt: skip
"""Keras's filters -> Pillow's."""


def _image_facts(folder: Path, size: tuple[int, int] | None, name: str) -> dict[str, Any]:
    hub = importlib.import_module("keras_hub")
    reason = "it has no image converter"  # as for models of timm without pretrained_cfg
    try:
        converter = hub.layers.ImageConverter.from_preset(str(folder))
    except (OSError, ValueError, KeyError) as exc:
        converter, reason = None, one_line(str(exc))
    if converter is None:
        raise InputError(
            f"{name} does not state the scaling of its images ({reason}). Add it to the "
            "folder: keras_hub.layers.ImageConverter(image_size, scale, offset).save_to_preset(FOLDER)."
        )
    resize = "crop" if converter.crop_to_aspect_ratio else "pad" if converter.pad_to_aspect_ratio else "stretch"
    interpolation = _INTERPOLATIONS.get(converter.interpolation)
    if interpolation is None or (interpolation == "lanczos" and not converter.antialias):
        without = "" if converter.antialias else " without antialias"
        raise InputError(f"{name} interpolates its images by {converter.interpolation}{without}: headstart cannot.")
    rule = ResizeRule(kept_fraction=1.0, interpolation=interpolation, antialias=converter.antialias, bars=0, fast=False)
    timm_settings = json.loads((folder / "config.json").read_text(encoding="utf-8")).get("pretrained_cfg")
    if timm_settings:
        rule = _timm_rule(timm_settings, name)
    return {
        "input_size": converter.image_size or size,
        "scale": _as_json(converter.scale, 1.0),
        "offset": _as_json(converter.offset, 0.0),
        "resize": resize,
        "resize_rule": rule.to_json(),
    }


def _timm_rule(settings: Mapping[str, Any], name: str) -> ResizeRule:
    """How timm itself resizes: the shorter side, antialiased, and then a crop of the centre."""
    mode, interpolation = settings.get("crop_mode", "center"), settings.get("interpolation", "bicubic")
    if mode != "center" or interpolation not in _INTERPOLATIONS:
        raise InputError(f"{name} has crop_mode {mode} and interpolation {interpolation}: not supported.")
    side = settings["input_size"][-1]
    kept_fraction = side / math.floor(side / settings.get("crop_pct", 0.875))
    return ResizeRule(
        kept_fraction=kept_fraction, edges="resized", interpolation=_INTERPOLATIONS[interpolation], fast=False
    )


def _as_json(value: Any, default: float) -> Any:
    if value is None:
        return default
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else float(value)


def _copy_tokenizer(folder: Path, out: Path, name: str) -> None:
    """The tokenizer of a model of Hugging Face. KerasHub's own one is not equal to it for all texts."""
    (out / "tokenizer.json").write_text(hf_tokenizer.read(folder, name), encoding="utf-8")


def _rebuild_tokenizer(folder: Path, out: Path, name: str) -> None:
    """The tokenizer of a preset, in the format of the package ``tokenizers``."""
    hub = importlib.import_module("keras_hub")
    try:
        tokenizer = hub.tokenizers.Tokenizer.from_preset(str(folder))
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise InputError(f"KerasHub finds no tokenizer in {folder}: {one_line(str(exc))}") from exc
    content = kerashub_tokens.to_json(tokenizer, _preprocessor(hub, folder), name)
    (out / "tokenizer.json").write_text(content, encoding="utf-8")


def _preprocessor(hub: Any, folder: Path) -> Any:
    """The preprocessor that adds special tokens to texts for this model; None if KerasHub has none."""
    for kind in ("TextClassifierPreprocessor", "MaskedLMPreprocessor", "CausalLMPreprocessor"):
        try:
            return getattr(hub.models, kind).from_preset(str(folder))
        except (ValueError, KeyError, OSError):
            continue
    return None
