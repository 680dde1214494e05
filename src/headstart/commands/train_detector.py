"""Trains a detector: what follows the audit and the split when the labels are boxes."""

import logging
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Base
from headstart.commands.data_preparation import PreparedData
from headstart.config import ComputeConfig, TrainConfig, all_settings, given_settings
from headstart.data.dataset import Dataset
from headstart.data.images import Decoder
from headstart.data.parallel import map_ahead
from headstart.data.split import Split, folds, stratified_order
from headstart.errors import InputError
from headstart.evaluation import Forecast, LabelIssues, examine_labels, forecast_figure, join_issues
from headstart.features.engines import KerasEngine, resolve_precision
from headstart.runs.answers import Answers
from headstart.system.progress import Progress
from headstart.tasks.detection.resampled_errors import resampled_errors
from headstart.training.detection import DetectorResult, LabelledImages, open_detector, train_detector

logger = logging.getLogger(__name__)

_FOLDS = 3
_LEAST_CURVE = (20, 10)  # images to train on and for validation, for a learning curve


def check_detector_settings(config: TrainConfig) -> None:
    """Check the settings before a detector is trained, and warn about those that change nothing.

    Raises:
        InputError: a setting is for classifiers, and would choose something that a detector does not have.
    """
    if config.search.search is not None:
        raise InputError("it tries heads on the features of whole images, which a detector has not.", field="search")
    values = {
        **given_settings(config.head),
        **given_settings(config.fine_tuning),
        **given_settings(config.evaluation),
    }
    names = sorted(values.keys() - {"time_limit"})
    if names:
        labels = ", ".join(all_settings()[name].label.lower() for name in names)
        logger.warning(f"not used, because a detector has its own head and keeps its base as it is: {labels}")


def fit_detector_layers(
    prepared: PreparedData, base: Base, config: TrainConfig, cache: Path | None, progress: Progress
) -> DetectorResult:
    """Train a detector on the training images.

    Raises:
        InputError: the base has no feature maps, or the disk has no room.
        UnavailableError: no Keras backend that can train is installed.
    """
    return train_detector(
        base.for_images(),
        _images(prepared, "train"),
        _images(prepared, "val"),
        len(prepared.dataset.classes),
        config.detector,
        folds=_folds(prepared, config.split.seed) if config.detector.check_train_labels else None,
        subsets=_subsets(prepared, config) if config.detector.learning_curve else (),
        seed=config.split.seed,
        time_limit=config.fine_tuning.time_limit,
        **asdict(config.compute),
        cache=cache,
        progress=progress,
    )


def _folds(prepared: PreparedData, seed: int) -> np.ndarray | None:
    """The fold of each training image; groups stay together. None where there are too few groups."""
    train = prepared.split.index("train")
    groups = np.unique(prepared.split.groups[train], return_inverse=True)[1]
    if groups.max() + 1 < _FOLDS:
        logger.warning("too few training images to examine their boxes")
        return None
    return folds(prepared.dataset.task, prepared.dataset.labels[train], groups, _FOLDS, seed)


def _subsets(prepared: PreparedData, config: TrainConfig) -> list[np.ndarray]:
    """Positions of a quarter and of a half of the training images, each class in its share; empty for too few."""
    train, val = prepared.split.index("train"), prepared.split.index("val")
    if config.fine_tuning.time_limit is not None:
        logger.warning("there is no learning curve with a time limit: trainings that are cut short would flatten it")
        return []
    if len(train) < _LEAST_CURVE[0] or len(val) < _LEAST_CURVE[1]:
        logger.warning(
            f"too few images for a learning curve: expected at least {_LEAST_CURVE[0]} to train on and "
            f"{_LEAST_CURVE[1]} for validation, got {len(train)} and {len(val)}"
        )
        return []
    order = stratified_order(
        prepared.dataset.task.strata(prepared.dataset.labels[train]), len(train), config.split.seed
    )
    return [np.sort(order[: len(train) // part]) for part in (4, 2)]


def image_forecast(result: DetectorResult, prepared: PreparedData, answers: Answers, seed: int) -> Forecast | None:
    """How much more training images would help, by detectors that were trained on a part of them.

    Returns:
        None where none were.
    """
    if not result.subset_detections:
        return None
    val, classes = answers.splits == "val", prepared.dataset.classes
    outputs = [*result.subset_detections, answers.outputs[val]]
    errors, class_errors = resampled_errors(answers.labels[val], outputs, len(classes), seed=seed)
    n = len(prepared.split.index("train"))
    by_class = {name: class_errors[:, :, number] for number, name in enumerate(classes)}
    return forecast_figure([n // 4, n // 2, n], errors, by_class, seed=seed)


def box_label_issues(result: DetectorResult, prepared: PreparedData, answers: Answers) -> LabelIssues | None:
    """Boxes that look wrong in the validation images, and in the training images if they were examined.

    Those of test images are not examined: corrected by its own answers, they would make the detector look better.

    Returns:
        None where no boxes were examined.
    """
    val, task, dataset = answers.splits == "val", answers.task, prepared.dataset
    issues = [examine_labels(task, answers.labels[val], answers.outputs[val], prepared.split.usable[val])]
    if result.out_of_fold is not None:  # on its own: scores of shorter trainings are lower
        train = prepared.split.index("train")
        issues.append(examine_labels(task, dataset.labels[train], result.out_of_fold, train))
    issues = [part for part in issues if part.examined]
    return join_issues(issues) if issues else None


def _images(prepared: PreparedData, split: str) -> LabelledImages:
    indices = prepared.split.index(split).tolist()
    dataset, digests = prepared.dataset, prepared.features.digests
    return LabelledImages(
        [dataset.examples[i] for i in indices],
        [digests[i] or b"" for i in indices],
        [dataset.labels[i] for i in indices],
    )


def detector_precision(result: DetectorResult, compute: ComputeConfig) -> str:
    """The precision in which a detector computes."""
    return resolve_precision(compute.precision) if result.xml else KerasEngine.precision


def detector_answers(
    result: DetectorResult, precision: str, dataset: Dataset, split: Split, digests: Sequence[bytes | None],
    progress: Progress,
) -> Answers:  # fmt: skip
    """The detections in all images of the split, with thresholds chosen on the validation images."""
    usable = split.usable.tolist()
    task, labels = dataset.task, dataset.labels[split.usable]
    outputs = task.stack_outputs(_detections(result, precision, dataset, usable, progress), len(dataset.classes))
    val = split.splits == "val"
    return Answers(
        split.splits,
        [dataset.files[i] for i in usable],
        labels,
        outputs,
        [digests[i] or b"" for i in usable],
        task,
        [dataset.examples[i] for i in usable],
        dataset.modality,
        task.choose_thresholds(labels[val], outputs[val], len(dataset.classes)),
    )


def _detections(
    result: DetectorResult, precision: str, dataset: Dataset, indices: list[int], progress: Progress
) -> list[Any]:
    engine, decoder = open_detector(result, precision), result.base.reader()

    def read(batch: list[int]) -> tuple[list[int], np.ndarray]:
        return batch, _pixels(decoder, dataset, batch)

    size = engine.batch_size
    batches = map_ahead(read, (indices[start : start + size] for start in range(0, len(indices), size)))
    detections: list[Any] = []
    with progress.start("detecting", len(indices), dataset.modality.plural) as bar:
        for batch, values in engine.stream(batches):
            frames = [dataset.modality.frame(decoder, dataset.examples[i].read()) for i in batch]
            outputs, _ = dataset.task.read_values(values, len(dataset.classes), frames)
            detections.extend(outputs)
            bar.advance(len(batch))
    return detections


def _pixels(decoder: Decoder, dataset: Dataset, indices: list[int]) -> np.ndarray:
    examples = [dataset.examples[i] for i in indices]
    return decoder.batch([decoder.decode(example.read(), example.suffix) for example in examples])
