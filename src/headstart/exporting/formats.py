"""The formats that a run can be exported to, and which of them a given run can be had in."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.errors import InputError, UnavailableError, did_you_mean
from headstart.model_files.keras_file import CONFIG
from headstart.runs.schema import RunFacts
from headstart.system.keras_worker import INFERENCE_BACKEND

if TYPE_CHECKING:
    from headstart.bases.base import Base


@dataclass(frozen=True)
class Format:
    """One way to take a run elsewhere.

    Attributes:
        name: as it is asked for.
        what: what people call it.
        file: name of the file, or folder, that the model is.
        tolerance: largest difference of a probability from the run's own engine in float32; 1 where nothing is promised
            of single probabilities.
        modules: what makes and executes it, beside the packages that every installation has.
        extra: brings them.
        install: what ``predict.py`` needs beside numpy.
    """

    name: str
    what: str
    file: str
    tolerance: float
    modules: tuple[str, ...]
    extra: str
    install: str

    @property
    def kind(self) -> str:
        """Without the precision: what opens the file."""
        return self.name.partition(":")[0]

    @property
    def precision(self) -> str:
        """Of the numbers in the file."""
        return self.name.partition(":")[2] or "float32"

    @property
    def needs_tensorflow(self) -> bool:
        """Whether it is made by TensorFlow."""
        return "tensorflow" in self.modules

    @property
    def instead(self) -> str:
        """What to try where this loses too much; empty if there is nothing."""
        return {"int8": "litert:float16 loses less.", "float16": "litert loses nothing."}.get(self.precision, "")

    @property
    def folder(self) -> str:
        """What its folder is called."""
        return self.name.replace(":", "-")


def _litert(precision: str, what: str, tolerance: float) -> Format:
    modules = ("tensorflow", "ai_edge_litert")
    return Format(f"litert{precision}", what, "model.tflite", tolerance, modules, "litert", "ai-edge-litert")


_ONNX = ("tensorflow", "tf2onnx", "onnx", "onnxruntime")
_ALL = (
    Format("onnx", "ONNX", "model.onnx", 1e-4, _ONNX, "onnx", "onnxruntime"),
    _litert("", "LiteRT (TensorFlow Lite)", 1e-4),
    _litert(":float16", "LiteRT, weights in float16", 5e-2),
    _litert(":int8", "LiteRT, all in 8-bit integers", 1.0),
    Format("openvino", "OpenVINO", "model.xml", 1e-4, (), "", "openvino"),
    Format("saved-model", "TensorFlow SavedModel", "saved_model", 1e-4, ("tensorflow",), "tensorflow", "tensorflow"),
    Format("keras", "Keras", "model.keras", 1e-4, (), "", "keras tensorflow"),
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


_GRAPH_OF = {("tensorflow",): "GraphLayer", (INFERENCE_BACKEND,): "OpenVINOLayer"}
"""A base that only one of Keras's backends can build is a graph of that backend's, in a layer of headstart's."""


def check_installed(formats: Sequence[Format]) -> None:
    """See that what makes and runs some formats is installed.

    Raises:
        UnavailableError: a package is missing.
    """
    for one in formats:
        missing = [module for module in one.modules if not find_spec(module)]
        if missing:
            raise UnavailableError(
                f"exporting to {one.name} needs the Python package {missing[0]!r}, which is not installed. "
                f"Install it with: pip install 'headstart[{one.extra}]'"
            )


@dataclass(frozen=True)
class _Kind:
    """What of a run decides which formats it can be had in.

    Attributes:
        modality: of its base.
        has_segmenter: whether Stanza divides its texts into words.
        layers: which of headstart's own are in its model.
        runs_on_openvino: whether OpenVINO can compute it.
    """

    modality: str
    has_segmenter: bool
    layers: set[str]
    runs_on_openvino: bool = True


def check_possible(formats: Sequence[Format], folder: Path, facts: RunFacts) -> None:
    """See that a run can be had in some formats.

    Args:
        formats: what is wanted.
        folder: of the run.
        facts: its ``run.json``.

    Raises:
        InputError: the run cannot be had in one of them.
    """
    _refuse(formats, _kind(folder, facts), str(folder), otherwise="`headstart predict` can use it")


def why_not(folder: Path, facts: RunFacts) -> dict[str, str]:
    """Why a run cannot be had in each format, by its name; empty where it can."""
    kind = _kind(folder, facts)
    return {one.name: _why_not(one, kind) for one in _ALL}


def check_base(formats: Sequence[Format], base: "Base") -> None:
    """See that what is trained on a base can be had in some formats, as far as that is known beforehand.

    Raises:
        InputError: it cannot be had in one of them.
    """
    has_segmenter = bool(getattr(base.reader(), "segmenter", None))
    layers = {_GRAPH_OF[base.backends]} if base.backends in _GRAPH_OF else set()
    kind = _Kind(base.modality, has_segmenter, layers)
    _refuse(formats, kind, f"what is trained on {base.handle}", otherwise="leave out --export")


def _kind(folder: Path, facts: RunFacts) -> _Kind:
    has_segmenter = bool(getattr(facts.base.tokenizer, "segmenter", None))
    runs_on_openvino = facts.engine.kind == "openvino"
    return _Kind(facts.modality, has_segmenter, own_layers(folder / "model.keras"), runs_on_openvino)


def _refuse(formats: Sequence[Format], kind: _Kind, what: str, *, otherwise: str) -> None:
    reasons = {one.name: reason for one in formats if (reason := _why_not(one, kind))}
    if reasons:
        listed = "; ".join(f"{name}, because {reason}" for name, reason in reasons.items())
        possible = [one.name for one in _ALL if not _why_not(one, kind)]
        others = (
            f"It can be exported to {', '.join(possible)}." if possible else f"To no other format, either: {otherwise}."
        )
        raise InputError(f"{what} cannot be exported to {listed}. {others}")


def _why_not(one: Format, kind: _Kind) -> str:
    if kind.has_segmenter:
        return "its texts are divided into words by Stanza's tokenizer, which does not travel"
    if one.kind == "openvino":
        return "" if kind.runs_on_openvino else "OpenVINO cannot compute its base"
    if "OpenVINOLayer" in kind.layers:
        return "its base came from transformers as a graph of OpenVINO"
    if one.kind == "keras" and kind.layers:
        return "its base is a TensorFlow graph, which Keras opens only where headstart is installed"
    if one.precision == "int8" and kind.modality == "text":
        return "token ids cannot be calibrated"
    return ""


def own_layers(keras_file: Path) -> set[str]:
    """Which of headstart's own layers a ``.keras`` holds; plain Keras knows none of them."""
    config = _config(keras_file)
    return {name for name in ("GraphLayer", "OpenVINOLayer") if json.dumps(f"headstart>{name}") in config}


def needs_kerashub(keras_file: Path) -> bool:
    """Whether a ``.keras`` holds layers of KerasHub, which Keras then looks for by itself."""
    return '"keras_hub.' in _config(keras_file)


def _config(keras_file: Path) -> str:
    with zipfile.ZipFile(keras_file) as source:
        return source.read(CONFIG).decode()
