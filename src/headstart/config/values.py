"""Values of settings: from what Python, a command line, a form or a recipe gives to what a setting holds.

Every parser raises ValueError, with what was expected or without a text, or TypeError.
"""

import re
import types
import typing
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

HeadKind = Literal["auto", "linear", "mlp"]
FeatureKind = Literal["auto", "own", "blocks"]
CountKind = Literal["auto", "none", "tokens"]
ClassWeights = Literal["auto", "balanced", "none"]
Keep = Literal["better", "fine-tuned"]
Resize = Literal["stretch", "crop", "pad"]
EngineName = Literal["auto", "openvino", "keras"]
Precision = Literal["auto", "float32", "bfloat16"]
AugmentName = Literal["none", "light", "standard", "strong"]
Augmentation = list[tuple[str, dict[str, Any]]]
"""Class name and arguments of each Keras augmentation layer, as plain data."""

Limits = Mapping[str, float]
"""Smallest and largest number: ``low`` and ``high`` are allowed themselves, ``above`` and ``below`` are not."""

_SECONDS = {"s": 1, "m": 60, "h": 3600}

_MAX_SIDE = 4096
"""Pixels. A batch of larger images does not fit into memory: the system would end the process without a message."""


def parser_of(kind: Any, limits: Limits) -> Callable[[Any], Any]:
    """The parser for a plain type: text, number, flag or one of several words, each or None."""
    kind = without_none(kind)
    if typing.get_origin(kind) is Literal:
        return lambda value: _parse_choice(value, typing.get_args(kind))
    if kind is bool:
        return _parse_flag
    if kind is str:
        return _parse_text
    return lambda value: _parse_number(value, kind, limits)


def without_none(kind: Any) -> Any:
    """The type of a value that may be None as well."""
    if typing.get_origin(kind) in (typing.Union, types.UnionType):
        kinds = [arg for arg in typing.get_args(kind) if arg is not type(None)]
        return kinds[0] if len(kinds) == 1 else kind
    return kind


def _parse_choice(value: Any, choices: tuple[str, ...]) -> Any:
    if value not in choices:
        raise ValueError
    return value


def _parse_flag(value: Any) -> bool:
    if not isinstance(value, bool):
        raise TypeError
    return value


def _parse_text(value: Any) -> str:
    if not isinstance(value, str):
        raise TypeError
    return value


def _parse_number(value: Any, kind: type, limits: Limits) -> Any:
    if isinstance(value, bool):
        raise TypeError
    number = whole_number(value) if kind is int else float(value)
    is_inside = (
        limits.get("low", number) <= number <= limits.get("high", number)
        and not number <= limits.get("above", float("-inf"))
        and not number >= limits.get("below", float("inf"))
    )
    if not is_inside:  # nor is a NaN
        raise ValueError
    return number


def parse_names(value: Any) -> tuple[str, ...]:
    """One name, several, or text with commas between them."""
    names = value.split(",") if isinstance(value, str) else value
    if not isinstance(names, Sequence) or not all(isinstance(name, str) for name in names):
        raise TypeError
    return tuple(name.strip() for name in names if name.strip()) if isinstance(value, str) else tuple(names)


def parse_input_size(value: Any) -> tuple[int, int]:
    """Height and width in pixels, of one number, two, or text such as ``192x256``."""
    parts = re.split("[x×]", value.lower()) if isinstance(value, str) else value
    sizes = [parts, parts] if isinstance(parts, int) else [*parts] * (2 if len(parts) == 1 else 1)
    height, width = (whole_number(size) for size in sizes)
    if min(height, width) < 1:
        raise ValueError
    if max(height, width) > _MAX_SIDE:
        raise ValueError(f"expected at most {_MAX_SIDE} pixels per side, got {height}x{width}.")
    return height, width


def parse_sample_range(value: Any) -> tuple[float, float]:
    """The values of black and white, of two numbers or of text such as ``0:4095``."""
    low, high = map(float, value.split(":") if isinstance(value, str) else value)
    if not low < high:
        raise ValueError(f"expected the lower number first, such as 0:4095, got {low:g}:{high:g}.")
    return low, high


def parse_seconds(value: Any) -> float:
    """Seconds, of a number or of text such as ``90s``, ``10m`` or ``1h``."""
    if isinstance(value, str):
        number, unit = (value[:-1], value[-1]) if value[-1:].lower() in _SECONDS else (value, "s")
        value = float(number) * _SECONDS[unit.lower()]
    if not 0 < value < float("inf"):
        raise ValueError
    return float(value)


def parse_blocks(value: Any) -> str:
    """Which blocks to train: ``auto``, ``none``, ``all``, ``last:N`` or ``from:NAME``."""
    if not isinstance(value, str) or not re.fullmatch(r"auto|none|all|last:[1-9]\d*|from:.+", value):
        raise ValueError
    return value


def parse_layer_sizes(value: Any) -> tuple[int, ...]:
    """Sizes of layers, of one number, several, or text such as ``256,128``."""
    value = str(value) if isinstance(value, int) else value
    parts = [part for part in re.split(r"[,; ]+", value.strip()) if part] if isinstance(value, str) else value
    sizes = tuple(whole_number(part) for part in parts)
    if any(size < 1 for size in sizes):
        raise ValueError
    return sizes


def parse_path(value: Any) -> str:
    """A path or name, as text."""
    if not isinstance(value, str | Path) or not str(value):
        raise TypeError
    return str(value)


def parse_augment(value: Any) -> AugmentName | Augmentation:
    """An augmentation: its name, a Keras pipeline, or the plain data that this function gives."""
    if isinstance(value, str):
        if value not in typing.get_args(AugmentName):
            raise ValueError
        return typing.cast(AugmentName, value)
    layers = getattr(value, "layers", value)  # of a keras.Sequential
    return [as_plain_layer(layer) for layer in (layers if isinstance(layers, list | tuple) else [layers])]


def as_plain_layer(layer: Any) -> tuple[str, dict[str, Any]]:
    """Class name and arguments of a Keras layer; plain data are left as they are, also if they went through JSON."""
    if isinstance(layer, list | tuple) and len(layer) == 2:
        return layer[0], layer[1]
    kind = type(layer).__name__
    if not type(layer).__module__.startswith("keras.") or not hasattr(layer, "get_config"):
        raise ValueError(f"{kind} is not one of Keras's own layers, such as keras.layers.RandomFlip.")
    config = {key: value for key, value in layer.get_config().items() if key not in ("name", "seed", "dtype")}
    return kind, config


def whole_number(value: Any) -> int:
    """A whole number, also one that is written as text or as a float.

    Raises:
        ValueError: it is none.
    """
    if isinstance(value, bool) or (isinstance(value, float) and not value.is_integer()):
        raise ValueError
    return int(value)
