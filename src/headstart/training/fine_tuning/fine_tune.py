"""Fine-tuning: train the upper blocks of the base on, from the trained head.

This side decides what to train and reads back what came out; :mod:`headstart.training.fine_tuning.trainer`
trains, in a Keras process.
"""

import hashlib
import json
import logging
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any, ClassVar, NamedTuple

import numpy as np
from filelock import FileLock

from headstart.bases.base import Base, ImageBase
from headstart.bases.blocks import NOMINAL_TOKENS, Block, blocks_above
from headstart.bases.derived import ending_after, with_weights
from headstart.bases.text import TextBase
from headstart.data.labels import is_multi_label
from headstart.data.readers import Example, decoded, read_example
from headstart.data.split import folds
from headstart.data.tokenizers import SubwordTokenizer
from headstart.errors import InputError, IntegrityError, counted
from headstart.features.engines import EngineName, prepare
from headstart.features.extraction import FeatureSet, extract
from headstart.model_files.keras_file import Frozen
from headstart.system import gpu, keras_worker
from headstart.system.settings import Precision, cache_folder
from headstart.training.fine_tuning import lora
from headstart.training.head.head import Head, weights_of_classes
from headstart.training.head.linear import STRENGTHS, solve
from headstart.training.outputs import wrong
from headstart.training.training_data import FineTuneConfig, HeadConfig, TrainingData, load_layers, save_layers

logger = logging.getLogger(__name__)

TUNING_VERSION = 4
"""Part of every cache key: raise it when the same job would give other weights."""

AUTO_SHARE = 2 / 3
"""``auto`` trains the uppermost blocks that hold up to this share of the base's arithmetic, and at least half as much.

On flowers far from ImageNet (2,907 pictures, EfficientNet-Lite0 at 128 px) test accuracy rose from .735 for the head
alone to .795 with the last 5 blocks (31 % of the arithmetic), .797 with 7 (45 %) and .824 with 10 (63 %).
"""

AUTO_TIME_LIMIT_S = 15 * 60

FEW = 64
"""Below so many training examples in every class, encoders of texts are fine-tuned contrastively."""

CONTRASTIVE_EPOCHS = 12

_MIN_SHOTS = 4  # of each class, half of which is trained on when the other half judges
_FOLDS = 2  # each costs about half as much as the training itself
_CONTRASTIVE_SHARE = 1 / 2  # of the base's arithmetic, instead of AUTO_SHARE
_MIN_MISTAKES = 6  # of the head: with fewer, even mending all of them is not significant (McNemar, two-sided, 5 %)
_LITTLE = 1.5  # times the least that any cut in question needs
_DISK_SHARE = 0.5  # of what is free, for views
_AGREEMENT = {"float32": 0.02, "bfloat16": 0.1}
"""By how much the answers about an example may differ, in the mean, between training on float16 views and the finished
base on the pictures, where either computes in this precision. Tensors mixed up or lost give differences near 1."""

_CONTRASTIVE_STRENGTH = 1.0
"""Of the head's regularisation. Cross-validation would choose far too little: these features tell just these examples
apart, for that is what they were trained for."""


class CrossValidated(NamedTuple):
    """Probabilities (n, classes) of the training examples, each by what was trained without its fold.

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
        blocks: names of the blocks that were trained, from the pixels on.
        base: the fine-tuned base.
        head: its head.
        frozen: what was frozen, from before.
        history: rows for ``history.csv``.
        facts: epochs, seconds, sizes, what stopped it …
        held_out: what judges it: its features of the validation and then the test examples, from the files by the
            finished base, or a cross-validation.
        expected: probabilities of the training examples, as trained, which the finished base has still to give.
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
        reason: in a sentence; empty where it was not asked for.
    """

    reason: str


class _NoRoomError(InputError):
    """The views do not fit on the disk."""


def fine_tune(
    base: Base,
    examples: Sequence[Example],
    task: TrainingData,
    head: Head,
    recipe: HeadConfig,
    tuning: FineTuneConfig,
    *,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
) -> FineTuneResult | NotTried:
    """Fine-tune a base from a trained head.

    Args:
        base: the frozen base.
        examples: all of them, files or texts.
        task: which of them may be used for what.
        head: the head that was trained on the base's features.
        recipe: how it was trained.
        tuning: how to fine-tune.
        engine: what runs the frozen part and the finished base.
        precision: of its arithmetic.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: a block that the base does not have, no validation examples, or no room on the disk.
        IntegrityError: something frozen has moved, or the finished base computes something else than what was trained.
        UnavailableError: no Keras backend that can train is installed.
    """
    if tuning.blocks == "none":
        return NotTried("")
    contrastive = _few_texts(base, task, recipe) and (tuning.blocks == "auto" or not len(task.val))
    why_not = _why_not(base, task, head, tuning, contrastive=contrastive)
    if why_not and tuning.blocks != "auto":
        raise InputError(f"--fine-tune {tuning.blocks}: {why_not}")
    if why_not:
        return NotTried(why_not)
    if tuning.blocks == "auto" and tuning.time_limit_s is None:
        tuning = replace(tuning, time_limit_s=AUTO_TIME_LIMIT_S)
    if contrastive:  # too few steps to try out which precision is faster
        tuning = replace(tuning, precision="float32")
    elif tuning.precision == "auto":
        tuning = replace(tuning, precision=precision)
    epochs = tuning.epochs or (CONTRASTIVE_EPOCHS if contrastive else base.tuning_epochs)
    rate = tuning.learning_rate or base.tuning_rate * (lora.FASTER if tuning.lora else 1)
    tuning = replace(tuning, learning_rate=rate, epochs=epochs)
    attempt = _Contrastive if contrastive else _Attempt
    try:
        return attempt(base, examples, task, head, recipe, tuning, engine, precision, cache or cache_folder()).run()
    except _NoRoomError as exc:
        if tuning.blocks != "auto":
            raise
        return NotTried(str(exc))


def check_finished(tuned: FineTuneResult, features: FeatureSet, train: np.ndarray) -> None:
    """See that a fine-tuned base, saved and read again, computes what was trained.

    Args:
        tuned: what was trained.
        features: by the finished base.
        train: the training examples, int (n,).

    Raises:
        IntegrityError: it does not.
    """
    if tuned.expected is not None:
        finished = tuned.head.over(features, train)
        _check_agreement(finished, tuned.expected, tuned.facts["precision"], features.precision)


def _few_texts(base: Base, task: TrainingData, recipe: HeadConfig) -> bool:
    """Whether the training examples are few texts, of which an encoder can learn what makes a class."""
    if not isinstance(base, TextBase) or not isinstance(base.tokenizer, SubwordTokenizer) or recipe.kind != "linear":
        return False
    if is_multi_label(task.labels):
        return False
    counts = np.bincount(task.labels[task.train], minlength=task.n_classes)
    return bool(counts.min() >= _MIN_SHOTS and counts.max() < FEW)


def _why_not(base: Base, task: TrainingData, head: Head, tuning: FineTuneConfig, *, contrastive: bool) -> str | None:
    """Why fine-tuning is not worth trying, if so."""
    if base.frozen_because:
        return f"{base.handle} stays frozen: {base.frozen_because}."
    if not len(task.val) and not contrastive:
        return (
            "Without validation data nothing tells whether fine-tuning helps: set --val, for instance 0.15, without "
            f"--shots. (With {_MIN_SHOTS} to {FEW - 1} texts of every class, cross-validation tells it for an encoder "
            "with a linear head.)"
        )
    if tuning.blocks != "auto":
        return None
    mistakes = int(wrong(task.labels[task.val], head.over(task.features, task.val)).sum())
    if not contrastive and mistakes < _MIN_MISTAKES and tuning.keep != "fine-tuned":
        return (
            f"The head alone makes {counted(mistakes, 'mistake') if mistakes else 'no mistake'} on {len(task.val):,} "
            "validation examples: even if fine-tuning mended every one, no test could tell that from luck."
        )
    if not keras_worker.can_train():
        return "No Keras backend that can train is installed: pip install 'headstart[tensorflow]'."
    return None


@dataclass(frozen=True)
class _Attempt:
    """One fine-tuning: what it starts from, and how."""

    base: Base
    examples: Sequence[Example]
    task: TrainingData
    head: Head
    recipe: HeadConfig
    tuning: FineTuneConfig
    engine: EngineName
    precision: Precision
    cache: Path

    trainer: ClassVar[str] = "headstart.training.fine_tuning.trainer:train_tail"
    share: ClassVar[float] = AUTO_SHARE
    converts: ClassVar[bool] = True  # whether what lies below the cut runs on the engine

    def run(self) -> FineTuneResult | NotTried:
        blocks = prepare(self.base, self.cache, self._probe).blocks
        asked = self.tuning.blocks
        number = (
            _auto(blocks, self._cached, _room(self.cache), self.share)
            if asked == "auto"
            else blocks_above(blocks, asked)
        )
        below, trained = blocks[: len(blocks) - number], blocks[len(blocks) - number :]
        work = self.cache / "tuning" / self._key(trained)
        work.mkdir(parents=True, exist_ok=True)
        with FileLock(f"{work}.lock"):
            why_not = None if (work / "facts.json").exists() else self._train(below, trained, work)
            if why_not:
                return NotTried(why_not)
        return self._read_back(work, tuple(block.name for block in trained))

    @cached_property
    def _probe(self) -> np.ndarray:
        """A few pictures on which a fresh conversion is compared with Keras."""
        return decoded(self.base.reader(), [self.examples[i] for i in self.task.train[:4].tolist()])

    @property
    def _views(self) -> int:
        return self.tuning.views if self.tuning.augment and self.base.modality == "image" else 0

    @property
    def _cached(self) -> float:
        """How many arrays are cached if there is anything below the cut; those of texts in multiples of the nominal."""
        length = self._input_shape[0] / NOMINAL_TOKENS if self.base.modality == "text" else 1
        return length * (len(self.task.train) * (1 + self._views) + len(self.task.val))

    @property
    def _below_by_keras(self) -> bool:
        """Whether Keras runs what lies below the cut: it is about to train in the same process, if it can on a GPU."""
        return self.engine == "keras" or (self.engine == "auto" and gpu.is_usable(self.cache))

    @cached_property
    def _input_shape(self) -> tuple[int, ...]:
        """Of what is read of one example; of a text as long as the longest one."""
        if self.base.modality == "image":
            return self._probe.shape[1:]
        held = np.concatenate([self.task.train, self.task.val]).tolist()
        reader = self.base.reader()
        return (max(len(read_example(reader, self.examples[i])) for i in held),)

    def _key(self, trained: Sequence[Block]) -> str:
        """Identifies everything that the result depends on."""
        task, head = self.task, self.head
        ways = {**asdict(self.tuning), "blocks": [block.name for block in trained], "keep": None}
        about = [TUNING_VERSION, task.features.key, self.base.digest, self.base.input_facts(), ways, self.recipe.seed]
        about += [self.recipe.dropout, head.class_weights, keras_worker.training_backend(), self.trainer]
        material = hashlib.sha256(json.dumps(about).encode())
        for indices in (task.train, task.val):
            material.update(b"".join(task.features.digests[i] or b"" for i in indices.tolist()))
            material.update(task.labels[indices].astype("<i8").tobytes())
        for kernel, bias in head.layers:
            material.update(kernel.tobytes() + bias.tobytes())
        return material.hexdigest()[:32]

    def _train(self, below: Sequence[Block], trained: Sequence[Block], work: Path) -> str | None:
        """Let a Keras process train; what remains in ``work`` are weights, head, validation probabilities and facts.

        Returns:
            Why nothing came out, if so.
        """
        base, task = self.base, self.task
        views = self._views if below else 0
        inputs = math.prod(self._input_shape) * self._probe.itemsize * (len(task.train) + len(task.val))
        needed = round(below[-1].cached_bytes * self._cached) if below else inputs
        _check_room(self.cache, needed)
        xml = None
        if below and self.converts and not self._below_by_keras:
            xml = prepare(ending_after(base, below[-1].name), self.cache, self._probe).xml
        what = _span(trained, [*below, *trained]) if below else "all of the base"
        logger.info(
            f"fine-tuning {what} on {counted(len(task.train), 'example')}"
            + (f", {views + 1} views of each" if views else "")
            + (f", by changes of rank {self.tuning.lora}" if self.tuning.lora else "")
            + f"; {needed / 1e6:,.0f} MB in the cache meanwhile"
        )
        save_layers(self.head.layers, work / "start.npz")
        weights = weights_of_classes(task.labels[task.train], task.n_classes, self.recipe.class_weights)
        backend = keras_worker.training_backend()
        facts = keras_worker.call(
            self.trainer,
            {
                "spec": base.spec.to_json(),
                "resize": base.resize if isinstance(base, ImageBase) else None,
                "input_shape": list(self._input_shape),
                "trained_blocks": len(trained),
                "xml": str(xml) if xml else None,
                "precision": task.features.precision,
                "train": [str(self.examples[i]) for i in task.train.tolist()],
                "train_labels": task.labels[task.train].tolist(),
                "val": [str(self.examples[i]) for i in task.val.tolist()],
                "val_labels": task.labels[task.val].tolist(),
                "class_weights": weights.tolist(),
                "tuning": {**asdict(self.tuning), "views": views},
                "head": str(work / "start.npz"),
                "dropout": self.recipe.dropout,
                "seed": self.recipe.seed,
                "folder": str(work),
                **self._more,
            },
            backend=backend,
        )
        if "gave_up" in facts:
            return str(facts["gave_up"])
        facts |= {"views": views, "cached_mb": round(needed / 1e6, 1), "backend": backend}
        partial = work / "facts.partial.json"
        partial.write_text(json.dumps(facts))
        os.replace(partial, work / "facts.json")
        shutil.rmtree(work / "views")
        for leftover in ("state.npz", "best.npz", "start.npz"):
            (work / leftover).unlink(missing_ok=True)
        return None

    @property
    def _more(self) -> dict[str, Any]:
        """What the trainer takes beside the usual, or in its place."""
        return {}

    def _read_back(self, work: Path, names: tuple[str, ...]) -> FineTuneResult:
        """Open the result as a user would, and see that it computes what was trained."""
        facts = json.loads((work / "facts.json").read_text())
        history, frozen = facts.pop("history"), Frozen(tuple(facts["frozen"].pop("digests")), **facts.pop("frozen"))
        base = with_weights(self.base, work / "tuned.npz")
        head = self.head.with_layers(load_layers(work / "head.npz"))
        held = np.concatenate([self.task.val, self.task.test])
        held_out = extract(
            base, [self.examples[i] for i in held.tolist()],
            engine=self.engine, precision=self.precision, cache=self.cache, label="checking",
        )  # fmt: skip
        of_val = head.over(held_out, np.arange(len(self.task.val)))
        _check_agreement(of_val, np.load(work / "val.npy"), facts["precision"], held_out.precision)
        return FineTuneResult(names, base, head, frozen, tuple(history), facts, held_out)


class _Contrastive(_Attempt):
    """Contrastive fine-tuning on few texts, judged by cross-validation on the same; see :mod:`.contrastive`."""

    trainer = "headstart.training.fine_tuning.contrastive:train_contrastively"
    share = _CONTRASTIVE_SHARE
    converts = False  # takes longer than Keras does for a few texts

    @property
    def _more(self) -> dict[str, Any]:
        return {"folds": self._folds.tolist(), "val": [], "val_labels": []}

    @cached_property
    def _folds(self) -> np.ndarray:
        train = self.task.train
        return folds(self.task.labels[train], self.task.groups[train], _FOLDS, self.recipe.seed)

    def _read_back(self, work: Path, names: tuple[str, ...]) -> FineTuneResult:
        facts = json.loads((work / "facts.json").read_text())
        frozen = Frozen(tuple(facts["frozen"].pop("digests")), **facts.pop("frozen"))
        rounds, as_it_was = np.load(work / "features.npy"), self.task.features.rows(self.task.train)
        judged = CrossValidated(self._cross_validate([as_it_was] * _FOLDS, STRENGTHS), self._cross_validate(rounds))
        head = self._solve(rounds[-1], np.arange(len(as_it_was)), (_CONTRASTIVE_STRENGTH,))
        head = replace(head, out_of_fold=judged.after)
        return FineTuneResult(
            names, with_weights(self.base, work / "tuned.npz"), head, frozen, (), facts, judged,
            expected=head(rounds[-1]),
        )  # fmt: skip

    def _cross_validate(
        self, rounds: Sequence[np.ndarray], strengths: Sequence[float] = (_CONTRASTIVE_STRENGTH,)
    ) -> np.ndarray:
        """Probabilities (n, classes) of every example by the head of the round that its fold had no part in."""
        out = np.empty((len(self._folds), self.task.n_classes), np.float32)
        for number, features in zip(range(_FOLDS), rounds, strict=False):
            out_of_it = self._folds == number
            out[out_of_it] = self._solve(features, np.flatnonzero(~out_of_it), strengths)(features[out_of_it])
        return out

    def _solve(self, features: np.ndarray, members: np.ndarray, strengths: Sequence[float]) -> Head:
        task, mine = self.task, self.task.train[members]
        weights = weights_of_classes(task.labels[mine], task.n_classes, self.recipe.class_weights)
        solved = solve(
            features.__getitem__, members, task.labels[mine], task.n_classes,
            groups=task.groups[mine], class_weights=weights, seed=self.recipe.seed, strengths=strengths,
        )  # fmt: skip
        return replace(self.head.with_layers(((solved.kernel, solved.bias),)), strength=solved.strength)


def _auto(blocks: Sequence[Block], examples: float, room: float, share: float) -> int:
    """How many of the uppermost blocks to train: enough to change much, few enough to leave a part that runs only once.

    Of the cuts that leave a share of the arithmetic or down to half of that above them, the deepest where little has
    to be cached. Where none of them fits into the room there is, fewer blocks.

    Args:
        blocks: of the base.
        examples: arrays to cache.
        room: bytes for them.
        share: such as AUTO_SHARE.
    """
    if len(blocks) == 1:
        return 1
    total = sum(block.multiply_adds for block in blocks)
    above = dict(enumerate(accumulate(block.multiply_adds for block in reversed(blocks[1:])), 1))
    allowed = [number for number in above if above[number] <= share * total] or [1]
    fitting = [number for number in allowed if blocks[-number - 1].cached_bytes * examples <= room] or allowed
    deep = [number for number in fitting if above[number] >= share / 2 * total] or fitting
    least = min(blocks[-number - 1].cached_bytes for number in deep)
    return max(number for number in deep if blocks[-number - 1].cached_bytes <= _LITTLE * least)


def _room(cache: Path) -> float:
    """Bytes that views may take; those that a killed run left count as free, so that going on decides as it did."""
    cache.mkdir(parents=True, exist_ok=True)
    left = sum(file.stat().st_size for file in cache.glob("tuning/*/views/*.npy"))
    return _DISK_SHARE * (shutil.disk_usage(cache).free + left)


def _check_room(cache: Path, needed: int) -> None:
    room = _room(cache)
    if needed > room:
        raise _NoRoomError(
            f"fine-tuning would need {needed / 1e9:,.1f} GB of the {room / _DISK_SHARE / 1e9:,.1f} GB free in {cache}: "
            "take fewer --views, fewer blocks (--fine-tune last:1), or another place for the cache (HEADSTART_CACHE)."
        )


def _check_agreement(finished: np.ndarray, trained: np.ndarray, *precisions: str) -> None:
    """Compare answers; about each example by the probability that differs most."""
    difference = float(np.abs(finished - trained).max(1).mean())
    tolerance = max(_AGREEMENT[precision] for precision in precisions)
    if not difference <= tolerance:
        raise IntegrityError(
            f"the fine-tuned base, saved and read again, differs from what was trained by {difference:.1e} in its "
            f"probabilities (tolerance {tolerance}). Nothing was kept; please report this."
        )


def _span(part: Sequence[Block], whole: Sequence[Block]) -> str:
    share = sum(block.params for block in part) / max(sum(block.params for block in whole), 1)
    names = f"block {part[0].name}" if len(part) == 1 else f"{len(part)} blocks, {part[0].name} to {part[-1].name}"
    return f"the last {names} ({share:.0%} of the base's weights),"
