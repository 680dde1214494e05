"""headstart as a classifier of scikit-learn, for its pipelines, cross-validation and grid searches.

    from headstart.sklearn import HeadstartClassifier
    cross_val_score(HeadstartClassifier(), paths, labels)

The frozen base runs once per example and machine, not once per fold: its features come from the cache.
"""

import io
import shutil
import tarfile
import tempfile
import weakref
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np

from headstart.commands.load import load
from headstart.commands.train import train
from headstart.data.examples import Example
from headstart.data.modalities import Modality, modality_of_table
from headstart.data.table_columns import Columns
from headstart.data.tables import is_frame, read_rows
from headstart.errors import InputError
from headstart.runs.inputs import examples_in
from headstart.system.extras import require

_base: Any = require("sklearn.base", extra="sklearn", purpose="HeadstartClassifier")
_validation: Any = require("sklearn.utils.validation", extra="sklearn", purpose="HeadstartClassifier")

_VAL = 0.15  # share of the examples that decide whether fine-tuning is kept


class HeadstartClassifier(_base.ClassifierMixin, _base.BaseEstimator):
    """A new head on a pretrained base, and fine-tuning if wanted, as an estimator.

    X holds images as paths, PIL images, arrays (uint8 (h, w, 3)) or bytes, or texts as strings: a list, an array, a
    Series, a DataFrame with a column of them, or examples of a :class:`headstart.Dataset`.
    All examples given to :meth:`fit` are trained on, because scikit-learn divides the data itself; with fine-tuning,
    15 % of them decide whether it is kept.

    Args:
        base: handle of the base; None means the best one here for images or texts.
        input_size: of images, in pixels.
        head: ``auto``, ``linear`` or ``mlp``.
        features: ``auto``, ``own`` or ``blocks``.
        fine_tune: as for :func:`headstart.train`; ``none`` trains the head only.
        class_weights: ``auto``, ``balanced`` or ``none``.
        random_state: seed of everything random, a whole number.
        settings: other settings of :func:`headstart.train` by name.
        cache: folder of the feature cache; the cache of the user when None.

    Attributes:
        classes_: the different values of y, sorted.
        run_: the finished run, with its report and exports. Its folder is removed with the estimator:
            ``shutil.copytree(classifier.run_.folder, "kept")`` keeps it. A pickle holds it, too.

    Source: https://scikit-learn.org/stable/developers/develop.html
    """

    def __init__(
        self,
        base: str | None = None,
        *,
        input_size: int | None = None,
        head: str = "auto",
        features: str = "auto",
        fine_tune: str = "none",
        class_weights: str = "auto",
        random_state: int | None = 0,
        settings: Mapping[str, Any] | None = None,
        cache: str | Path | None = None,
    ) -> None:
        self.base = base
        self.input_size = input_size
        self.head = head
        self.features = features
        self.fine_tune = fine_tune
        self.class_weights = class_weights
        self.random_state = random_state
        self.settings = settings
        self.cache = cache

    def fit(self, X: Any, y: Any) -> Self:  # noqa: N803 - scikit-learn's name
        """Train on examples and their classes.

        Args:
            X: n examples.
            y: (n,) labels of any type that can be sorted.

        Raises:
            InputError: an example cannot be used, there are fewer than two classes, or a setting has a wrong value.
        """
        labels = np.asarray(y)
        if len(labels.shape) != 1:
            raise InputError(f"y has the shape {labels.shape}: expected one label for each example, (n,).")
        self.classes_, codes = np.unique(labels, return_inverse=True)
        names = _class_names(self.classes_)
        modality = _modality_of(X)
        examples = self._examples(X, modality)
        if len(examples) != len(labels):
            raise InputError(f"X has {len(examples):,} examples, and y has {len(labels):,} labels: expected as many.")
        own = {
            "base": self.base, "input_size": self.input_size, "head": self.head, "features": self.features,
            "fine_tune": self.fine_tune, "class_weights": self.class_weights, "seed": self.random_state or 0,
            "val": 0.0 if self.fine_tune == "none" else _VAL, "test": 0.0, "strict": True,
        }  # fmt: skip
        settings = {name: value for name, value in own.items() if value is not None} | dict(self.settings or {})
        folder = self._new_folder()
        table = _table(examples, [names[code] for code in codes], modality)
        self.run_ = train(table, runs=folder, name="run", cache=self.cache, progress=False, **settings)
        self._order = [self.run_.classes.index(name) for name in names]
        return self

    def predict_proba(self, X: Any) -> np.ndarray:  # noqa: N803
        """Probabilities, float32 (n, classes), in the order of ``classes_``.

        Raises:
            InputError: an example cannot be used.
            sklearn.exceptions.NotFittedError: :meth:`fit` was not called.
        """
        _validation.check_is_fitted(self, "run_")
        return self.run_.predict_proba(self._examples(X, self.run_.facts.modality))[:, self._order]

    def predict(self, X: Any) -> np.ndarray:  # noqa: N803
        """The most probable class of each example, (n,), as a value of ``classes_``; see :meth:`predict_proba`."""
        winners = self.predict_proba(X).argmax(1)
        return np.asarray(self.classes_[winners])

    def _examples(self, data: Any, modality: Modality) -> list[Example]:
        return examples_in(_items(data), modality, self.settings)[0]

    def __getstate__(self) -> dict[str, Any]:
        state = dict(super().__getstate__())
        if "run_" in state:
            packed = io.BytesIO()
            with tarfile.open(fileobj=packed, mode="w") as archive:
                archive.add(self.run_.folder, arcname="run")
            del state["run_"]
            state["_packed_run"] = packed.getvalue()
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        packed = state.pop("_packed_run", None)
        super().__setstate__(state)
        if packed is not None:
            folder = self._new_folder()
            with tarfile.open(fileobj=io.BytesIO(packed)) as archive:
                archive.extractall(folder, filter="data")
            self.run_ = load(folder / "run")

    def _new_folder(self) -> Path:
        """A folder that is removed with this object."""
        folder = tempfile.mkdtemp(prefix="headstart-classifier-")
        weakref.finalize(self, shutil.rmtree, folder, ignore_errors=True)
        return Path(folder)

    def __sklearn_tags__(self) -> Any:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.string = False, True
        tags.no_validation = True
        return tags


def _items(data: Any) -> Any:
    """A DataFrame as it is, else a list; a column of a table, (n, 1), as its n values."""
    if is_frame(data):
        return data
    if isinstance(data, str | Path | bytes) or not isinstance(data, Iterable):
        raise InputError(f"X is a {type(data).__name__}: expected a list of images or texts, an array or a DataFrame.")
    if isinstance(data, np.ndarray) and data.ndim == 2 and data.shape[1] == 1:
        return list(data[:, 0])
    return list(data)


def _modality_of(data: Any) -> Modality:
    """The modality of examples: texts if there are strings, and none names a file of another one."""
    if is_frame(data):
        rows = list(read_rows(data, Columns(), labelled=False))
        return modality_of_table([row.path or "" for row in rows], [row.text for row in rows if row.text])
    items = [item.location or item.text if isinstance(item, Example) else item for item in _items(data)]
    strings = [item for item in items if isinstance(item, str)]
    files = [item for item in strings if not item.count("\n") and Path(item).suffix]
    files += [str(item) for item in items if isinstance(item, Path)]
    modality = modality_of_table(files, [])
    return modality if modality.has_file(files) else modality_of_table(files, strings)


def _class_names(classes: np.ndarray) -> list[str]:
    """Names of classes for the run: the values as text where these differ enough, else numbers."""
    names = [str(value) for value in classes.tolist()]
    differ = len({name.strip().casefold() for name in names}) == len(names) and all(map(str.strip, names))
    return names if differ else [f"class {i}" for i in range(len(names))]


def _table(examples: Sequence[Example], labels: Sequence[str], modality: Modality) -> Any:
    """The examples as a DataFrame."""
    pandas = require("pandas", extra="sklearn", purpose="HeadstartClassifier")
    if modality.is_in_tables:
        return pandas.DataFrame({"text": [example.text for example in examples], "label": labels})
    locations = [example.location for example in examples]
    column = locations if all(locations) else [example.read() for example in examples]
    return pandas.DataFrame({"path" if all(locations) else "image": column, "label": labels})
