"""What is wrong with the data, found before anything is trained on them, and said in words and with files."""

from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from headstart.data.dataset import Dataset, Skipped, count_classes
from headstart.data.labels import is_multi_label
from headstart.errors import counted
from headstart.tokens import MAX_CHARACTERS, SubwordTokenizer, Tokenizer

SMALL_CLASS = 20
IMBALANCE = 3.0
"""From this ratio of the largest to the smallest class on, examples are weighted by class unless told otherwise."""

_EXAMPLES = 5
_SHOWN_CHARACTERS = 80
_MANY_UNKNOWN = 0.1  # of all words
_KEPT_FIRST = {"test": 0, "val": 1, "train": 2}  # of identical files in several splits, the held-out one stays


@dataclass(frozen=True)
class Finding:
    """The answer of one check.

    Attributes:
        check: its name.
        state: ``found``, ``clean`` or ``not applicable``.
        summary: one sentence.
        examples: a few files or classes that show it.
    """

    check: str
    state: Literal["found", "clean", "not applicable"]
    summary: str
    examples: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Attributes:
        usable: int (m,), indices of the examples to use.
        findings: one per check.
        skipped: every file left out, and why.
    """

    usable: np.ndarray
    findings: list[Finding]
    skipped: list[Skipped]


def audit(dataset: Dataset, digests: Sequence[bytes | None], problems: Mapping[int, str]) -> Audit:
    """Check a data set whose files have all been read.

    Args:
        dataset: the examples.
        digests: content digest of each, None where it cannot be used.
        problems: index -> why an example cannot be used.
    """
    left_out = dict(problems)
    copies = _copies(digests)
    findings = [
        _unreadable(dataset, problems),
        _conflicting_labels(dataset, copies, left_out),
        _exact_duplicates(dataset, copies, left_out),
        _groups_across_splits(dataset, left_out),
    ]
    usable = np.array([i for i in range(len(dataset)) if i not in left_out], np.int64)
    counts = count_classes(dataset.labels[usable], dataset.classes)
    findings.append(_small_classes(counts))
    findings += _without_labels(dataset.labels[usable]) if is_multi_label(dataset.labels) else [_imbalance(counts)]
    skipped = dataset.skipped + [Skipped(dataset.files[i], left_out[i]) for i in sorted(left_out)]
    return Audit(usable, findings, skipped)


def _copies(digests: Sequence[bytes | None]) -> list[list[int]]:
    """Indices of the examples that share their bytes with others, one list for each content."""
    same: defaultdict[bytes, list[int]] = defaultdict(list)
    for i, digest in enumerate(digests):
        if digest is not None:
            same[digest].append(i)
    return [indices for indices in same.values() if len(indices) > 1]


def _unreadable(dataset: Dataset, problems: Mapping[int, str]) -> Finding:
    total = len(problems) + len(dataset.skipped)
    if not total:
        return Finding("unreadable", "clean", "Every file was read.")
    named = [f"{dataset.files[i]}: {problems[i]}" for i in sorted(problems)]
    named += [f"{item.file}: {item.reason}" for item in dataset.skipped]
    return Finding(
        "unreadable", "found", f"{counted(total, 'file')} cannot be used and {_are(total)} left out.", named[:_EXAMPLES]
    )


def _conflicting_labels(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> Finding:
    called = dataset.class_names
    found = [indices for indices in copies if len({called[i] for i in indices}) > 1]
    for indices in found:
        names = sorted({called[i] for i in indices})
        for i in indices:
            other = next(j for j in indices if called[j] != called[i])
            left_out[i] = f"the same bytes as {dataset.files[other]}, yet labelled both {' and '.join(names)}"
    if not found:
        return Finding("conflicting-labels", "clean", "No example appears under two labels.")
    count = sum(map(len, found))
    summary = f"{counted(count, 'file')} with the same bytes as another under a different label {_are(count)} left out."
    return Finding("conflicting-labels", "found", summary, [_pair(dataset, i) for i in found[:_EXAMPLES]])


def _exact_duplicates(dataset: Dataset, copies: list[list[int]], left_out: dict[int, str]) -> Finding:
    same_label = [indices for indices in copies if not any(i in left_out for i in indices)]
    if not same_label:
        return Finding("exact-duplicates", "clean", "No two files have the same bytes.")
    across = []
    if dataset.given_splits:
        splits = dataset.given_splits
        across = [indices for indices in same_label if len({splits[i] for i in indices}) > 1]
        for indices in across:
            kept = min(indices, key=lambda i: _KEPT_FIRST[splits[i]])
            for i in indices:
                if splits[i] != splits[kept]:
                    left_out[i] = f"the same bytes as {dataset.files[kept]} in {splits[kept]}: kept on that side only"
    copied = sum(len(indices) - 1 for indices in same_label)
    if across:
        rest = f"{len(across):,} of these were in more than one split; each is kept on its held-out side only."
    else:
        rest = "They were put on the same side of the split." if not dataset.given_splits else "None crosses the split."
    summary = f"{counted(copied, 'file')} {_are(copied)} an exact copy of another. {rest}"
    return Finding(
        "exact-duplicates", "found", summary, [_pair(dataset, i) for i in (across or same_label)[:_EXAMPLES]]
    )


def _groups_across_splits(dataset: Dataset, left_out: Mapping[int, str]) -> Finding:
    check = "groups-across-splits"
    if not dataset.groups:
        return Finding(check, "not applicable", "No groups were named (--group-by).")
    if not dataset.given_splits:
        return Finding(check, "clean", "Every group is on one side of the split.")
    sides: defaultdict[str, set[str]] = defaultdict(set)
    for i, (group, side) in enumerate(zip(dataset.groups, dataset.given_splits, strict=True)):
        if i not in left_out:
            sides[group].add(side)
    found = [group for group, where in sides.items() if len(where) > 1]
    if not found:
        return Finding(check, "clean", "Every group is on one side of the split.")
    summary = f"{len(found):,} of {len(sides):,} groups are in more than one given split: the scores may be too good."
    return Finding(
        check, "found", summary, [f"{group}: {', '.join(sorted(sides[group]))}" for group in found[:_EXAMPLES]]
    )


def _small_classes(counts: dict[str, int]) -> Finding:
    small = {name: n for name, n in counts.items() if n < SMALL_CLASS}
    if not small:
        return Finding("small-classes", "clean", f"Every class has at least {SMALL_CLASS} examples.")
    summary = (
        f"{len(small):,} of {len(counts):,} classes have fewer than {SMALL_CLASS} examples: expect wide intervals."
    )
    rarest = Counter(small).most_common()[: -_EXAMPLES - 1 : -1]
    return Finding("small-classes", "found", summary, [f"{name}: {n}" for name, n in rarest])


def _without_labels(labels: np.ndarray) -> list[Finding]:
    """How many examples of multi-label data have no label: that is allowed, and now and then a mistake."""
    check, n = "without-labels", int((~labels.any(1)).sum())
    if not n:
        return [Finding(check, "clean", "Every example has at least one label.")]
    summary = (
        f"{n:,} of {counted(len(labels), 'example')} {_have(n)} none of the labels, which is an answer like others."
    )
    return [Finding(check, "found", summary)]


def _imbalance(counts: dict[str, int]) -> Finding:
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    ratio = counts[largest] / max(counts[smallest], 1)
    if ratio < IMBALANCE:
        return Finding("imbalance", "clean", f"The largest class has {ratio:.1f} times the examples of the smallest.")
    summary = f"{largest} has {ratio:.1f} times the examples of {smallest}: look at balanced accuracy, not at accuracy."
    return Finding("imbalance", "found", summary, [f"{name}: {counts[name]:,}" for name in (largest, smallest)])


def check_coverage(texts: Sequence[str], reader: Tokenizer) -> Finding:
    """Look at what of the texts a base will not see: words it does not know, or what is beyond its maximum length."""
    seen, there = np.array([reader.coverage(text) for text in texts], np.int64).reshape(-1, 2).T
    share = 1 - seen.sum() / max(there.sum(), 1)
    cut = int((seen < there).sum())
    if isinstance(reader, SubwordTokenizer):
        if not cut:
            return Finding("too-long", "clean", f"No text has more than {reader.max_length:,} tokens.")
        summary = (
            f"{counted(cut, 'text')} of {len(texts):,} {_are(cut)} cut at {reader.max_length:,} tokens: "
            f"{share:.1%} of all tokens are not seen."
        )
        return Finding("too-long", "found", summary, [_beginning(texts[i]) for i in np.argsort(-there)[:_EXAMPLES]])
    if reader.kind == "characters":
        summary = f"{share:.1%} of all characters are unknown to the base, or beyond the {MAX_CHARACTERS:,} it reads."
        state: Literal["found", "clean"] = "found" if share > _MANY_UNKNOWN else "clean"
        return Finding("unknown-characters", state, summary)
    without = int((seen == 0).sum())
    summary = f"{share:.1%} of all words have no vector" + (
        f"; {counted(without, 'text')} {_have(without)} none that does." if without else "."
    )
    state = "found" if share > _MANY_UNKNOWN or without else "clean"
    return Finding(
        "unknown-words", state, summary, [_beginning(texts[i]) for i in np.flatnonzero(seen == 0)[:_EXAMPLES]]
    )


def _beginning(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _SHOWN_CHARACTERS else line[: _SHOWN_CHARACTERS - 1] + "…"


def _pair(dataset: Dataset, indices: list[int]) -> str:
    return " = ".join(dataset.files[i] for i in indices[:3]) + (" = …" if len(indices) > 3 else "")


def _are(n: int) -> str:
    return "is" if n == 1 else "are"


def _have(n: int) -> str:
    return "has" if n == 1 else "have"
