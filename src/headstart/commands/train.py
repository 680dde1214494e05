"""READ FIRST. The whole way from a base and labelled images or texts to a run: one call per stage."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from headstart.bases import load_base, load_default
from headstart.bases.base import Base
from headstart.commands.base_comparison import BaseComparison
from headstart.commands.block_features import base_with_blocks, choose_head, split_features
from headstart.commands.cache import remove_leftovers
from headstart.commands.compare import compare_on
from headstart.commands.data_preparation import (
    Extract,
    PreparedData,
    check_modality,
    load_for_input,
    prepare_data,
    with_input,
)
from headstart.commands.head_search import search_for_head
from headstart.commands.load import Run
from headstart.commands.token_counts import add_counts, check_counts
from headstart.commands.train_detector import (
    box_label_issues,
    check_detector_settings,
    detector_answers,
    detector_precision,
    fit_detector_layers,
    image_forecast,
)
from headstart.config import (
    AUTO,
    Config,
    HeadConfig,
    TrainConfig,
    all_settings,
    given_settings,
    merge_settings,
    unused_settings,
)
from headstart.config.commands import TRAIN, reading_settings, shows_settings
from headstart.config.keywords import TrainKeywords
from headstart.data.audit import Audit
from headstart.data.corrections import read_corrections
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.missing_files import check_files
from headstart.data.run_examples import EXAMPLES
from headstart.data.split import Split
from headstart.data.split_names import SPLITS
from headstart.evaluation import (
    Calibration,
    Forecast,
    LabelIssues,
    SelectivePrediction,
    Verdict,
    calibrate,
    choose_confidence_threshold,
    class_changes,
    find_label_issues,
    forecast,
    held_out_examples,
    judge_fine_tuning,
)
from headstart.evaluation.out_of_distribution import fit_detector
from headstart.explanation.mistakes import explain_mistakes
from headstart.features import FeatureSet, extract
from headstart.reports.run import write_report
from headstart.runs.answers import Answers
from headstart.runs.assembly import Pages, write_run
from headstart.runs.detector_run import DetectorMaterial, write_detector_run
from headstart.runs.facts import HeadChoice, HeadMaterial, Material
from headstart.runs.folder import check_name, name_of
from headstart.runs.schema import LeakFree, SplitFigures
from headstart.runs.tracking import check_tracking, track
from headstart.system.cost import Cost
from headstart.system.disk import check_room
from headstart.system.display import show_progress
from headstart.system.progress import Progress
from headstart.system.scratch import check_folder, sweep
from headstart.tasks import Task
from headstart.tasks.outputs import at_temperature
from headstart.training import (
    FineTuneResult,
    Head,
    NotTried,
    TrainingData,
    check_finished,
    check_search_installed,
    fine_tune,
    fit_head,
)

logger = logging.getLogger(__name__)

_COPIES = 2  # of the weights in a run: in model.keras and for the engine


@shows_settings(TRAIN)
def train(
    data: Any,
    *,
    config: Config = None,
    name: str | None = None,
    runs: str | Path = "runs",
    tensorboard: bool = False,
    mlflow: bool = False,
    cache: str | Path | None = None,
    check_base: Callable[[Base, Task], None] | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[TrainKeywords],
) -> Run:
    """Train a classifier on a pretrained base.

    The frozen base runs once over the data, a new head is trained on its features, and fine-tuning is kept only if it
    helps.

    Args:
        data: a folder with one folder of images or text files per class, or with train, val and test folders of those;
            a CSV, TSV, JSONL or Parquet table of paths or texts, and labels; a pandas DataFrame; or a
            :class:`~headstart.data.dataset.Dataset`, which the run keeps.
        config: settings as a :class:`~headstart.config.TrainConfig`, one of its stages, a mapping, or the path of a
            recipe: a ``.toml`` file, or the ``run.json`` of a run.
        name: of the run; the name of the data when None. An existing run is never overwritten.
        runs: folder for the new run.
        tensorboard: write TensorBoard events into the run folder as well.
        mlflow: log the run to MLflow as well.
        cache: folder of the feature cache; the cache of the user when None.
        check_base: called with the base and the task before anything is computed; raises if they will not do.
        progress: True shows it, with notes: as bars in a notebook and on a terminal, and as log records elsewhere.
            False shows neither progress nor notes. Or an object that follows the work, see :class:`headstart.Progress`.
        settings: settings by name, see :mod:`headstart.config`.

    Returns:
        The finished run.

    Raises:
        InputError: a setting or the data cannot be used, or a setting has one value in ``config`` and another here.
        UnavailableError: weights, network or an optional package is missing.
        IntegrityError: what was frozen has changed, or the finished model computes something else.
    """
    train_config = TrainConfig.from_settings(merge_settings(config, settings))
    run_name = check_name(name if name is not None else name_of(data, "run"))
    check_tracking(tensorboard=tensorboard, mlflow=mlflow)
    if train_config.search.search is not None:
        check_search_installed()
    folder = Path(cache).expanduser() if cache else None
    with show_progress(progress) as shown_progress:
        for sentence in unused_settings(train_config):
            logger.warning(sentence)
        run = _train(data, train_config, Path(runs), run_name, folder, check_base, shown_progress)
    track(run, tensorboard=tensorboard, mlflow=mlflow)
    return run


def _train(
    data: Any,
    config: TrainConfig,
    runs: Path,
    run_name: str,
    cache: Path | None,
    check_base: Callable[[Base, Task], None] | None,
    progress: Progress,
) -> Run:
    """All stages, in order; see :func:`train`."""
    remove_leftovers(cache)
    sweep(runs)
    cost = Cost(progress)
    with cost.stage("data"):
        dataset = load_dataset(data, **reading_settings(config))
        check_files(dataset)
        check_folder(runs, "runs")  # or training would fail at its end
        corrections = read_corrections(config.data.relabel, dataset)
        is_size_set = config.input.input_size is not None
        config = replace(config, input=with_input(config.input, dataset))
        if dataset.task.trains_on == "maps":
            check_detector_settings(config)
        elif names := given_settings(config.detector):
            labels = ", ".join(all_settings()[name].label.lower() for name in names)
            logger.warning(f"not used, because the data have no boxes: {labels}")
    choice = _choose_base(config, dataset, cost, cache, progress, is_size_set=is_size_set)
    with cost.stage("base"):
        name = choice.best if choice else config.base.base
        base = _load(name, config, dataset, cache, check_base, progress, is_size_set=is_size_set)
        if base.weights_path:  # before the work, and again when the size of all files is known
            check_room(runs, _COPIES * base.weights_path.stat().st_size, f"the files of the run {run_name}")
        check_counts(base, config.head)
        wide = base_with_blocks(base, config, dataset, cache)

    def extract_features(base: Base, indices: Iterable[int] | None) -> FeatureSet:
        return extract(base, dataset.examples, only=indices, **asdict(config.compute), cache=cache, progress=progress)

    split_off = partial(split_features, base, wide, cache=cache) if wide else None
    prepared = prepare_data(dataset, corrections, wide or base, config, extract_features, cost, split_off)
    common: dict[str, Any] = {
        "choice": choice.to_json() if choice else None, "dataset": prepared.dataset, "corrections": corrections,
        "audit": prepared.audit, "findings": prepared.findings, "config": _recorded(config, base),
        "data_path": _data_path(data), "splits": prepared.split.split_of_each(),
    }  # fmt: skip
    if dataset.task.trains_on == "maps":
        detector = _train_detector(prepared, base, config, common, cost, cache, progress)
        with cost.stage("run"):
            return Run(write_detector_run(runs, run_name, detector, cost, _pages(detector)))
    material = _train_head(prepared, base, wide, config, common, extract_features, cost, cache, progress)
    with cost.stage("run"):
        return Run(write_run(runs, run_name, material, cost, cache, _pages(material)))


def _train_head(
    prepared: PreparedData, base: Base, wide: Base | None, config: TrainConfig, common: dict[str, Any],
    extract_features: Extract, cost: Cost, cache: Path | None, progress: Progress,
) -> HeadMaterial:  # fmt: skip
    """From features to a head that is evaluated; the base is fine-tuned if that helps."""
    dataset, split = prepared.dataset, prepared.split
    with cost.stage("head"):
        head_choice = add_counts(choose_head(base, prepared, wide, config.head, cache), dataset, cache)
        label_issues, learning_curve = _examine(head_choice.data, head_choice.head, config.head, dataset.classes, cache)
    if config.search.search is not None:
        with cost.stage("search"):
            head_choice = search_for_head(
                head_choice, config, dataset, extract_features, config.search.search, cache, progress
            )
    with cost.stage("fine-tuning"):
        tuned, verdict, base, head, features = _fine_tune(
            head_choice, config, dataset, split, extract_features, cache, progress
        )
    with cost.stage("evaluation"):
        training_data = head_choice.data
        head, calibration, selective = _calibrate(training_data, features, head, config.evaluation.min_precision)
        evaluated = _evaluated(prepared, _answers(dataset, split, features, head), config.split.seed)
    return HeadMaterial(
        **common, base=base, features=features, head_choice=head_choice, head=head,
        label_issues=label_issues, learning_curve=learning_curve, tuned=tuned, verdict=verdict,
        calibration=calibration, selective_prediction=selective,
        detector=fit_detector(
            (prepared.features if base is wide else features).rows, training_data.train, training_data.val,
            config.split.seed,
        ),
        **evaluated,
    )  # fmt: skip


def _train_detector(
    prepared: PreparedData, base: Base, config: TrainConfig, common: dict[str, Any], cost: Cost, cache: Path | None,
    progress: Progress,
) -> DetectorMaterial:  # fmt: skip
    """From images with boxes to a detector that is evaluated."""
    with cost.stage("detector"):
        result = fit_detector_layers(prepared, base, config, cache, progress)
    with cost.stage("evaluation"):
        precision = detector_precision(result, config.compute)
        answers = detector_answers(
            result, precision, prepared.dataset, prepared.split, prepared.features.digests, progress
        )
        evaluated = _evaluated(prepared, answers, config.split.seed)
        label_issues = box_label_issues(result, prepared, answers)
        learning_curve = image_forecast(result, prepared, answers, config.split.seed)
    return DetectorMaterial(
        **common, base=result.base, features=prepared.features, label_issues=label_issues,
        learning_curve=learning_curve, result=result,
        precision=precision, **evaluated,
    )  # fmt: skip


def _evaluated(prepared: PreparedData, answers: Answers, seed: int) -> dict[str, Any]:
    """Answers and their figures, as fields of the material of a run."""
    dataset, split = prepared.dataset, prepared.split
    figures, leak_free = _evaluate(prepared.audit, split, answers, dataset.classes, seed)
    change = class_changes(dataset, split.usable, split.splits, answers.outputs, answers.thresholds, seed=seed)
    return {"answers": answers, "figures": figures, "leak_free": leak_free, "change": change}


def _examine(
    data: TrainingData, head: Head, config: HeadConfig, classes: Sequence[str], cache: Path | None
) -> tuple[LabelIssues | None, Forecast | None]:
    """Labels that look wrong, and the extrapolated learning curve.

    Both need a solved head on the features of the frozen base, which was not fitted to the data.
    """
    solved = head if config.kind == "linear" else fit_head(data, replace(config, head="linear", dense=()), cache)
    if solved.out_of_fold is None:
        return None, None
    curve = forecast(solved.curve, len(data.train), classes) if solved.curve else None
    return find_label_issues(data, solved), curve


def _fine_tune(
    choice: HeadChoice,
    config: TrainConfig,
    dataset: Dataset,
    split: Split,
    extract_features: Extract,
    cache: Path | None,
    progress: Progress,
) -> tuple[FineTuneResult | NotTried, Verdict, Base, Head, FeatureSet]:
    """The result of fine-tuning, the decision on it, and the base, head and features that are kept."""
    data, start = choice.data, choice.plain or choice
    tuned = fine_tune(
        start.base, dataset.examples, start.data, start.head, start.config, config.fine_tuning,
        best=(data, choice.head), **asdict(config.compute), cache=cache, progress=progress,
    )  # fmt: skip
    verdict = judge_fine_tuning(data, choice.head, tuned, keep=config.fine_tuning.keep, seed=config.split.seed)
    if not isinstance(tuned, FineTuneResult) or verdict.outcome != "kept":
        return tuned, verdict, choice.base, choice.head, data.features
    features = extract_features(tuned.base, split.usable)
    check_finished(tuned, features, data.train)
    return tuned, verdict, tuned.base, tuned.head, features


def _pages(material: Material) -> Pages:
    """What explanation and report write into the folder of a run."""
    return Pages(partial(explain_mistakes, material.answers), write_report)


def _calibrate(
    data: TrainingData, features: FeatureSet, head: Head, min_precision: float
) -> tuple[Head, Calibration, SelectivePrediction | None]:
    """The head with calibrated probabilities, and the confidence from which its answers are sure.

    Args:
        data: the examples.
        features: of all examples, by the finished base.
        head: trained on these.
        min_precision: share of the sure answers that must be right.
    """
    of_val, of_test = head.over(features, data.val), head.over(features, data.test)
    held_out = held_out_examples(data, of_val, head)
    calibration = calibrate(data, held_out, of_test)
    temperature = calibration.temperature
    if temperature != 1:
        head, of_test = head.at_temperature(temperature), at_temperature(of_test, temperature)
        held_out = held_out and replace(held_out, probabilities=at_temperature(held_out.probabilities, temperature))
    return head, calibration, choose_confidence_threshold(data, held_out, of_test, min_precision)


def _evaluate(
    audit: Audit, split: Split, answers: Answers, classes: Sequence[str], seed: int
) -> tuple[dict[str, SplitFigures], LeakFree | None]:
    """The figures of each split, and those without held-out examples that nearly repeat a training example."""
    figures = {
        name: answers.metrics(answers.splits == name, classes, seed=seed)
        for name in SPLITS
        if (answers.splits == name).any()
    }
    headline = next(name for name in reversed(SPLITS) if name in figures)
    if headline == "train" or audit.near is None:
        return figures, None
    split_of_each = np.array(split.split_of_each())
    splits = split_of_each[audit.near]
    is_leak = (splits == headline).any(1) & (splits != headline).any(1) & (splits != "").all(1)
    is_headline = split.splits == headline
    leaked = np.isin(split.usable, audit.near[is_leak]) & is_headline
    return figures, answers.leak_free(leaked, is_headline, classes, seed=seed)


def _answers(dataset: Dataset, split: Split, features: FeatureSet, head: Head) -> Answers:
    """The answers of a head about all examples in the split, with thresholds chosen on the validation examples."""
    labels, val = dataset.labels[split.usable], split.splits == "val"
    probabilities = head.over(features, split.usable)
    return Answers(
        split.splits,
        [dataset.files[i] for i in split.usable],
        labels,
        probabilities,
        [features.digests[i] or b"" for i in split.usable],
        dataset.task,
        [dataset.examples[i] for i in split.usable],
        dataset.modality,
        dataset.task.choose_thresholds(labels[val], probabilities[val], len(dataset.classes)),
    )


def _recorded(config: TrainConfig, base: Base) -> dict[str, Any]:
    """All settings as plain data that can be used again from any folder: absolute paths, and the name of the base."""
    values = {**config.to_dict(), "base": base.handle}
    if config.base.weights not in ("imagenet", "none"):
        values["weights"] = _absolute(config.base.weights)
    if config.data.relabel:
        values["relabel"] = _absolute(config.data.relabel)
    if config.base.segmenter:
        values["segmenter"] = f"stanza:{base.spec.segmenter}"
    return values


def _data_path(data: Any) -> str | None:
    """The place of the data: an absolute path, a file of the run, or None for a DataFrame, which is not kept."""
    if isinstance(data, Dataset):
        return EXAMPLES
    return _absolute(data) if isinstance(data, str | Path) else None


def _absolute(path: str | Path) -> str:
    return os.path.abspath(Path(path).expanduser())


def _choose_base(
    config: TrainConfig, dataset: Dataset, cost: Cost, cache: Path | None, progress: Progress, *, is_size_set: bool
) -> BaseComparison | None:
    """Compare bases, if ``base`` is ``auto``."""
    if config.base.base != AUTO:
        return None
    with cost.stage("choice of the base"):
        choice = compare_on(dataset, config, is_size_set=is_size_set, cache=cache, progress=progress)
        logger.info("\n".join([choice.verdict(), *choice.caveats()]))
    return choice


def _load(
    base: str | None,
    config: TrainConfig,
    dataset: Dataset,
    cache: Path | None,
    check: Callable[[Base, Task], None] | None,
    progress: Progress,
    *,
    is_size_set: bool,
) -> Base:
    """The base for a data set; None means the best that needs no network.

    An input size that was not set by the user (``is_size_set``) gives way to that of a base which has one size only.
    """
    options: dict[str, Any] = {
        "weights": config.base.weights, "feature_layer": config.base.feature_layer, "segmenter": config.base.segmenter,
        **asdict(config.input), "texts": dataset.texts, "cache": cache, "progress": progress,
    }  # fmt: skip
    load = partial(load_base, base) if base else partial(load_default, dataset.modality)
    loaded = load_for_input(load, options, is_size_set=is_size_set)
    check_modality(loaded, dataset)
    if check:
        check(loaded, dataset.task)
    return loaded
