"""``model.keras``: Keras saves each base once as a template; each run then fills in its head without Keras.

To start Keras, build a base and save it takes seconds, and gives the same file for every head of the same shape, except
for the weights of the head. So a Keras process makes the file once, proves that Keras opens a filled copy and computes
what it should, and leaves it in the cache. A run then replaces the weights of the Dense layers (HDF5 data sets), the
number of classes and the last activation (in ``config.json``): that takes a tenth of a second and needs no Keras.

The freeze proof is made here, too: digests of every frozen tensor, taken from the base as Keras loaded it before
anything was trained, are compared with those of the tensors in the finished file.
"""

import hashlib
import json
import tempfile
import zipfile
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.errors import IntegrityError
from headstart.model_files.head_layers import HeadLayers
from headstart.model_files.token_counts import Terms, TokenCounts, count_logits

WEIGHTS, CONFIG, FACTS = "model.weights.h5", "config.json", "headstart.json"

_COUNT_GROUPS = ("layers/embedding", "layers/embedding_1", "layers/embedding_2")
"""The HDF5 groups of the tables of counts: the base is one nested model, so no other Embedding layer is at the top."""

_MAX_DIFFERENCE = 1e-4  # of a probability, between Keras on the filled file and the same head in NumPy


class Frozen(NamedTuple):
    """The frozen tensors of a base whose other tensors are fine-tuned.

    Attributes:
        digests: of each, hex.
        statistics: how many of them are moving means and variances of BatchNormalization.
    """

    digests: tuple[str, ...]
    statistics: int


@dataclass(frozen=True)
class FreezeProof:
    """The base before the run compared with the base in the finished file.

    Attributes:
        tensors: number of frozen tensors.
        statistics: how many of them are moving means and variances of BatchNormalization.
        changed: how many differ: always 0, because others raise an IntegrityError.
        trained: number of tensors of the base that were fine-tuned.
        sha256: over the digests of all frozen tensors, hex.
    """

    tensors: int
    statistics: int
    changed: int
    trained: int
    sha256: str


def make_template(
    base_model: Any,
    units: Sequence[int],
    dropout: float,
    out: Path,
    probe: np.ndarray,
    n_token_ids: int | None = None,
) -> None:
    """Save a base with an empty head, and prove that a filled copy works. In a Keras process.

    Args:
        base_model: Keras model from uint8 pixels, or token ids, to features.
        units: sizes of the hidden Dense layers of the head.
        dropout: rate before each Dense layer when there are hidden ones.
        out: the ``.keras`` to write; the digests of the base go beside it as ``.json``.
        probe: uint8 images (n, h, w, 3), or token ids (n, t), to compare on.
        n_token_ids: all token ids are below it: the copy may then also have counts of tokens. None if it may not.

    Raises:
        IntegrityError: Keras computes other probabilities from the filled file.
    """
    import keras

    x = base_model.output
    for number, size in enumerate(units, 1):
        if dropout:
            x = keras.layers.Dropout(dropout, name=f"head_dropout_{number}")(x)
        x = keras.layers.Dense(size, activation="relu", name=f"head_{number}")(x)
    if units and dropout:
        x = keras.layers.Dropout(dropout, name="predictions_dropout")(x)
    x = keras.layers.Dense(2, activation="softmax", name="predictions")(x)
    keras.Model(base_model.input, x, name="headstart").save(out)

    tensors = [np.asarray(weight) for weight in base_model.weights]
    statistics = sum(weight.path.endswith(("moving_mean", "moving_variance")) for weight in base_model.weights)
    beside = {"before": sorted(map(tensor_digest, tensors)), "statistics": statistics}
    if n_token_ids:
        beside["with_counts"] = _config_with_counts(base_model)
    out.with_suffix(".json").write_text(json.dumps(beside))

    features = np.asarray(base_model.predict(probe, verbose=0))
    rng = np.random.default_rng(0)
    sizes = [features.shape[1], *units, 3]
    kernels = [rng.normal(0, 0.1, pair).astype(np.float32) for pair in pairwise(sizes)]
    counts = _some_counts(probe, n_token_ids, rng) if n_token_ids else None
    head = HeadLayers(tuple((kernel, np.zeros(kernel.shape[1], np.float32)) for kernel in kernels), counts=counts)
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch:
        trial = Path(scratch, "trial.keras")
        fill_template(out, head, {"classes": ["a", "b", "c"]}, trial)
        opened = keras.models.load_model(trial)
        expected = head(features, counts(probe) if counts else 0.0)
        difference = float(np.abs(np.asarray(opened.predict(probe, verbose=0)) - expected).max())
    if not difference <= _MAX_DIFFERENCE:
        raise IntegrityError(
            f"model.keras, opened by Keras, differs from the base and head it was made of by {difference:.1e} in a "
            "probability. Please report this."
        )


def _config_with_counts(base_model: Any) -> Any:
    """The config of the model with a linear head and counts of tokens; all other weights are those of the template."""
    import keras

    logits = keras.layers.Dense(2, name="logits")(base_model.output) + count_logits(base_model.input)
    probabilities = keras.layers.Activation("softmax", name="predictions")(logits)
    return keras.saving.serialize_keras_object(keras.Model(base_model.input, probabilities, name="headstart"))


def _some_counts(ids: np.ndarray, n_token_ids: int, rng: np.random.Generator) -> TokenCounts:
    """Counts of some of the tokens and pairs in texts (n, t), for 3 classes."""
    pairs = np.unique(np.stack([ids[:, :-1].ravel(), ids[:, 1:].ravel()], 1), axis=0)[::2]
    terms = Terms(np.unique(ids)[::2], pairs)
    n = len(terms.tokens) + len(pairs)
    return TokenCounts.of(terms, rng.normal(size=(n, 3)), rng.uniform(1, 5, n), n_token_ids)


def fill_template(
    template: Path, head: HeadLayers, facts: dict[str, Any], out: Path, frozen: Frozen | None = None
) -> FreezeProof:
    """Write ``model.keras``: the template with the weights of a head, and prove that nothing else has changed.

    Args:
        template: from :func:`make_template`, with as many Dense layers as the head has.
        head: the trained head.
        facts: stored inside the file as ``headstart.json``: above all the class names.
        out: the file to write.
        frozen: the tensors of the base that were frozen, from before training; None where all were.

    Raises:
        IntegrityError: a frozen tensor in the finished file differs from the base's.
    """
    import h5py

    beside = json.loads(template.with_suffix(".json").read_text())
    with tempfile.TemporaryDirectory(dir=out.parent) as scratch, zipfile.ZipFile(template) as source:
        weights = Path(source.extract(WEIGHTS, scratch))
        config = beside["with_counts"] if head.counts else json.loads(source.read(CONFIG))
        layers = {layer["name"]: layer["config"] for layer in config["config"]["layers"]}
        with h5py.File(weights, "r+") as file:
            for group, pair in zip(_head_groups(file), head.layers, strict=True):
                for index, values in enumerate(pair):
                    del file[f"{group}/vars/{index}"]
                    file[f"{group}/vars/{index}"] = values
            tables = head.counts.for_keras() if head.counts else {}
            for (name, table), group in zip(tables.items(), _COUNT_GROUPS, strict=False):
                file[f"{group}/vars/0"] = table
                layers[name].update(input_dim=len(table), output_dim=table.shape[1])
        layers["predictions"]["activation"] = head.activation
        layers.get("logits", layers["predictions"])["units"] = head.layers[-1][0].shape[1]
        with zipfile.ZipFile(out, "w", zipfile.ZIP_STORED) as finished:
            for name in source.namelist():
                if name not in (WEIGHTS, CONFIG, FACTS):
                    finished.writestr(name, source.read(name))
            finished.writestr(CONFIG, json.dumps(config))
            finished.write(weights, WEIGHTS)
            finished.writestr(FACTS, json.dumps(facts, ensure_ascii=False, indent=2))
    return freeze_proof(out, beside, frozen)


def freeze_proof(keras_file: Path, base: dict[str, Any], frozen: Frozen | None = None) -> FreezeProof:
    """Compare the tensors in a finished file with the base's digests.

    Args:
        keras_file: the finished file.
        base: the digests of the base in the file, as :func:`make_template` wrote them.
        frozen: the frozen tensors, from before fine-tuning; None where nothing was fine-tuned.

    Raises:
        IntegrityError: any digest differs.
    """
    template, after = Counter(base["before"]), Counter(base_digests(keras_file))
    before = Counter(frozen.digests) if frozen else template
    changed = max(sum((before - after).values()), sum((template - after).values()), sum((after - template).values()))
    return make_proof(
        keras_file, before, changed, sum(after.values()), frozen.statistics if frozen else base["statistics"]
    )


def make_proof(keras_file: Path, before: Counter[str], changed: int, n_after: int, statistics: int) -> FreezeProof:
    """The freeze proof of a finished file.

    Args:
        keras_file: the file.
        before: digests of the frozen tensors, from before training.
        changed: how many of them differ in the file.
        n_after: tensors in the file, without those of a head of Dense layers.
        statistics: how many frozen tensors are moving means and variances of BatchNormalization.

    Raises:
        IntegrityError: any of them differs.
    """
    n_frozen = sum(before.values())
    if changed:
        raise IntegrityError(
            f"{changed} of {n_frozen} frozen tensors in {keras_file} differ from the base's: the base has changed "
            "though it was frozen. Nothing was saved; please report this."
        )
    sha256 = hashlib.sha256("".join(sorted(before.elements())).encode()).hexdigest()
    return FreezeProof(n_frozen, statistics, changed, n_after - n_frozen, sha256)


def base_digests(keras_file: Path, *, with_head: bool = False) -> list[str]:
    """SHA-256 (hex) of every tensor in a ``.keras`` file, by default except those of a head of Dense layers."""
    import h5py

    digests: list[str] = []
    with zipfile.ZipFile(keras_file) as source, tempfile.TemporaryDirectory(dir=keras_file.parent) as scratch:
        weights = source.extract(WEIGHTS, scratch)
        with h5py.File(weights, "r") as file:
            head = () if with_head else tuple(f"{group}/" for group in (*_head_groups(file), *_COUNT_GROUPS))

            def visit(name: str, item: Any) -> None:
                # Random layers store the state of their generator beside the weights; it is no weight.
                if isinstance(item, h5py.Dataset) and not name.startswith(head) and "seed_generator" not in name:
                    digests.append(tensor_digest(np.asarray(item)))

            file.visititems(visit)
    return digests


def _head_groups(file: Any) -> list[str]:
    """The HDF5 groups of the head's Dense layers in order: the base is one nested model, so they are at the top."""
    names = [name for name in file["layers"] if name == "dense" or name.startswith("dense_")]
    return [f"layers/{name}" for name in sorted(names, key=lambda name: int(name[6:] or 0))]


def tensor_digest(tensor: np.ndarray) -> str:
    """Hex SHA-256 over a tensor's type, shape and values."""
    identity = f"{tensor.dtype.str} {tensor.shape}".encode()
    return hashlib.sha256(identity + np.ascontiguousarray(tensor).tobytes()).hexdigest()


def make_template_for(spec: dict[str, Any], units: list[int], dropout: float, out: str, probe: str) -> None:
    """:func:`make_template` with plain data, for a Keras process: the spec of the base, and images in a ``.npy``."""
    from headstart.bases import BaseSpec, load_base

    make_template(load_base(BaseSpec.from_json(spec)).model(), units, dropout, Path(out), np.load(probe))
