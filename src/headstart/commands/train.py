"""READ FIRST. The whole way from a base and labelled photos or texts to a run: one call per stage."""

import logging
import os
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import DEFAULT_BASES, load_base, load_default
from headstart.bases.base import Base, ImageBase
from headstart.bases.candidates import AUTO, HERE
from headstart.bases.derived import tapped
from headstart.bases.text import TextBase
from headstart.commands.compare import BaseComparison, Budget, compare_on
from headstart.commands.load import Run
from headstart.data.audit import UNUSABLE, Audit, Finding, audit, complete, coverage, near_copies
from headstart.data.corrections import read_corrections
from headstart.data.dataset import SPLITS, Dataset, Skipped, load_dataset
from headstart.data.labels import is_multi_label
from headstart.data.readers import Resize, decoded
from headstart.data.run_examples import EXAMPLES, read_examples
from headstart.data.split import Split, check_split, divide
from headstart.errors import InputError, counted
from headstart.evaluation import (
    Calibration,
    Forecast,
    LabelIssues,
    SelectivePrediction,
    at_temperature,
    calibrate,
    change_since,
    check_min_precision,
    choose_confidence_threshold,
    choose_thresholds,
    find_label_errors,
    forecast,
    held_out,
    judge,
    judge_found,
)
from headstart.evaluation.out_of_distribution import fit_detector
from headstart.explanation.mistakes import explain_mistakes
from headstart.features import FeatureSet, extract
from headstart.features.augmentation import Pipeline, to_pipeline
from headstart.features.augmented import augmented_features
from headstart.features.engines import EngineName, prepare
from headstart.features.outliers import outliers
from headstart.reports.run import write_report
from headstart.runs.answers import Answers
from headstart.runs.assembly import Material, Pages, Searched, write_run
from headstart.runs.folder import check_name, name_of
from headstart.runs.predictor import read_facts
from headstart.runs.tracking import check_tracking, track
from headstart.system.cost import Cost
from headstart.system.keras_worker import can_train
from headstart.system.settings import Precision, cache_folder
from headstart.training import (
    FineTuneConfig,
    FineTuneResult,
    Head,
    HeadConfig,
    TrainingData,
    check_finished,
    check_search,
    feature_sources,
    fit_head,
    search_heads,
)
from headstart.training.fine_tuning.fine_tune import fine_tune as tune_base
from headstart.training.head.search import Augmented, all_taps
from headstart.training.training_data import ClassWeights, HeadKind

logger = logging.getLogger(__name__)

_NOT_REPEATED = ("name", "runs", "cache", "tensorboard", "mlflow", "bases", "max_mb", "max_ms", "check_base")
_SHOWN = 5  # of the files left out, on the terminal; skipped.csv has them all


def train(
    data: Any,
    *,
    base: str | None = None,
    bases: str | Sequence[str] = HERE,
    max_mb: float | None = None,
    max_ms: float | None = None,
    name: str | None = None,
    runs: str | Path = "runs",
    head: HeadKind = "auto",
    dense: Sequence[int] = (),
    dropout: float = 0.2,
    epochs: int = 100,
    class_weights: ClassWeights = "auto",
    search: int | None = None,
    fine_tune: str = "auto",
    tuning: FineTuneConfig | None = None,
    augment: Any = "standard",
    val: float = 0.15,
    test: float = 0.15,
    shots: int | None = None,
    min_precision: float = 0.95,
    seed: int = 0,
    group_by: str | None = None,
    classes: Sequence[str] | None = None,
    relabel: str | Path | None = None,
    path_column: str | None = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | Sequence[str] | None = None,
    label_separator: str | None = None,
    split_column: str | None = None,
    weights: str | Path = "imagenet",
    input_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    cut: str | None = None,
    words_by: str | None = None,
    engine: EngineName = "auto",
    precision: Precision = "auto",
    strict: bool = False,
    tensorboard: bool = False,
    mlflow: bool = False,
    cache: str | Path | None = None,
    check_base: Callable[[Base], None] | None = None,
) -> Run:
    """Train a classifier on a pretrained base: the frozen base runs once over the data, a new head is trained on top.

    Args:
        data: a folder with one folder of photos or text files per class, or with train, val and test folders of those;
            a CSV, TSV, JSONL or Parquet table of paths or texts, and labels; a pandas DataFrame; or a Dataset, which
            was read already, and which the run keeps.
        base: handle ``source:name``, see ``headstart bases``; ``auto`` compares some on the data, see
            :func:`headstart.compare`; None takes the best one for such data that needs no network.
        bases: those that ``auto`` chooses from, as for :func:`headstart.compare`; likewise the next two.
        max_mb: of the weights of the chosen one, in MB.
        max_ms: for one example by itself on this machine, in milliseconds.
        name: of the run; the data's own name when None. An existing run is never overwritten.
        runs: folder that the run goes into.
        head: ``linear`` is solved, ``mlp`` has hidden layers; ``auto`` is ``mlp`` when ``dense`` is given.
        dense: sizes of the hidden layers.
        dropout: rate before each layer of an mlp.
        epochs: at most, of an mlp.
        class_weights: ``balanced`` makes classes count the same; ``auto`` does so for data three to one or worse.
        search: try so many heads on features from several places in the base, see
            :mod:`headstart.training.head.search`; the best one is kept if the validation data prove it better.
        fine_tune: which blocks of the base to train after the head: ``last:N``, ``from:NAME``, ``all`` or ``none``;
            ``auto`` tries the uppermost ones where the validation data, or for few texts a cross-validation, can tell
            whether it helps.
        tuning: how to fine-tune, beyond ``fine_tune`` itself.
        augment: ``none``, ``light``, ``standard`` or ``strong``, or a Keras augmentation pipeline, for fine-tuning.
        val: fraction for validation, unless the data come divided.
        test: fraction held out for the final figures, unless the data come divided.
        shots: train on so many examples of each class only, drawn by ``seed``, and validate on none.
        min_precision: share of the answers that is to be right where unsure ones are left out; the confidence that
            this takes becomes part of the run, see :mod:`headstart.evaluation.selective_prediction`.
        seed: of the division and of everything random.
        group_by: what must stay on one side of the division: a column of a table; for folders, ``folder`` or a
            regular expression on the file name.
        classes: use these classes only.
        relabel: a table of labels that are to be other ones, or of examples to leave out: an edited ``suspects.csv`` of
            an earlier run, see :mod:`headstart.data.corrections`. All other examples stay where they were divided to.
        path_column: of a table of images, where its name is not a usual one; likewise the other columns.
        text_column: of a table of texts; several are joined.
        label_column: of a table. Several make the data multi-label, and hold 0 or 1 for the label they are named after.
        label_separator: what stands between several labels in one cell of a table, which makes the data multi-label;
            a column of lists does so by itself.
        split_column: of a table.
        weights: ``imagenet``, a weights file, or ``none`` for a random base (not transfer learning).
        input_size: pixels; one number or (height, width); the base's own when None.
        resize: how a photo of another shape becomes the input size: ``stretch``, ``crop`` or ``pad``.
        cut: of a ``file:`` base, the layer whose output are the features.
        words_by: of word vectors for languages without spaces between words, what divides texts: ``stanza:LANG``.
        engine: what runs the frozen base.
        precision: of its arithmetic.
        strict: fail if any file has to be left out.
        tensorboard: write event files into the run folder as well.
        mlflow: log the run to MLflow as well.
        cache: folder of the feature cache; the user's when None.
        check_base: is given the base before anything is computed, and raises where it will not do.

    Returns:
        The finished run.

    Raises:
        InputError: an argument or the data cannot be used.
        UnavailableError: weights, network or an optional package is missing.
        IntegrityError: what was frozen has moved, or the finished model computes something else.
    """
    asked = _asked(locals())
    recipe = HeadConfig(head, tuple(dense), dropout, epochs, class_weights, seed)
    tuning = replace(tuning or FineTuneConfig(), blocks=fine_tune, augment=to_pipeline(augment))
    run_name = check_name(name if name is not None else name_of(data, "run"))
    check_tracking(tensorboard=tensorboard, mlflow=mlflow)
    _check(min_precision, search, recipe, shots)
    cost = Cost()
    folder = Path(cache).expanduser() if cache else None
    with cost.stage("data"):
        dataset = load_dataset(
            data, path_column=path_column, text_column=text_column, label_column=label_column,
            label_separator=label_separator, split_column=split_column, group_by=group_by, classes=classes,
        )  # fmt: skip
        corrections = read_corrections(relabel, dataset)
    options: dict[str, Any] = {
        "weights": weights, "input_size": input_size, "resize": resize, "cut": cut, "words_by": words_by,
        "cache": folder,
    }  # fmt: skip
    choice = _choose(
        base, bases, Budget(max_mb, max_ms), dataset, options, cost, val=val, test=test, seed=seed, shots=shots
    )
    with cost.stage("base"):
        loaded = _load(choice.best if choice else base, dataset, options, check_base)
        asked["base"] = loaded.handle
        asked["words_by"] = f"stanza:{loaded.spec.words_by}" if words_by else None

    def compute(base: Base, only: Iterable[int] | None) -> FeatureSet:
        return extract(base, dataset.examples, only=only, engine=engine, precision=precision, cache=folder)

    def look(features: FeatureSet) -> tuple[Audit, Split]:
        image_infos = (
            features.image_infos if shots is None else {}
        )  # of which more would be known if all were computed before
        checked = audit(dataset, features.digests, features.problems, image_infos)
        division = divide(
            dataset, checked.usable, features.digests, val=val, test=test, seed=seed, shots=shots, near=checked.near
        ).keeping(corrections.kept)
        return replace(checked, usable=division.usable), division

    with cost.stage("features"):
        features, checked, division = _drawn(lambda only: compute(loaded, only), look, few=shots is not None)
    with cost.stage("audit and split"):
        dataset = replace(dataset, labels=corrections.labels)  # not before, or the others would be divided anew
        findings = _findings(dataset, checked, division, loaded, features)
        _tell(findings, checked.skipped, strict=strict)
    with cost.stage("head"):
        task = TrainingData(
            features, dataset.labels, len(dataset.classes),
            train=division.index("train"), val=division.index("val"), test=division.index("test"),
            groups=division.groups,
        )  # fmt: skip
        trained = fit_head(task, recipe, folder)
        suspects, outlook = _second_look(task, trained, recipe, dataset.classes, folder)
    searched = _searched(
        search, Searched(loaded, task, trained, recipe), dataset, compute, cost, folder, augment=bool(tuning.augment)
    )
    loaded, task, features, trained = searched.base, searched.task, searched.task.features, searched.head
    with cost.stage("fine-tuning"):
        tuned = tune_base(
            loaded, dataset.examples, task, trained, searched.recipe, tuning,
            engine=engine, precision=precision, cache=folder,
        )  # fmt: skip
        verdict = judge(task, trained, tuned, keep=tuning.keep, seed=seed)
        if isinstance(tuned, FineTuneResult) and verdict.outcome == "kept":
            loaded, trained, features = tuned.base, tuned.head, compute(tuned.base, division.usable)
            check_finished(tuned, features, task.train)
    with cost.stage("evaluation"):
        trained, calibration, rejection = _calibrated(task, features, trained, min_precision)
        answers = _answers(dataset, division, features, trained)
        metrics = {
            side: answers.metrics(answers.splits == side, dataset.classes, seed=seed)
            for side in SPLITS
            if (answers.splits == side).any()
        }
        leak_free = _leak_free(checked, division, answers, list(metrics), dataset.classes, seed)
    with cost.stage("run"):
        material = Material(
            base=loaded, choice=choice.to_json() if choice else None, dataset=dataset,
            corrections=corrections, features=features, audit=checked,
            findings=findings, searched=searched, head=trained, suspects=suspects, outlook=outlook,
            tuned=tuned, verdict=verdict, calibration=calibration, rejection=rejection,
            familiarity=fit_detector(features.rows, task.train, task.val, seed),
            answers=answers, metrics=metrics, leak_free=leak_free, asked=asked, sides=division.split_of_each(),
            change=change_since(
                dataset, division.usable, division.sides, answers.probabilities, answers.thresholds, seed=seed
            ),
        )  # fmt: skip
        run = Run(write_run(Path(runs), run_name, material, cost, folder, _pages(material)))
    track(run, tensorboard=tensorboard, mlflow=mlflow)
    return run


def _pages(material: Material) -> Pages:
    """What explanation and report write into the folder of a run."""
    return Pages(partial(explain_mistakes, material.answers, material.dataset.root), write_report)


def _drawn(
    compute: Callable[[Iterable[int] | None], FeatureSet],
    look: Callable[[FeatureSet], tuple[Audit, Split]],
    *,
    few: bool,
) -> tuple[FeatureSet, Audit, Split]:
    """Features, audit and division; where a few examples are drawn, the features of no others are computed."""
    features = compute([] if few else None)
    checked, division = look(features)
    drawn = division.usable[:0]
    while few and not np.array_equal(drawn, division.usable):
        drawn = division.usable  # where one of these proves damaged, another one is drawn
        features = compute(drawn)
        checked, division = look(features)
    return features, checked, division


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
    return find_label_errors(task, solved), outlook


def _check(min_precision: float, search: int | None, recipe: HeadConfig, shots: int | None) -> None:
    check_min_precision(min_precision)
    if search is not None:
        check_search(search, recipe, shots)


def _searched(
    trials: int | None,
    usual: Searched,
    dataset: Dataset,
    compute: Callable[[Base, Iterable[int] | None], FeatureSet],
    cost: Cost,
    cache: Path | None,
    *,
    augment: bool,
) -> Searched:
    """The usual head, or one that a search found and validation examples prove better."""
    if trials is None:
        return usual
    base, task, folder = usual.base, usual.task, cache or cache_folder()
    if not len(task.val):
        raise InputError("--search is judged by validation examples, and there are none: set --val, such as 0.15.")
    with cost.stage("search"):
        probe = decoded(base.reader(), [dataset.examples[i] for i in task.train[:4].tolist()])
        places = feature_sources(base, prepare(base, folder, probe).blocks)
        everywhere, others, augmented = tapped(base, all_taps(places) or None), None, None
        if everywhere is not base:
            others = compute(everywhere, [*task.train, *task.val, *task.test])
            if augment and can_train():
                augmented = _augmented(everywhere, others, dataset, usual.recipe.seed, folder)
        found = search_heads(task, usual.head, usual.recipe, places, others, augmented, trials, cache)
        verdict = judge_found(task, usual.head, found, seed=usual.recipe.seed)
    if verdict.outcome != "kept":
        return replace(usual, facts=found.facts, verdict=verdict)
    task = replace(task, features=found.features)
    return Searched(tapped(base, found.taps), task, found.head, found.config, found.facts, verdict)


def _augmented(base: Base, features: FeatureSet, dataset: Dataset, seed: int, cache: Path) -> Augmented | None:
    """What gives a search the features of augmented pictures; None for texts."""
    if not isinstance(base, ImageBase):
        return None

    def augmented(indices: np.ndarray, pipelines: list[Pipeline], folder: Path) -> np.ndarray:
        files = [dataset.examples[i] for i in indices.tolist()]
        return augmented_features(base, features, files, pipelines, folder, seed=seed, cache=cache)

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
    held = held_out(task, of_val, head)
    calibration = calibrate(task, held, of_test)
    temperature = calibration.temperature
    if temperature != 1:
        head, of_test = head.at_temperature(temperature), at_temperature(of_test, temperature)
        held = held and replace(held, probabilities=at_temperature(held.probabilities, temperature))
    return head, calibration, choose_confidence_threshold(task, held, of_test, min_precision)


def _findings(dataset: Dataset, checked: Audit, division: Split, base: Base, features: FeatureSet) -> list[Finding]:
    """What the audit found, and what is wrong with the division."""
    labels = dataset.labels[division.usable]
    found = [
        *checked.findings,
        *near_copies(dataset, checked.near, division.split_of_each()),
        check_split(labels, division.sides, dataset.classes, skipped=checked.skipped),
        *check_features(dataset, division.usable, base, features),
    ]
    return complete(found, dataset.modality)


def check_features(dataset: Dataset, usable: np.ndarray, base: Base, features: FeatureSet) -> list[Finding]:
    """What can be said of the data only with a base."""
    findings = [outliers(dataset, features, usable)]
    if isinstance(base, TextBase) and dataset.texts is not None:
        names, texts = [dataset.files[i] for i in usable], [dataset.texts[i] for i in usable]
        findings.append(coverage(names, texts, base.tokenizer))
    return findings


def _leak_free(
    checked: Audit, division: Split, answers: Answers, sides: Sequence[str], classes: Sequence[str], seed: int
) -> dict[str, Any] | None:
    """The figures without held-out examples that nearly repeat one of those that were trained or stopped on."""
    headline = next(side for side in reversed(SPLITS) if side in sides)
    side = np.array(division.split_of_each())
    pairs = np.empty((0, 2), np.int64) if checked.near is None else checked.near
    there = pairs[(side[pairs] == headline).any(1) & (side[pairs] != headline).any(1) & (side[pairs] != "").all(1)]
    leaked = np.isin(division.usable, there) & (division.sides == headline)
    return answers.leak_free(leaked, division.sides == headline, classes, seed=seed) if headline != "train" else None


def _answers(dataset: Dataset, division: Split, features: FeatureSet, head: Head) -> Answers:
    """What a head says of all examples in the division; of multi-label data also from which probability on."""
    labels, val = dataset.labels[division.usable], division.sides == "val"
    probabilities = head.over(features, division.usable)
    return Answers(
        division.sides,
        [dataset.files[i] for i in division.usable],
        labels,
        probabilities,
        [features.digests[i] or b"" for i in division.usable],
        [dataset.texts[i] for i in division.usable] if dataset.texts is not None else None,
        choose_thresholds(labels[val], probabilities[val]) if is_multi_label(labels) else None,
    )


def tune(
    run: str | Path,
    *,
    fine_tune: str = "auto",
    tuning: FineTuneConfig | None = None,
    augment: Any = "standard",
    name: str | None = None,
    runs: str | Path | None = None,
    tensorboard: bool = False,
    mlflow: bool = False,
    cache: str | Path | None = None,
) -> Run:
    """Fine-tune a finished run further: the same data, division and head, other blocks or another recipe.

    The run itself is left as it is; what comes out is a run of its own.

    Args:
        run: the run folder.
        fine_tune: as for :func:`train`; likewise the next two.
        tuning: how to fine-tune.
        augment: the augmentation.
        name: of the new run; that of the old one, with a number, when None.
        runs: folder that the new run goes into; that of the old one when None.
        tensorboard: as for :func:`train`; likewise the next one.
        mlflow: log to MLflow.
        cache: folder of the feature cache; the user's when None.

    Raises:
        InputError: no such run, or one that was trained from a DataFrame, which is not kept.
        UnavailableError: weights, network or an optional package is missing.
        IntegrityError: what was frozen has moved, or the finished model computes something else.
    """
    folder = Path(run)
    facts = read_facts(folder)
    asked = asked_of(run, facts)
    if asked["data"] is None:
        raise InputError(f"{run} was trained from a DataFrame, which is not kept: call train() with it again.")
    if asked["data"] == EXAMPLES:
        asked["data"] = read_examples(folder, facts["classes"])
    tuned = train(
        **{**asked, "fine_tune": fine_tune, "tuning": tuning, "augment": augment},
        tensorboard=tensorboard, mlflow=mlflow, cache=cache,
        name=name or folder.name, runs=folder.parent if runs is None else runs,
    )  # fmt: skip
    if tuned.facts["data"]["digest"] != facts["data"]["digest"]:
        logger.warning(f"the data of {run} have changed since it was made: the two are not to be compared.")
    return tuned


def asked_of(run: str | Path, facts: dict[str, Any]) -> dict[str, Any]:
    """What it takes to call :func:`train` as it was called for a run.

    Raises:
        InputError: the run was adopted.
    """
    if "asked" not in facts:
        raise InputError(
            f"{run} was adopted, without its data: train on your own, with --base {facts['base']['handle']}"
        )
    tuning = facts["asked"]["tuning"]
    return {**facts["asked"], "tuning": FineTuneConfig(**tuning) if tuning else None}


def _asked(arguments: dict[str, Any]) -> dict[str, Any]:
    """What it takes to call :func:`train` again, as plain data; what belongs to one run or machine left out."""
    data, chosen = arguments["data"], {k: v for k, v in arguments.items() if k not in _NOT_REPEATED}
    weights, tuning, augment = arguments["weights"], arguments["tuning"], arguments["augment"]
    return {
        **chosen,
        "data": EXAMPLES if isinstance(data, Dataset) else _absolute(data) if isinstance(data, str | Path) else None,
        "tuning": asdict(tuning) if tuning else None,
        "augment": augment if isinstance(augment, str) else to_pipeline(augment),
        "weights": str(weights) if weights in ("imagenet", "none") else _absolute(weights),
        "relabel": _absolute(arguments["relabel"]) if arguments["relabel"] and not isinstance(data, Dataset) else None,
        "dense": list(arguments["dense"]),
        **{
            name: [arguments[name]] if isinstance(arguments[name], str) else arguments[name]
            for name in ("text_column", "label_column")
        },
        "classes": list(arguments["classes"]) if arguments["classes"] is not None else None,
    }


def _absolute(path: str | Path) -> str:
    return os.path.abspath(Path(path).expanduser())


def _choose(
    base: str | None,
    bases: str | Sequence[str],
    budget: Budget,
    dataset: Dataset,
    options: dict[str, Any],
    cost: Cost,
    **division: Any,
) -> BaseComparison | None:
    """Compare bases, if ``auto`` asks for it.

    Raises:
        InputError: what is for choosing a base comes without ``auto``, or what is for one base comes with it.
    """
    if base != AUTO:
        if bases != HERE or budget != Budget():
            raise InputError("--bases, --max-mb and --max-ms are for choosing a base: add --base auto.")
        return None
    of_one = [name for name in ("weights", "cut", "words_by") if options[name] not in (None, "imagenet")]
    if of_one:
        raise InputError(f"--{of_one[0].replace('_', '-')} is for one base: name it with --base, in place of auto.")
    with cost.stage("choice of the base"):
        sizes = {name: options[name] for name in ("input_size", "resize", "cache")}
        choice = compare_on(dataset, bases, budget, **sizes, **division)
        logger.info("\n".join([choice.verdict(), *choice.caveats()]))
    return choice


def _load(
    base: str | None, dataset: Dataset, options: dict[str, Any], check: Callable[[Base], None] | None = None
) -> Base:
    """The base for a data set; None means the best that needs no network."""
    options = {**options, "texts": dataset.texts}
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
            f"{base.handle} is a base for {base.modality}s, and {dataset.source} holds {dataset.modality}s: choose "
            f"another --base, such as {DEFAULT_BASES[dataset.modality][-1]}."
        )


def _tell(findings: list[Finding], skipped: list[Skipped], *, strict: bool) -> None:
    """Say what is wrong with the data."""
    if skipped:
        shown = [f"  {item.file}: {item.reason}" for item in skipped[:_SHOWN]]
        if len(skipped) > _SHOWN:
            shown.append(f"  … and {len(skipped) - _SHOWN:,} more")
        text = f"{counted(len(skipped), 'file')} left out:\n" + "\n".join(shown)
        if strict:
            raise InputError(f"--strict, and {text}\nMend or remove what is named, or leave out --strict.")
        logger.warning(text)
    for finding in findings:
        if finding.state == "found" and finding.severity != "info" and finding.check not in UNUSABLE:
            logger.warning(finding.summary)
