"""The rules that look at data sets in scripts: how they are divided, what is done to them, and their order."""

import ast
from dataclasses import dataclass, field
from typing import Any

from headstart.checks.network import Network, differ
from headstart.checks.network_rules import Report, augmentation_in
from headstart.checks.sources import Sources
from headstart.checks.values import Dataset, Reads, Tensor


@dataclass(frozen=True)
class Directory:
    """One call of ``image_dataset_from_directory``; equal calls give the same images."""

    key: Any
    split: Any
    subset: Any
    seed: Any = field(compare=False)
    shuffle: Any = field(compare=False)
    line: int = field(compare=False)

    @classmethod
    def of(cls, config: dict[str, Any], node: ast.Call, sources: Sources) -> "Directory":
        """The call with these arguments."""
        key = directory_key(config, node, sources)
        split, subset, seed = (config.get(name) for name in ("validation_split", "subset", "seed"))
        return cls(key, split, subset, seed, config.get("shuffle", True), node.lineno)


def directory_key(config: dict[str, Any], node: ast.Call, sources: Sources) -> Any:
    """What is equal for equal folders: a path, or an expression of names that the script gives one value each."""
    path = config.get("directory")
    if isinstance(path, str):
        return path
    given = [keyword.value for keyword in node.keywords if keyword.arg == "directory"] or node.args[:1]
    names = {one.id for one in ast.walk(given[0]) if isinstance(one, ast.Name)} if given else set()
    return ast.dump(given[0]) if names and not names & sources.varying_names() else object()


def check_split(first: Directory, second: Directory, report: Report) -> None:
    """See that two calls divide one folder in the same way."""
    if first.key != second.key or {first.subset, second.subset} != {"training", "validation"}:
        return
    where = second.line
    fractions = (first.split, second.split)
    if all(isinstance(one, float) for one in fractions) and first.split != second.split:
        shown = " and ".join(f"{one:g}" for one in fractions)
        report("splits-overlap", where, f"the two calls have different values of validation_split ({shown}).")
    elif first.shuffle is True and second.shuffle is True:
        seeds = (first.seed, second.seed)
        if None in seeds:
            report("splits-overlap", where, "the folder is shuffled before it is divided, and a call has no seed.")
        elif all(isinstance(one, int) for one in seeds) and first.seed != second.seed:
            report("splits-overlap", where, f"the folder is shuffled with two seeds ({first.seed} and {second.seed}).")


def check_cached(dataset: Dataset, line: int, report: Report) -> None:
    """See that what is cached is not augmented yet."""
    if name := _augmentation(dataset):
        report("augmentation-before-cache", line, f"{name[0]} comes before cache: every epoch sees the same versions.")


def check_validation(training: Dataset, validation: Dataset, line: int, report: Report) -> None:
    """See that a network is validated on other images, as they are."""
    if validation is training or (validation.origin == training.origin and validation.parts == training.parts):
        report("validation-is-training", line, "the validation data are the training data.")
    shared = training.divided & validation.divided
    if shared and training.parts != validation.parts:
        what = "take and skip divide a data set that is shuffled anew in every epoch"
        report("split-after-reshuffle", max(shared), f"{what}: training and validation mix.")
    check_augmented(validation, report)


def check_augmented(dataset: Dataset, report: Report) -> None:
    """See that data to judge with are not augmented."""
    if found := _augmentation(dataset):
        report(
            "augmentation-on-validation", found[1], f"{found[0]} is applied to the data that the model is judged on."
        )


def check_order(reads: Reads, report: Report) -> None:
    """See that predictions and the labels that they are compared with come in one order."""
    if reads.predicted_line and reads.labels_line:
        what = "predictions and labels are read from a data set that is shuffled anew each time"
        report("predict-in-other-order", reads.predicted_line, f"{what}: they do not belong together.")


def check_optimizer(before: Network, states: dict[Any, Any], network: Network, report: Report) -> None:
    """See that an optimizer object that has trained is not used for other weights.

    Args:
        before: the network that it trained.
        states: what was trainable in it.
        network: what it is to train now.
        report: takes what is found.
    """
    if network is not before or differ(states, network.states()):
        where = network.compiled.line if network.compiled else 0
        what = "this optimizer object has trained " + ("other weights" if network is before else "another model")
        report("optimizer-used-again", where, f"{what}: its state belongs to them, and Keras 3 refuses new ones.")


def _augmentation(dataset: Dataset) -> tuple[str, int] | None:
    """The last augmentation of a data set, and where it is."""
    node = dataset.images.node if isinstance(dataset.images, Tensor) else None
    while node:
        if name := augmentation_in(node):
            return name, node.line
        node = node.inputs[0] if len(node.inputs) == 1 else None
    return None
