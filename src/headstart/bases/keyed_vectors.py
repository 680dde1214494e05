"""gensim's word vectors as ``KeyedVectors.save`` writes them, read without gensim and without executing the pickle.

The file is a pickle of one object; arrays of more than 10 MB are stored beside it as ``.npy``. Unpickling is restricted
to the few names that such a file needs. None of them executes anything: objects and arrays become plain descriptions.
"""

import math
import pickle
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.word_table import NGrams, WordTable

PICKLE = b"\x80"
"""First byte of such a file; no UTF-8 text begins with it."""

_DTYPES = {"f2", "f4", "f8"}


class _SavedObject:
    """Stands for any object; its saved attributes are in ``state``."""

    state: Any = ()

    def __init__(self, *_: Any) -> None:
        pass

    def __setstate__(self, state: Any) -> None:
        self.state = state


class _Dtype(_SavedObject):
    def __init__(self, name: str, *_: Any) -> None:
        self.name = name


class _Array(_SavedObject):
    def array(self) -> np.ndarray:
        """The saved numbers."""
        _version, shape, dtype, is_fortran, content = self.state
        order = dtype.state[1]
        if dtype.name not in _DTYPES or order not in "<>=|" or len(content) != math.prod(shape) * int(dtype.name[1]):
            raise ValueError("it has an array whose values are not numbers")
        values = np.frombuffer(content, dtype.name if order in "=|" else order + dtype.name)
        return values.reshape(shape, order="F" if is_fortran else "C")


_NAMES = {
    ("gensim.models.keyedvectors", "KeyedVectors"): _SavedObject,
    ("gensim.models.fasttext", "FastTextKeyedVectors"): _SavedObject,
    ("numpy", "ndarray"): _Array,
    ("numpy", "dtype"): _Dtype,
    ("numpy._core.multiarray", "_reconstruct"): _Array,
    ("numpy.core.multiarray", "_reconstruct"): _Array,
}


class _RestrictedUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _NAMES:
            raise pickle.UnpicklingError(
                f"it needs {module}.{name}, which is not part of word vectors; if it is a whole model of gensim, save "
                "the vectors alone: model.wv.save(…), in gensim 4"
            )
        return _NAMES[module, name]


def open_keyed_vectors(path: Path) -> WordTable:
    """Read the words of a file and their vectors; arrays in separate files are mapped.

    Raises:
        ValueError: the file contains something else, or needs names that are not part of word vectors.
        OSError: a separate file with an array is missing.
    """
    try:
        with open(path, "rb") as file:
            saved = _RestrictedUnpickler(file).load().state
        words = saved["index_to_key"]
        ngrams = None
        if "vectors_ngrams" in saved.get("__numpys", ()) or "vectors_ngrams" in saved:
            rows, buckets = (_array(path, saved, name) for name in ("vectors_vocab", "vectors_ngrams"))
            ngrams = NGrams(saved["min_n"], saved["max_n"], buckets) if saved["bucket"] else None
        else:
            rows = _array(path, saved, "vectors")
    except (pickle.UnpicklingError, KeyError, AttributeError, TypeError, IndexError) as exc:
        raise ValueError(
            f"{exc}" if isinstance(exc, pickle.UnpicklingError) else f"{exc} is missing or invalid"
        ) from exc
    if rows.ndim != 2 or len(rows) != len(words) or not all(isinstance(word, str) for word in words):
        raise ValueError("its words and vectors do not match")
    return WordTable(words, rows, ngrams)


def _array(path: Path, saved: dict[str, Any], name: str) -> np.ndarray:
    if name not in saved.get("__numpys", ()):
        return saved[name].array()
    return np.load(f"{path}.{name}.npy", mmap_mode="r", allow_pickle=False)
