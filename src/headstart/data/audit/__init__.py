"""What is wrong with the data, found before anything is trained on them, and said in words and with files.

Checks have a code and a name (``checks.py``) and are sorted by what they look at: files that cannot be used
(``reading.py``), images (``images.py``), texts (``texts.py``), boxes (``boxes.py``), the same twice (``copies.py``)
and classes (``classes.py``). What is looked for among features is in :mod:`headstart.features.outliers`.
"""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from headstart.data.audit.boxes import check_boxes
from headstart.data.audit.checks import (
    CHECKS,
    SEVERITIES,
    Check,
    Finding,
    Occurrence,
    Severity,
    complete_findings,
    find_check,
)
from headstart.data.audit.classes import check_classes
from headstart.data.audit.copies import (
    conflicting_labels,
    copies_of,
    exact_duplicates,
    groups_across_splits,
    near_copies,
)
from headstart.data.audit.images import check_images
from headstart.data.audit.reading import UNUSABLE, unusable
from headstart.data.audit.texts import coverage, mojibake
from headstart.data.dataset import Dataset
from headstart.data.example_rows import Skipped
from headstart.data.fingerprints import ImageInfo

__all__ = [
    "CHECKS",
    "SEVERITIES",
    "UNUSABLE",
    "Audit",
    "Check",
    "Finding",
    "Occurrence",
    "Severity",
    "audit",
    "complete_findings",
    "coverage",
    "find_check",
    "near_copies",
]


@dataclass(frozen=True)
class Audit:
    """What the audit found.

    Attributes:
        usable: int (m,), indices of the examples to use.
        findings: one of each check that ran.
        skipped: every file left out, and why.
        near: int (p, 2), pairs of usable examples that nearly repeat each other; of those with the same bytes, each
            with the first that they nearly repeat. None where they were not looked for.
    """

    usable: np.ndarray
    findings: list[Finding]
    skipped: list[Skipped]
    near: np.ndarray | None = None


def audit(
    dataset: Dataset,
    digests: Sequence[bytes | None],
    problems: Mapping[int, str],
    image_infos: Mapping[int, ImageInfo] | None = None,
) -> Audit:
    """Check a data set whose files have all been read.

    What depends on the split is not among it: see :func:`near_copies` and :func:`headstart.data.split.check_split`.

    Args:
        dataset: the examples.
        digests: content digest of each, None where it cannot be used.
        problems: index -> why an example cannot be used.
        image_infos: index -> header and fingerprint of an image.
    """
    left_out, image_infos = dict(problems), image_infos or {}
    copies = copies_of(digests)
    findings = [
        *unusable(dataset, problems),
        conflicting_labels(dataset, copies, left_out),
        *exact_duplicates(dataset, copies, left_out),
        groups_across_splits(dataset, left_out),
    ]
    usable = np.array([i for i in range(len(dataset)) if i not in left_out], np.int64)
    findings += _check_contents(dataset, [i for i in range(len(dataset)) if i not in problems], image_infos)
    findings += check_boxes(dataset) if dataset.task.has_boxes else []
    findings += check_classes(dataset.task, dataset.labels[usable], dataset.classes)
    skipped = dataset.skipped + [Skipped(dataset.files[i], left_out[i]) for i in sorted(left_out)]
    return Audit(usable, findings, skipped, _near(dataset, usable, digests, image_infos))


def _near(
    dataset: Dataset,
    usable: np.ndarray,
    digests: Sequence[bytes | None],
    image_infos: Mapping[int, ImageInfo],
) -> np.ndarray | None:
    """Pairs of usable examples that nearly repeat each other; None where images were not decoded."""
    same: defaultdict[bytes | None, list[int]] = defaultdict(list)
    for i in usable.tolist():
        same[digests[i]].append(i)
    comparables = dataset.modality.comparables(dataset.examples, image_infos)
    if not comparables:
        return None
    first = [indices[0] for indices in same.values() if indices[0] in comparables]
    pairs = dataset.modality.near_pairs([comparables[i] for i in first])
    near = set()
    for i, j in np.array(first, np.int64)[pairs].tolist():
        copies = [(copy, j) for copy in same[digests[i]]] + [(i, copy) for copy in same[digests[j]]]
        near |= {(min(pair), max(pair)) for pair in copies}
    return np.array(sorted(near), np.int64).reshape(-1, 2)


def _check_contents(dataset: Dataset, readable: Sequence[int], image_infos: Mapping[int, ImageInfo]) -> list[Finding]:
    """What the readable examples hold."""
    findings: list[Finding] = []
    if dataset.modality.has_pixels:
        findings += check_images(dataset.files, {i: image_infos[i] for i in readable if i in image_infos})
    if dataset.modality.has_words:
        findings.append(mojibake([dataset.files[i] for i in readable], [dataset.examples[i].text for i in readable]))
    return findings
