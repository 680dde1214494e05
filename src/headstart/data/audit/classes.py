"""Classes with too few examples, or far fewer than others."""

import numpy as np

from headstart.data.audit.checks import Finding, Occurrence, has_have
from headstart.errors import counted
from headstart.tasks import Task

SMALL_CLASS = 20


def check_classes(task: Task, labels: np.ndarray, classes: list[str]) -> list[Finding]:
    """Count examples.

    Args:
        task: what is predicted.
        labels: of the usable examples, as the task encodes them.
        classes: class names.
    """
    counts = task.class_counts(labels, classes)
    findings = [_small_classes(counts)]
    if task.imbalance_ratio is not None:
        findings.append(_imbalance(counts, task.imbalance_ratio, task.wording.imbalance_advice))
    if task.allows_no_class:
        has_class = np.any([task.members(labels, number) for number in range(len(classes))], axis=0)
        findings.append(_without_labels(has_class))
    return findings


def _small_classes(counts: dict[str, int]) -> Finding:
    small = sorted((n, name) for name, n in counts.items() if n < SMALL_CLASS)
    if not small:
        return Finding("small-classes", "clean", f"Every class has at least {SMALL_CLASS} examples.")
    summary = (
        f"{len(small):,} of {len(counts):,} classes {has_have(len(small))} fewer than {SMALL_CLASS} examples: "
        "expect wide intervals."
    )
    return Finding("small-classes", "found", summary, [Occurrence((), f"{name}: {n}") for n, name in small])


def _without_labels(has_class: np.ndarray) -> Finding:
    """How many examples have no label: that is allowed, and sometimes a mistake.

    Args:
        has_class: bool (n,), whether each example is of any class.
    """
    check, n = "without-labels", int((~has_class).sum())
    if not n:
        return Finding(check, "clean", "Every example has at least one label.")
    return Finding(
        check, "found", f"{n:,} of {counted(len(has_class), 'example')} {has_have(n)} none of the labels, which is an "
        "answer like others.",
    )  # fmt: skip


def _imbalance(counts: dict[str, int], limit: float, advice: str) -> Finding:
    largest, smallest = max(counts, key=counts.__getitem__), min(counts, key=counts.__getitem__)
    ratio = counts[largest] / max(counts[smallest], 1)
    if ratio < limit:
        return Finding("imbalance", "clean", f"The largest class has {ratio:.1f} times the examples of the smallest.")
    summary = f"{largest} has {ratio:.1f} times the examples of {smallest}: {advice}."
    return Finding(
        "imbalance", "found", summary, [Occurrence((), f"{name}: {counts[name]:,}") for name in (largest, smallest)]
    )
