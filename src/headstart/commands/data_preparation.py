"""From a data set and a base to features, an audit and a split: the second part of a training."""

import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

import numpy as np

from headstart.bases.base import Base
from headstart.commands.detector_input import with_detector_input
from headstart.config import InputConfig, TrainConfig
from headstart.data.audit import UNUSABLE, Audit, Finding, audit, complete_findings, near_copies
from headstart.data.corrections import Corrections
from headstart.data.dataset import Dataset
from headstart.data.example_rows import LabelProblem, Skipped
from headstart.data.missing_files import check_usable
from headstart.data.split import Split, check_split, split_dataset
from headstart.errors import InputError, counted, field_name
from headstart.features import FeatureSet
from headstart.features.outliers import outliers
from headstart.system.cost import Cost
from headstart.tasks import classification_task
from headstart.training import TrainingData

logger = logging.getLogger(__name__)

Extract = Callable[[Base, Iterable[int] | None], FeatureSet]
"""Computes the features of the examples at some indices, or of all with None, by a base."""

SplitOff = Callable[[FeatureSet], FeatureSet]
"""Gives the base's own features among those of all its blocks."""

_MAX_LISTED = 5  # of the files left out, in the log; skipped.csv has them all


@dataclass(frozen=True)
class PreparedData:
    """Examples that are ready for training.

    Attributes:
        dataset: all examples, with corrected labels.
        features: by the frozen base.
        block_features: of all its blocks, its own first; None where only its own are used.
        audit: of the data; ``usable`` holds only examples that are in the split.
        split: of the usable examples.
        findings: of the audit, the split and the features.
    """

    dataset: Dataset
    features: FeatureSet
    audit: Audit
    split: Split
    findings: list[Finding]
    block_features: FeatureSet | None = None


def training_data(prepared: PreparedData) -> TrainingData:
    """What heads are trained on: the base's own features."""
    dataset, split = prepared.dataset, prepared.split
    return TrainingData(
        prepared.features, classification_task(dataset.task), dataset.labels, len(dataset.classes),
        train=split.index("train"), val=split.index("val"), test=split.index("test"), groups=split.groups,
    )  # fmt: skip


def prepare_data(
    dataset: Dataset, corrections: Corrections, base: Base, config: TrainConfig, extract: Extract, cost: Cost,
    split_off: SplitOff | None = None,
) -> PreparedData:  # fmt: skip
    """Compute features, audit the data and split it.

    Args:
        dataset: the examples.
        corrections: of their labels.
        base: gives the features.
        config: settings.
        extract: computes features.
        cost: measures the stages.
        split_off: gives the base's own features among those of all blocks; None where the base gives its own only.

    Raises:
        InputError: the data cannot be split, or ``strict`` is set and a file cannot be used.
    """
    with cost.stage("features"):
        features, checked, split = _extract_and_split(dataset, corrections, base, config, extract)
        block_features = features if split_off else None
        features = split_off(features) if split_off else features
    with cost.stage("audit and split"):
        dataset = replace(dataset, labels=corrections.labels)  # after the split, which must not change
        findings = _findings(dataset, checked, split, base, features)
        report_skipped(checked.skipped, strict=config.data.strict)
        for finding in findings:
            if finding.state == "found" and finding.severity != "info" and finding.check not in UNUSABLE:
                logger.warning(finding.summary)
        if config.data.strict:
            report_label_problems(dataset.label_problems, strict=True)
    return PreparedData(dataset, features, checked, split, findings, block_features)


def _extract_and_split(
    dataset: Dataset, corrections: Corrections, base: Base, config: TrainConfig, extract: Extract
) -> tuple[FeatureSet, Audit, Split]:
    """Features, audit and split. With ``shots``, only the features of the drawn examples are computed."""

    def split_by(features: FeatureSet) -> tuple[Audit, Split]:
        # Without shots only: the cache can hold facts about more images than are drawn, which would change the split.
        image_infos = features.image_infos if config.split.shots is None else {}
        checked = audit(dataset, features.digests, features.problems, image_infos)
        check_usable(dataset, checked)
        split = split_dataset(dataset, checked.usable, features.digests, **asdict(config.split), near=checked.near)
        split = split.keeping(corrections.kept_mask)
        return replace(checked, usable=split.usable), split

    if config.split.shots is None:
        features = extract(base, None)
        return (features, *split_by(features))
    features = extract(base, [])
    checked, split = split_by(features)
    drawn_examples = split.usable[:0]
    while not np.array_equal(drawn_examples, split.usable):  # a damaged example is replaced by another one
        drawn_examples = split.usable
        features = extract(base, drawn_examples)
        checked, split = split_by(features)
    _warn_of_few_examples(dataset, split, config.split.shots)
    return features, checked, split


def _warn_of_few_examples(dataset: Dataset, split: Split, shots: int) -> None:
    """Warn if classes have fewer training examples than ``shots``."""
    trained_labels = dataset.labels[split.usable[split.splits == "train"]]
    counts = dataset.task.counts(trained_labels, len(dataset.classes))
    if (fewer := int((counts < shots).sum())) > 0:
        logger.warning(
            f"{fewer} of {len(counts)} classes have fewer than {shots} training examples: all of them are used"
        )


def _findings(dataset: Dataset, checked: Audit, split: Split, base: Base, features: FeatureSet) -> list[Finding]:
    """The findings about data, split and features."""
    labels = dataset.labels[split.usable]
    findings = [
        *checked.findings,
        *near_copies(dataset, checked.near, split.split_of_each()),
        check_split(
            dataset.task,
            labels,
            split.splits,
            dataset.classes,
            skipped=checked.skipped,
            plural=dataset.modality.plural,
            is_given=dataset.given_splits is not None,
        ),
        *check_features(dataset, split.usable, base, features),
    ]
    return complete_findings(findings, dataset.modality)


def check_features(dataset: Dataset, usable: np.ndarray, base: Base, features: FeatureSet) -> list[Finding]:
    """The findings that need a base."""
    names, examples = [dataset.files[i] for i in usable], [dataset.examples[i] for i in usable]
    return [outliers(dataset, features, usable), *base.check_inputs(names, examples)]


def check_modality(base: Base, dataset: Dataset) -> None:
    """Check that a base is for data of this kind.

    Raises:
        InputError: it is not.
    """
    if base.modality.name != dataset.modality.name:
        raise InputError(
            f"{base.handle} is a base for {base.modality.plural}, and {dataset.source} holds "
            f"{dataset.modality.plural}. Choose another one, such as {dataset.modality.default_bases[-1]}.",
            field="base",
        )


def with_input(config: InputConfig, dataset: Dataset) -> InputConfig:
    """The settings of the input, with what the data decide where nothing is set."""
    config = with_sample_range(config, dataset)
    return with_detector_input(config, dataset) if dataset.task.trains_on == "maps" else config


def with_sample_range(config: InputConfig, dataset: Dataset) -> InputConfig:
    """The settings of the input, with the range of values beyond 8 bits as measured where none is set.

    Examples in splits that come with the data as val or test are not looked at.
    """
    if config.sample_range is not None:
        return config
    splits = dataset.given_splits or [""] * len(dataset.examples)
    examples = [
        example for example, split in zip(dataset.examples, splits, strict=True) if split not in ("val", "test")
    ]
    measured = dataset.modality.sample_range(examples)
    if measured:
        black, white = measured
        logger.info(f"images with more than 8 bits: {black:g} is black, {white:g} is white, as measured on the data")
    return replace(config, sample_range=measured)


def load_for_input(load: Callable[..., Base], options: dict[str, Any], *, is_size_set: bool) -> Base:
    """Load a base for the input of a training.

    Args:
        load: takes the options.
        options: with the ``input_size``.
        is_size_set: whether the user set that size; otherwise it gives way to that of a base which has one size only.
    """
    try:
        return load(**options)
    except InputError as exc:
        if exc.field != "input_size" or is_size_set:
            raise
        return load(**{**options, "input_size": None})


def report_label_problems(problems: Iterable[LabelProblem], *, strict: bool) -> None:
    """Log which parts of labels were left out, such as boxes outside their images.

    Raises:
        InputError: ``strict``, and one was.
    """
    lost = [f"{problem.file}: {problem.where} {problem.reason}" for problem in problems if problem.is_left_out]
    _report_left_out(_left_out(lost, "object"), "Correct their annotations", strict=strict)


def report_skipped(skipped: Sequence[Skipped], *, strict: bool) -> None:
    """Log which files were left out, and why.

    Raises:
        InputError: ``strict``, and one was.
    """
    _report_left_out(skipped_text(skipped), "Fix or remove these files", strict=strict)


def skipped_text(skipped: Sequence[Skipped]) -> str:
    """How many files were left out, and of the first ones why; empty if there are none."""
    return _left_out([f"{item.file}: {item.reason}" for item in skipped], "file")


def _left_out(lines: Sequence[str], noun: str) -> str:
    rest = [f"… and {len(lines) - _MAX_LISTED:,} more"] if len(lines) > _MAX_LISTED else []
    return "\n  ".join([f"{counted(len(lines), noun)} left out:", *lines[:_MAX_LISTED], *rest]) if lines else ""


def _report_left_out(text: str, advice: str, *, strict: bool) -> None:
    if text and strict:
        raise InputError(f"{text}\n{advice}, or leave {field_name('strict')} out.", field="strict")
    if text:
        logger.warning(text)
