"""Dense heads: a few layers trained by Keras on cached features, in a process of their own, from disk in batches."""

import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from headstart import console, keras_process
from headstart.data.split import folds
from headstart.features.extraction import FeatureSet
from headstart.training.linear import BLOCK_ROWS
from headstart.training.outputs import Activation, activation_of, weights_of_examples
from headstart.training.task import Layers, Recipe, Task, load_layers, save_layers

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
PATIENCE = 10
_LOSSES: dict[Activation, tuple[str, list[str]]] = {  # with the metrics that go with them
    "softmax": ("sparse_categorical_crossentropy", ["accuracy"]),
    "sigmoid": ("binary_crossentropy", []),
}
_VAL_FOLDS = 7  # without validation data, one fold of this many tells when to stop


def fit(task: Task, recipe: Recipe, class_weights: np.ndarray) -> tuple[Layers, list[dict[str, Any]]]:
    """Train Dense layers.

    Args:
        task: the examples; without any for validation, some of the training examples tell when to stop.
        recipe: sizes of the layers, dropout, epochs and seed.
        class_weights: float (classes,), weight of one example of each.

    Returns:
        The layers, with the standardisation of the features folded into the first, and rows for ``history.csv``.
    """
    train, val = task.train, task.val
    if not len(val):
        fold = folds(task.labels[train], task.units[train], _VAL_FOLDS, recipe.seed)
        train, val = train[fold != 0], train[fold == 0]
        console.note(f"no validation data: {len(val):,} training examples tell when to stop")
    with tempfile.TemporaryDirectory(prefix="headstart-dense-") as folder:
        for part, indices in (("train", train), ("val", val)):
            _write_rows(task.features, indices, Path(folder, f"{part}.npy"))
            np.save(Path(folder, f"{part}-labels.npy"), task.labels[indices])
        history = keras_process.call(
            "headstart.training.dense:train_dense",
            {
                "folder": folder,
                "n_classes": task.n_classes,
                "class_weights": class_weights.tolist(),
                "hidden": list(recipe.units),
                "dropout": recipe.dropout,
                "epochs": recipe.epochs,
                "seed": recipe.seed,
            },
            backend=keras_process.training_backend(),
        )
        return load_layers(Path(folder, "layers.npz")), history


def train_dense(
    folder: str,
    n_classes: int,
    class_weights: list[float],
    hidden: list[int],
    dropout: float,
    epochs: int,
    seed: int,
) -> list[dict[str, Any]]:
    """Train on the arrays in ``folder``; writes ``layers.npz`` there and gives the history. In a Keras process."""
    import keras

    keras.utils.set_random_seed(seed)
    rows, labels = np.load(Path(folder, "train.npy"), mmap_mode="r"), np.load(Path(folder, "train-labels.npy"))
    val_rows, val_labels = np.load(Path(folder, "val.npy"), mmap_mode="r"), np.load(Path(folder, "val-labels.npy"))
    mean, scale = _moments(rows)
    activation = activation_of(labels)
    weights = np.asarray(class_weights, np.float32)

    class Batches(keras.utils.PyDataset):
        """Batches from disk, in a new order every epoch."""

        def __init__(self, rows: np.ndarray, labels: np.ndarray, *, shuffle: bool) -> None:
            super().__init__()
            self.rows, self.labels = rows, labels
            self.rng = np.random.default_rng(seed) if shuffle else None
            self.order = np.arange(len(labels))
            self.on_epoch_begin()

        def __len__(self) -> int:
            return -(-len(self.labels) // BATCH_SIZE)

        def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
            mine = np.sort(self.order[index * BATCH_SIZE : (index + 1) * BATCH_SIZE])
            labels = self.labels[mine]
            return (self.rows[mine] - mean) / scale, labels, weights_of_examples(labels, weights)

        def on_epoch_begin(self) -> None:
            if self.rng is not None:
                self.order = self.rng.permutation(len(self.labels))

    model = keras.Sequential([keras.Input((rows.shape[1],))])
    for size in hidden:
        model.add(keras.layers.Dropout(dropout))
        model.add(keras.layers.Dense(size, activation="relu"))
    model.add(keras.layers.Dropout(dropout))
    model.add(keras.layers.Dense(n_classes, activation=activation))
    loss, metrics = _LOSSES[activation]
    model.compile(keras.optimizers.Adam(LEARNING_RATE), loss, weighted_metrics=metrics)
    stop = keras.callbacks.EarlyStopping("val_loss", patience=PATIENCE, restore_best_weights=True)
    fitted = model.fit(
        Batches(rows, labels, shuffle=True),
        validation_data=Batches(val_rows, val_labels, shuffle=False),
        epochs=epochs,
        callbacks=[stop],
        verbose=0,
    )
    _save_layers(model, mean, scale, Path(folder, "layers.npz"))
    past = fitted.history
    return [
        {"phase": "head", "epoch": epoch + 1, **{name: float(values[epoch]) for name, values in past.items()}}
        for epoch in range(len(past["loss"]))
    ]


def _save_layers(model: Any, mean: np.ndarray, scale: np.ndarray, out: Path) -> None:
    pairs = [layer.get_weights() for layer in model.layers if layer.get_weights()]
    kernel, bias = pairs[0]
    kernel = kernel / scale[:, None]
    pairs[0] = [kernel, bias - mean @ kernel]
    save_layers(pairs, out)


def _moments(rows: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    total, squares = np.zeros(rows.shape[1]), np.zeros(rows.shape[1])
    for start in range(0, len(rows), BLOCK_ROWS):
        block = np.asarray(rows[start : start + BLOCK_ROWS], np.float64)
        total += block.sum(0)
        squares += np.square(block).sum(0)
    mean = total / len(rows)
    deviation = np.sqrt(np.maximum(squares / len(rows) - mean**2, 0))
    return mean.astype(np.float32), np.where(deviation > 1e-6, deviation, 1.0).astype(np.float32)


def _write_rows(features: FeatureSet, indices: np.ndarray, out: Path) -> None:
    file = np.lib.format.open_memmap(out, mode="w+", dtype=np.float32, shape=(len(indices), features.dim))
    for start in range(0, len(indices), BLOCK_ROWS):
        file[start : start + BLOCK_ROWS] = features.rows(indices[start : start + BLOCK_ROWS])
    file.flush()
