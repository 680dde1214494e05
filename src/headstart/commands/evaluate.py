"""A finished run judged on data that it has not seen, with a check that it really has not."""

import hashlib
import logging
from dataclasses import asdict
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from headstart.commands.data_preparation import report_label_problems, report_skipped, skipped_text
from headstart.commands.load import Run
from headstart.config import Config, merge_settings
from headstart.config.commands import EVALUATE, shows_settings
from headstart.config.keywords import EvaluateKeywords
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.example_rows import Skipped
from headstart.data.fingerprints import ImageInfo, inspect_image
from headstart.data.missing_files import check_files
from headstart.errors import InputError
from headstart.evaluation import coverage
from headstart.explanation.mistakes import explain_mistakes
from headstart.reports.run import write_report
from headstart.runs.answers import Answers, figures_of
from headstart.runs.facts import cost_facts, finding_facts, now
from headstart.runs.files import read_facts, write_facts, write_figures
from headstart.runs.folder import check_name, name_of, versions, write_folder
from headstart.runs.overlap import overlap
from headstart.runs.predictor import Output, Predictor
from headstart.runs.records import decode
from headstart.runs.run import RunFolder, folder_of
from headstart.runs.schema import (
    Coverage,
    DataFacts,
    OutOfDistributionFacts,
    RunFacts,
    SelectivePredictionFacts,
    SplitFacts,
)
from headstart.runs.tables import write_predictions, write_skipped
from headstart.system.cost import Cost
from headstart.system.display import show_progress
from headstart.system.progress import Progress
from headstart.tasks import Task, get_task

logger = logging.getLogger(__name__)

SPLIT = "held-out"


@shows_settings(EVALUATE)
def evaluate(
    run: RunFolder | str | Path,
    data: Any,
    *,
    name: str | None = None,
    config: Config = None,
    tta: bool = False,
    progress: bool | Progress = True,
    **settings: Unpack[EvaluateKeywords],
) -> Run:
    """Evaluate a run on labelled data; writes ``RUN/evaluations/NAME``, which opens like a run.

    Of data that come divided into splits, the test part is taken. Examples that are, exactly or nearly, among those
    that the run was trained on are found, and the figures are given with and without them.

    Args:
        run: the run, or its folder.
        data: as for ``train``; its classes must be among the run's.
        name: of the evaluation; the data's own name when None. An existing one is never overwritten.
        config: settings, as for :func:`headstart.train`: how the data are read, and ``strict``. For a multi-label run
            the columns of labels are those of its training unless they are set.
        tta: test-time augmentation: judge each image together with its mirror image.
        progress: as for :func:`headstart.train`.
        settings: settings by name; see ``config``.

    Returns:
        The evaluation; ``figures["leak_free"]`` has the figures without what the run has seen, if there is any.

    Raises:
        InputError: no such run or data, other classes, or nothing that can be evaluated.
        IntegrityError: the run does not compute what it did.
    """
    folder = folder_of(run)
    facts = read_facts(folder)
    evaluation_name = check_name(name if name is not None else name_of(data, "evaluation"))
    values = merge_settings(config, settings, allowed=EVALUATE)
    task = get_task(facts.task)
    if facts.config and not set(task.label_settings) & set(values):
        values |= {name: facts.config[name] for name in task.label_settings}
    values.setdefault("task", (facts.config or {}).get("task"))
    strict = values.pop("strict", False)
    with show_progress(progress) as shown_progress:
        return _evaluate(folder, facts, data, evaluation_name, values, shown_progress, tta=tta, strict=strict)


def _evaluate(
    folder: Path,
    facts: RunFacts,
    data: Any,
    name: str,
    reading: dict[str, Any],
    progress: Progress,
    *,
    tta: bool,
    strict: bool,
) -> Run:
    """All stages, in order; see :func:`evaluate`."""
    cost, classes = Cost(progress), facts.classes
    with cost.stage("data"):
        dataset = load_dataset(data, **reading, known_classes=classes)
        indices = _checked_test_part(folder, dataset, get_task(facts.task), strict=strict)
    with cost.stage("predictions"):
        predictor = Predictor(folder, expected=len(indices), tta=tta)
        answers, image_infos, skipped, n_out_of_distribution = _answers(predictor, dataset, indices, progress)
    if not answers.files:
        raise InputError(f"no example can be used: {skipped_text(skipped)}")
    report_skipped(skipped, strict=strict)
    with cost.stage("evaluation"):
        metrics = answers.metrics(np.ones(len(answers.labels), bool), classes, seed=facts.seed)
        data_overlap = overlap(folder, facts, predictor.reader, answers, image_infos, progress)
        leak_free = answers.leak_free(data_overlap.leaked, np.ones(len(answers.labels), bool), classes, seed=facts.seed)

    def fill(partial: Path, final_name: str) -> None:
        splits = {
            SPLIT: SplitFacts(examples=len(answers.files), per_class=answers.task.class_counts(answers.labels, classes))
        }
        evaluation_facts = RunFacts(
            kind="evaluation",
            headstart=versions()["headstart"],
            created=now(),
            name=final_name,
            classes=classes,
            task=facts.task,
            thresholds=facts.thresholds,
            base=facts.base,
            engine=facts.engine,
            seed=facts.seed,
            versions=versions(),
            data=DataFacts(source=dataset.source, root=str(dataset.root), examples=len(answers.files), splits=splits),
            audit=finding_facts(data_overlap.findings),
            selective_prediction=_selective_prediction(facts, answers),
            out_of_distribution=_out_of_distribution(facts, n_out_of_distribution),
            cost=cost_facts(cost),
            evaluation_of=str(folder),
            tta=tta,
        )
        write_figures(partial, figures_of({SPLIT: metrics}, SPLIT, leak_free))
        write_predictions(partial, classes, answers)
        write_skipped(partial, skipped)
        explain_mistakes(answers, predictor, SPLIT, partial)
        write_facts(partial, evaluation_facts)
        write_report(partial)

    return Run(write_folder(folder / "evaluations", name, fill))


def _checked_test_part(folder: Path, dataset: Dataset, task: Task, *, strict: bool) -> np.ndarray:
    """Positions of the examples to evaluate, int (n,); their files are there, and their labels fit the run."""
    check_files(dataset)
    _check_labels(folder, dataset, task)
    indices = _test_part(dataset)
    files = {dataset.files[i] for i in indices.tolist()}
    report_label_problems((problem for problem in dataset.label_problems if problem.file in files), strict=strict)
    return indices


def _selective_prediction(facts: RunFacts, answers: Answers) -> SelectivePredictionFacts | None:
    """The coverage of these examples by the threshold of the run, if it has one."""
    selective = facts.selective_prediction
    if selective is None or selective.threshold is None:
        return None
    on_held_out = decode(Coverage, asdict(coverage(answers.labels, answers.outputs, selective.threshold)))
    return SelectivePredictionFacts(
        min_precision=selective.min_precision,
        threshold=selective.threshold,
        reason=selective.reason,
        on_held_out=on_held_out,
    )


def _out_of_distribution(facts: RunFacts, count: int | None) -> OutOfDistributionFacts | None:
    """How many of these examples the detector of the run found, if it has one."""
    detector = facts.out_of_distribution
    return None if detector is None or count is None else detector.replace(count=count)


def _check_labels(run: str | Path, dataset: Dataset, task: Task) -> None:
    """See that the labels are of the kind that the run predicts."""
    if task is dataset.task:
        return
    run_wording, dataset_wording = task.wording, dataset.task.wording
    raise InputError(
        f"{run} predicts {run_wording.labels_of_example} ({task.name}), but {dataset.source} has "
        f"{dataset_wording.labels_of_example} ({dataset.task.name}): {run_wording.columns_advice}."
    )


def _test_part(dataset: Dataset) -> np.ndarray:
    """Indices of the examples to evaluate."""
    all_indices = np.arange(len(dataset))
    if not dataset.given_splits or "test" not in dataset.given_splits:
        return all_indices
    test_indices = all_indices[np.array(dataset.given_splits) == "test"]
    logger.info(
        f"{dataset.source} comes divided: evaluating its test part, {len(test_indices):,} of {len(dataset):,} examples"
    )
    return test_indices


def _answers(
    predictor: Predictor, dataset: Dataset, indices: np.ndarray, progress: Progress
) -> tuple[Answers, dict[int, ImageInfo], list[Skipped], int | None]:
    """Answers about the usable examples, facts about the images among them, and what was skipped.

    The last is the number of out-of-distribution examples; None if the run cannot tell.
    """
    all_examples = dataset.examples
    examples = [all_examples[i] for i in indices.tolist()]
    outputs: dict[int, Output] = {}
    digests: dict[int, bytes] = {}
    image_infos: dict[int, ImageInfo] = {}
    skipped = list(dataset.skipped)

    def note(i: int, data: bytes, array: np.ndarray) -> None:
        digests[i] = hashlib.sha256(data).digest()
        if dataset.modality.has_pixels:
            image_infos[i] = inspect_image(data, array)

    with progress.start("evaluating", len(examples), dataset.modality.plural) as bar:
        for i, answer in predictor.outputs(examples, on_read=note):
            if isinstance(answer, str):
                skipped.append(Skipped(dataset.files[indices[i]], answer))
            else:
                outputs[i] = answer
            bar.advance()
    order = sorted(outputs)
    usable = indices[order]
    answers = Answers(
        splits=np.full(len(order), SPLIT),
        files=[dataset.files[i] for i in usable],
        labels=dataset.labels[usable],
        outputs=predictor.task.stack_outputs([outputs[i].value for i in order], len(predictor.classes)),
        digests=[digests[i] for i in order],
        examples=[all_examples[i] for i in usable],
        modality=dataset.modality,
        task=predictor.task,
        thresholds=predictor.thresholds,
    )
    n_out_of_distribution = sum(bool(outputs[i].out_of_distribution) for i in order) if predictor.detector else None
    return (
        answers,
        {position: image_infos[i] for position, i in enumerate(order) if i in image_infos},
        skipped,
        n_out_of_distribution,
    )
