"""Read torch's checkpoints without torch and without running pickled code: the legacy format and the zip container.

A legacy file contains five pickles: magic number, protocol version, system information, the object (dicts and lists of
plain values and tensors, which refer to their storages by a persistent id) and the list of storage keys. Then follow,
for each key, an int64 element count and the little-endian values. The zip container has the object in ``data.pkl`` and
the values of each storage in a file of its own. Unpickling is restricted to the names that tensors and NumPy arrays
need. Both become plain descriptions and then arrays: nothing in the file can be executed.

Sources: torch/serialization.py, ``_legacy_save`` and ``_save``; numpy, ``ndarray.__reduce__``.
"""

import pickle
import re
import struct
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NamedTuple

import numpy as np

from headstart.bases.base import refuse_pointers
from headstart.errors import IntegrityError

_MAGIC = 0x1950A86A20F9469CFC6C
_STORAGE_DTYPES = {"FloatStorage": "<f4", "DoubleStorage": "<f8", "HalfStorage": "<f2", "LongStorage": "<i8"}
_NUMBERS = re.compile(r"[fiu][1248]|b1")  # NumPy's names of dtypes that contain no objects


class _Tensor(NamedTuple):
    storage: tuple[str, str]  # (key, storage type)
    offset: int
    shape: tuple[int, ...]
    stride: tuple[int, ...]


class _NumpyDtype:
    """The dtype of a pickled NumPy array: numbers only."""

    def __init__(self, name: str, *_: Any) -> None:
        if not _NUMBERS.fullmatch(name):
            raise pickle.UnpicklingError(f"an array has the dtype {name!r}: expected numbers")
        self.dtype = np.dtype(name)

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        self.dtype = self.dtype.newbyteorder(state[1])


class _NumpyArray:
    """A pickled NumPy array; its values are set by pickle's ``BUILD``."""

    values: np.ndarray

    def __setstate__(self, state: tuple[Any, ...]) -> None:
        _version, shape, kind, in_columns, data = state
        self.values = np.frombuffer(data, kind.dtype).reshape(shape, order="F" if in_columns else "C")


def _encode(text: str, encoding: str) -> bytes:
    """The bytes of an array, which pickle's protocol 2 stores as a text in Latin-1."""
    if encoding != "latin1":
        raise pickle.UnpicklingError(f"an array is stored in {encoding!r}: expected 'latin1'")
    return text.encode("latin1")


_NAMES: dict[tuple[str, str], Any] = {
    ("collections", "OrderedDict"): OrderedDict,
    ("torch._utils", "_rebuild_tensor_v2"): lambda storage, offset, shape, stride, *_: _Tensor(
        storage, offset, shape, stride
    ),
    ("numpy", "ndarray"): _NumpyArray,
    ("numpy", "dtype"): _NumpyDtype,
    ("_codecs", "encode"): _encode,
    **{(f"numpy.{core}.multiarray", "_reconstruct"): lambda *_: _NumpyArray() for core in ("core", "_core")},
    **{("torch", name): name for name in _STORAGE_DTYPES},
}
"""The names that a checkpoint may use, and what they become."""


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        try:
            return _NAMES[module, name]
        except KeyError:
            raise pickle.UnpicklingError(
                f"the checkpoint needs {module}.{name}, which is not part of a file of arrays"
            ) from None

    def persistent_load(self, pid: Any) -> tuple[str, str]:
        _, storage_type, key, *_ = pid
        return key, storage_type


def read_torch_checkpoint(path: Path) -> dict[str, Any]:
    """Read a torch checkpoint.

    Returns:
        The saved object, in the file's order, with every tensor as an array of the saved shape and dtype.

    Raises:
        IntegrityError: another format, a damaged file, or a file that contains more than arrays.
    """
    refuse_pointers([path])
    try:
        with open(path, "rb") as file:
            return _read_zip(file) if zipfile.is_zipfile(file) else _read_legacy(file)
    except (
        pickle.UnpicklingError, EOFError, KeyError, ValueError, TypeError, struct.error, AttributeError, IndexError,
        zipfile.BadZipFile,
    ) as exc:  # fmt: skip
        raise IntegrityError(f"cannot read the torch checkpoint {path}: {exc}. Expected a file of tensors.") from exc


def _read_legacy(file: BinaryIO) -> dict[str, Any]:
    file.seek(0)
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
    return _with_arrays(saved, lambda key, _: storages[key])


def _read_zip(file: BinaryIO) -> dict[str, Any]:
    with zipfile.ZipFile(file) as archive:
        folder = next(name for name in archive.namelist() if name.endswith("/data.pkl")).removesuffix("data.pkl")
        if f"{folder}byteorder" in archive.namelist() and archive.read(f"{folder}byteorder") != b"little":
            raise ValueError("its values are big-endian")
        with archive.open(f"{folder}data.pkl") as pickled:
            saved = _RestrictedUnpickler(pickled).load()

        def storage(key: str, kind: str) -> np.ndarray:
            return np.frombuffer(archive.read(f"{folder}data/{key}"), _STORAGE_DTYPES[kind])

        return _with_arrays(saved, storage)


def _tensors(value: Any) -> Iterator[_Tensor]:
    if isinstance(value, _Tensor):
        yield value
    elif isinstance(value, dict | list | tuple):
        for part in value.values() if isinstance(value, dict) else value:
            yield from _tensors(part)


def _with_arrays(value: Any, storage: Callable[[str, str], np.ndarray]) -> Any:
    """The same object with arrays instead of descriptions."""
    if isinstance(value, _Tensor):
        return _array(value, storage(*value.storage))
    if isinstance(value, _NumpyArray):
        return value.values
    if isinstance(value, dict):
        return {name: _with_arrays(part, storage) for name, part in value.items()}
    return [_with_arrays(part, storage) for part in value] if isinstance(value, list | tuple) else value


def _array(tensor: _Tensor, storage: np.ndarray) -> np.ndarray:
    # Strides matter: TensorFlow's kernels were transposed lazily before saving, their values are in TensorFlow's order.
    end = tensor.offset + sum((n - 1) * step for n, step in zip(tensor.shape, tensor.stride, strict=True)) + 1
    if min((tensor.offset, *tensor.shape, *tensor.stride), default=0) < 0 or end > len(storage):
        raise ValueError(f"a tensor of shape {tensor.shape} needs more than its {len(storage)} stored values")
    strides = [step * storage.itemsize for step in tensor.stride]
    return np.lib.stride_tricks.as_strided(storage[tensor.offset :], tensor.shape, strides, writeable=False)
