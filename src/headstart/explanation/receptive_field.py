"""Where the cells of a feature map lie in the input: where their receptive fields have their centres.

A map is not simply the input made smaller. Padding shifts it: the cells of ResNet50 lie half a cell higher and further
to the left than if they divided the input evenly, those of MobileNet half a cell lower and further to the right.
Strides and paddings are read from the graph, from the pixels on; where branches meet that differ, their mean counts.

Source: Araujo, Norris and Sim, "Computing receptive fields of convolutional neural networks", Distill 2019.
"""

from typing import Any

import numpy as np

from headstart.data.images import Box

_CONVOLUTIONS = {"Convolution", "GroupConvolution"}
_POOLINGS = {"MaxPool", "AvgPool"}
_EVERYWHERE = {"ReduceMean", "ReduceMax", "ReduceSum", "MatMul"}  # what they give belongs to no place

Centres = tuple[np.ndarray, np.ndarray]
"""Of the first cell, and how far it is from one to the next: each (y, x), in pixels of the input."""


def place_of_cells(graph: Any, tensor: Any, cells: tuple[int, int]) -> Box | None:
    """Where the cells of a map lie, their first and last centres being half a cell within.

    Args:
        graph: an OpenVINO model from pixels (n, h, w, 3).
        tensor: of it, a map.
        cells: its rows and columns.

    Returns:
        Left, top, right and bottom as shares of the input's width and height; they may lie beyond 0 and 1. None where
        no way of convolutions leads from the pixels to the map.
    """
    pixels = graph.get_parameters()[0]
    known: dict[str, Centres] = {pixels.get_name(): (np.full(2, 0.5), np.ones(2))}
    for node in graph.get_ordered_ops():
        before = [known[name] for name in map(_name, node.input_values()) if name in known]
        if not before or node.get_type_name() in _EVERYWHERE or len(node.get_output_partial_shape(0)) != 4:
            continue
        start, step = np.mean([start for start, _ in before], 0), before[0][1]
        known[node.get_name()] = _moved(node, start, step)
    if _name(tensor) not in known:
        return None
    start, step = known[_name(tensor)]
    size = np.array([pixels.get_output_partial_shape(0)[axis].get_length() for axis in (1, 2)])
    first, last = (start - step / 2) / size, (start + step * (np.array(cells) - 0.5)) / size
    return float(first[1]), float(first[0]), float(last[1]), float(last[0])


def _moved(node: Any, start: np.ndarray, step: np.ndarray) -> Centres:
    """Centres behind an operation."""
    kind, attributes = node.get_type_name(), node.get_attributes()
    if kind == "Pad":
        return start - step * _padded(node), step
    if kind not in _CONVOLUTIONS | _POOLINGS:
        return start, step
    kernel = attributes["kernel"] if kind in _POOLINGS else list(node.input_value(1).get_shape())[-2:]
    reach = (np.array(kernel) - 1) * np.array(attributes.get("dilations", [1, 1])) + 1
    strides, begin = np.array(attributes["strides"]), np.array(attributes["pads_begin"])
    if attributes["auto_pad"] in ("same_upper", "same_lower"):
        sizes, outputs = (
            _sides(shape) for shape in (node.get_input_partial_shape(0), node.get_output_partial_shape(0))
        )
        missing = np.maximum((outputs - 1) * strides + reach - sizes, 0)
        begin = missing // 2 if attributes["auto_pad"] == "same_upper" else missing - missing // 2
    return start + step * ((reach - 1) / 2 - begin), step * strides


def _padded(node: Any) -> np.ndarray:
    """Rows and columns that a Pad puts before the first ones, whichever way its axes are ordered."""
    before = node.input_value(1).get_node()
    if before.get_type_name() != "Constant":
        return np.zeros(2)
    pads = before.get_data().ravel()
    return pads[1:3] if pads[1] else pads[2:4]


def _sides(shape: Any) -> np.ndarray:
    """Height and width of (n, c, h, w)."""
    return np.array([shape[axis].get_length() for axis in (2, 3)])


def _name(output: Any) -> str:
    return output.get_node().get_name()
