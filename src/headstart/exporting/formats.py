"""The export formats, and which of them are possible for a run."""

import json
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from headstart.data.modalities import Modality
from headstart.errors import InputError, UnavailableError, did_you_mean, field_name
from headstart.model_files.keras_file import CONFIG
from headstart.runs.files import checked_file
from headstart.runs.schema import RunFacts
from headstart.system.keras_worker import INFERENCE_BACKEND
from headstart.tasks import Task, get_task

if TYPE_CHECKING:
    from headstart.bases.base import Base


PROBABILITIES, DETECTIONS = "probabilities", "detections"
"""Names of the output of a model: of a classifier, and of a detector."""


@dataclass(frozen=True)
class Format:
    """An export format.

    Attributes:
        name: value of ``to``.
        title: name for people.
        file: name of the file or folder of the model.
        tolerance: largest allowed difference of a probability from the engine of the run in float32; 1 if single
            probabilities may differ by any amount.
        modules: modules that write and run it, except those of every installation.
        extra: the extra that installs them.
        install: packages that ``predict.py`` needs, except numpy.
    """

    name: str
    title: str
    file: str
    tolerance: float
    modules: tuple[str, ...]
    extra: str
    install: str

    @property
    def kind(self) -> str:
        """The name without the precision; it decides which runtime opens the file."""
        return self.name.partition(":")[0]

    @property
    def precision(self) -> str:
        """Precision of the numbers in the file, or another variant of the kind."""
        return self.name.partition(":")[2] or "float32"

    @property
    def suppresses_boxes(self) -> bool:
        """Whether the model of a detector suppresses boxes itself."""
        return self.precision == "nms"

    @property
    def needs_tensorflow(self) -> bool:
        """Whether TensorFlow converts it."""
        return "tensorflow" in self.modules

    @property
    def advice(self) -> str:
        """A format to use if this one loses too much accuracy; or empty."""
        return {"int8": "litert:float16 loses less accuracy.", "float16": "litert loses none."}.get(self.precision, "")

    @property
    def folder(self) -> str:
        """Name of its folder."""
        return self.name.replace(":", "-")


def _litert(precision: str, title: str, tolerance: float) -> Format:
    modules = ("tensorflow", "ai_edge_litert")
    return Format(f"litert{precision}", title, "model.tflite", tolerance, modules, "litert", "ai-edge-litert")


_ONNX = ("tensorflow", "tf2onnx", "onnx", "onnxruntime")
_ALL = (
    Format("onnx", "ONNX", "model.onnx", 1e-4, _ONNX, "onnx", "onnxruntime"),
    Format("onnx:nms", "ONNX, boxes suppressed inside", "model.onnx", 1e-4, _ONNX, "onnx", "onnxruntime"),
    _litert("", "LiteRT (TensorFlow Lite)", 1e-4),
    _litert(":float16", "LiteRT, weights in float16", 5e-2),
    _litert(":int8", "LiteRT, 8-bit integers", 1.0),
    Format("openvino", "OpenVINO", "model.xml", 1e-4, (), "", "openvino"),
    Format("saved-model", "TensorFlow SavedModel", "saved_model", 1e-4, ("tensorflow",), "tensorflow", "tensorflow"),
    Format("keras", "Keras", "model.keras", 1e-4, (), "", "keras tensorflow"),
)
FORMATS = {target.name: target for target in _ALL}
"""Name -> format. float16 applies to the weights only (11 bits of mantissa); int8 is verified by its predictions."""

_OTHER_NAMES = {"tflite": "litert", "litert:float32": "litert", "savedmodel": "saved-model", "tf": "saved-model"}


def parse(to: str | Sequence[str], *, field: str = "to") -> list[Format]:
    """Formats by name, without repetitions.

    Args:
        to: names; one string may have several, separated by commas.
        field: the setting that an error names.

    Raises:
        InputError: a name is not a format, or there is no name.
    """
    names = to.split(",") if isinstance(to, str) else to
    format_names = [name.strip().lower() for name in names if name.strip()]
    for name in format_names:
        if name not in FORMATS:
            hint = f" Did you mean {_OTHER_NAMES[name]!r}?" if name in _OTHER_NAMES else did_you_mean(name, FORMATS)
            raise InputError(f"{name!r} is not a format. The formats are {', '.join(FORMATS)}.{hint}", field=field)
    if not format_names:
        raise InputError(f"expected one or more of {', '.join(FORMATS)}.", field=field)
    return [FORMATS[name] for name in dict.fromkeys(format_names)]


_GRAPH_OF = {("tensorflow",): "GraphLayer", (INFERENCE_BACKEND,): "OpenVINOLayer"}
"""Backends of a base -> the layer of headstart that holds its graph, if only one backend of Keras can build it."""


def check_installed(formats: Sequence[Format]) -> None:
    """Check that the packages for some formats are installed.

    Raises:
        UnavailableError: a package is missing.
    """
    for target in formats:
        missing = [module for module in target.modules if not find_spec(module)]
        if missing:
            raise UnavailableError(
                f"exporting to {target.name} needs the Python package {missing[0]!r}, which is not installed. "
                f"Install it with: pip install 'headstart[{target.extra}]'"
            )


@dataclass(frozen=True)
class _Traits:
    """Properties of a run that decide which formats are possible.

    Attributes:
        modality: modality of its base.
        has_segmenter: whether Stanza segments its texts into words.
        layers: names of headstart's own layers in its model.
        runs_on_openvino: whether OpenVINO can compute it.
        has_boxes: whether it is a detector.
    """

    modality: Modality
    has_segmenter: bool
    layers: set[str]
    has_boxes: bool
    runs_on_openvino: bool = True


def check_possible(formats: Sequence[Format], folder: Path, facts: RunFacts) -> None:
    """Check that a run can be exported to some formats.

    Args:
        formats: the formats.
        folder: the run folder.
        facts: its ``run.json``.

    Raises:
        InputError: the run cannot be exported to one of them.
    """
    _refuse(formats, _traits(folder, facts), str(folder), advice="Use `headstart predict` instead.")


def obstacles(folder: Path, facts: RunFacts) -> dict[str, str]:
    """Format -> the reason why a run cannot be exported to it; an empty string if it can."""
    traits = _traits(folder, facts)
    return {target.name: _obstacle(target, traits) for target in _ALL}


def check_base(formats: Sequence[Format], base: "Base", task: Task) -> None:
    """Check that a run on a base can be exported to some formats, as far as this is known before its training.

    Args:
        formats: the formats.
        base: that is trained on.
        task: what is predicted.

    Raises:
        InputError: it cannot be exported to one of them.
    """
    has_segmenter = bool(getattr(base.reader(), "segmenter", None))
    layers = {_GRAPH_OF[base.backends]} if base.backends in _GRAPH_OF else set()
    traits = _Traits(base.modality, has_segmenter, layers, has_boxes=task.has_boxes)
    _refuse(formats, traits, f"a run on {base.handle}", advice=f"Leave out {field_name('export')}.")


def _traits(folder: Path, facts: RunFacts) -> _Traits:
    has_segmenter = bool(getattr(facts.base.tokenizer, "segmenter", None))
    runs_on_openvino = facts.engine.kind == "openvino"
    layers = own_layers(checked_file(folder, facts, "model.keras"))
    return _Traits(facts.modality, has_segmenter, layers, get_task(facts.task).has_boxes, runs_on_openvino)


def _refuse(formats: Sequence[Format], traits: _Traits, subject: str, *, advice: str) -> None:
    reasons = {target.name: reason for target in formats if (reason := _obstacle(target, traits))}
    if reasons:
        reason_list = "; ".join(f"{name}, because {reason}" for name, reason in reasons.items())
        possible = [target.name for target in _ALL if not _obstacle(target, traits)]
        alternatives = (
            f"It can be exported to {', '.join(possible)}." if possible else f"No other format is possible. {advice}"
        )
        raise InputError(f"{subject} cannot be exported to {reason_list}. {alternatives}")


def _obstacle(target: Format, traits: _Traits) -> str:
    if not traits.modality.is_exportable:
        return f"headstart has no code that reads {traits.modality.plural} without headstart"
    if traits.has_segmenter:
        return "Stanza segments its texts into words, and exports cannot include Stanza"
    if target.suppresses_boxes and not traits.has_boxes:
        return "only detectors give boxes"
    if target.kind == "openvino":
        return "" if traits.runs_on_openvino else "OpenVINO does not support its base"
    if "OpenVINOLayer" in traits.layers:
        return "its base is an OpenVINO graph from transformers"
    if target.kind == "keras" and traits.layers:
        return "its base is a TensorFlow graph, which Keras can only open with headstart"
    if target.precision == "int8" and not traits.modality.has_pixels:
        return "token ids cannot be calibrated"
    return ""


def own_layers(keras_file: Path) -> set[str]:
    """Names of headstart's own layers in a ``.keras`` file; Keras alone does not know them."""
    config = _config(keras_file)
    return {name for name in ("GraphLayer", "OpenVINOLayer") if json.dumps(f"headstart>{name}") in config}


def needs_kerashub(keras_file: Path) -> bool:
    """Whether a ``.keras`` file has layers of KerasHub; Keras imports KerasHub to open it."""
    return '"keras_hub.' in _config(keras_file)


def _config(keras_file: Path) -> str:
    with zipfile.ZipFile(keras_file) as source:
        return source.read(CONFIG).decode()
