"""What held-out data have in common with those that a run was trained on: the same examples, and nearly the same."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.audit import Finding, Occurrence
from headstart.data.examples import Example
from headstart.data.fingerprints import ImageInfo
from headstart.data.modalities import Modality
from headstart.data.readers import Reader
from headstart.errors import counted
from headstart.features.examination import examine, known_image_infos
from headstart.runs.answers import Answers
from headstart.runs.schema import RunFacts
from headstart.runs.tables import PredictionRow, read_predictions
from headstart.system.progress import Progress

EXACT, NEAR = "seen-in-training", "nearly-seen-in-training"


@dataclass(frozen=True)
class Overlap:
    """What is not new to a run.

    Attributes:
        leaked: bool (n,), held-out examples that are, exactly or nearly, among those that it was trained or stopped on.
        findings: about both kinds.
    """

    leaked: np.ndarray
    findings: list[Finding]


def overlap(
    folder: Path,
    facts: RunFacts,
    reader: Reader,
    answers: Answers,
    image_infos: Mapping[int, ImageInfo],
    progress: Progress,
) -> Overlap:
    """Compare held-out examples with those that a run was trained or stopped on.

    Images are known by their fingerprints in the cache, or are read again where they still are.

    Args:
        folder: of the run.
        facts: its ``run.json``.
        reader: its own.
        answers: about the held-out examples.
        image_infos: index -> what one of them looks like, if it is an image.
        progress: follows the work.
    """
    trained_on = read_predictions(folder, facts, splits=("train", "val"))
    if not trained_on:
        skipped = "It is not known what the run was trained on."
        return Overlap(
            np.zeros(len(answers.files), bool), [Finding(check, "skipped", skipped) for check in (EXACT, NEAR)]
        )
    known_digests = {row.sha256 for row in trained_on}
    exact = np.array([digest.hex() in known_digests for digest in answers.digests], bool)
    modality = facts.modality
    first = {row.sha256: row for row in trained_on}  # one of each content
    new_comparables = modality.comparables(answers.examples, image_infos)
    trained_comparables = _comparables(first, facts, reader, progress)
    if not trained_comparables:
        reason = f"The {modality.plural} that the run was trained on are no longer where they were."
        if not new_comparables:
            reason = f"The contents of {modality.plural} are compared exactly only."
        return Overlap(exact, [_exact(answers.files, exact, modality), Finding(NEAR, "skipped", reason)])
    positions, names = list(new_comparables), [first[digest].file for digest in trained_comparables]
    partners_by_number = _partners(
        modality.near_pairs([*trained_comparables.values(), *new_comparables.values()]), len(trained_comparables)
    )
    partners = {positions[i]: j for i, j in partners_by_number.items()}
    pairs = {i: names[j] for i, j in sorted(partners.items()) if not exact[i]}
    near = np.isin(np.arange(len(exact)), list(pairs))
    return Overlap(exact | near, [_exact(answers.files, exact, modality), _near(answers.files, pairs, modality)])


def _partners(pairs: np.ndarray, n_trained: int) -> dict[int, int]:
    """New example -> one that was seen, from pairs among those seen and the new ones behind them."""
    crossing = pairs[(pairs[:, 0] < n_trained) & (pairs[:, 1] >= n_trained)]
    return {j - n_trained: i for i, j in crossing[::-1].tolist()}


def _comparables(
    trained_on: Mapping[str, PredictionRow], facts: RunFacts, reader: Reader, progress: Progress
) -> dict[str, Any]:
    """Digest (hex) -> what is compared of a training example, for those in the run, in the cache or on disk."""
    modality, root = facts.modality, Path(facts.data_root)
    examples = {digest: modality.example_in(root, row.file, row.text) for digest, row in trained_on.items()}
    infos_by_digest = _image_infos(examples, modality, reader, progress) if modality.has_pixels else {}
    image_infos = {i: infos_by_digest[digest] for i, digest in enumerate(examples) if digest in infos_by_digest}
    digests = list(examples)
    return {
        digests[i]: comparable for i, comparable in modality.comparables(list(examples.values()), image_infos).items()
    }


def _image_infos(
    examples: Mapping[str, Example], modality: Modality, reader: Reader, progress: Progress
) -> dict[str, ImageInfo]:
    """Digest (hex) -> header and fingerprint of a training image, for images in the cache or on disk."""
    digests = [bytes.fromhex(digest) for digest in examples]
    cached_infos = {digest.hex(): info for digest, info in known_image_infos(digests, reader).items()}
    missing = [example for digest, example in examples.items() if digest not in cached_infos and example.version()]
    examined = examine(missing, modality, reader=reader, progress=progress)
    return cached_infos | {(examined.digests[i] or b"").hex(): info for i, info in examined.image_infos.items()}


def _exact(files: Sequence[str], exact: np.ndarray, modality: Modality) -> Finding:
    n = int(exact.sum())
    if not n:
        return Finding(EXACT, "clean", "None of these examples is among those that the run was trained on.")
    of = f"{n:,} of {counted(len(exact), modality.noun)}"
    summary = f"{of} {'is' if n == 1 else 'are'} among those that the run was trained on."
    return Finding(EXACT, "found", summary, [Occurrence((files[i],)) for i in np.flatnonzero(exact).tolist()])


def _near(files: Sequence[str], pairs: Mapping[int, str], modality: Modality) -> Finding:
    n = len(pairs)
    if not n:
        return Finding(NEAR, "clean", "None of these examples nearly repeats one that the run was trained on.")
    of = f"{n:,} of {counted(len(files), modality.noun)}"
    summary = f"{of} nearly {'repeats' if n == 1 else 'repeat'} one that the run was trained on."
    return Finding(NEAR, "found", summary, [Occurrence((files[i], name)) for i, name in pairs.items()])
