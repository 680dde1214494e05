"""Put the parts of an ONNX graph in a fixed order with fixed names, so that the same model gives the same file.

tf2onnx iterates over sets of objects, whose order depends on memory addresses, and numbers the nodes that it adds.
"""

import re
from collections.abc import Iterator
from typing import Any

_NUMBER = re.compile(r"(const_fold_opt)?__\d+")


def put_in_order(graph: Any) -> None:
    """Sort nodes and constants of an ``onnx.GraphProto`` in the order in which the outputs need them, and number them.

    Names of inputs and outputs do not change, nor do other names without a number of tf2onnx. It merges equal constants
    under the name of any one of them, and may then remove all but one of their readers: constants are only numbered.
    """
    _sort(graph)
    fixed = [value.name for value in (*graph.input, *graph.output)]
    names, used = {name: name for name in fixed}, set(fixed)
    for tensor in graph.initializer:
        _choose_name(tensor.name, names, used, "constant")
    _choose_names(graph, names, used)
    _rename(graph, names)
    for number, node in enumerate(_all_nodes(graph)):
        node.name = f"{_NUMBER.sub('', node.name)}_{number}"
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


def _choose_names(graph: Any, names: dict[str, str], used: set[str]) -> None:
    for value in (*graph.input, *graph.initializer):
        _choose_name(value.name, names, used)
    for node in graph.node:
        for subgraph in _subgraphs([node]):
            _choose_names(subgraph, names, used)
        for output in node.output:
            _choose_name(output, names, used)


def _choose_name(name: str, names: dict[str, str], used: set[str], plain: str = "") -> None:
    if not name or name in names:  # an empty name means none
        return
    plain = plain or _NUMBER.sub("", name) or "constant"
    new, number = plain, 1
    while new in used:
        number += 1
        new = f"{plain}_{number}"
    names[name] = new
    used.add(new)


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
