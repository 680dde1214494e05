"""The same twice: copies, under two labels, on two sides of a split; and what is nearly the same."""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, is_are
from headstart.data.components import components
from headstart.data.dataset import Dataset
from headstart.data.readers import NOUNS
from headstart.errors import counted

KEPT_FIRST = {"test": 0, "val": 1, "train": 2, "": 3}
"""Of the same on several sides of a split, the held-out one stays; what is not yet divided follows it there."""

NEAR_CHECKS = ("near-duplicates", "near-conflicting-labels", "near-leaks")


def copies_of(digests: Sequence[bytes | None]) -> list[list[int]]:
    """Indices of the examples that share their bytes with others, one list for each content."""
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for i, digest in enumerate(digests):
        if digest is not None:
            same[digest].append(i)
    return [indices for indices in same.values() if len(indices) > 1]


def conflicting_labels(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> Finding:
    """The same bytes under several labels; all of them are left out that do not belong to a finished run."""
    called = dataset.class_names
    found = [indices for indices in copies if len({called[i] for i in indices}) > 1]
    count = 0
    examples = []
    for indices in found:
        names = sorted({called[i] for i in indices})
        examples.append(_example(dataset, indices, " and ".join(names)))
        for i in indices:
            if i < dataset.settled:
                continue
            count += 1
            other = next(j for j in indices if called[j] != called[i])
            left_out[i] = f"the same bytes as {dataset.files[other]}, yet labelled both {' and '.join(names)}"
    if not found:
        return Finding("conflicting-labels", "clean", "No example appears under two labels.")
    summary = f"{counted(count, _noun(dataset))} {is_are(count)} there under several labels, and left out."
    return Finding("conflicting-labels", "found", summary, examples)


def exact_duplicates(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> list[Finding]:
    """The same bytes under one label; of those on several sides of a given split, the held-out ones are kept."""
    same_label = [indices for indices in copies if not any(i in left_out for i in indices)]
    if not same_label:
        return [
            Finding("exact-duplicates", "clean", f"No two {_noun(dataset)}s have the same bytes."),
            _leaks(dataset, [], 0),
        ]
    splits = dataset.given_splits or [""] * len(dataset)
    across = [indices for indices in same_label if len({splits[i] for i in indices} - {""}) > 1]
    leaked = 0
    for indices in across:
        kept = min(indices, key=lambda i: KEPT_FIRST[splits[i]])
        for i in indices:
            if splits[i] not in ("", splits[kept]):
                left_out[i] = f"the same bytes as {dataset.files[kept]} in {splits[kept]}: kept on that side only"
                leaked += 1
    copied = sum(len(indices) - 1 for indices in same_label)
    summary = f"{counted(copied, _noun(dataset))} {is_are(copied)} an exact copy of another."
    if not dataset.given_splits:
        summary += " Copies stay on one side of the split that headstart makes."
    examples = [_example(dataset, indices) for indices in same_label]
    return [Finding("exact-duplicates", "found", summary, examples), _leaks(dataset, across, leaked)]


def _leaks(dataset: Dataset, across: list[list[int]], leaked: int) -> Finding:
    if not dataset.given_splits:
        return Finding("leaks", "not applicable", "The data do not come divided.")
    if not across:
        return Finding("leaks", "clean", f"No {_noun(dataset)} is on two sides of the split.")
    splits = dataset.given_splits
    summary = (
        f"{counted(leaked, _noun(dataset))} {is_are(leaked)} also on a held-out side of the split, and kept there only."
    )
    return Finding(
        "leaks", "found", summary, [_example(dataset, i, " and ".join(sorted({splits[j] for j in i}))) for i in across]
    )


def groups_across_splits(dataset: Dataset, left_out: dict[int, str]) -> Finding:
    """Groups that a given split divides."""
    check = "groups-across-splits"
    if not dataset.groups:
        return Finding(check, "not applicable", "No groups were named (--group-by).")
    if not dataset.given_splits:
        return Finding(check, "clean", "Every group is on one side of the split.")
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for i, (group, side) in enumerate(zip(dataset.groups, dataset.given_splits, strict=True)):
        if i not in left_out and side:
            sides[group].add(side)
    found = [group for group, where in sides.items() if len(where) > 1]
    if not found:
        return Finding(check, "clean", "Every group is on one side of the split.")
    summary = f"{len(found):,} of {len(sides):,} groups are in more than one given split: the scores may be too good."
    return Finding(
        check, "found", summary, [Occurrence((), f"{group}: {', '.join(sorted(sides[group]))}") for group in found]
    )


def near_copies(dataset: Dataset, near: np.ndarray | None, sides: Sequence[str] | None) -> list[Finding]:
    """What is nearly the same: at all, under two labels, on two sides of the split.

    Args:
        dataset: the examples.
        near: int (m, 2), pairs of examples; None where they were not looked for.
        sides: train, val or test for each example of the data set, empty where it is in none; None where the data are
            not divided.
    """
    if near is None:
        return [Finding(check, "skipped", "The pictures were not all decoded.") for check in NEAR_CHECKS]
    called, noun = dataset.class_names, _noun(dataset)
    return [
        _near_duplicates(dataset, near, noun),
        _near_conflicts(dataset, near, called, noun),
        _near_leaks(dataset, near, sides, noun),
    ]


def _near_duplicates(dataset: Dataset, near: np.ndarray, noun: str) -> Finding:
    if not len(near):
        return Finding("near-duplicates", "clean", f"No {noun} nearly repeats another.")
    groups = groups_of(near, len(dataset))
    n = sum(len(group) - 1 for group in groups)
    summary = f"{counted(n, noun)} nearly {'repeats' if n == 1 else 'repeat'} another."
    return Finding("near-duplicates", "found", summary, [_example(dataset, group) for group in groups])


def _near_conflicts(dataset: Dataset, near: np.ndarray, called: Sequence[str], noun: str) -> Finding:
    check = "near-conflicting-labels"
    found = [(i, j) for i, j in near.tolist() if called[i] != called[j]]
    if not found:
        return Finding(check, "clean", f"No {noun} has a label that one nearly the same has not.")
    summary = (
        f"{counted(len(found), 'pair')} of {noun}s {is_are(len(found))} nearly the same, yet labelled differently."
    )
    return Finding(
        check, "found", summary, [_example(dataset, pair, f"{called[pair[0]]} and {called[pair[1]]}") for pair in found]
    )


def _near_leaks(dataset: Dataset, near: np.ndarray, sides: Sequence[str] | None, noun: str) -> Finding:
    if sides is None:
        return Finding("near-leaks", "not applicable", "The data do not come divided; headstart keeps them together.")
    found = [(i, j) for i, j in near.tolist() if sides[i] and sides[j] and sides[i] != sides[j]]
    if not found:
        return Finding("near-leaks", "clean", f"No held-out {noun} nearly repeats one of another side of the split.")
    held_out = {min(pair, key=lambda i: KEPT_FIRST[sides[i]]) for pair in found}
    n = len(held_out)
    summary = (
        f"{counted(n, f'held-out {noun}')} nearly {'repeats' if n == 1 else 'repeat'} one on another side of the "
        "split: the scores are given without them, too."
    )
    return Finding(
        "near-leaks",
        "found",
        summary,
        [_example(dataset, pair, f"{sides[pair[0]]} and {sides[pair[1]]}") for pair in found],
    )


def groups_of(pairs: np.ndarray, n: int) -> list[list[int]]:
    """Examples that are connected by pairs, directly or by way of others: sorted lists of two or more."""
    number = components(n, pairs.tolist()).tolist()
    groups: defaultdict[int, list[int]] = defaultdict(list)
    for i in np.unique(pairs).tolist():
        groups[number[i]].append(i)
    return list(groups.values())


def _example(dataset: Dataset, indices: Sequence[int], note: str = "") -> Occurrence:
    return Occurrence(tuple(dataset.files[i] for i in indices), note)


def _noun(dataset: Dataset) -> str:
    return NOUNS[dataset.modality]
