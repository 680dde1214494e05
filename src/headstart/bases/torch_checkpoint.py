"""Read torch's legacy checkpoint format (before the zip container) without torch and without running pickled code.

The file contains five pickles: magic number, protocol version, system information, the object (dicts and lists of plain
values and tensors, which refer to their storages by a persistent id) and the list of storage keys. Then follow, for
each key, an int64 element count and the little-endian values. Unpickling is restricted to the three names that such a
file needs. A tensor becomes a plain description and then a NumPy array: nothing in the file can be executed.

Source: torch/serialization.py, ``_legacy_save``.
"""

import pickle
import struct
from collections import OrderedDict
from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from headstart.errors import IntegrityError

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}


class _Tensor(NamedTuple):
    storage: tuple[str, str]  # (key, storage type)
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) == ("collections", "OrderedDict"):
            return OrderedDict
        if (module, name) == ("torch._utils", "_rebuild_tensor_v2"):
            return lambda storage, offset, shape, stride, *_: _Tensor(storage, offset, shape, stride)
        if module == "torch" and name in _STORAGE_DTYPES:
            return name
        raise pickle.UnpicklingError(f"the checkpoint needs {module}.{name}, which is not part of a file of arrays")

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, storage_type, key, _device, _numel, _view = pid
        return key, storage_type


def read_torch_checkpoint(path: Path) -> dict[str, Any]:
    """Read a legacy torch checkpoint.

    Returns:
        The saved object, in the file's order, with every tensor as an array of the saved shape and dtype.

    Raises:
        IntegrityError: another format, a damaged file, or a file that contains more than arrays.
    """
    try:
        with open(path, "rb") as file:
            return _read(file)
    except (pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, struct.error, AttributeError) as exc:
        raise IntegrityError(
            f"cannot read the torch checkpoint {path}: {exc}. Expected a legacy file of tensors."
        ) from exc


def _read(file: BinaryIO) -> dict[str, Any]:
    if _RestrictedUnpickler(file).load() != _MAGIC:
        raise ValueError("wrong magic number")
    _RestrictedUnpickler(file).load()  # protocol version
    _RestrictedUnpickler(file).load()  # system information: sizes of integers, byte order (little)
    saved = _RestrictedUnpickler(file).load()
    keys = _RestrictedUnpickler(file).load()
    storage_types = dict(tensor.storage for tensor in _tensors(saved))
    storages = {}
    for key in keys:
        (count,) = struct.unpack("<q", file.read(8))
        dtype = np.dtype(_STORAGE_DTYPES[storage_types[key]])
        storages[key] = np.frombuffer(file.read(count * dtype.itemsize), dtype, count)
    return _with_arrays(saved, storages)


def _tensors(value: Any) -> Iterator[_Tensor]:
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _with_arrays(value: Any, storages: dict[str, np.ndarray]) -> Any:
    """The same object with arrays instead of tensors."""
    if isinstance(value, _Tensor):
        return _array(value, storages[value.storage[0]])
    if isinstance(value, dict):
        return {name: _with_arrays(part, storages) for name, part in value.items()}
    return [_with_arrays(part, storages) for part in value] if isinstance(value, list | tuple) else value


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    # Strides matter: TensorFlow's kernels were transposed lazily before saving, their values are in TensorFlow's order.
    end = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True)) + 1
    if min((tensor.offset, *tensor.shape, *tensor.stride), default=0) < 0 or end > len(storage):
        raise ValueError(f"a tensor of shape {tensor.shape} needs more than its {len(storage)} stored values")
    strides = [step * storage.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
