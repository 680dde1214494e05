"""Export to OpenVINO: the engine of the run, in the form that OpenVINO's Model API opens."""

from pathlib import Path
from typing import Any

from headstart.data.resizing import ResizeRule
from headstart.exporting.companions import card
from headstart.exporting.formats import DETECTIONS
from headstart.runs.predictor import Predictor
from headstart.runs.schema import RunFacts
from headstart.tasks.detection.decoding import MAX_DETECTIONS
from headstart.tasks.detection.nms import MAX_IOU
from headstart.tasks.detection.thresholds import DEFAULT_THRESHOLD

_RESIZE_TYPES = {"stretch": "standard", "crop": "crop", "pad": "fit_to_window_letterbox"}


def write_openvino(predictor: Predictor, path: Path) -> None:
    """Write the engine of a run without its feature output, with labels for OpenVINO's Model API.

    A detector gives boxes in the form of YOLOv8, see :func:`headstart.exporting.box_forms.from_yolo`: the Model API
    has no other form whose boxes it suppresses class by class.
    """
    import openvino

    path.parent.mkdir()
    graph = openvino.Core().read_model(str(predictor.folder / "engine" / "model.xml"))
    facts, info, results = predictor.facts, dict(predictor.task.openvino_info), graph.get_results()[:1]
    names = {operation.get_friendly_name() for operation in graph.get_ops()}
    if predictor.task.has_boxes:
        results, info = [_in_yolo_form(results[0], graph)], info | _detector_info(facts)
        graph.get_parameters()[0].set_layout(openvino.Layout("NHWC"))
    model = openvino.Model(results, graph.get_parameters(), "headstart")
    for number, operation in enumerate(model.get_ordered_ops()):
        if operation.get_friendly_name() not in names:  # OpenVINO counts all operations of the process in its names
            operation.set_friendly_name(f"{DETECTIONS}_{number}")
    metadata = card(facts)
    info["labels"] = " ".join(name.replace(" ", "_") for name in predictor.classes)  # a space separates labels
    for name, value in info.items():
        model.set_rt_info(value, ["model_info", name])
    model.set_rt_info(metadata["headstart"], ["headstart"])
    openvino.save_model(model, str(path), compress_to_fp16=False)


def _in_yolo_form(result: Any, graph: Any) -> Any:
    """A result (n, 4 + classes, points), from one (n, points, 4 + classes)."""
    import numpy as np
    from openvino import opset13 as ops

    (_, h, w, _), values = graph.get_parameters()[0].get_partial_shape(), result.input_value(0)
    sides = np.array([w.get_length(), h.get_length()], np.float32)
    n_values = values.get_partial_shape()[2].get_length()
    low, high, scores = ops.variadic_split(values, 2, [2, 2, n_values - 4]).outputs()
    centres = ops.multiply(ops.add(low, high), sides / 2)
    sizes = ops.multiply(ops.subtract(high, low), sides)
    by_class = ops.transpose(ops.concat([centres, sizes, scores], 2), [0, 2, 1])
    by_class.output(0).get_tensor().set_names({DETECTIONS})
    return ops.result(by_class)


def _detector_info(facts: RunFacts) -> dict[str, str]:
    """What the Model API needs to know about a detector; it takes RGB, and has one threshold for all classes."""
    thresholds = facts.thresholds.values() if facts.thresholds else [DEFAULT_THRESHOLD]
    rule = ResizeRule.from_json(facts.base.resize_rule.to_json() if facts.base.resize_rule else None)
    return {
        "confidence_threshold": f"{min(thresholds):.6g}",
        "iou_threshold": str(MAX_IOU),
        "nms_execute": "True",
        "nms_max_predictions": str(MAX_DETECTIONS),
        "reverse_input_channels": "False",
        "scale_values": "1",
        "resize_type": _RESIZE_TYPES[facts.base.resize or "stretch"],
        "pad_value": str(rule.bars),
    }
