"""Non-maximum suppression inside an ONNX model of a detector."""

from typing import Any

import numpy as np

from headstart.exporting.box_forms import SUPPRESSED
from headstart.exporting.formats import DETECTIONS
from headstart.tasks.detection.decoding import MAX_DETECTIONS, MIN_SCORE
from headstart.tasks.detection.nms import MAX_IOU


def add_suppression(graph: Any, n_points: int, n_classes: int) -> None:
    """Add outputs with the boxes that are left after class-wise suppression, the highest score first.

    They are ``boxes`` (n, k, 4), ``scores`` (n, k), ``classes`` (n, k), and ``number`` (n,), how many of the k are
    boxes; the others have a score of 0.

    Args:
        graph: an ``onnx.GraphProto`` with the output ``detections`` (n, points, 4 + classes).
        n_points: number of points.
        n_classes: number of classes.
    """
    from onnx import TensorProto, helper, numpy_helper

    limit = min(MAX_DETECTIONS, n_points * n_classes)
    constants = {
        "first_value": np.array([0]), "first_score": np.array([4]), "last_score": np.array([4 + n_classes]),
        "value_axis": np.array([2]), "limit": np.array([limit]), "max_iou": np.array([MAX_IOU], np.float32),
        "min_score": np.array([MIN_SCORE], np.float32), "flat": np.array([0, -1]), "n_points": np.array(n_points),
        "last_axis": np.array([-1]), "box_axis": np.array([1]), "nothing": np.array(0, np.float32),
    }  # fmt: skip
    graph.initializer.extend(numpy_helper.from_array(value, name) for name, value in constants.items())
    boxes, scores, classes, number = SUPPRESSED
    nodes: list[tuple[str, list[str], list[str], dict[str, Any]]] = [
        ("Slice", [DETECTIONS, "first_value", "first_score", "value_axis"], ["all_boxes"], {}),
        ("Slice", [DETECTIONS, "first_score", "last_score", "value_axis"], ["scores_by_point"], {}),
        ("Transpose", ["scores_by_point"], ["scores_by_class"], {"perm": [0, 2, 1]}),
        ("NonMaxSuppression", ["all_boxes", "scores_by_class", "limit", "max_iou", "min_score"], ["kept_indices"], {}),
        ("GatherND", ["scores_by_class", "kept_indices"], ["kept_scores"], {}),
        ("Shape", ["scores_by_class"], ["scores_shape"], {}),
        ("ConstantOfShape", ["scores_shape"], ["no_scores"], {}),
        ("ScatterND", ["no_scores", "kept_indices", "kept_scores"], ["scores_left"], {}),
        ("Reshape", ["scores_left", "flat"], ["flat_scores"], {}),
        ("TopK", ["flat_scores", "limit"], [scores, "ranked_indices"], {"axis": 1}),
        ("Div", ["ranked_indices", "n_points"], [classes], {}),
        ("Mod", ["ranked_indices", "n_points"], ["ranked_points"], {}),
        ("Unsqueeze", ["ranked_points", "last_axis"], ["point_indices"], {}),
        ("GatherND", ["all_boxes", "point_indices"], [boxes], {"batch_dims": 1}),
        ("Greater", [scores, "nothing"], ["is_box"], {}),
        ("Cast", ["is_box"], ["box_counts"], {"to": TensorProto.INT64}),
        ("ReduceSum", ["box_counts", "box_axis"], [number], {"keepdims": 0}),
    ]
    graph.node.extend(helper.make_node(kind, inputs, outputs, **more) for kind, inputs, outputs, more in nodes)
    shapes = {boxes: ["n", limit, 4], scores: ["n", limit], classes: ["n", limit], number: ["n"]}
    integers = (classes, number)
    graph.output.extend(
        helper.make_tensor_value_info(name, TensorProto.INT64 if name in integers else TensorProto.FLOAT, shape)
        for name, shape in shapes.items()
    )
