"""Checks of copies and near-copies: with one label, with several labels, and across splits."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, has_have, is_are
from headstart.data.components import components
from headstart.data.dataset import Dataset
from headstart.errors import counted

KEPT_FIRST = {"test": 0, "val": 1, "train": 2, "": 3}
"""Of copies in several splits, the first of these is kept; copies without a split get the same split."""

NEAR_CHECKS = ("near-duplicates", "near-conflicting-labels", "near-leaks")


def copies_of(digests: Sequence[bytes | None]) -> list[list[int]]:
    """Indices of examples with the same content as others, one list for each content."""
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for i, digest in enumerate(digests):
        if digest is not None:
            same[digest].append(i)
    return [indices for indices in same.values() if len(indices) > 1]


def conflicting_labels(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> Finding:
    """Copies with several labels: none is used, except those that belong to a finished run."""
    labels = dataset.class_names
    conflicts = [indices for indices in copies if len({labels[i] for i in indices}) > 1]
    count = 0
    occurrences = []
    for indices in conflicts:
        names = sorted({labels[i] for i in indices})
        occurrences.append(_occurrence(dataset, indices, " and ".join(names)))
        for i in indices:
            if i < dataset.settled:
                continue
            count += 1
            other = next(j for j in indices if labels[j] != labels[i])
            left_out[i] = f"an exact copy of {dataset.files[other]} with another label ({' and '.join(names)})"
    if not conflicts:
        return Finding("conflicting-labels", "clean", "No exact copies have different labels.")
    summary = f"{counted(count, dataset.modality.noun)} {is_are(count)} exact copies with different labels: not used."
    return Finding("conflicting-labels", "found", summary, occurrences)


def exact_duplicates(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> list[Finding]:
    """Copies with one label. Of those in several given splits, the held-out one is used."""
    same_label = [indices for indices in copies if not any(i in left_out for i in indices)]
    if not same_label:
        return [
            Finding("exact-duplicates", "clean", f"No {dataset.modality.noun} is an exact copy of another."),
            _leaks(dataset, [], 0),
        ]
    splits = dataset.given_splits or [""] * len(dataset)
    across = [indices for indices in same_label if len({splits[i] for i in indices} - {""}) > 1]
    leaked = 0
    for indices in across:
        first = min(indices, key=lambda i: KEPT_FIRST[splits[i]])
        for i in indices:
            if splits[i] not in ("", splits[first]):
                left_out[i] = f"an exact copy of {dataset.files[first]} in {splits[first]}: used in that split only"
                leaked += 1
    copied = sum(len(indices) - 1 for indices in same_label)
    summary = f"{counted(copied, dataset.modality.noun)} {is_are(copied)} an exact copy of another."
    if not dataset.given_splits:
        summary += " Copies are put into the same split."
    examples = [_occurrence(dataset, indices) for indices in same_label]
    return [Finding("exact-duplicates", "found", summary, examples), _leaks(dataset, across, leaked)]


def _leaks(dataset: Dataset, across: list[list[int]], leaked: int) -> Finding:
    if not dataset.given_splits:
        return Finding("leaks", "not applicable", "The data have no split of their own.")
    if not across:
        return Finding("leaks", "clean", f"No {dataset.modality.noun} is in two splits.")
    splits = dataset.given_splits
    summary = (
        f"{counted(leaked, dataset.modality.noun)} {is_are(leaked)} also in a held-out split: used in that split only."
    )
    return Finding(
        "leaks",
        "found",
        summary,
        [_occurrence(dataset, i, " and ".join(sorted({splits[j] for j in i}))) for i in across],
    )


def groups_across_splits(dataset: Dataset, left_out: dict[int, str]) -> Finding:
    """Groups whose examples are in several given splits."""
    check = "groups-across-splits"
    if not dataset.groups:
        return Finding(check, "not applicable", "The data have no groups.")
    if not dataset.given_splits:
        return Finding(check, "clean", "Every group is in one split.")
    splits_of: defaultdict[str, set[str]] = defaultdict(set)
    for i, (group, name) in enumerate(zip(dataset.groups, dataset.given_splits, strict=True)):
        if i not in left_out and name:
            splits_of[group].add(name)
    groups = [group for group, names in splits_of.items() if len(names) > 1]
    if not groups:
        return Finding(check, "clean", "Every group is in one split.")
    summary = f"{len(groups):,} of {len(splits_of):,} groups are in several splits: the scores may be too good."
    return Finding(
        check, "found", summary, [Occurrence((), f"{group}: {', '.join(sorted(splits_of[group]))}") for group in groups]
    )


def near_copies(dataset: Dataset, near: np.ndarray | None, splits: Sequence[str] | None) -> list[Finding]:
    """Near-copies: with one label, with several labels, and across splits.

    Args:
        dataset: the examples.
        near: int (m, 2), pairs of examples; None where they are not known.
        splits: train, val or test for each example of the data set, empty where it is in none; None where the data
            are not split yet.
    """
    if near is None:
        return [Finding(check, "skipped", "Not all images were decoded.") for check in NEAR_CHECKS]
    labels, noun = dataset.class_names, dataset.modality.noun
    return [
        _near_duplicates(dataset, near, noun),
        _near_conflicts(dataset, near, labels, noun),
        _near_leaks(dataset, near, splits, noun),
    ]


def _near_duplicates(dataset: Dataset, near: np.ndarray, noun: str) -> Finding:
    if not len(near):
        return Finding("near-duplicates", "clean", f"No {noun} nearly repeats another.")
    groups = groups_of(near, len(dataset))
    n = sum(len(group) - 1 for group in groups)
    summary = f"{counted(n, noun)} nearly {'repeats' if n == 1 else 'repeat'} another."
    return Finding("near-duplicates", "found", summary, [_occurrence(dataset, group) for group in groups])


def _near_conflicts(dataset: Dataset, near: np.ndarray, labels: Sequence[str], noun: str) -> Finding:
    check = "near-conflicting-labels"
    conflicts = [(i, j) for i, j in near.tolist() if labels[i] != labels[j]]
    if not conflicts:
        return Finding(check, "clean", f"No nearly identical {noun}s have different labels.")
    summary = (
        f"{counted(len(conflicts), 'pair')} of nearly identical {noun}s {has_have(len(conflicts))} different labels."
    )
    return Finding(
        check,
        "found",
        summary,
        [_occurrence(dataset, pair, f"{labels[pair[0]]} and {labels[pair[1]]}") for pair in conflicts],
    )


def _near_leaks(dataset: Dataset, near: np.ndarray, splits: Sequence[str] | None, noun: str) -> Finding:
    if splits is None:
        return Finding(
            "near-leaks",
            "not applicable",
            "The data have no split of their own; near-copies are put into the same split.",
        )
    leaks = [(i, j) for i, j in near.tolist() if splits[i] and splits[j] and splits[i] != splits[j]]
    if not leaks:
        return Finding("near-leaks", "clean", f"No held-out {noun} nearly repeats one in another split.")
    held_out = {min(pair, key=lambda i: KEPT_FIRST[splits[i]]) for pair in leaks}
    n = len(held_out)
    summary = (
        f"{counted(n, f'held-out {noun}')} nearly {'repeats' if n == 1 else 'repeat'} one in another split: "
        "scores are also given without them."
    )
    return Finding(
        "near-leaks",
        "found",
        summary,
        [_occurrence(dataset, pair, f"{splits[pair[0]]} and {splits[pair[1]]}") for pair in leaks],
    )


def groups_of(pairs: np.ndarray, n: int) -> list[list[int]]:
    """Examples that are connected by pairs, directly or through others: sorted lists of two or more."""
    number = components(n, pairs.tolist()).tolist()
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for i in np.unique(pairs).tolist():
        groups[number[i]].append(i)
    return list(groups.values())


def _occurrence(dataset: Dataset, indices: Sequence[int], note: str = "") -> Occurrence:
    return Occurrence(tuple(dataset.files[i] for i in indices), note)
