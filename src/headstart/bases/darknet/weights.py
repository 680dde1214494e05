"""A Darknet weights file: a header, then the weights of all layers as float32, without names or shapes.

Because nothing in the file says what it belongs to, its length must be exactly the one that the cfg needs.
"""

import math
from pathlib import Path

import numpy as np

from headstart.bases.darknet.network import Layer, Network
from headstart.errors import InputError

Weights = dict[str, np.ndarray]
"""The arrays of one layer by name, float32."""

_VERSION = np.dtype("<i4")
_VALUE = np.dtype("<f4")
_MANY = 1000  # versions above mark files of the first Darknet, whose matrices are transposed


def read_weights(path: Path, network: Network) -> dict[int, Weights]:
    """Map the weights of a network; they are read from the file when they are used.

    Returns:
        The weights of each layer that has some, by the layer's index.

    Raises:
        InputError: no such file, or not the weights of this network.
    """
    if not path.is_file():
        raise InputError(f"no weights file at {path}: expected a Darknet .weights file.", field="weights")
    start, is_transposed = _header(path)
    n_bytes, expected = path.stat().st_size, start + network.n_weights * _VALUE.itemsize
    if n_bytes != expected:
        raise InputError(_length_problem(path, network, n_bytes, start, expected))
    values = np.memmap(path, _VALUE, "r", offset=start) if network.n_weights else np.empty(0, _VALUE)
    weights, position = {}, 0
    for layer in network.layers:
        arrays: Weights = {}
        for name, shape in layer.weights.items():
            n = math.prod(shape)
            array = values[position : position + n]
            transposed = is_transposed and layer.kind == "connected" and name == "kernel"
            arrays[name] = array.reshape(shape[::-1]).T if transposed else array.reshape(shape)
            position += n
        if arrays:
            weights[layer.index] = arrays
            _check(path, layer, arrays)
    return weights


def _header(path: Path) -> tuple[int, bool]:
    """The length of the header in bytes, and whether matrices are transposed.

    The header is the version, as three int32 (major, minor, revision), and the number of images seen in training:
    int64 from version 0.2 on, int32 before.
    """
    with path.open("rb") as file:
        head = file.read(3 * _VERSION.itemsize)
    if len(head) < 3 * _VERSION.itemsize:
        raise InputError(f"{path} has {len(head)} bytes: expected a Darknet .weights file.", field="weights")
    major, minor, _ = map(int, np.frombuffer(head, _VERSION))
    if major < 0 or minor < 0:
        raise InputError(f"{path} is not a Darknet .weights file: it has version {major}.{minor}.", field="weights")
    is_first = major > _MANY or minor > _MANY
    is_long = major * 10 + minor >= 2 and major < _MANY and minor < _MANY
    return len(head) + (8 if is_long else 4), is_first


def _length_problem(path: Path, network: Network, n_bytes: int, start: int, expected: int) -> str:
    problem = (
        f"{path} is not the weights file for {network.net.path}: it has {n_bytes:,} bytes, and the cfg needs exactly "
        f"{expected:,}."
    )
    end = start
    for layer in network.layers:
        if end == n_bytes and layer.n_weights:
            return (
                f"{problem} It has exactly the weights of the layers before layer {layer.index} [{layer.kind}], as a "
                "backbone alone has: use a copy of the cfg that ends there."
            )
        end += layer.n_weights * _VALUE.itemsize
        if end > n_bytes:
            return f"{problem} It ends within layer {layer.index} [{layer.kind}] of {len(network.layers)} layers."
    return f"{problem} Another number of classes or filters, or another version of the model, gives other lengths."


def _check(path: Path, layer: Layer, arrays: Weights) -> None:
    for name, array in arrays.items():
        if not np.isfinite(array).all() or (name == "variances" and (array < 0).any()):
            raise InputError(
                f"{path} is damaged, or belongs to another cfg: the {name} of layer {layer.index} [{layer.kind}] are "
                "not all finite numbers" + (" of at least 0." if name == "variances" else ".")
            )
