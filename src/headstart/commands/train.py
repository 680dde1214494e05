"""READ FIRST. The whole way from a base and labelled images or texts to a run: one call per stage."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from headstart.bases import DEFAULT_BASES, load_base, load_default
from headstart.bases.base import Base, ImageBase
from headstart.bases.derived import with_taps
from headstart.bases.text import TextBase
from headstart.commands.compare import BaseComparison, Budget, compare_on
from headstart.commands.load import Run
from headstart.config import AUTO, Augmentation, Config, HeadConfig, TrainConfig, merge_settings
from headstart.config.commands import TRAIN, reading_settings, shows_settings
from headstart.config.keywords import TrainKeywords
from headstart.data.audit import UNUSABLE, Audit, Finding, audit, complete_findings, coverage, near_copies
from headstart.data.corrections import read_corrections
from headstart.data.dataset import SPLITS, Dataset, Skipped, load_dataset
from headstart.data.readers import decode_examples
from headstart.data.run_examples import EXAMPLES
from headstart.data.split import Split, check_split, split_dataset
from headstart.errors import InputError, counted, field_name
from headstart.evaluation import (
    Calibration,
    Forecast,
    LabelIssues,
    SelectivePrediction,
    calibrate,
    choose_confidence_threshold,
    class_changes,
    find_label_issues,
    forecast,
    held_out_examples,
    judge_fine_tuning,
    judge_search,
)
from headstart.evaluation.out_of_distribution import fit_detector
from headstart.explanation.mistakes import explain_mistakes
from headstart.features import FeatureSet, extract
from headstart.features.augmentation import to_pipeline
from headstart.features.augmented import augmented_features
from headstart.features.engines import prepare
from headstart.features.outliers import outliers
from headstart.reports.run import write_report
from headstart.runs.answers import Answers
from headstart.runs.assembly import Pages, write_run
from headstart.runs.facts import Material, Searched
from headstart.runs.folder import check_name, name_of
from headstart.runs.schema import LeakFree
from headstart.runs.tracking import check_tracking, track
from headstart.system.cost import Cost
from headstart.system.display import shown
from headstart.system.keras_worker import can_train
from headstart.system.progress import Progress
from headstart.system.settings import cache_folder
from headstart.tasks.outputs import at_temperature
from headstart.training import (
    FineTuneResult,
    Head,
    TrainingData,
    check_finished,
    check_search_installed,
    feature_sources,
    fit_head,
    search_heads,
)
from headstart.training.fine_tuning.fine_tune import fine_tune as tune_base
from headstart.training.head.search import Augmented, all_taps

logger = logging.getLogger(__name__)

_SHOWN = 5  # of the files left out, on the terminal; skipped.csv has them all


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
    check_base: Callable[[Base], None] | None = None,
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
        check_base: called with the base before anything is computed; raises if the base will not do.
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
    whole = TrainConfig.from_settings(merge_settings(config, settings))
    run_name = check_name(name if name is not None else name_of(data, "run"))
    check_tracking(tensorboard=tensorboard, mlflow=mlflow)
    if whole.search.search is not None:
        check_search_installed()
    folder = Path(cache).expanduser() if cache else None
    with shown(progress) as followed:
        run = _train(data, whole, Path(runs), run_name, folder, check_base, followed)
    track(run, tensorboard=tensorboard, mlflow=mlflow)
    return run


def _train(
    data: Any,
    whole: TrainConfig,
    runs: Path,
    run_name: str,
    folder: Path | None,
    check_base: Callable[[Base], None] | None,
    progress: Progress,
) -> Run:
    """All stages, in order; see :func:`train`."""
    cost, seed = Cost(progress), whole.split.seed
    with cost.stage("data"):
        dataset = load_dataset(data, **reading_settings(whole))
        corrections = read_corrections(whole.data.relabel, dataset)
    choice = _choose(whole, dataset, cost, folder, progress)
    with cost.stage("base"):
        loaded = _load(choice.best if choice else whole.base.base, whole, dataset, folder, check_base, progress)

    def compute(base: Base, only: Iterable[int] | None) -> FeatureSet:
        return extract(base, dataset.examples, only=only, **asdict(whole.compute), cache=folder, progress=progress)

    def look(features: FeatureSet) -> tuple[Audit, Split]:
        shots = whole.split.shots
        image_infos = features.image_infos if shots is None else {}  # with more in the cache there would be more
        checked = audit(dataset, features.digests, features.problems, image_infos)
        split = split_dataset(
            dataset, checked.usable, features.digests, **asdict(whole.split), near=checked.near
        ).keeping(corrections.kept_mask)
        return replace(checked, usable=split.usable), split

    with cost.stage("features"):
        features, checked, split = _drawn(lambda only: compute(loaded, only), look, few=whole.split.shots is not None)
    with cost.stage("audit and split"):
        dataset = replace(dataset, labels=corrections.labels)  # after the split, which must not change
        findings = _findings(dataset, checked, split, loaded, features)
        _tell(findings, checked.skipped, strict=whole.data.strict)
    with cost.stage("head"):
        task = TrainingData(
            features, dataset.task, dataset.labels, len(dataset.classes),
            train=split.index("train"), val=split.index("val"), test=split.index("test"),
            groups=split.groups,
        )  # fmt: skip
        trained = fit_head(task, whole.head, folder)
        suspects, outlook = _second_look(task, trained, whole.head, dataset.classes, folder)
    searched = _searched(whole, Searched(loaded, task, trained, whole.head), dataset, compute, cost, folder, progress)
    loaded, task, features, trained = searched.base, searched.task, searched.task.features, searched.head
    with cost.stage("fine-tuning"):
        tuned = tune_base(
            loaded, dataset.examples, task, trained, searched.recipe, whole.fine_tuning,
            **asdict(whole.compute), cache=folder, progress=progress,
        )  # fmt: skip
        verdict = judge_fine_tuning(task, trained, tuned, keep=whole.fine_tuning.keep, seed=seed)
        if isinstance(tuned, FineTuneResult) and verdict.outcome == "kept":
            loaded, trained, features = tuned.base, tuned.head, compute(tuned.base, split.usable)
            check_finished(tuned, features, task.train)
    with cost.stage("evaluation"):
        trained, calibration, rejection = _calibrated(task, features, trained, whole.evaluation.min_precision)
        answers = _answers(dataset, split, features, trained)
        metrics = {
            side: answers.metrics(answers.splits == side, dataset.classes, seed=seed)
            for side in SPLITS
            if (answers.splits == side).any()
        }
        leak_free = _leak_free(checked, split, answers, list(metrics), dataset.classes, seed)
    with cost.stage("run"):
        material = Material(
            base=loaded, choice=choice.to_json() if choice else None, dataset=dataset,
            corrections=corrections, features=features, audit=checked,
            findings=findings, searched=searched, head=trained, label_issues=suspects, learning_curve=outlook,
            tuned=tuned, verdict=verdict, calibration=calibration, selective_prediction=rejection,
            detector=fit_detector(features.rows, task.train, task.val, seed),
            answers=answers, figures=metrics, leak_free=leak_free,
            config=_recorded(whole, loaded), data_path=_data_path(data), splits=split.split_of_each(),
            change=class_changes(
                dataset, split.usable, split.splits, answers.probabilities, answers.thresholds, seed=seed
            ),
        )  # fmt: skip
        return Run(write_run(runs, run_name, material, cost, folder, _pages(material)))


def _pages(material: Material) -> Pages:
    """What explanation and report write into the folder of a run."""
    return Pages(partial(explain_mistakes, material.answers, material.dataset.root), write_report)


def _drawn(
    compute: Callable[[Iterable[int] | None], FeatureSet],
    look: Callable[[FeatureSet], tuple[Audit, Split]],
    *,
    few: bool,
) -> tuple[FeatureSet, Audit, Split]:
    """Features, audit and split; where a few examples are drawn, the features of no others are computed."""
    features = compute([] if few else None)
    checked, split = look(features)
    drawn = split.usable[:0]
    while few and not np.array_equal(drawn, split.usable):
        drawn = split.usable  # where one of these proves damaged, another one is drawn
        features = compute(drawn)
        checked, split = look(features)
    return features, checked, split


def _second_look(
    task: TrainingData, head: Head, recipe: HeadConfig, classes: Sequence[str], cache: Path | None
) -> tuple[LabelIssues | None, Forecast | None]:
    """Labels that may be wrong, and what more data would bring.

    Both are asked of a solved head on the features of the frozen base, which nothing has been fitted to.
    """
    solved = head if recipe.kind == "linear" else fit_head(task, replace(recipe, head="linear", dense=()), cache)
    if solved.out_of_fold is None:
        return None, None
    outlook = forecast(solved.curve, len(task.train), classes) if solved.curve else None
    return find_label_issues(task, solved), outlook


def _searched(
    whole: TrainConfig,
    usual: Searched,
    dataset: Dataset,
    compute: Callable[[Base, Iterable[int] | None], FeatureSet],
    cost: Cost,
    cache: Path | None,
    progress: Progress,
) -> Searched:
    """The usual head, or one that a search found and validation examples prove better."""
    trials = whole.search.search
    if trials is None:
        return usual
    base, task, folder = usual.base, usual.task, cache or cache_folder()
    if not len(task.val):
        raise InputError("it is judged on validation examples, and there are none.", field="search")
    with cost.stage("search"):
        probe = decode_examples(base.reader(), [dataset.examples[i] for i in task.train[:4].tolist()])
        places = feature_sources(base, prepare(base, folder, probe).blocks)
        everywhere, others, augmented = with_taps(base, all_taps(places) or None), None, None
        if everywhere is not base:
            others = compute(everywhere, [*task.train, *task.val, *task.test])
            if to_pipeline(whole.fine_tuning.augment) and can_train():
                augmented = _augmented(everywhere, others, dataset, usual.recipe.seed, folder, progress)
        found = search_heads(task, usual.head, usual.recipe, places, others, augmented, trials, cache, progress)
        verdict = judge_search(task, usual.head, found, seed=usual.recipe.seed)
    if verdict.outcome != "kept":
        return replace(usual, facts=found.facts, verdict=verdict)
    task = replace(task, features=found.features)
    return Searched(with_taps(base, found.taps), task, found.head, found.config, found.facts, verdict)


def _augmented(
    base: Base, features: FeatureSet, dataset: Dataset, seed: int, cache: Path, progress: Progress
) -> Augmented | None:
    """Computes the features of augmented images for a search; None for texts."""
    if not isinstance(base, ImageBase):
        return None

    def augmented(indices: np.ndarray, pipelines: list[Augmentation], folder: Path) -> np.ndarray:
        examples = [dataset.examples[i] for i in indices.tolist()]
        digests = [features.digests[i] or b"" for i in indices.tolist()]
        return augmented_features(
            base, features, examples, digests, pipelines, folder, seed=seed, cache=cache, progress=progress
        )

    return augmented


def _calibrated(
    task: TrainingData, features: FeatureSet, head: Head, min_precision: float
) -> tuple[Head, Calibration, SelectivePrediction | None]:
    """The finished head, about as sure as it should be; and from which confidence on its answers are sure ones.

    Args:
        task: the examples.
        features: of all examples, by the finished base.
        head: trained on these.
        min_precision: as for :func:`train`.
    """
    of_val, of_test = head.over(features, task.val), head.over(features, task.test)
    held = held_out_examples(task, of_val, head)
    calibration = calibrate(task, held, of_test)
    temperature = calibration.temperature
    if temperature != 1:
        head, of_test = head.at_temperature(temperature), at_temperature(of_test, temperature)
        held = held and replace(held, probabilities=at_temperature(held.probabilities, temperature))
    return head, calibration, choose_confidence_threshold(task, held, of_test, min_precision)


def _findings(dataset: Dataset, checked: Audit, split: Split, base: Base, features: FeatureSet) -> list[Finding]:
    """What the audit found, and what is wrong with the split."""
    labels = dataset.labels[split.usable]
    found = [
        *checked.findings,
        *near_copies(dataset, checked.near, split.split_of_each()),
        check_split(dataset.task, labels, split.splits, dataset.classes, skipped=checked.skipped),
        *check_features(dataset, split.usable, base, features),
    ]
    return complete_findings(found, dataset.modality)


def check_features(dataset: Dataset, usable: np.ndarray, base: Base, features: FeatureSet) -> list[Finding]:
    """What can be said of the data only with a base."""
    findings = [outliers(dataset, features, usable)]
    if isinstance(base, TextBase) and dataset.texts is not None:
        names, texts = [dataset.files[i] for i in usable], [dataset.texts[i] for i in usable]
        findings.append(coverage(names, texts, base.tokenizer))
    return findings


def _leak_free(
    checked: Audit, split: Split, answers: Answers, sides: Sequence[str], classes: Sequence[str], seed: int
) -> LeakFree | None:
    """The figures without held-out examples that nearly repeat one of those that were trained or stopped on."""
    headline = next(side for side in reversed(SPLITS) if side in sides)
    side = np.array(split.split_of_each())
    pairs = np.empty((0, 2), np.int64) if checked.near is None else checked.near
    there = pairs[(side[pairs] == headline).any(1) & (side[pairs] != headline).any(1) & (side[pairs] != "").all(1)]
    leaked = np.isin(split.usable, there) & (split.splits == headline)
    return answers.leak_free(leaked, split.splits == headline, classes, seed=seed) if headline != "train" else None


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
        [dataset.texts[i] for i in split.usable] if dataset.texts is not None else None,
        dataset.task.choose_thresholds(labels[val], probabilities[val]),
    )


def _recorded(config: TrainConfig, base: Base) -> dict[str, Any]:
    """All settings as plain data, as they are used again from anywhere: paths are absolute, the base is named."""
    values = {**config.to_dict(), "base": base.handle}
    if config.base.weights not in ("imagenet", "none"):
        values["weights"] = _absolute(config.base.weights)
    if config.data.relabel:
        values["relabel"] = _absolute(config.data.relabel)
    if config.base.segmenter:
        values["segmenter"] = f"stanza:{base.spec.segmenter}"
    return values


def _data_path(data: Any) -> str | None:
    """Where the data of a run are: an absolute path, a file of the run, or None for a DataFrame, which is not kept."""
    if isinstance(data, Dataset):
        return EXAMPLES
    return _absolute(data) if isinstance(data, str | Path) else None


def _absolute(path: str | Path) -> str:
    return os.path.abspath(Path(path).expanduser())


def _choose(
    config: TrainConfig, dataset: Dataset, cost: Cost, cache: Path | None, progress: Progress
) -> BaseComparison | None:
    """Compare bases, if ``base`` is ``auto``."""
    if config.base.base != AUTO:
        return None
    with cost.stage("choice of the base"):
        budget = Budget(config.choice.max_mb, config.choice.max_ms)
        choice = compare_on(
            dataset, config.choice.bases, budget, **asdict(config.split), **asdict(config.input), cache=cache,
            progress=progress,
        )  # fmt: skip
        logger.info("\n".join([choice.verdict(), *choice.caveats()]))
    return choice


def _load(
    base: str | None,
    config: TrainConfig,
    dataset: Dataset,
    cache: Path | None,
    check: Callable[[Base], None] | None,
    progress: Progress,
) -> Base:
    """The base for a data set; None means the best that needs no network."""
    options: dict[str, Any] = {
        "weights": config.base.weights, "feature_layer": config.base.feature_layer, "segmenter": config.base.segmenter,
        **asdict(config.input), "texts": dataset.texts, "cache": cache, "progress": progress,
    }  # fmt: skip
    loaded = load_base(base, **options) if base else load_default(dataset.modality, **options)
    check_modality(loaded, dataset)
    if check:
        check(loaded)
    return loaded


def check_modality(base: Base, dataset: Dataset) -> None:
    """See that a base is for data of this kind.

    Raises:
        InputError: it is not.
    """
    if base.modality != dataset.modality:
        raise InputError(
            f"{base.handle} is a base for {base.modality}s, and {dataset.source} holds {dataset.modality}s. Choose "
            f"another one, such as {DEFAULT_BASES[dataset.modality][-1]}.",
            field="base",
        )


def _tell(findings: list[Finding], skipped: list[Skipped], *, strict: bool) -> None:
    """Say what is wrong with the data."""
    if skipped:
        shown = [f"  {item.file}: {item.reason}" for item in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            shown.append(f"  … and {len(skipped) - _SHOWN:,} more")
        text = f"{counted(len(skipped), 'file')} left out:\n" + "\n".join(shown)
        if strict:
            raise InputError(f"{text}\nFix or remove these files, or leave {field_name('strict')} out.", field="strict")
        logger.warning(text)
    for finding in findings:
        if finding.state == "found" and finding.severity != "info" and finding.check not in UNUSABLE:
            logger.warning(finding.summary)
