"""Rules about the datasets of a script, their splits, augmentation and order: HS131, HS132 and HS134 to HS137."""

from dataclasses import dataclass, field
from typing import Any

from headstart.checks.dataset import Dataset, ReadLines, Tensor
from headstart.checks.network import find_augmentation
from headstart.checks.rules.catalog import Report


@dataclass(frozen=True)
class DirectoryCall:
    """One call of ``image_dataset_from_directory``; equal calls give the same images.

    Attributes:
        directory: equal for equal folders.
        validation_split: the argument of the call, or None.
        subset: the argument of the call, or None.
        seed: the argument of the call, or None.
        shuffle: the argument of the call.
        line: of the call.
    """

    directory: Any
    validation_split: Any
    subset: Any
    seed: Any = field(compare=False)
    shuffle: Any = field(compare=False)
    line: int = field(compare=False)


def check_split(first: DirectoryCall, second: DirectoryCall, report: Report) -> None:
    """Check that two calls split one folder in the same way."""
    if first.directory != second.directory or {first.subset, second.subset} != {"training", "validation"}:
        return
    fractions = (first.validation_split, second.validation_split)
    message = ""
    if all(isinstance(fraction, float) for fraction in fractions) and fractions[0] != fractions[1]:
        message = f"The two calls use different values of validation_split ({fractions[0]:g} and {fractions[1]:g})."
    elif first.shuffle is True and second.shuffle is True:
        seeds = (first.seed, second.seed)
        if None in seeds:
            message = "The folder is shuffled before it is split, but one of the calls has no seed."
        elif all(isinstance(seed, int) for seed in seeds) and first.seed != second.seed:
            message = f"The folder is shuffled with two different seeds ({first.seed} and {second.seed})."
    if message:
        report("splits-overlap", second.line, message)


def check_cached(dataset: Dataset, line: int, report: Report) -> None:
    """Check that a dataset is not augmented before it is cached."""
    if augmentation := _last_augmentation(dataset):
        message = f"{augmentation[0]} comes before cache, so every epoch gets the same images."
        report("augmentation-before-cache", line, message)


def check_validation(training: Dataset, validation: Dataset, line: int, report: Report) -> None:
    """Check that the validation data are not training data and not augmented."""
    is_same = validation.origin == training.origin and validation.selections == training.selections
    if validation is training or is_same:
        report("validation-is-training", line, "The validation data are the training data.")
    shared = training.reshuffles_before_split & validation.reshuffles_before_split
    if shared and training.selections != validation.selections:
        message = "take and skip split a dataset that is shuffled again in every epoch"
        report("split-after-reshuffle", max(shared), f"{message}, so training and validation data mix.")
    check_augmented(validation, report)


def check_augmented(dataset: Dataset, report: Report) -> None:
    """Check that data for evaluation are not augmented."""
    if augmentation := _last_augmentation(dataset):
        name, line = augmentation
        report("augmentation-on-validation", line, f"{name} is applied to the validation or test data.")


def check_order(read_lines: ReadLines, report: Report) -> None:
    """Check that predictions and the labels they are compared with have the same order."""
    if read_lines.predictions and read_lines.labels:
        message = "Predictions and labels are read from a dataset that is shuffled each time"
        report("prediction-order-mismatch", read_lines.predictions, f"{message}, so they do not match.")


def _last_augmentation(dataset: Dataset) -> tuple[str, int] | None:
    """Name and line of the last augmentation of a dataset."""
    node = dataset.images.node if isinstance(dataset.images, Tensor) else None
    while node:
        if name := find_augmentation(node):
            return name, node.line
        node = node.inputs[0] if len(node.inputs) == 1 else None
    return None
