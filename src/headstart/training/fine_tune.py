"""Fine-tuning: train the upper blocks of the base on from the trained head, and keep the result only if it earns it.

This side decides what to train and judges what came out; :mod:`headstart.training.tail` trains, in a Keras process.
"""

import hashlib
import json
import math
import os
import shutil
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
from filelock import FileLock

from headstart import console, keras_process
from headstart.bases.base import Base
from headstart.bases.blocks import Block, blocks_above
from headstart.bases.derived import ending_after, with_weights
from headstart.data.images import Decoder
from headstart.errors import InputError, IntegrityError, counted
from headstart.evaluation.compare import Comparison, compare
from headstart.features.augmentation import Pipeline
from headstart.features.engines import EngineName, Precision, prepare
from headstart.features.extraction import FeatureSet, extract
from headstart.features.store import cache_folder
from headstart.training.head import Head, weights_of_classes
from headstart.training.task import FineTuning, Recipe, Task, load_layers, save_layers

TUNING_VERSION = 1
"""Part of every cache key: raise it when the same job would give other weights."""

AUTO_SHARE = 0.4
"""``auto`` trains the uppermost blocks that hold up to this share of the base's arithmetic."""

_MIN_MISTAKES = 6  # of the head: with fewer, even mending all of them is not significant (McNemar, two-sided, 5 %)
_DISK_SHARE = 0.5  # of what is free, for views
_AGREEMENT = 0.05  # of a probability, between training (float16 views) and the finished base on the pictures

Outcome = Literal["kept", "not better", "not tried"]


@dataclass(frozen=True)
class Tuned:
    """What fine-tuning came to.

    Attributes:
        outcome: ``kept``, ``not better`` or ``not tried``.
        reason: in a sentence.
        blocks: names of the blocks that were trained, from the pixels on.
        comparison: with the head alone, on the validation examples: what decides.
        on_test: likewise on the test examples, only to be told.
        base: the fine-tuned base; None where nothing was tried.
        head: its head.
        frozen: digests of the tensors that were frozen, from before.
        history: rows for ``history.csv``.
        facts: epochs, seconds, sizes, what stopped it …
    """

    outcome: Outcome
    reason: str
    blocks: tuple[str, ...] = ()
    comparison: Comparison | None = None
    on_test: Comparison | None = None
    base: Base | None = None
    head: Head | None = None
    frozen: tuple[str, ...] = ()
    history: tuple[dict[str, Any], ...] = ()
    facts: dict[str, Any] = field(default_factory=dict)


def fine_tune(
    base: Base,
    paths: Sequence[Path],
    task: Task,
    head: Head,
    recipe: Recipe,
    tuning: FineTuning,
    pipeline: Pipeline,
    *,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    cache: Path | None = None,
) -> Tuned:
    """Fine-tune a base from a trained head, and compare the two on the validation examples.

    Args:
        base: the frozen base.
        paths: files of all examples.
        task: which of them may be used for what.
        head: the head that was trained on the base's features.
        recipe: how it was trained.
        tuning: how to fine-tune.
        pipeline: the augmentation.
        engine: what runs the frozen part and the finished base.
        precision: of its arithmetic.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: a block that the base does not have, no validation examples, or no room on the disk.
        IntegrityError: something frozen has moved, or the finished base computes something else than what was trained.
        UnavailableError: no Keras backend that can train is installed.
    """
    if tuning.blocks == "none":
        return Tuned("not tried", "")
    folder = cache or cache_folder()
    why_not = _why_not(task, head, tuning)
    if why_not:
        if tuning.blocks != "auto":
            raise InputError(f"--fine-tune {tuning.blocks}: {why_not}")
        return Tuned("not tried", why_not)
    decoder = Decoder(base.input_size, base.fit)
    probe = np.stack([decoder.read(paths[int(i)]) for i in task.train[:4]])
    blocks = prepare(base, folder, probe).blocks
    number = _auto(blocks) if tuning.blocks == "auto" else blocks_above(blocks, tuning.blocks)
    names = tuple(block.name for block in blocks[len(blocks) - number :])
    work = folder / "tuning" / _key(base, task, head, recipe, tuning, pipeline, names)
    work.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{work}.lock"):
        if not (work / "facts.json").exists():
            _train(base, paths, task, head, recipe, tuning, pipeline, blocks, number, work, folder, engine, probe)
    facts = json.loads((work / "facts.json").read_text())
    history, frozen = facts.pop("history"), facts.pop("frozen")
    tuned = with_weights(base, work / "tuned.npz")
    tuned_head = replace(head, layers=load_layers(work / "head.npz"))
    held = np.concatenate([task.val, task.test])
    features = extract(
        tuned, [paths[i] for i in held.tolist()], engine=engine, precision=precision, cache=folder, label="checking"
    )
    before, after = head.over(task.features, held), tuned_head.over(features, np.arange(len(held)))
    n_val = len(task.val)
    _check_agreement(after[:n_val], np.load(work / "val.npy"))
    comparison = compare(task.labels[task.val], before[:n_val], after[:n_val], seed=recipe.seed)
    kept = comparison.favours_second or tuning.keep == "fine-tuned"
    reason = comparison.verdict
    if kept and not comparison.favours_second:
        reason += " It was kept all the same (--keep fine-tuned)."
    return Tuned(
        outcome="kept" if kept else "not better",
        reason=reason,
        blocks=names,
        comparison=comparison,
        on_test=compare(task.labels[task.test], before[n_val:], after[n_val:], seed=recipe.seed)
        if len(task.test)
        else None,
        base=tuned,
        head=tuned_head,
        frozen=tuple(frozen),
        history=tuple(history),
        facts=facts,
    )


def _why_not(task: Task, head: Head, tuning: FineTuning) -> str | None:
    """Why fine-tuning is not worth trying, if so."""
    if not len(task.val):
        return "without validation data nothing tells whether fine-tuning helps: set --val, for instance 0.15."
    if tuning.blocks != "auto" or tuning.keep == "fine-tuned":
        return None
    wrong = int((head.over(task.features, task.val).argmax(1) != task.labels[task.val]).sum())
    if wrong < _MIN_MISTAKES:
        return (
            f"The head alone makes {counted(wrong, 'mistake') if wrong else 'no mistake'} on {len(task.val):,} validation "
            "pictures: even if fine-tuning mended every one, no test could tell that from luck. --fine-tune last:2 "
            "tries it all the same."
        )
    try:
        keras_process.training_backend()
    except Exception as exc:  # noqa: BLE001
        return str(exc)
    return None


def _auto(blocks: Sequence[Block]) -> int:
    """As many of the uppermost blocks as hold up to AUTO_SHARE of the arithmetic; one at least."""
    total, above = sum(block.multiply_adds for block in blocks), 0
    for number, block in enumerate(reversed(blocks)):
        above += block.multiply_adds
        if above > AUTO_SHARE * total:
            return max(1, number)
    return len(blocks)


def _train(
    base: Base,
    paths: Sequence[Path],
    task: Task,
    head: Head,
    recipe: Recipe,
    tuning: FineTuning,
    pipeline: Pipeline,
    blocks: Sequence[Block],
    number: int,
    work: Path,
    cache: Path,
    engine: EngineName,
    probe: np.ndarray,
) -> None:
    """Let a Keras process train; what remains in ``work`` are weights, head, validation probabilities and facts."""
    below = blocks[: len(blocks) - number]
    views = tuning.views if below and pipeline else 0
    size = math.prod(below[-1].shape) * 2 if below else math.prod((*base.input_size, 3))
    needed = size * (len(task.train) * (1 + views) + len(task.val))
    _check_room(cache, needed)
    xml = None
    if below and engine != "keras":
        xml = prepare(ending_after(base, below[-1].name), cache, probe).xml
    save_layers(head.layers, work / "start.npz")
    trained = blocks[len(blocks) - number :]
    console.note(
        f"fine-tuning {_span(trained)} ({_share(trained, blocks)} of the base's weights) on {len(task.train):,} pictures, "
        f"{1 + views} views of each, {needed / 1e6:,.0f} MB in the cache meanwhile"
        if below
        else f"fine-tuning all of the base on {len(task.train):,} pictures"
    )
    weights = weights_of_classes(task.labels[task.train], task.n_classes, recipe.class_weights)
    facts = keras_process.call(
        "headstart.training.tail:train_tail",
        {
            "spec": base.spec.to_json(),
            "fit": base.fit,
            "trained_blocks": number,
            "xml": str(xml) if xml else None,
            "precision": task.features.precision,
            "train": [str(paths[i]) for i in task.train.tolist()],
            "train_labels": task.labels[task.train].tolist(),
            "val": [str(paths[i]) for i in task.val.tolist()],
            "val_labels": task.labels[task.val].tolist(),
            "class_weights": weights.tolist(),
            "recipe": {**asdict(tuning), "views": views},
            "head": str(work / "start.npz"),
            "dropout": recipe.dropout,
            "pipeline": pipeline,
            "seed": recipe.seed,
            "folder": str(work),
        },
        backend=keras_process.training_backend(),
    )
    shutil.rmtree(work / "views")
    for leftover in ("state.npz", "best.npz", "start.npz"):
        (work / leftover).unlink()
    facts |= {"views": views, "cached_mb": round(needed / 1e6, 1), "backend": keras_process.training_backend()}
    partial = work / "facts.partial.json"
    partial.write_text(json.dumps(facts))
    os.replace(partial, work / "facts.json")


def _check_room(cache: Path, needed: int) -> None:
    cache.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(cache).free
    if needed > _DISK_SHARE * free:
        raise InputError(
            f"fine-tuning would need {needed / 1e9:,.1f} GB of the {free / 1e9:,.1f} GB free in {cache}: take fewer "
            "--views, fewer blocks (--fine-tune last:1), or another place for the cache (HEADSTART_CACHE)."
        )


def _check_agreement(finished: np.ndarray, trained: np.ndarray) -> None:
    difference = float(np.abs(finished - trained).max())
    if not difference <= _AGREEMENT:
        raise IntegrityError(
            f"the fine-tuned base, saved and read again, differs from what was trained by {difference:.1e} in a "
            f"probability (tolerance {_AGREEMENT}). Nothing was kept; please report this."
        )


def _key(
    base: Base,
    task: Task,
    head: Head,
    recipe: Recipe,
    tuning: FineTuning,
    pipeline: Pipeline,
    names: Sequence[str],
) -> str:
    ways = {**asdict(tuning), "blocks": list(names), "keep": None}
    about = [TUNING_VERSION, base.digest, base.fit, task.features.key, ways, pipeline, recipe.seed, recipe.dropout]
    material = hashlib.sha256(json.dumps([*about, head.class_weights, keras_process.training_backend()]).encode())
    for indices in (task.train, task.val):
        material.update(b"".join(task.features.digests[i] or b"" for i in indices.tolist()))
        material.update(task.labels[indices].astype("<i8").tobytes())
    for kernel, bias in head.layers:
        material.update(kernel.tobytes() + bias.tobytes())
    return material.hexdigest()[:32]


def _span(blocks: Sequence[Block]) -> str:
    if len(blocks) == 1:
        return f"the last block, {blocks[0].name},"
    return f"the last {len(blocks)} blocks, {blocks[0].name} to {blocks[-1].name},"


def _share(part: Sequence[Block], whole: Sequence[Block]) -> str:
    return f"{sum(block.params for block in part) / max(sum(block.params for block in whole), 1):.0%}"
