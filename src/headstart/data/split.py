"""Who is in train, val and test: stratified by class, seeded, and never dividing what belongs together.

What must stay together is a *group*: a patient, a video, a scene, or examples that are the same or nearly so. The order
in which groups are dealt out comes from a hash of seed and content, so that neither file names nor new examples
reshuffle the others; but of multi-label data new examples do move some.
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
from headstart.errors import InputError, counted

MIN_TRAIN = 2
_LARGEST_SHARE = 5  # near-duplicates that are more than a fifth of a class are divided all the same


def group_ids(
    groups: Sequence[str] | None, digests: Sequence[Hashable], pairs: Iterable[tuple[int, int]] = ()
) -> np.ndarray:
    """Number the groups: examples that share a group, or their bytes, directly or by way of others, share a number.

    Args:
        groups: of each example, if there are any.
        digests: of its content.
        pairs: of examples that belong together for another reason.

    Returns:
        int64 (n,), from 0 in the order of first appearance.
    """
    first: dict[tuple[str, Hashable], int] = {}
    kin = list(pairs)
    for i, digest in enumerate(digests):
        kin.append((first.setdefault(("bytes", digest), i), i))
        if groups is not None:
            kin.append((first.setdefault(("group", groups[i]), i), i))
    return components(len(digests), kin)


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
    """Divide examples into train, val and test.

    A division that comes with the data is kept; when it lacks ``val``, that is taken from its ``train``. Where some
    examples come without a side, these are divided among themselves, and what shares a group with others follows them.

    Args:
        labels: int (n,), class of each example; or 0 and 1 (n, classes).
        groups: int (n,), see :func:`group_ids`.
        keys: content digest of each example.
        given: the data's own division, with empty strings where it has no side, or None.
        val: fraction of all examples (of the given ``train``, if there is one).
        test: fraction of all examples; a given division without ``test`` stays without.
        seed: of the order in which groups are dealt out.

    Returns:
        Array of str (n,): ``train``, ``val`` or ``test``.

    Raises:
        InputError: fractions that leave nothing to train on.
    """
    if not (0 <= val < 1 and 0 <= test < 1 and val + test < 1):
        raise InputError(f"--val {val:g} and --test {test:g}: expected fractions that leave something to train on.")
    if given is not None:
        parts = np.array(given, dtype="<U5")
        if (parts == "").any():
            return _completed(parts, labels, groups=groups, keys=keys, val=val, test=test, seed=seed)
        if "val" in given or not val:
            return parts
        train = np.flatnonzero(parts == "train")
        order = _order(groups[train], [keys[i] for i in train.tolist()], seed)
        taken = _assign(labels[train], groups[train], np.array([1 - val, val]), order)
        parts[train[taken == 1]] = "val"
        return parts
    fractions = np.array([1 - val - test, val, test])
    return np.array(SPLITS)[_assign(labels, groups, fractions, _order(groups, keys, seed))]


def _completed(
    parts: np.ndarray, labels: np.ndarray, *, groups: np.ndarray, keys: Sequence[bytes], **options: Any
) -> np.ndarray:
    """A division in which the examples without a side have one, too; of a group on several sides, the held-out one."""
    given = {side: groups[parts == side] for side in KEPT_FIRST if side}
    for side, taken in given.items():
        parts[(parts == "") & np.isin(groups, taken)] = side
    rest = np.flatnonzero(parts == "")
    if len(rest):
        parts[rest] = split(labels[rest], groups=groups[rest], keys=[keys[i] for i in rest.tolist()], **options)
    return parts


@dataclass(frozen=True)
class Split:
    """Usable examples with their sides.

    Attributes:
        usable: int (m,), indices into the data set.
        sides: str (m,): ``train``, ``val`` or ``test``.
        groups: int (n,), the group of every example of the data set; -1 where it is not usable.
    """

    usable: np.ndarray
    sides: np.ndarray
    groups: np.ndarray

    def index(self, side: str) -> np.ndarray:
        """Indices into the data set of the examples on one side."""
        return self.usable[self.sides == side]

    def split_of_each(self) -> list[str]:
        """The side of every example of the data set; empty where it is not usable."""
        sides = np.full(len(self.groups), "", "<U5")
        sides[self.usable] = self.sides
        return sides.tolist()

    def keeping(self, kept: np.ndarray) -> "Split":
        """The same division without some examples: those of the data set that a mask, bool (n,), does not keep."""
        there = kept[self.usable]
        return Split(self.usable[there], self.sides[there], self.groups)


def divide(
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
    """Divide the usable examples of a data set; see :func:`split` for the options.

    Args:
        dataset: the examples.
        usable: int (m,), indices of those to use.
        digests: content digest of every example.
        val: fraction for validation.
        test: fraction to hold out.
        seed: of the order in which groups are dealt out.
        shots: keep so many examples of each class to train on, and none for validation: whoever has 8 labelled examples
            a class has no others to validate with.
        near: int (p, 2), pairs of usable examples that nearly repeat each other. They are kept together, unless they
            are so many that a class could not be divided.

    Raises:
        InputError: fractions that leave nothing to train on, or no shots.
    """
    if shots is not None and shots < 1:
        raise InputError(f"--shots {shots}: expected at least 1.")
    chosen = usable.tolist()
    keys = [digests[i] or b"" for i in chosen]
    together = [] if near is None else _together(near, dataset.labels, usable)
    own = group_ids([dataset.groups[i] for i in chosen] if dataset.groups else None, keys, together)
    given = [dataset.given_splits[i] for i in chosen] if dataset.given_splits else None
    sides = split(dataset.labels[usable], groups=own, keys=keys, given=given, val=val, test=test, seed=seed)
    if shots is not None:
        few = _few(dataset.labels[usable], sides, _order(own, keys, seed)[own], shots)
        kept = np.sort(np.concatenate([few, np.flatnonzero(sides == "test")]))
        usable, sides, own = usable[kept], sides[kept], own[kept]
    groups = np.full(len(dataset), -1, np.int64)
    groups[usable] = own
    return Split(usable, sides, groups)


def _together(near: np.ndarray, labels: np.ndarray, usable: np.ndarray) -> list[tuple[int, int]]:
    """Pairs of near-duplicates to keep together, as positions among the usable examples."""
    if not len(near):
        return []
    held = counts(labels[usable], int(labels.max()) + 1 if labels.ndim == 1 else labels.shape[1])
    position = np.full(len(labels), -1)
    position[usable] = np.arange(len(usable))
    pairs = []
    for group in groups_of(near, len(labels)):
        present = np.flatnonzero(counts(labels[group], len(held)))
        if len(group) * _LARGEST_SHARE <= held[present].min(initial=len(usable)):
            pairs += [(int(position[group[0]]), int(position[i])) for i in group[1:]]
    return pairs


def _few(labels: np.ndarray, sides: np.ndarray, rank: np.ndarray, shots: int) -> np.ndarray:
    """Positions of the training examples of each class that come first, or of all where a class has no more."""
    train = np.flatnonzero(sides == "train")
    train = train[np.argsort(rank[train], kind="stable")]
    return train[np.unique(np.concatenate([stratum[:shots] for stratum in strata(labels[train])]))]


def check_split(
    labels: np.ndarray, parts: np.ndarray, classes: Sequence[str], *, skipped: Sequence[Skipped]
) -> Finding:
    """Check that every class can be learnt, and say which cannot be judged.

    Args:
        labels: int (n,) of the usable examples, or 0 and 1 (n, classes).
        parts: their splits.
        classes: class names.
        skipped: files left out, to explain a class that has lost all of its own.

    Raises:
        InputError: a class has fewer than two examples to train on, or a label fewer than two without it.
    """
    for number, name in enumerate(classes):
        mine = has(labels, number)
        in_train, usable = int((mine & (parts == "train")).sum()), int(mine.sum())
        if in_train < MIN_TRAIN:
            lost = (
                f" {len(skipped):,} files were left out, such as {skipped[0].file}: {skipped[0].reason}."
                if skipped
                else ""
            )
            raise InputError(
                f"the class {name!r} has {counted(usable, 'usable example')}, {in_train} of them to train on: "
                f"expected at least {MIN_TRAIN}.{lost} Add pictures, leave the class out (--classes), or hold out less "
                "(--val 0, --test 0)."
            )
        without = int((parts == "train").sum()) - in_train
        if is_multi_label(labels) and without < MIN_TRAIN:
            raise InputError(
                f"the label {name!r} is missing from {counted(without, 'example')} to train on: expected at least "
                f"{MIN_TRAIN} without it. Leave the label out (--classes)."
            )
    missing = [
        Occurrence((), f"{name}: none in {side}")
        for side in ("val", "test")
        for number, name in enumerate(classes)
        if (parts == side).any() and not has(labels[parts == side], number).any()
    ]
    if missing:
        summary = f"{len(missing):,} times a class has no example in a held-out split: it cannot be judged there."
        return Finding("classes-in-splits", "found", summary, missing)
    return Finding("classes-in-splits", "clean", "Every class is in every split.")


def folds(labels: np.ndarray, groups: np.ndarray, k: int, seed: int) -> np.ndarray:
    """Number the folds of a stratified cross-validation that keeps groups together: int64 (n,), 0 to k-1."""
    order = np.random.default_rng(seed).permutation(int(groups.max()) + 1)
    return _assign(labels, groups, np.full(k, 1 / k), order)


def _order(groups: np.ndarray, keys: Sequence[bytes], seed: int) -> np.ndarray:
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
    """Deal groups to parts so that every class comes near its quota in every part: int (n,), numbers of parts."""
    deal = _assign_sets if is_multi_label(labels) else _assign_classes
    return deal(labels, groups, fractions, order)


def _assign_classes(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Deal groups whose examples are of one class each.

    Groups of several examples go first, largest first, each to the part that lacks most of its classes; groups of one
    example then fill the quotas exactly.
    """
    n_classes = int(labels.max()) + 1
    per_class = np.bincount(labels, minlength=n_classes)
    quota = np.stack([_shares(int(n), fractions, shift=c) for c, n in enumerate(per_class)]).astype(float)
    left = quota.copy()
    part = np.zeros(len(labels), np.int64)
    size = np.bincount(groups)
    several = np.flatnonzero(size > 1)
    members = np.argsort(groups, kind="stable")
    start = np.concatenate([[0], np.cumsum(size)])
    for group in several[np.lexsort((order[several], -size[several]))]:
        mine = members[start[group] : start[group + 1]]
        held = np.bincount(labels[mine], minlength=n_classes)
        here = np.flatnonzero(held)
        lacking = held[here] @ (left[here] / np.maximum(quota[here], 1e-9))
        best = int(np.argmax(np.where(fractions > 0, lacking, -np.inf)))
        part[mine] = best
        left[:, best] -= held
    alone = np.flatnonzero(size[groups] == 1)
    for c in range(n_classes):
        mine = alone[labels[alone] == c]
        mine = mine[np.argsort(order[groups[mine]], kind="stable")]
        wanted = np.maximum(left[c], 0)
        takes = _shares(len(mine), wanted / wanted.sum() if wanted.sum() else fractions, shift=c)
        part[mine] = np.repeat(np.arange(len(fractions)), takes)
    return part


def _assign_sets(labels: np.ndarray, groups: np.ndarray, fractions: np.ndarray, order: np.ndarray) -> np.ndarray:
    """Deal groups whose examples have sets of labels, by iterative stratification.

    The rarest label goes first, while there is still a choice: each group that has it, large ones before small ones,
    goes to the part that lacks most of this label, or, where several do, most examples. Having no label counts as one.

    Source: Sechidis, Tsoumakas and Vlahavas, "On the stratification of multi-label data", ECML PKDD 2011.
    """
    size = np.bincount(groups)
    held = np.zeros((len(size), labels.shape[1] + 1), np.int64)
    np.add.at(held, groups, np.column_stack([labels, ~labels.any(1)]))
    left = held.sum(0)  # of each label, what is not yet dealt
    lacking, room = np.outer(left, fractions), len(labels) * fractions
    part = np.full(len(size), -1)
    while (there := np.flatnonzero(left > 0)).size:
        rarest = there[left[there].argmin()]
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
        return [np.flatnonzero(there) for there in (*labels.T, ~labels.any(1))]
    return [np.flatnonzero(labels == label) for label in np.unique(labels)]


def _shares(n: int, fractions: np.ndarray, shift: int) -> np.ndarray:
    """Whole numbers that add up to n, near ``n * fractions``; no part with a claim gets nothing if n allows.

    Args:
        n: how many there are.
        fractions: float (parts,), adding up to 1.
        shift: where to begin when several parts have the same claim, so that not all classes favour the same part.
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
