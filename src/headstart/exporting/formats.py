"""The formats that a run can be exported to, and which of them a given run can be had in."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from headstart.errors import InputError, UnavailableError, did_you_mean
from headstart.extras import require
from headstart.keras_file import CONFIG


@dataclass(frozen=True)
class Format:
    """One way to take a run elsewhere.

    Attributes:
        name: as it is asked for.
        what: what people call it.
        file: name of the file, or folder, that the model is.
        tolerance: largest difference of a probability from the run's own engine in float32; 1 where nothing is promised
            of single probabilities.
        runtime: module that executes it.
        extra: brings that module and whatever converts.
        install: what ``predict.py`` needs beside numpy.
        needs_tensorflow: whether it is made by TensorFlow.
    """

    name: str
    what: str
    file: str
    tolerance: float
    runtime: str
    extra: str
    install: str
    needs_tensorflow: bool = True

    @property
    def kind(self) -> str:
        """Without the precision: what opens the file."""
        return self.name.partition(":")[0]

    @property
    def precision(self) -> str:
        """Of the numbers in the file."""
        return self.name.partition(":")[2] or "float32"

    @property
    def instead(self) -> str:
        """What to try where this loses too much; empty if there is nothing."""
        return "litert:float16 loses less." if self.precision == "int8" else ""

    @property
    def folder(self) -> str:
        """What its folder is called."""
        return self.name.replace(":", "-")


_LITERT = ("model.tflite", "ai_edge_litert", "litert", "ai-edge-litert")


def _litert(precision: str, what: str, tolerance: float) -> Format:
    file, runtime, extra, install = _LITERT
    return Format(f"litert{precision}", what, file, tolerance, runtime, extra, install)


_ALL = (
    Format("onnx", "ONNX", "model.onnx", 1e-4, "onnxruntime", "onnx", "onnxruntime"),
    _litert("", "LiteRT (TensorFlow Lite)", 1e-4),
    _litert(":float16", "LiteRT, weights in float16", 5e-2),
    _litert(":int8", "LiteRT, all in 8-bit integers", 1.0),
    Format("openvino", "OpenVINO", "model.xml", 1e-4, "openvino", "", "openvino", needs_tensorflow=False),
    Format("saved-model", "TensorFlow SavedModel", "saved_model", 1e-4, "tensorflow", "tensorflow", "tensorflow"),
    Format("keras", "Keras", "model.keras", 1e-4, "keras", "", "keras tensorflow", needs_tensorflow=False),
)
FORMATS = {one.name: one for one in _ALL}
"""By name. float16 has 11 bits of mantissa, in the weights alone; int8 is judged by its answers."""

_ALSO_CALLED = {"tflite": "litert", "litert:float32": "litert", "savedmodel": "saved-model", "tf": "saved-model"}


def parse(to: str | Sequence[str]) -> list[Format]:
    """Formats by name, each once.

    Raises:
        InputError: one is not known, or none is named.
    """
    names = to.split(",") if isinstance(to, str) else to
    chosen = [name.strip().lower() for name in names if name.strip()]
    for name in chosen:
        if name not in FORMATS:
            hint = f" Did you mean {_ALSO_CALLED[name]!r}?" if name in _ALSO_CALLED else did_you_mean(name, FORMATS)
            raise InputError(f"--to {name!r} is no format: expected some of {', '.join(FORMATS)}.{hint}")
    if not chosen:
        raise InputError(f"--to names no format: expected some of {', '.join(FORMATS)}.")
    return [FORMATS[name] for name in dict.fromkeys(chosen)]


def check_installed(formats: Sequence[Format]) -> None:
    """See that what makes and runs some formats is installed.

    Raises:
        UnavailableError: a package is missing.
    """
    for one in formats:
        if one.needs_tensorflow and not find_spec("tensorflow"):
            raise UnavailableError(
                f"exporting to {one.name} goes through TensorFlow, which is not installed. "
                f"Install it with: pip install 'headstart[{one.extra}]'"
            )
        if one.extra and one.runtime != "tensorflow":
            require(one.runtime, extra=one.extra, purpose=f"exporting to {one.name}")


def check_possible(formats: Sequence[Format], folder: Path, facts: dict[str, Any]) -> None:
    """See that a run can be had in some formats.

    Args:
        formats: what is wanted.
        folder: of the run.
        facts: its ``run.json``.

    Raises:
        InputError: the run cannot be had in one of them.
    """
    reasons = {one.name: reason for one in formats if (reason := why_not(one, folder, facts))}
    if reasons:
        listed = "; ".join(f"{name}, because {reason}" for name, reason in reasons.items())
        possible = [one.name for one in _ALL if not why_not(one, folder, facts)]
        others = f"It can be exported to {', '.join(possible)}." if possible else "`headstart predict` can use it."
        raise InputError(f"{folder} cannot be exported to {listed}. {others}")


def why_not(one: Format, folder: Path, facts: dict[str, Any]) -> str:
    """Why a run cannot be had in a format; empty if it can."""
    base = facts["base"]
    if base.get("tokenizer", {}).get("segmenter"):
        return "its texts are divided into words by Stanza's tokenizer, which does not travel"
    layers = own_layers(folder / "model.keras")
    if one.kind == "openvino":
        return "" if facts["engine"]["kind"] == "openvino" else "OpenVINO cannot compute its base"
    if "OpenVINOLayer" in layers:
        return "its base came from transformers as a graph of OpenVINO"
    if one.kind == "keras" and layers:
        return "its base is a TensorFlow graph, which Keras opens only where headstart is installed"
    if one.precision == "int8" and base["modality"] == "text":
        return "token ids cannot be calibrated"
    return ""


def own_layers(keras_file: Path) -> set[str]:
    """Which of headstart's own layers a ``.keras`` holds; plain Keras knows none of them."""
    with zipfile.ZipFile(keras_file) as source:
        config = source.read(CONFIG).decode()
    return {name for name in ("GraphLayer", "OpenVINOLayer") if json.dumps(f"headstart>{name}") in config}
