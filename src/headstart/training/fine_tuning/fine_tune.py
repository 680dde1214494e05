"""Fine-tuning: train the upper blocks of the base, starting from the trained head.

This module decides what to train and reads the result; :mod:`headstart.training.fine_tuning.trainer` trains, in a Keras
process.
"""

import hashlib
import json
import logging
import math
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np

from headstart.bases.base import Base
from headstart.bases.blocks import NOMINAL_TOKENS, Block, count_trained_blocks
from headstart.bases.derived import truncate_after, with_tuned_weights
from headstart.config import FineTuneConfig, HeadConfig
from headstart.data.examples import Example
from headstart.data.readers import decode_example, decode_examples
from headstart.data.split import folds
from headstart.errors import InputError, IntegrityError, counted
from headstart.features.augmentation import to_pipeline
from headstart.features.engines import EngineName, prepare
from headstart.features.extraction import FeatureSet, extract
from headstart.model_files.head_layers import load_layers, save_layers
from headstart.model_files.keras_file import Frozen
from headstart.system import gpu, keras_worker
from headstart.system.atomic import atomic_file
from headstart.system.checksums import CHECKSUMS, is_intact, write_checksums
from headstart.system.locks import own_folder
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import Precision, cache_folder
from headstart.tasks.registry import is_in_every_process
from headstart.training.fine_tuning import lora
from headstart.training.fine_tuning.checkpoints import BEST_FILE, STATE_FILE
from headstart.training.head.head import Head
from headstart.training.head.linear import L2_GRID, solve
from headstart.training.training_data import TrainingData

logger = logging.getLogger(__name__)

TUNING_VERSION = 5
"""Part of every cache key: raise it when the same job would give other weights or another history."""

AUTO_SHARE = 2 / 3
"""``auto`` trains the uppermost blocks with at most this share of the base's arithmetic, and at least half of that.

On flowers far from ImageNet (2,907 images, EfficientNet-Lite0 at 128 px) test accuracy rose from .735 for the head
alone to .795 with the last 5 blocks (31 % of the arithmetic), .797 with 7 (45 %) and .824 with 10 (63 %).
"""

AUTO_TIME_LIMIT_S = 15 * 60

FEW = 64
"""With fewer training examples than this in every class, text encoders are fine-tuned contrastively."""

CONTRASTIVE_EPOCHS = 12

_MIN_SHOTS = 4  # of each class: the encoder trains on one half and is evaluated on the other
_FOLDS = 2  # each costs about half as much as the training itself
_CONTRASTIVE_SHARE = 1 / 2  # of the base's arithmetic, instead of AUTO_SHARE
_MIN_MISTAKES = 6  # of the head: with fewer, fixing all of them is not significant (McNemar, two-sided, 5 %)
_SMALL_FACTOR = 1.5  # times the smallest cache that any of the possible boundaries needs
_DISK_SHARE = 0.5  # of what is free, for views
_TOLERANCE = {"float32": 0.02, "bfloat16": 0.1}
"""Largest mean difference between the probabilities in training, on float16 views, and those of the finished base on
the examples themselves, where either computes in this precision. Lost or exchanged tensors give differences near 1."""

_CONTRASTIVE_L2 = 1.0
"""Regularisation of the head. Cross-validation would choose far too little: the features were trained to separate
exactly these examples."""


class CrossValidated(NamedTuple):
    """Probabilities (n, classes) of the training examples, each by a model that was trained without its fold.

    Attributes:
        before: by the head alone.
        after: after fine-tuning.
    """

    before: np.ndarray
    after: np.ndarray


@dataclass(frozen=True)
class FineTuneResult:
    """A fine-tuned base and its head.

    Attributes:
        blocks: names of the blocks that were trained, the lowest one first.
        base: the fine-tuned base.
        head: its head.
        frozen: digests of what was frozen, from before training.
        history: rows for ``history.csv``.
        facts: epochs, seconds, sizes, why training stopped …
        held_out: what it is evaluated on: the features of the validation and then of the test examples, by the finished
            base from the files; or a cross-validation.
        expected: probabilities of the training examples in training, which the finished base must reproduce.
    """

    blocks: tuple[str, ...]
    base: Base
    head: Head
    frozen: Frozen
    history: tuple[dict[str, Any], ...]
    facts: dict[str, Any]
    held_out: FeatureSet | CrossValidated
    expected: np.ndarray | None = None


@dataclass(frozen=True)
class NotTried:
    """Fine-tuning was not tried.

    Attributes:
        reason: one sentence; empty where fine-tuning was switched off.
    """

    reason: str


class _DiskSpaceError(InputError):
    """The views do not fit on the disk."""


def fine_tune(
    base: Base,
    examples: Sequence[Example],
    data: TrainingData,
    head: Head,
    head_config: HeadConfig,
    config: FineTuneConfig,
    *,
    best: tuple[TrainingData, Head] | None = None,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> FineTuneResult | NotTried:
    """Fine-tune a base from a trained head.

    Args:
        base: the frozen base.
        examples: all examples, files or texts.
        data: the features and labels of the examples, and the split.
        head: the head that was trained on the base's features.
        head_config: how the head was trained.
        config: how to fine-tune.
        best: the best head so far and the examples with its features, where that is another one.
        engine: runs the frozen part and the finished base.
        precision: of its arithmetic.
        cache: the cache folder; None means the user's.
        progress: follows the work.

    Returns:
        The result, or why fine-tuning was not tried.

    Raises:
        InputError: a block that the base does not have, no validation examples, or too little disk space.
        IntegrityError: something frozen has changed, or the finished base differs from what was trained.
        UnavailableError: no Keras backend that can train is installed.
    """
    if config.fine_tune == "none":
        return NotTried("")
    config = replace(config, augment=to_pipeline(config.augment))
    contrastive = _few_texts(base, data, head_config) and (config.fine_tune == "auto" or not len(data.val))
    best_data, best_head = best or (data, head)
    obstacle = _obstacle(base, best_data, best_head, config, contrastive=contrastive)
    if obstacle and config.fine_tune != "auto":
        raise InputError(f"{config.fine_tune} is not possible. {obstacle}", field="fine_tune")
    if obstacle:
        return NotTried(obstacle)
    if config.fine_tune == "auto" and config.time_limit is None:
        config = replace(config, time_limit=AUTO_TIME_LIMIT_S)
    if contrastive:  # too few steps to measure which precision is faster
        config = replace(config, fine_tune_precision="float32")
    elif config.fine_tune_precision == "auto":
        config = replace(config, fine_tune_precision=precision)
    attempt = _ContrastiveAttempt if contrastive else _Attempt
    if len(data.val):
        _log_first_figure(best_data, best_head)
    try:
        return attempt(
            base, examples, data, head, head_config, config, engine, precision, cache or cache_folder(), progress,
            best_data.features,
        ).run()  # fmt: skip
    except _DiskSpaceError as exc:
        if config.fine_tune != "auto":
            raise
        return NotTried(str(exc))


def _log_first_figure(data: TrainingData, head: Head) -> None:
    """How good the head is: known minutes before the end of fine-tuning."""
    metric, names = data.task.deciding, [str(number) for number in range(data.n_classes)]
    figures = data.task.evaluate(data.labels[data.val], head.over(data.features, data.val), names, None)
    logger.info(
        f"with the head alone: validation {metric.in_text} {metric.format(figures[metric.name])} on "
        f"{counted(len(data.val), 'example')}; now fine-tuning"
    )


def check_finished(tuned: FineTuneResult, features: FeatureSet, train: np.ndarray) -> None:
    """Check that a fine-tuned base, saved and read again, reproduces the probabilities of training.

    Args:
        tuned: the result of training.
        features: of all examples, by the finished base.
        train: the training examples, int (n,).

    Raises:
        IntegrityError: it does not.
    """
    if tuned.expected is not None:
        finished = tuned.head.over(features, train)
        _check_agreement(finished, tuned.expected, tuned.facts["precision"], features.precision)


def _few_texts(base: Base, data: TrainingData, head_config: HeadConfig) -> bool:
    """Whether there are only a few training texts per class, and an encoder that can learn from them."""
    groups = data.task.contrastive_groups(data.labels[data.train])
    if not base.can_learn_contrastively or head_config.kind != "linear" or groups is None:
        return False
    counts = data.task.counts(data.labels[data.train], data.n_classes)
    return bool(counts.min() >= _MIN_SHOTS and counts.max() < FEW)


def _obstacle(base: Base, data: TrainingData, head: Head, config: FineTuneConfig, *, contrastive: bool) -> str | None:
    """Why fine-tuning is impossible or not worth trying; None where it is."""
    if base.frozen_reason:
        return f"{base.handle} stays frozen: {base.frozen_reason}."
    if not is_in_every_process(data.task):
        return (
            f"The task {data.task.name} is registered in this process only, and fine-tuning runs in another one: name "
            "the task in the entry points of a package (headstart.tasks)."
        )
    if not len(data.val) and not contrastive:
        return (
            "Validation examples must show whether fine-tuning helps, and there are none: use a part of the data for "
            "validation, such as 15 %, and all training examples instead of a few of each class. (With "
            f"{_MIN_SHOTS} to {FEW - 1} texts of every class, a text encoder and a linear head, cross-validation takes "
            "their place.)"
        )
    if config.fine_tune != "auto":
        return None
    mistakes = int(data.task.mistakes(data.labels[data.val], head.over(data.features, data.val)).sum())
    if not contrastive and mistakes < _MIN_MISTAKES and config.keep != "fine-tuned":
        return (
            f"The head alone makes {counted(mistakes, 'mistake') if mistakes else 'no mistake'} on {len(data.val):,} "
            "validation examples: even if fine-tuning fixed all of them, the difference would not be significant."
        )
    if not keras_worker.can_train():
        return "No Keras backend that can train is installed: pip install 'headstart[tensorflow]'."
    return None


@dataclass(frozen=True)
class _Attempt:
    """One fine-tuning: what it starts from, and how it is done."""

    base: Base
    examples: Sequence[Example]
    data: TrainingData
    head: Head
    head_config: HeadConfig
    config: FineTuneConfig
    engine: EngineName
    precision: Precision
    cache: Path
    progress: Progress
    best_features: FeatureSet

    trainer: ClassVar[str] = "headstart.training.fine_tuning.trainer:train"
    share: ClassVar[float] = AUTO_SHARE
    converts: ClassVar[bool] = True  # whether the frozen part runs on the engine

    def run(self) -> FineTuneResult | NotTried:
        blocks = prepare(self.base, self.cache, self._probe).blocks
        if self.config.fine_tune == "auto":
            number = _auto_blocks(blocks, self._cached_arrays, _free_bytes(self.cache), self.share)
        else:
            number = count_trained_blocks(blocks, self.config.fine_tune)
        frozen, trained = blocks[: len(blocks) - number], blocks[len(blocks) - number :]
        with own_folder(self.cache / "tuning" / self._key(trained), "doing the same fine-tuning") as work:
            is_finished = (work / CHECKSUMS).exists() and is_intact(work)
            work.mkdir(exist_ok=True)
            reason = None if is_finished else self._train(frozen, trained, work)
            if reason:
                return NotTried(reason)
            return self._read_result(work, tuple(block.name for block in trained))

    @cached_property
    def _probe(self) -> np.ndarray:
        """A few images or texts on which a new conversion is compared with Keras."""
        return decode_examples(self.base.reader(), [self.examples[i] for i in self.data.train[:4].tolist()])

    @property
    def _views(self) -> int:
        return self.config.views if self.config.augment and self.base.modality.has_pixels else 0

    @property
    def _cached_arrays(self) -> float:
        """Number of arrays that are cached where a part is frozen; of texts in arrays of NOMINAL_TOKENS tokens."""
        length = self._input_shape[0] / NOMINAL_TOKENS if not self.base.modality.has_pixels else 1
        return length * (len(self.data.train) * (1 + self._views) + len(self.data.val))

    @property
    def _frozen_part_by_keras(self) -> bool:
        """Whether Keras runs the frozen part: on a GPU, where it trains in the same process, that is faster."""
        return self.engine == "keras" or (self.engine == "auto" and gpu.is_usable(self.cache))

    @cached_property
    def _input_shape(self) -> tuple[int, ...]:
        """Shape of one example as the reader gives it; of texts that of the longest one."""
        if self.base.modality.has_pixels:
            return self._probe.shape[1:]
        indices = np.concatenate([self.data.train, self.data.val]).tolist()
        reader = self.base.reader()
        return (max(len(decode_example(reader, self.examples[i])) for i in indices),)

    @property
    def _epochs(self) -> int:
        return self.config.fine_tune_epochs or self.base.fine_tune_epochs

    @property
    def _learning_rate(self) -> float:
        return self.config.learning_rate or self.base.fine_tune_learning_rate * (
            lora.RATE_FACTOR if self.config.lora else 1
        )

    def _key(self, trained: Sequence[Block]) -> str:
        """Identifies everything that the result depends on."""
        data, head = self.data, self.head
        config = {**asdict(self.config), "fine_tune": [block.name for block in trained], "keep": None}
        facts = [
            TUNING_VERSION,
            data.features.key,
            self.base.digest,
            self.base.input_facts(),
            config,
            self.head_config.seed,
        ]
        facts += [self.head_config.dropout, head.class_weights, keras_worker.training_backend(), self.trainer]
        facts += [self._epochs, self._learning_rate]
        material = hashlib.sha256(json.dumps(facts).encode())
        for indices in (data.train, data.val):
            material.update(b"".join(data.features.digests[i] or b"" for i in indices.tolist()))
            material.update(data.labels[indices].astype("<i8").tobytes())
        for kernel, bias in head.layers:
            material.update(kernel.tobytes() + bias.tobytes())
        return material.hexdigest()[:32]

    def _train(self, frozen: Sequence[Block], trained: Sequence[Block], work: Path) -> str | None:
        """Train in a Keras process; weights, head, validation probabilities and facts are in ``work`` afterwards.

        Returns:
            Why there is no result; None where there is one.
        """
        base, data = self.base, self.data
        views = self._views if frozen else 0
        inputs = math.prod(self._input_shape) * self._probe.itemsize * (len(data.train) + len(data.val))
        n_bytes = round(frozen[-1].cached_bytes * self._cached_arrays) if frozen else inputs
        _check_disk_space(self.cache, n_bytes)
        xml = None
        if frozen and self.converts and not self._frozen_part_by_keras:
            xml = prepare(truncate_after(base, frozen[-1].name), self.cache, self._probe).xml
        part = _describe_blocks(trained, [*frozen, *trained]) if frozen else "all of the base"
        logger.info(
            f"fine-tuning {part} on {counted(len(data.train), 'example')}"
            + (f", {views + 1} views of each" if views else "")
            + (f", by changes of rank {self.config.lora}" if self.config.lora else "")
            + f"; {n_bytes / 1e6:,.0f} MB in the cache while it runs"
        )
        save_layers(self.head.layers, work / "start.npz")
        weights = data.task.class_weights(data.labels[data.train], data.n_classes, self.head_config.class_weights)
        backend = keras_worker.training_backend()
        facts = keras_worker.call(
            self.trainer,
            {
                "spec": base.spec.to_json(),
                "resize": base.input_facts().get("resize"),
                "input_shape": list(self._input_shape),
                "trained_blocks": len(trained),
                "xml": str(xml) if xml else None,
                "precision": data.features.precision,
                "task": data.task.name,
                "train": [self.examples[i].to_json() for i in data.train.tolist()],
                "train_digests": self._digests(data.train),
                "train_labels": data.labels[data.train].tolist(),
                "val": [self.examples[i].to_json() for i in data.val.tolist()],
                "val_digests": self._digests(data.val),
                "val_labels": data.labels[data.val].tolist(),
                "class_weights": weights.tolist(),
                "config": {**asdict(self.config), "views": views},
                "learning_rate": self._learning_rate,
                "epochs": self._epochs,
                "head": str(work / "start.npz"),
                "dropout": self.head_config.dropout,
                "seed": self.head_config.seed,
                "folder": str(work),
                **self._extra_arguments,
            },
            backend=backend,
            progress=self.progress,
        )
        if "no_result" in facts:
            return str(facts["no_result"])
        facts |= {"views": views, "cached_mb": round(n_bytes / 1e6, 1), "backend": backend}
        with atomic_file(work / "facts.json", durable=True) as path:
            path.write_text(json.dumps(facts))
        shutil.rmtree(work / "views")
        for name in (STATE_FILE, BEST_FILE, "start.npz"):
            (work / name).unlink(missing_ok=True)
        write_checksums(work)
        return None

    def _digests(self, indices: np.ndarray) -> list[str]:
        """Content digests of examples, hex."""
        return [(self.data.features.digests[i] or b"").hex() for i in indices.tolist()]

    @property
    def _extra_arguments(self) -> dict[str, Any]:
        """Arguments of this trainer alone, and those that it takes instead of the common ones."""
        return {}

    def _read_result(self, work: Path, names: tuple[str, ...]) -> FineTuneResult:
        """Open the result as a user would, and check that it reproduces the probabilities of training."""
        facts = json.loads((work / "facts.json").read_text())
        history, frozen = facts.pop("history"), Frozen(tuple(facts["frozen"].pop("digests")), **facts.pop("frozen"))
        base = with_tuned_weights(self.base, work / "tuned.npz")
        head = self.head.with_layers(load_layers(work / "head.npz"))
        indices = np.concatenate([self.data.val, self.data.test])
        held_out = extract(
            base, [self.examples[i] for i in indices.tolist()],
            engine=self.engine, precision=self.precision, cache=self.cache, label="checking",
            progress=self.progress,
        )  # fmt: skip
        of_val = head.over(held_out, np.arange(len(self.data.val)))
        _check_agreement(of_val, np.load(work / "val.npy"), facts["precision"], held_out.precision)
        return FineTuneResult(names, base, head, frozen, tuple(history), facts, held_out)


class _ContrastiveAttempt(_Attempt):
    """Contrastive fine-tuning on a few texts, evaluated by cross-validation on them; see :mod:`.contrastive`."""

    trainer = "headstart.training.fine_tuning.contrastive:train_contrastively"
    share = _CONTRASTIVE_SHARE
    converts = False  # a conversion takes longer than Keras takes for a few texts

    @property
    def _epochs(self) -> int:
        return self.config.fine_tune_epochs or CONTRASTIVE_EPOCHS

    @property
    def _extra_arguments(self) -> dict[str, Any]:
        return {"folds": self._folds.tolist(), "val": [], "val_digests": [], "val_labels": []}

    @cached_property
    def _folds(self) -> np.ndarray:
        train = self.data.train
        return folds(self.data.task, self.data.labels[train], self.data.groups[train], _FOLDS, self.head_config.seed)

    def _read_result(self, work: Path, names: tuple[str, ...]) -> FineTuneResult:
        facts = json.loads((work / "facts.json").read_text())
        frozen = Frozen(tuple(facts["frozen"].pop("digests")), **facts.pop("frozen"))
        rounds, original = np.load(work / "features.npy"), self.best_features.rows(self.data.train)
        probabilities = CrossValidated(self._cross_validate([original] * _FOLDS, L2_GRID), self._cross_validate(rounds))
        head = self._solve(rounds[-1], np.arange(len(original)), (_CONTRASTIVE_L2,))
        head = replace(head, out_of_fold=probabilities.after)
        return FineTuneResult(
            names, with_tuned_weights(self.base, work / "tuned.npz"), head, frozen, (), facts, probabilities,
            expected=head(rounds[-1]),
        )  # fmt: skip

    def _cross_validate(
        self, rounds: Sequence[np.ndarray], l2_grid: Sequence[float] = (_CONTRASTIVE_L2,)
    ) -> np.ndarray:
        """Probabilities (n, classes) of every example by the head of the round that was trained without its fold."""
        out = np.empty((len(self._folds), self.data.n_classes), np.float32)
        for number, features in zip(range(_FOLDS), rounds, strict=False):
            in_fold = self._folds == number
            out[in_fold] = self._solve(features, np.flatnonzero(~in_fold), l2_grid)(features[in_fold])
        return out

    def _solve(self, features: np.ndarray, members: np.ndarray, l2_grid: Sequence[float]) -> Head:
        data, indices = self.data, self.data.train[members]
        weights = data.task.class_weights(data.labels[indices], data.n_classes, self.head_config.class_weights)
        solved = solve(
            features.__getitem__, members, data.labels[indices], data.n_classes, task=data.task,
            groups=data.groups[indices], class_weights=weights, seed=self.head_config.seed, l2_grid=l2_grid,
        )  # fmt: skip
        return replace(self.head.with_layers(((solved.kernel, solved.bias),)), l2=solved.l2)


def _auto_blocks(blocks: Sequence[Block], arrays: float, free_bytes: float, share: float) -> int:
    """How many of the uppermost blocks to train: enough to change much, with a frozen part that runs only once.

    Considered are all numbers of blocks that together have between half of a share and the whole share of the base's
    arithmetic. Of those with a small cache, the largest number is taken. Where none fits on the disk, fewer blocks are
    trained.

    Args:
        blocks: of the base.
        arrays: number of arrays to cache.
        free_bytes: disk space for them.
        share: such as AUTO_SHARE.
    """
    if len(blocks) == 1:
        return 1
    total = sum(block.multiply_adds for block in blocks)
    above = dict(enumerate(accumulate(block.multiply_adds for block in reversed(blocks[1:])), 1))
    allowed = [number for number in above if above[number] <= share * total] or [1]
    fitting = [number for number in allowed if blocks[-number - 1].cached_bytes * arrays <= free_bytes] or allowed
    deep = [number for number in fitting if above[number] >= share / 2 * total] or fitting
    smallest = min(blocks[-number - 1].cached_bytes for number in deep)
    return max(number for number in deep if blocks[-number - 1].cached_bytes <= _SMALL_FACTOR * smallest)


def _free_bytes(cache: Path) -> float:
    """Bytes that views may take; those of a killed run count as free, so that it resumes with the same decision."""
    cache.mkdir(parents=True, exist_ok=True)
    cached_bytes = sum(file.stat().st_size for file in cache.glob("tuning/*/views/*.npy"))
    return _DISK_SHARE * (shutil.disk_usage(cache).free + cached_bytes)


def _check_disk_space(cache: Path, n_bytes: int) -> None:
    free_bytes = _free_bytes(cache)
    if n_bytes > free_bytes:
        raise _DiskSpaceError(
            f"Fine-tuning needs {n_bytes / 1e9:,.1f} GB, and may use {_DISK_SHARE:.0%} of the "
            f"{free_bytes / _DISK_SHARE / 1e9:,.1f} GB that are free in {cache}: use fewer views of each example, "
            "train fewer blocks, or set HEADSTART_CACHE to a folder on another disk."
        )


def _check_agreement(finished: np.ndarray, trained: np.ndarray, *precisions: str) -> None:
    """Compare probabilities (n, classes); the difference of an example is that of the class that differs most."""
    difference = float(np.abs(finished - trained).max(1).mean())
    tolerance = max(_TOLERANCE[precision] for precision in precisions)
    if not difference <= tolerance:
        raise IntegrityError(
            f"the fine-tuned base, saved and read again, differs from training by {difference:.1e} in its "
            f"probabilities (tolerance {tolerance}). Nothing was saved; please report this."
        )


def _describe_blocks(trained: Sequence[Block], blocks: Sequence[Block]) -> str:
    share = sum(block.params for block in trained) / max(sum(block.params for block in blocks), 1)
    first, last = trained[0].name, trained[-1].name
    names = f"block {first}" if len(trained) == 1 else f"{len(trained)} blocks, {first} to {last}"
    return f"the last {names} ({share:.0%} of the base's weights),"
