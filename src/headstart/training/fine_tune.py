"""Fine-tuning: train the upper blocks of the base on, from the trained head.

This side decides what to train and reads back what came out; :mod:`headstart.training.tail` trains, in a Keras process.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock

from headstart import console, keras_process
from headstart.bases.base import Base, ImageBase
from headstart.bases.blocks import NOMINAL_TOKENS, Block, blocks_above
from headstart.bases.derived import ending_after, with_weights
from headstart.errors import InputError, IntegrityError, counted
from headstart.features.engines import EngineName, Precision, prepare
from headstart.features.extraction import FeatureSet, extract
from headstart.keras_file import Frozen
from headstart.reader import Example, decoded, read_example
from headstart.settings import cache_folder
from headstart.training.head import Head, weights_of_classes
from headstart.training.outputs import wrong
from headstart.training.task import FineTuning, Recipe, Task, load_layers, save_layers

TUNING_VERSION = 3
"""Part of every cache key: raise it when the same job would give other weights."""

AUTO_SHARE = 2 / 3
"""``auto`` trains the uppermost blocks that hold up to this share of the base's arithmetic, and at least half as much.

On flowers far from ImageNet (2,907 pictures, EfficientNet-Lite0 at 128 px) test accuracy rose from .735 for the head
alone to .795 with the last 5 blocks (31 % of the arithmetic), .797 with 7 (45 %) and .824 with 10 (63 %).
"""

AUTO_TIME_LIMIT_S = 15 * 60

_MIN_MISTAKES = 6  # of the head: with fewer, even mending all of them is not significant (McNemar, two-sided, 5 %)
_LITTLE = 1.5  # times the least that any cut in question needs
_DISK_SHARE = 0.5  # of what is free, for views
_AGREEMENT = {"float32": 0.05, "bfloat16": 0.2}
"""Largest difference of a probability between training, in this precision on float16 views, and the finished base on
the pictures. Tensors mixed up or lost give differences near 1."""


@dataclass(frozen=True)
class Tuned:
    """A fine-tuned base and its head.

    Attributes:
        blocks: names of the blocks that were trained, from the pixels on.
        base: the fine-tuned base.
        head: its head.
        held_out: its features of the validation and then the test examples, from the files by the finished base.
        frozen: what was frozen, from before.
        history: rows for ``history.csv``.
        facts: epochs, seconds, sizes, what stopped it …
    """

    blocks: tuple[str, ...]
    base: Base
    head: Head
    held_out: FeatureSet
    frozen: Frozen
    history: tuple[dict[str, Any], ...]
    facts: dict[str, Any]


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
    task: Task,
    head: Head,
    recipe: Recipe,
    tuning: FineTuning,
    *,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
) -> Tuned | NotTried:
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
    why_not = _why_not(base, task, head, tuning)
    if why_not and tuning.blocks != "auto":
        raise InputError(f"--fine-tune {tuning.blocks}: {why_not}")
    if why_not:
        return NotTried(why_not)
    if tuning.blocks == "auto" and tuning.time_limit_s is None:
        tuning = replace(tuning, time_limit_s=AUTO_TIME_LIMIT_S)
    if tuning.precision == "auto":
        tuning = replace(tuning, precision=precision)
    rate, epochs = tuning.learning_rate or base.tuning_rate, tuning.epochs or base.tuning_epochs
    tuning = replace(tuning, learning_rate=rate, epochs=epochs)
    try:
        return _Attempt(base, examples, task, head, recipe, tuning, engine, precision, cache or cache_folder()).run()
    except _NoRoomError as exc:
        if tuning.blocks != "auto":
            raise
        return NotTried(str(exc))


def _why_not(base: Base, task: Task, head: Head, tuning: FineTuning) -> str | None:
    """Why fine-tuning is not worth trying, if so."""
    if base.frozen_because:
        return f"{base.handle} stays frozen: {base.frozen_because}."
    if not len(task.val):
        return "Without validation data nothing tells whether fine-tuning helps: set --val, for instance 0.15."
    if tuning.blocks != "auto":
        return None
    mistakes = int(wrong(task.labels[task.val], head.over(task.features, task.val)).sum())
    if mistakes < _MIN_MISTAKES and tuning.keep != "fine-tuned":
        return (
            f"The head alone makes {counted(mistakes, 'mistake') if mistakes else 'no mistake'} on {len(task.val):,} "
            "validation examples: even if fine-tuning mended every one, no test could tell that from luck."
        )
    if not keras_process.can_train():
        return "No Keras backend that can train is installed: pip install 'headstart[tensorflow]'."
    return None


@dataclass(frozen=True)
class _Attempt:
    """One fine-tuning: what it starts from, and how."""

    base: Base
    examples: Sequence[Example]
    task: Task
    head: Head
    recipe: Recipe
    tuning: FineTuning
    engine: EngineName
    precision: Precision
    cache: Path

    def run(self) -> Tuned | NotTried:
        blocks = prepare(self.base, self.cache, self._probe).blocks
        asked = self.tuning.blocks
        number = _auto(blocks, self._cached, _room(self.cache)) if asked == "auto" else blocks_above(blocks, asked)
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
        about += [self.recipe.dropout, head.class_weights, keras_process.training_backend()]
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
        if below and self.engine != "keras":
            xml = prepare(ending_after(base, below[-1].name), self.cache, self._probe).xml
        what = _span(trained, [*below, *trained]) if below else "all of the base"
        console.note(
            f"fine-tuning {what} on {counted(len(task.train), 'example')}"
            + (f", {views + 1} views of each" if views else "")
            + f"; {needed / 1e6:,.0f} MB in the cache meanwhile"
        )
        save_layers(self.head.layers, work / "start.npz")
        weights = weights_of_classes(task.labels[task.train], task.n_classes, self.recipe.class_weights)
        backend = keras_process.training_backend()
        facts = keras_process.call(
            "headstart.training.tail:train_tail",
            {
                "spec": base.spec.to_json(),
                "fit": base.fit if isinstance(base, ImageBase) else None,
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
            (work / leftover).unlink()
        return None

    def _read_back(self, work: Path, names: tuple[str, ...]) -> Tuned:
        """Open the result as a user would, and see that it computes what was trained."""
        facts = json.loads((work / "facts.json").read_text())
        history, frozen = facts.pop("history"), Frozen(tuple(facts["frozen"].pop("digests")), **facts.pop("frozen"))
        base = with_weights(self.base, work / "tuned.npz")
        head = replace(self.head, layers=load_layers(work / "head.npz"))
        held = np.concatenate([self.task.val, self.task.test])
        held_out = extract(
            base, [self.examples[i] for i in held.tolist()],
            engine=self.engine, precision=self.precision, cache=self.cache, label="checking",
        )  # fmt: skip
        tolerance = _AGREEMENT[facts["precision"]]
        _check_agreement(head.over(held_out, np.arange(len(self.task.val))), np.load(work / "val.npy"), tolerance)
        return Tuned(names, base, head, held_out, frozen, tuple(history), facts)


def _auto(blocks: Sequence[Block], examples: float, room: float) -> int:
    """How many of the uppermost blocks to train: enough to change much, few enough to leave a part that runs only once.

    Of the cuts that leave AUTO_SHARE of the arithmetic or down to half of that above them, the deepest where little has
    to be cached. Where none of them fits into the room there is, fewer blocks.

    Args:
        blocks: of the base.
        examples: arrays to cache.
        room: bytes for them.
    """
    if len(blocks) == 1:
        return 1
    total = sum(block.multiply_adds for block in blocks)
    above = dict(enumerate(accumulate(block.multiply_adds for block in reversed(blocks[1:])), 1))
    allowed = [number for number in above if above[number] <= AUTO_SHARE * total] or [1]
    fitting = [number for number in allowed if blocks[-number - 1].cached_bytes * examples <= room] or allowed
    deep = [number for number in fitting if above[number] >= AUTO_SHARE / 2 * total] or fitting
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


def _check_agreement(finished: np.ndarray, trained: np.ndarray, tolerance: float) -> None:
    difference = float(np.abs(finished - trained).max())
    if not difference <= tolerance:
        raise IntegrityError(
            f"the fine-tuned base, saved and read again, differs from what was trained by {difference:.1e} in a "
            f"probability (tolerance {tolerance}). Nothing was kept; please report this."
        )


def _span(part: Sequence[Block], whole: Sequence[Block]) -> str:
    share = sum(block.params for block in part) / max(sum(block.params for block in whole), 1)
    names = f"block {part[0].name}" if len(part) == 1 else f"{len(part)} blocks, {part[0].name} to {part[-1].name}"
    return f"the last {names} ({share:.0%} of the base's weights),"
