"""The positions of a feature map's cells in the input: the centres of their receptive fields.

A feature map is not an even grid over the input, because padding shifts it: the cells of ResNet50 lie half a cell
above and to the left of an even grid, those of MobileNet half a cell below and to the right. Strides and paddings are
read from the graph, starting at the pixels. Where branches with different positions meet, their mean is used.

Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from typing import Any

import numpy as np

from headstart.data.images import Box

_CONVOLUTIONS = {"Convolution", "GroupConvolution"}
_POOLINGS = {"MaxPool", "AvgPool"}
_EVERYWHERE = {"ReduceMean", "ReduceMax", "ReduceSum", "MatMul"}  # their outputs have no position

Centres = tuple[np.ndarray, np.ndarray]
"""Centre of the first cell, and distance between neighbouring cells: each (y, x), in pixels of the input."""


def cell_bounds(graph: Any, tensor: Any, cells: tuple[int, int]) -> Box | None:
    """The box that the cells of a feature map cover; its edges are half a cell outside the outer centres.

    Args:
        graph: an OpenVINO model from pixels (n, h, w, 3).
        tensor: a feature map in the graph.
        cells: its number of rows and columns.

    Returns:
        Left, top, right and bottom as shares of the input's width and height; they may lie outside 0 to 1. None if no
        path of convolutions connects the pixels with the feature map.
    """
    pixels = graph.get_parameters()[0]
    centres: dict[str, Centres] = {pixels.get_name(): (np.full(2, 0.5), np.ones(2))}
    for node in graph.get_ordered_ops():
        before = [centres[name] for name in map(_name, node.input_values()) if name in centres]
        if not before or node.get_type_name() in _EVERYWHERE or len(node.get_output_partial_shape(0)) != 4:
            continue
        start, step = np.mean([start for start, _ in before], 0), before[0][1]
        centres[node.get_name()] = _centres_after(node, start, step)
    if _name(tensor) not in centres:
        return None
    start, step = centres[_name(tensor)]
    size = np.array([pixels.get_output_partial_shape(0)[axis].get_length() for axis in (1, 2)])
    first, last = (start - step / 2) / size, (start + step * (np.array(cells) - 0.5)) / size
    return float(first[1]), float(first[0]), float(last[1]), float(last[0])


def _centres_after(node: Any, start: np.ndarray, step: np.ndarray) -> Centres:
    """Centres after an operation, from those before it."""
    kind, attributes = node.get_type_name(), node.get_attributes()
    if kind == "Pad":
        return start - step * _leading_pads(node), step
    if kind not in _CONVOLUTIONS | _POOLINGS:
        return start, step
    kernel = attributes["kernel"] if kind in _POOLINGS else list(node.input_value(1).get_shape())[-2:]
    reach = (np.array(kernel) - 1) * np.array(attributes.get("dilations", [1, 1])) + 1
    strides, begin = np.array(attributes["strides"]), np.array(attributes["pads_begin"])
    if attributes["auto_pad"] in ("same_upper", "same_lower"):
        sizes, outputs = (
            _height_and_width(shape) for shape in (node.get_input_partial_shape(0), node.get_output_partial_shape(0))
        )
        missing = np.maximum((outputs - 1) * strides + reach - sizes, 0)
        begin = missing // 2 if attributes["auto_pad"] == "same_upper" else missing - missing // 2
    return start + step * ((reach - 1) / 2 - begin), step * strides


def _leading_pads(node: Any) -> np.ndarray:
    """Rows and columns that a Pad inserts before the first ones, for both orders of axes."""
    before = node.input_value(1).get_node()
    if before.get_type_name() != "Constant":
        return np.zeros(2)
    pads = before.get_data().ravel()
    return pads[1:3] if pads[1] else pads[2:4]


def _height_and_width(shape: Any) -> np.ndarray:
    """Height and width of (n, c, h, w)."""
    return np.array([shape[axis].get_length() for axis in (2, 3)])


def _name(output: Any) -> str:
    return output.get_node().get_name()
