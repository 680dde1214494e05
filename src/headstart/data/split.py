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
from headstart.data.audit.copies import KEPT_FIRST, groups_of
from headstart.data.components import components
from headstart.data.dataset import SPLITS, Dataset, Skipped
from headstart.data.labels import counts, has, is_multi_label
from headstart.errors import InputError, counted, field_name

MIN_TRAIN = 2
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
    labels: np.ndarray,
    *,
    groups: np.ndarray,
    keys: Sequence[bytes],
    given: Sequence[str] | None = None,
    val: float = 0.15,
    test: float = 0.15,
    seed: int = 0,
) -> np.ndarray:
    """Assign examples to train, val and test.

    A split that comes with the data is kept; if it has no ``val``, that is taken from its ``train``. Examples that come
    without a split are split among themselves; those of a group with a split get that split.

    Args:
        labels: int (n,), class of each example; or 0 and 1 (n, classes).
        groups: int (n,), see :func:`group_ids`.
        keys: content digest of each example.
        given: the split that comes with the data, an empty string for each example without; None if there is no split.
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
    if given is not None:
        splits = np.array(given, dtype="<U5")
        if (splits == "").any():
            return _completed(splits, labels, groups=groups, keys=keys, val=val, test=test, seed=seed)
        if "val" in given or not val:
            return splits
        train = np.flatnonzero(splits == "train")
        ranks = _group_ranks(groups[train], [keys[i] for i in train.tolist()], seed)
        numbers = _assign(labels[train], groups[train], np.array([1 - val, val]), ranks)
        splits[train[numbers == 1]] = "val"
        return splits
    fractions = np.array([1 - val - test, val, test])
    return np.array(SPLITS)[_assign(labels, groups, fractions, _group_ranks(groups, keys, seed))]


def _completed(
    splits: np.ndarray, labels: np.ndarray, *, groups: np.ndarray, keys: Sequence[bytes], **options: Any
) -> np.ndarray:
    """A given split, completed. A group that is in several splits counts as held out."""
    groups_of_split = {name: groups[splits == name] for name in KEPT_FIRST if name}
    for name, members in groups_of_split.items():
        splits[(splits == "") & np.isin(groups, members)] = name
    rest = np.flatnonzero(splits == "")
    if len(rest):
        splits[rest] = split(labels[rest], groups=groups[rest], keys=[keys[i] for i in rest.tolist()], **options)
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
    chosen = usable.tolist()
    keys = [digests[i] or b"" for i in chosen]
    pairs = [] if near is None else _pairs_to_keep(near, dataset.labels, usable)
    ids = group_ids([dataset.groups[i] for i in chosen] if dataset.groups else None, keys, pairs)
    given = [dataset.given_splits[i] for i in chosen] if dataset.given_splits else None
    splits = split(dataset.labels[usable], groups=ids, keys=keys, given=given, val=val, test=test, seed=seed)
    if shots is not None:
        train = _few_shot(dataset.labels[usable], splits, _group_ranks(ids, keys, seed)[ids], shots)
        used = np.sort(np.concatenate([train, np.flatnonzero(splits == "test")]))
        usable, splits, ids = usable[used], splits[used], ids[used]
    groups = np.full(len(dataset), -1, np.int64)
    groups[usable] = ids
    return Split(usable, splits, groups)


def _pairs_to_keep(near: np.ndarray, labels: np.ndarray, usable: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of near-duplicates that stay together, as positions among the usable examples."""
    if not len(near):
        return []
    per_class = counts(labels[usable], int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1])
    position = np.full(len(labels), -1)
    position[usable] = np.arange(len(usable))
    pairs = []
    for group in groups_of(near, len(labels)):
        classes = np.flatnonzero(counts(labels[group], len(per_class)))
        if len(group) * _LARGEST_SHARE <= per_class[classes].min(initial=len(usable)):
            pairs += [(int(position[group[0]]), int(position[i])) for i in group[1:]]
    return pairs


def _few_shot(labels: np.ndarray, splits: np.ndarray, rank: np.ndarray, shots: int) -> np.ndarray:
    """Positions of the first training examples of each class, or of all where a class has no more."""
    train = np.flatnonzero(splits == "train")
    train = train[np.argsort(rank[train], kind="stable")]
    return train[np.unique(np.concatenate([stratum[:shots] for stratum in strata(labels[train])]))]


def check_split(
    labels: np.ndarray, splits: np.ndarray, classes: Sequence[str], *, skipped: Sequence[Skipped]
) -> Finding:
    """Check that there are examples to train on of every class, and find the classes that cannot be evaluated.

    Args:
        labels: int (n,) of the usable examples, or 0 and 1 (n, classes).
        splits: of each.
        classes: class names.
        skipped: files that are not used, which may explain why a class has no examples.

    Raises:
        InputError: a class has fewer than two examples to train on, or a label fewer than two without it.
    """
    for number, name in enumerate(classes):
        members = has(labels, number)
        in_train, usable = int((members & (splits == "train")).sum()), int(members.sum())
        if in_train < MIN_TRAIN:
            lost = (
                f" {len(skipped):,} files are not used, such as {skipped[0].file}: {skipped[0].reason}."
                if skipped
                else ""
            )
            raise InputError(
                f"the class {name!r} has {counted(usable, 'usable example')}, {in_train} of them to train on: "
                f"expected at least {MIN_TRAIN}.{lost} Add examples, leave the class out ({field_name('classes')}), or "
                f"hold out less ({field_name('val', 0)}, {field_name('test', 0)})."
            )
        without = int((splits == "train").sum()) - in_train
        if is_multi_label(labels) and without < MIN_TRAIN:
            raise InputError(
                f"the label {name!r} is missing from {counted(without, 'example')} to train on: expected at least "
                f"{MIN_TRAIN} without it. Leave the label out ({field_name('classes')})."
            )
    missing = [
        Occurrence((), f"{name}: none in {name_of_split}")
        for name_of_split in ("val", "test")
        for number, name in enumerate(classes)
        if (splits == name_of_split).any() and not has(labels[splits == name_of_split], number).any()
    ]
    if missing:
        summary = f"{len(missing):,} times a class has no example in a held-out split: it is not evaluated there."
        return Finding("classes-in-splits", "found", summary, missing)
    return Finding("classes-in-splits", "clean", "Every class is in every split.")


def folds(labels: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Number the folds of a stratified cross-validation that keeps groups together: int64 (n,), 0 to k-1."""
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    return _assign(labels, groups, np.full(k, 1 / k), order)


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


def _assign(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Assign groups to splits with each class near its quota in every split: int (n,), numbers of splits."""
    assign = _assign_sets if is_multi_label(labels) else _assign_classes
    return assign(labels, groups, fractions, order)


def _assign_classes(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Assign groups whose examples have one class each.

    Groups of several examples come first, largest first. Each goes to the split that lacks most of its classes. Groups
    of one example then fill the quotas exactly.
    """
    n_classes = int(labels.max()) + 1
    per_class = np.bincount(labels, minlength=n_classes)
    quota = np.stack([_shares(int(n), fractions, shift=c) for c, n in enumerate(per_class)]).astype(float)
    left = quota.copy()
    part = np.zeros(len(labels), np.int64)
    size = np.bincount(groups)
    larger = np.flatnonzero(size > 1)
    members = np.argsort(groups, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    for group in larger[np.lexsort((order[larger], -size[larger]))]:
        members_of_group = members[start[group] : start[group + 1]]
        held = np.bincount(labels[members_of_group], minlength=n_classes)
        present = np.flatnonzero(held)
        lacking = held[present] @ (left[present] / np.maximum(quota[present], 1e-9))
        best = int(np.argmax(np.where(fractions > 0, lacking, -np.inf)))
        part[members_of_group] = best
        left[:, best] -= held
    single = np.flatnonzero(size[groups] == 1)
    for c in range(n_classes):
        members_of_group = single[labels[single] == c]
        members_of_group = members_of_group[np.argsort(order[groups[members_of_group]], kind="stable")]
        missing = np.maximum(left[c], 0)
        numbers = _shares(len(members_of_group), missing / missing.sum() if missing.sum() else fractions, shift=c)
        part[members_of_group] = np.repeat(np.arange(len(fractions)), numbers)
    return part


def _assign_sets(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Assign groups whose examples have sets of labels, by iterative stratification.

    The rarest label comes first, while there is still a choice. Each group that has it, large ones before small ones,
    goes to the split that lacks most of this label; of several such splits to the one that lacks most examples. Having
    no label counts as a label.

    Source: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
    """
    size = np.bincount(groups)
    held = np.zeros((len(size), labels.shape[1] + 1), np.int64)
    np.add.at(held, groups, np.column_stack([labels, ~labels.any(1)]))
    left = held.sum(0)  # examples of each label that are not assigned yet
    lacking, room = np.outer(left, fractions), len(labels) * fractions
    part = np.full(len(size), -1)
    while (unassigned := np.flatnonzero(left > 0)).size:
        rarest = unassigned[left[unassigned].argmin()]
        waiting = np.flatnonzero((part < 0) & (held[:, rarest] > 0))
        for group in waiting[np.lexsort((order[waiting], -size[waiting]))].tolist():
            best = max(np.flatnonzero(fractions).tolist(), key=lambda p: (lacking[rarest, p].round(9), room[p], -p))
            part[group] = best
            lacking[:, best] -= held[group]
            room[best] -= size[group]
            left -= held[group]
    return part[groups]


def strata(labels: np.ndarray) -> list[np.ndarray]:
    """Positions of the examples of each class; or of those with each label, and of those without any."""
    if is_multi_label(labels):
        return [np.flatnonzero(mask) for mask in (*labels.T, ~labels.any(1))]
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _shares(n: int, fractions: np.ndarray, shift: int) -> np.ndarray:
    """Whole numbers near ``n * fractions`` that add up to n; each fraction above 0 gets at least 1 if n allows it.

    Args:
        n: sum of the result.
        fractions: float (splits,), their sum is 1.
        shift: where to begin among equal claims, to favour another split in each class.
    """
    exact = n * fractions
    shares = np.floor(exact + 1e-9).astype(int)
    parts = len(fractions)
    claims = sorted(range(parts), key=lambda p: (-(exact[p] - shares[p]).round(9), (-p - shift) % parts))
    for p in claims[: n - int(shares.sum())]:
        shares[p] += 1
    if n >= np.count_nonzero(fractions):
        for p in np.flatnonzero((shares == 0) & (fractions > 0)).tolist():
            shares[shares.argmax()] -= 1
            shares[p] = 1
    return shares
