"""Models in folders that KerasHub reads: presets as ``save_to_preset`` writes them, and those of Hugging Face and timm.

What
belongs to the model is asked of KerasHub once, in a process of its own, and kept in the cache: size, scaling and
resize mode of images from its ImageConverter; tokenizer, special tokens and length of texts. Its network is then laid
out layer by layer, so that it can be cut like any other.
"""

import importlib
import inspect
import json
from collections.abc import Mapping
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.bases import kerashub_tokens
from headstart.bases.base import Base, BaseSpec, ImageBase, Preprocessing, files_sha256, refuse_weights, stated_licence
from headstart.bases.reading import read_once
from headstart.bases.text import LONGEST, TextBase, seen_tokens
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, UnavailableError
from headstart.system import keras_compat, keras_worker
from headstart.system.settings import cache_folder

CONVERTED = ("albert", "gpt2", "llama", "mistral", "qwen2", "qwen3", "smollm3", "swin")
"""Kinds of Hugging Face's models that KerasHub 0.32 turns into its own, if their files are as it expects them."""

_READ_VERSION = 3
"""Part of the cache's folder names: raise it when what is read from a model changes."""

_FILES = ("*.json", "*/config.json", "*.weights.h5", "*.safetensors", "*.txt", "*.model", "assets/**/*", "README.md")
_MASKS = ("padding_mask", "decoder_padding_mask")
_TEXT_INPUTS = {"token_ids", "padding_mask", "segment_ids"}


def from_folder(folder: Path, spec: BaseSpec) -> Base:
    """A model in a local folder as a base; ``spec`` says what it is called.

    Raises:
        InputError: KerasHub cannot read it, or it is for neither images nor texts.
        UnavailableError: KerasHub is not installed.
    """
    refuse_weights(spec)
    files = sorted({path for pattern in _FILES for path in folder.glob(pattern) if path.is_file()})
    if folder / "config.json" not in files:
        raise InputError(f"{folder} has no config.json: expected a preset as save_to_preset writes it.")
    weights = next((path for path in files if path.suffix in (".h5", ".safetensors")), None)
    if weights is None:
        raise InputError(f"{folder} has no weights: expected model.weights.h5 or model.safetensors.")
    digest = files_sha256(files)
    read = cache_folder() / "kerashub" / f"{digest[:32]}-v{_READ_VERSION}"

    def backend_of_kerashub() -> str:
        check_installed(spec.handle)
        return backend()

    facts = read_once(read, "headstart.bases.kerashub:read_model", folder, spec.handle, backend_of_kerashub)
    if "refused" in facts:
        raise InputError(facts["refused"])
    common: dict[str, Any] = {
        "spec": spec,
        "weights_path": weights,
        "weights_sha256": digest,
        "feature_dim": facts["feature_dim"],
        "licence": stated_licence(folder),
        "files": {path.relative_to(folder).as_posix(): path for path in files},
    }
    if facts["modality"] == "image":
        size = _size(spec, facts)
        return ImageBase(
            input_size=size,
            preprocessing=Preprocessing("the preset's own", _number(facts["scale"]), _number(facts["offset"])),
            resize=facts["resize"],
            build=partial(_build_images, folder, size),
            **common,
        )
    content = (read / "tokenizer.json").read_text(encoding="utf-8")
    return TextBase(
        tokenizer=SubwordTokenizer(content, facts["max_length"], facts["pad"]),
        max_length=facts["max_length"],
        build=partial(_build_texts, folder, facts["pad"]),
        tuning_rate=2e-4,
        tuning_epochs=3,
        **common,
    )


def check_installed(what: str) -> None:
    """See that KerasHub is there, without importing it: that would import Keras and TensorFlow.

    Raises:
        UnavailableError: it is not.
    """
    if find_spec("keras_hub") is None:
        raise UnavailableError(
            f"{what} needs the Python package 'keras-hub', which is not installed. "
            "Install it with: pip install 'headstart[kerashub]'"
        )


def backend() -> str:
    """KerasHub imports TensorFlow where it is installed, so that nothing is won by another backend."""
    return "tensorflow" if find_spec("tensorflow") else keras_worker.INFERENCE_BACKEND


def _number(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value


def _size(spec: BaseSpec, facts: Mapping[str, Any]) -> tuple[int, int]:
    own = facts["input_size"]
    asked = spec.input_size
    if asked is not None and facts["only_size"] and list(asked) != own:
        raise InputError(
            f"input size {asked[0]}x{asked[1]} cannot be used with {spec.handle}: it takes {own[0]}x{own[1]}."
        )
    if asked is None and own is None:
        raise InputError(f"{spec.handle} does not say its image size: add --input-size, for instance 224.")
    height, width = asked or own
    return int(height), int(width)


def _backbone(folder: Path, **options: Any) -> Any:
    hub = importlib.import_module("keras_hub")
    try:
        backbone = hub.models.Backbone.from_preset(str(folder), dtype="float32", **options)
    except Exception as exc:  # where files are not as expected, its converters raise whatever comes
        raise InputError(f"KerasHub cannot read {folder}: {' '.join(str(exc).split())[:400]}") from exc
    for layer in keras_compat.all_layers(backbone, include_self=False):
        if type(layer).__module__.startswith("keras_hub."):
            _mend_config(layer)
    return backbone


_CLASS_KEYS = {"norm_layer": "norm_layer", "_downsample_cls": "downsample"}
"""Attributes of Swin's layers that are classes, and what their configuration calls them."""


def _mend_config(layer: Any) -> None:
    """Let a layer of KerasHub 0.32 save what it takes back.

    ViT's first one states more than that. Swin's fail where they state classes as if they were layers, so that these
    are saved as functions are; and they build nothing by themselves.
    """
    config = layer.get_config
    taken = {"name", "trainable", "dtype", *inspect.signature(type(layer).__init__).parameters}

    def mended() -> dict[str, Any]:
        classes = {name: kind for name in _CLASS_KEYS if isinstance(kind := getattr(layer, name, None), type)}
        for name in classes:
            setattr(layer, name, None)
        stated = {name: value for name, value in config().items() if name in taken}
        for name, kind in classes.items():
            setattr(layer, name, kind)
            module = "keras.layers" if kind.__module__.startswith("keras.") else kind.__module__
            stated[_CLASS_KEYS[name]] = {"class_name": "function", "config": kind.__name__, "module": module}
        return stated

    layer.get_config = mended
    if not keras_compat.has_own_build(layer):
        layer.get_build_config = lambda: None  # by one, Keras takes what its call would build for built


def _build_images(folder: Path, size: tuple[int, int], include_top: bool) -> Any:
    import keras

    if keras.config.image_data_format() == "channels_first":
        raise ValueError("a preset is built with its channels last")
    backbone = _backbone(folder)
    if tuple(backbone.inputs[0].shape[1:3]) != size and None not in backbone.inputs[0].shape[1:]:
        backbone = _backbone(folder, image_shape=(*size, 3))
    pixels = keras.Input((*size, 3), name="images")
    x = _run(backbone, [pixels])
    if len(x.shape) == 3:  # tokens: what the class token has become, which stands first, or all of them
        has_class = any("class_token" in weight.path or "cls_token" in weight.path for weight in backbone.weights)
        x = x[:, 0] if has_class else keras.layers.GlobalAveragePooling1D(name="tokens")(x)
    return keras.Model(pixels, x, name="backbone")


def _build_texts(folder: Path, pad: int, include_top: bool) -> Any:
    import keras
    from keras import ops

    backbone = _backbone(folder)
    ids = keras.Input((None,), dtype="int32", name="ids")
    given = {
        "token_ids": ids,
        "padding_mask": ops.cast(ops.not_equal(ids, pad), "int32"),
        "segment_ids": ops.zeros_like(ids),
    }
    call = _CallWithMask(given["padding_mask"])
    x = _run(backbone, [given[tensor.name] for tensor in backbone.inputs], call)
    return keras.Model(ids, call.zero_padding(x["sequence_output"] if isinstance(x, dict) else x), name="backbone")


class _CallWithMask:
    """Calls layers so that none but the first needs a mask beside its input; see :func:`seen_tokens`.

    Args:
        mask: int32 (n, t), 0 where there is padding.
    """

    def __init__(self, mask: Any) -> None:
        self._mask = mask
        self._masked: Any = None  # the last output whose padding is zero

    def __call__(self, layer: Any, *args: Any, **kwargs: Any) -> Any:
        from keras import ops

        name = next((name for name in _MASKS if kwargs.get(name) is not None), None)
        if name is None:
            return layer(*args, **kwargs)
        if self._masked is not None:
            self._mask = ops.cast(seen_tokens(self._masked)[:, :, 0], "int32")
        self._masked = layer(*args, **{**kwargs, name: self._mask}) * self._seen()
        return self._masked

    def zero_padding(self, x: Any) -> Any:
        """The network's output (n, t, d), zero where there is padding."""
        if x is self._masked:
            return x
        return x * (self._seen() if self._masked is None else seen_tokens(self._masked))

    def _seen(self) -> Any:
        from keras import ops

        return ops.expand_dims(ops.cast(self._mask, "float32"), -1)


def _run(backbone: Any, inputs: list[Any], call: Any = None) -> Any:
    """Lay a backbone out on symbolic inputs, encoders that are one layer taken apart."""
    return keras_compat.run_graph(backbone, inputs, _unrolled, call)


def _unrolled(layer: Any) -> Any:
    kind = type(layer).__name__
    if kind == "ViTEncoder":
        return partial(_one_after_another, [layer.dropout, *layer.encoder_layers, layer.layer_norm])
    if kind == "DINOV2Encoder":
        return lambda x, **_: (_one_after_another(layer.layers, x), {})
    return layer


def _one_after_another(layers: list[Any], x: Any, **_: Any) -> Any:
    for layer in layers:
        x = layer(x)
    return x


def read_model(folder: str, out: str, name: str) -> None:
    """Write what :func:`from_folder` needs of a model: ``facts.json``, and ``tokenizer.json`` of one for texts.

    In a Keras process. Where KerasHub cannot read it, the facts are why: that is not tried again and again.
    """
    try:
        facts = _facts(Path(folder), Path(out), name)
    except InputError as exc:
        if isinstance(exc.__cause__, ImportError):  # it may be installed next time
            raise
        facts = {"refused": str(exc)}
    Path(out, "facts.json").write_text(json.dumps(facts))


def _facts(folder: Path, out: Path, name: str) -> dict[str, Any]:
    backbone = _backbone(folder)
    inputs = {tensor.name for tensor in backbone.inputs}
    output = backbone.output
    output = output.get("sequence_output") if isinstance(output, dict) else output
    shape = getattr(output, "shape", None)
    if len(inputs) == 1 and len(backbone.inputs[0].shape) == 4 and shape is not None:
        return {"modality": "image", "feature_dim": shape[-1], **_image_facts(folder, backbone, name)}
    if "token_ids" in inputs <= _TEXT_INPUTS and shape is not None and len(shape) == 3:
        return {"modality": "text", "feature_dim": shape[-1], **_text_facts(folder, backbone, out, name)}
    raise InputError(f"{name} takes {', '.join(sorted(inputs))}: expected a model of images, or of texts.")


def _image_facts(folder: Path, backbone: Any, name: str) -> dict[str, Any]:
    hub = importlib.import_module("keras_hub")
    own = backbone.inputs[0].shape[1:3]
    try:
        converter = hub.layers.ImageConverter.from_preset(str(folder))
    except (OSError, ValueError, KeyError) as exc:
        raise InputError(
            f"{name} does not say how it wants its images scaled ({' '.join(str(exc).split())[:200]}). Add that to its "
            "folder: keras_hub.layers.ImageConverter(image_size, scale, offset).save_to_preset(FOLDER)."
        ) from exc
    resize = "crop" if converter.crop_to_aspect_ratio else "pad" if converter.pad_to_aspect_ratio else "stretch"
    return {
        "input_size": converter.image_size or (own if None not in own else None),
        "only_size": None not in own and len(backbone.output.shape) == 3,  # its positions are learned
        "scale": _plain(converter.scale, 1.0),
        "offset": _plain(converter.offset, 0.0),
        "resize": resize,
    }


def _plain(value: Any, default: float) -> Any:
    if value is None:
        return default
    return [float(v) for v in value] if isinstance(value, (list, tuple)) else float(value)


def _text_facts(folder: Path, backbone: Any, out: Path, name: str) -> dict[str, Any]:
    longest = getattr(backbone, "max_sequence_length", None) or LONGEST
    own = folder / "tokenizer.json"
    hub = importlib.import_module("keras_hub")
    try:
        tokenizer = hub.tokenizers.Tokenizer.from_preset(str(folder))
    except (OSError, ValueError, KeyError, ImportError) as exc:
        raise InputError(f"KerasHub finds no tokenizer in {folder}: {' '.join(str(exc).split())[:300]}") from exc
    if own.is_file() and "model" in json.loads(own.read_text(encoding="utf-8")):  # Hugging Face's, not KerasHub's
        content = own.read_text(encoding="utf-8")
    else:
        content = kerashub_tokens.to_json(tokenizer, _preprocessor(hub, folder), name)
    (out / "tokenizer.json").write_text(content, encoding="utf-8")
    return {"max_length": min(longest, LONGEST), "pad": int(tokenizer.pad_token_id)}


def _preprocessor(hub: Any, folder: Path) -> Any:
    """What frames texts for this model with special tokens; None where KerasHub has nothing that does."""
    for kind in ("TextClassifierPreprocessor", "MaskedLMPreprocessor", "CausalLMPreprocessor"):
        try:
            return getattr(hub.models, kind).from_preset(str(folder))
        except (ValueError, KeyError, OSError):
            continue
    return None
