"""Put the parts of an ONNX graph in a fixed order with fixed names, so that the same model gives the same file.

tf2onnx iterates over sets of objects, whose order depends on memory addresses, and numbers the nodes that it adds.
"""

from collections import Counter
from collections.abc import Iterator
from typing import Any


def put_in_order(graph: Any) -> None:
    """Sort nodes and constants of an ``onnx.GraphProto`` in the order in which the outputs need them, and number them.

    Names of inputs and outputs do not change. tf2onnx merges equal constants and equal nodes under the name of any one
    of them, so the others are named by their kind and a number.
    """
    _sort(graph)
    names = {value.name: value.name for value in (*graph.input, *graph.output)}
    _choose_names(graph, names, Counter())
    _rename(graph, names)
    for number, node in enumerate(_all_nodes(graph)):
        node.name = f"{node.op_type}_{number}"
    del graph.value_info[:]  # shapes that onnx can infer again


def _sort(graph: Any) -> None:
    for subgraph in _subgraphs(graph.node):
        _sort(subgraph)
    maker = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    nodes: dict[int, Any] = {}
    used_constants: dict[str, Any] = {}
    waiting = [(output.name, False) for output in reversed(graph.output)]
    while waiting:
        name, is_ready = waiting.pop()
        if name in constants:
            used_constants.setdefault(name, constants[name])
        node = maker.get(name)
        if node is None or id(node) in nodes:
            continue
        if is_ready:
            nodes[id(node)] = node
        else:
            waiting += [(name, True), *((value, False) for value in reversed(list(_values(node))))]
    ordered_nodes, ordered_constants = [_copy(node) for node in nodes.values()], [*map(_copy, used_constants.values())]
    del graph.node[:], graph.initializer[:]
    graph.node.extend(ordered_nodes)
    graph.initializer.extend(ordered_constants)


def _copy(message: Any) -> Any:
    copied = type(message)()
    copied.CopyFrom(message)
    return copied


def _values(node: Any) -> Iterator[str]:
    """The values that a node reads, including those that its subgraphs read."""
    yield from node.input
    for subgraph in _subgraphs([node]):
        for inner in subgraph.node:
            yield from _values(inner)
        yield from (output.name for output in subgraph.output)


def _choose_names(graph: Any, names: dict[str, str], counts: Counter[str]) -> None:
    """Name the values of a graph that have no new name yet, by their kinds, of which there are so many already."""
    kinds = [(value.name, "constant") for value in (*graph.initializer, *graph.input)]
    for node in graph.node:
        for subgraph in _subgraphs([node]):
            _choose_names(subgraph, names, counts)
        kinds += [(output, node.op_type.lower()) for output in node.output]
    for name, kind in kinds:
        if name and name not in names:  # an empty name means none
            counts[kind] += 1
            names[name] = f"{kind}_{counts[kind]}"


def _rename(graph: Any, names: dict[str, str]) -> None:
    for value in (*graph.input, *graph.output, *graph.initializer):
        value.name = names.get(value.name, value.name)
    for node in graph.node:
        node.input[:] = [names.get(name, name) for name in node.input]
        node.output[:] = [names.get(name, name) for name in node.output]
        for subgraph in _subgraphs([node]):
            _rename(subgraph, names)


def _all_nodes(graph: Any) -> Iterator[Any]:
    for node in graph.node:
        yield node
        for subgraph in _subgraphs([node]):
            yield from _all_nodes(subgraph)


def _subgraphs(nodes: Any) -> Iterator[Any]:
    for node in nodes:
        for attribute in node.attribute:
            if attribute.HasField("g"):
                yield attribute.g
            yield from attribute.graphs
