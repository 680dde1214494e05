"""The weights in a file of Keras, read without Keras."""

import io
import zipfile
from pathlib import Path

import h5py
import numpy as np


def stored_weights(model: Path) -> dict[str, np.ndarray]:
    """All tensors of a ``.keras`` file by their paths in it."""
    tensors: dict[str, np.ndarray] = {}
    with zipfile.ZipFile(model) as archive, h5py.File(io.BytesIO(archive.read("model.weights.h5"))) as file:
        file.visititems(lambda name, item: tensors.update({name: item[()]} if isinstance(item, h5py.Dataset) else {}))
    return tensors


def changed_weights(before: Path, after: Path) -> set[str]:
    """Paths of the tensors that have other values in the second file; both have the same ones."""
    old, new = stored_weights(before), stored_weights(after)
    assert old.keys() == new.keys()
    return {name for name, values in old.items() if not np.array_equal(values, new[name])}
