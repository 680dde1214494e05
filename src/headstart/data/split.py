"""Splits the examples into train, val and test: stratified by class, seeded, and groups stay together.

What must stay together is a *group*: a patient, a video, a scene, or examples that are the same or nearly so. The order
in which groups are assigned comes from a hash of seed and content. So neither file names nor new examples change the
split of other examples; only in multi-label data new examples move some of them.
"""

import hashlib
from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from headstart.data.audit import Finding, Occurrence
from headstart.data.audit.checks import has_have
from headstart.data.audit.copies import KEPT_FIRST, groups_of
from headstart.data.components import components
from headstart.data.dataset import Dataset
from headstart.data.example_rows import Skipped
from headstart.data.split_names import SPLITS
from headstart.errors import InputError, counted, field_name
from headstart.tasks import Task

FEW_TRAIN = 2
"""With fewer training examples, a class is not learned, or hardly."""

_MIN_WITHOUT = 2  # training examples without a class, where it is learned from them, too
_MAX_NAMED = 5  # classes in a sentence; the finding lists all of them
_IN_TURNS = 10  # of each class, however rare
_LARGEST_SHARE = 5  # a group of near-duplicates that is more than a fifth of a class is split nevertheless


def group_ids(
    groups: Sequence[str] | None, digests: Sequence[Hashable], pairs: Iterable[tuple[int, int]] = ()
) -> np.ndarray:
    """Number the groups. Examples with the same group name or content are in one group, also through other examples.

    Args:
        groups: name of the group of each example, if there are any.
        digests: content digest of each.
        pairs: of examples that belong together for another reason.

    Returns:
        int64 (n,), from 0 in the order of first appearance.
    """
    first: dict[tuple[str, Hashable], int] = {}
    connected = list(pairs)
    for i, digest in enumerate(digests):
        connected.append((first.setdefault(("bytes", digest), i), i))
        if groups is not None:
            connected.append((first.setdefault(("group", groups[i]), i), i))
    return components(len(digests), connected)


def split(
    task: Task,
    labels: np.ndarray,
    *,
    groups: np.ndarray,
    keys: Sequence[bytes],
    given_splits: Sequence[str] | None = None,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """Assign examples to train, val and test.

    A split that comes with the data is kept; if it has no ``val``, that is taken from its ``train``. Examples that come
    without a split are split among themselves; those of a group with a split get that split.

    Args:
        task: what is predicted.
        labels: an array (n, …) as the task encodes them.
        groups: int (n,), see :func:`group_ids`.
        keys: content digest of each example.
        given_splits: the split that comes with the data, an empty string for each example without; None if there is
            no split.
        val: fraction of all examples (of the given ``train``, if there is one).
        test: fraction of all examples; a given split without ``test`` stays without.
        seed: of the order in which groups are assigned.

    Returns:
        Array of str (n,): ``train``, ``val`` or ``test``.

    Raises:
        InputError: fractions that leave nothing to train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise InputError(
            f"{field_name('val', f'{val:g}')} and {field_name('test', f'{test:g}')}: expected fractions that leave "
            "examples to train on."
        )
    if given_splits is not None:
        splits = np.array(given_splits, dtype="<U5")
        if (splits == "").any():
            return _completed(task, splits, labels, groups=groups, keys=keys, val=val, test=test, seed=seed)
        if "val" in given_splits or not val:
            return splits
        train = np.flatnonzero(splits == "train")
        ranks = _group_ranks(groups[train], [keys[i] for i in train.tolist()], seed)
        numbers = task.assign_groups(labels[train], groups[train], np.array([1 - val, val]), ranks)
        splits[train[numbers == 1]] = "val"
        return splits
    fractions = np.array([1 - val - test, val, test])
    return np.array(SPLITS)[task.assign_groups(labels, groups, fractions, _group_ranks(groups, keys, seed))]


def _completed(
    task: Task, splits: np.ndarray, labels: np.ndarray, *, groups: np.ndarray, keys: Sequence[bytes], **options: Any
) -> np.ndarray:
    """A given split, completed. A group that is in several splits counts as held out."""
    groups_of_split = {name: groups[splits == name] for name in KEPT_FIRST if name}
    for name, members in groups_of_split.items():
        splits[(splits == "") & np.isin(groups, members)] = name
    rest = np.flatnonzero(splits == "")
    if len(rest):
        splits[rest] = split(task, labels[rest], groups=groups[rest], keys=[keys[i] for i in rest.tolist()], **options)
    return splits


@dataclass(frozen=True)
class Split:
    """Usable examples with their splits.

    Attributes:
        usable: int (m,), indices into the data set.
        splits: str (m,): ``train``, ``val`` or ``test``.
        groups: int (n,), the group of every example of the data set; -1 where it is not usable.
    """

    usable: np.ndarray
    splits: np.ndarray
    groups: np.ndarray

    def index(self, name: str) -> np.ndarray:
        """Indices into the data set of the examples in one split."""
        return self.usable[self.splits == name]

    def split_of_each(self) -> list[str]:
        """The split of every example of the data set; empty where it is not usable."""
        splits = np.full(len(self.groups), "", "<U5")
        splits[self.usable] = self.splits
        return splits.tolist()

    def keeping(self, kept_mask: np.ndarray) -> "Split":
        """The same split with fewer examples: those of the data set where the mask, bool (n,), is True."""
        usable_mask = kept_mask[self.usable]
        return Split(self.usable[usable_mask], self.splits[usable_mask], self.groups)


def split_dataset(
    dataset: Dataset,
    usable: np.ndarray,
    digests: Sequence[bytes | None],
    *,
    val: float,
    test: float,
    seed: int,
    shots: int | None = None,
    near: np.ndarray | None = None,
) -> Split:
    """Split the usable examples of a data set; see :func:`split` for the options.

    Args:
        dataset: the examples.
        usable: int (m,), indices of those to use.
        digests: content digest of every example.
        val: fraction for validation.
        test: fraction to hold out.
        seed: of the order in which groups are assigned.
        shots: train on this number of examples of each class, and validate on none: with 8 labelled examples a class
            there are no others to validate with.
        near: int (p, 2), pairs of usable examples that nearly repeat each other. They stay together, unless they are so
            many that their class could not be split.

    Raises:
        InputError: fractions that leave nothing to train on, or no shots.
    """
    if shots is not None and shots < 1:
        raise InputError(f"expected at least 1, got {shots}.", field="shots")
    indices = usable.tolist()
    keys = [digests[i] or b"" for i in indices]
    pairs = [] if near is None else _pairs_to_keep(near, dataset, usable)
    ids = group_ids([dataset.groups[i] for i in indices] if dataset.groups else None, keys, pairs)
    given_splits = [dataset.given_splits[i] for i in indices] if dataset.given_splits else None
    task = dataset.task
    splits = split(
        task, dataset.labels[usable], groups=ids, keys=keys, given_splits=given_splits, val=val, test=test, seed=seed
    )
    if shots is not None:
        train = _few_shot(task, dataset.labels[usable], splits, _group_ranks(ids, keys, seed)[ids], shots)
        used = np.sort(np.concatenate([train, np.flatnonzero(splits == "test")]))
        usable, splits, ids = usable[used], splits[used], ids[used]
    groups = np.full(len(dataset), -1, np.int64)
    groups[usable] = ids
    return Split(usable, splits, groups)


def _pairs_to_keep(near: np.ndarray, dataset: Dataset, usable: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of near-duplicates that stay together, as positions among the usable examples."""
    if not len(near):
        return []
    task, labels, n_classes = dataset.task, dataset.labels, len(dataset.classes)
    per_class = task.counts(labels[usable], n_classes)
    position = np.full(len(labels), -1)
    position[usable] = np.arange(len(usable))
    pairs = []
    for group in groups_of(near, len(labels)):
        classes = np.flatnonzero(task.counts(labels[group], n_classes))
        if len(group) * _LARGEST_SHARE <= per_class[classes].min(initial=len(usable)):
            pairs += [(int(position[group[0]]), int(position[i])) for i in group[1:]]
    return pairs


def _few_shot(task: Task, labels: np.ndarray, splits: np.ndarray, rank: np.ndarray, shots: int) -> np.ndarray:
    """Positions of the first training examples of each class, or of all where a class has no more."""
    train = np.flatnonzero(splits == "train")
    train = train[np.argsort(rank[train], kind="stable")]
    return train[np.unique(np.concatenate([stratum[:shots] for stratum in task.strata(labels[train])]))]


def check_split(
    task: Task,
    labels: np.ndarray,
    splits: np.ndarray,
    classes: Sequence[str],
    *,
    skipped: Sequence[Skipped],
    plural: str = "examples",
    is_given: bool = False,
) -> Finding:
    """Check that there are examples to train on of every class, and find the classes that cannot be evaluated.

    Args:
        task: what is predicted.
        labels: of the usable examples, as the task encodes them.
        splits: of each.
        classes: class names.
        skipped: files that are not used, which may explain why a class has no examples.
        plural: what the examples are.
        is_given: whether the split came with the data.

    Raises:
        InputError: a class has fewer examples to train on than its task needs, or a label fewer than two without it;
            or no class has any.
    """
    in_train = task.counts(labels[splits == "train"], len(classes))
    usable = task.counts(labels, len(classes))
    for name, n_train, n_usable in zip(classes, in_train.tolist(), usable.tolist(), strict=True):
        if n_train < task.min_train:
            remedies = _remedies(plural, n_usable, len(classes), task.min_train, is_given=is_given)
            raise InputError(
                f"the class {name!r} has {counted(n_usable, 'usable example')}, {n_train} of them to train on: "
                f"expected at least {task.min_train}.{_lost_files(skipped)} {remedies}"
            )
    if not in_train.any():
        raise InputError(
            f"none of the {(splits == 'train').sum():,} {plural} to train on has an object or label to "
            f"learn.{_lost_files(skipped)} Add some that have."
        )
    if task.needs_absence:
        _check_absence(task, labels[splits == "train"], classes)
    return _classes_in_splits(task, labels, splits, classes)


def _lost_files(skipped: Sequence[Skipped]) -> str:
    """What may explain that a class has no examples."""
    return f" {len(skipped):,} files are not used, such as {skipped[0].file}: {skipped[0].reason}." if skipped else ""


def _classes_in_splits(task: Task, labels: np.ndarray, splits: np.ndarray, classes: Sequence[str]) -> Finding:
    """The classes that cannot be learned, or hardly, and those that cannot be evaluated."""
    members = {name: task.counts(labels[splits == name], len(classes)) for name in np.unique(splits).tolist()}
    few = [
        Occurrence((), f"{name}: {n} in train" if n else f"{name}: none in train, cannot be learned")
        for name, n in zip(classes, members["train"].tolist(), strict=True)
        if n < FEW_TRAIN
    ]
    missing = [
        Occurrence((), f"{class_name}: none in {name}")
        for name in ("val", "test")
        if name in members
        for class_name, n in zip(classes, members[name].tolist(), strict=True)
        if not n
    ]
    sentences = []
    if few:
        names = "; ".join(occurrence.note for occurrence in few[:_MAX_NAMED]) + (" …" if len(few) > _MAX_NAMED else "")
        sentences.append(
            f"{len(few):,} {'class' if len(few) == 1 else 'classes'} {has_have(len(few))} fewer than {FEW_TRAIN} "
            f"examples to train on ({names})."
        )
    if missing:
        sentences.append(
            f"{len(missing):,} times a class has no example in a held-out split: it is not evaluated there."
        )
    if sentences:
        return Finding("classes-in-splits", "found", " ".join(sentences), [*few, *missing])
    return Finding("classes-in-splits", "clean", "Every class is in every split.")


def _check_absence(task: Task, labels: np.ndarray, classes: Sequence[str]) -> None:
    """Check that there are also examples to train on without each class."""
    for number, name in enumerate(classes):
        n = int((~task.members(labels, number)).sum())
        if n < _MIN_WITHOUT:
            noun = task.wording.class_noun
            raise InputError(
                f"the {noun} {name!r} is missing from {counted(n, 'example')} to train on: expected at least "
                f"{_MIN_WITHOUT} without it. Leave the {noun} out ({field_name('classes')})."
            )


def _remedies(plural: str, usable: int, n_classes: int, n_needed: int, *, is_given: bool) -> str:
    """What helps a class that has too few examples to train on."""
    remedies = [f"add {plural} of this class"]
    if usable >= n_needed and is_given:
        remedies.append("move some of its held-out ones to train")
    elif usable >= n_needed:
        remedies.append(f"hold out less ({field_name('val', 0)}, {field_name('test', 0)})")
    if n_classes > 2:
        remedies.append(f"leave the class out ({field_name('classes')})")
    sentence = ", ".join(remedies[:-1]) + (" or " if len(remedies) > 1 else "") + remedies[-1]
    return f"{sentence[0].upper()}{sentence[1:]}."


def stratified_order(strata: Sequence[np.ndarray], n: int, seed: int) -> np.ndarray:
    """An order of examples of which every beginning has each class in its share, but the first few of each in turns.

    Returns:
        int (n,), positions.
    """
    rng = np.random.default_rng(seed)
    place = np.full(n, np.inf)
    for members in strata:
        rank = rng.permutation(len(members))
        in_share = (rank + rng.random()) / max(len(members), 1)
        place[members] = np.minimum(place[members], np.where(rank < _IN_TURNS, rank - _IN_TURNS, in_share))
    return np.lexsort((rng.permutation(n), place))


def folds(task: Task, labels: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Number the folds of a stratified cross-validation that keeps groups together: int64 (n,), 0 to k-1."""
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    return task.assign_groups(labels, groups, np.full(k, 1 / k), order)


def _group_ranks(groups: np.ndarray, keys: Sequence[bytes], seed: int) -> np.ndarray:
    """Rank of every group number: by the smallest hash of seed and content among its examples."""
    salt = str(seed).encode()
    smallest: dict[int, bytes] = {}
    for group, key in zip(groups.tolist(), keys, strict=True):
        value = hashlib.blake2b(key, key=salt, digest_size=16).digest()
        smallest[group] = min(value, smallest.get(group, value))
    rank = np.zeros(int(groups.max(initial=-1)) + 1, np.int64)
    for position, group in enumerate(sorted(smallest, key=smallest.__getitem__)):
        rank[group] = position
    return rank
