"""``headstart compare``: which pretrained base is the best on some data, within a budget."""

from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

from headstart.bases.candidates import candidates
from headstart.commands.base_comparison import BaseComparison
from headstart.commands.data_preparation import with_input
from headstart.commands.detector_comparison import DetectorComparison
from headstart.commands.head_comparison import HeadComparison
from headstart.commands.successive_halving import SuccessiveHalving
from headstart.config import (
    AUTO,
    ChoiceConfig,
    Config,
    TrainConfig,
    given_settings,
    merge_settings,
    names_in,
)
from headstart.config.commands import COMPARE, reading_settings, shows_settings
from headstart.config.keywords import CompareKeywords
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.missing_files import check_files
from headstart.errors import InputError
from headstart.system.cost import Cost
from headstart.system.display import show_progress
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

_OF_COMPARISON = ("base", *names_in(ChoiceConfig))


@shows_settings(COMPARE)
def compare(
    data: Any,
    *,
    config: Config = None,
    min_accuracy: float | None = None,
    examples: int = 500,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[CompareKeywords],
) -> BaseComparison:
    """Compare pretrained bases on some data, and say which is the best one within a budget.

    Each is judged by the cross-validated linear head on its frozen features, on a stratified sample of the examples
    that :func:`headstart.train` would train on. For data with boxes, by a short training of a detector on its frozen
    maps, on validation images.

    Args:
        data: a folder, a table or a DataFrame.
        config: settings, as for :func:`headstart.train`; see :data:`headstart.config.commands.COMPARE`.
        min_accuracy: a share; the best base is then the fastest one that reaches it, in accuracy or in the metric that
            decides for other labels.
        examples: number of examples in the last round; of images to train on, for data with boxes.
        cache: folder of the feature cache; the cache of the user when None.
        progress: as for :func:`headstart.train`.
        settings: settings by name; see ``config``.

    Raises:
        InputError: an argument or the data cannot be used, or no base is available or within the budget.
    """
    values = {"base": AUTO, **merge_settings(config, settings, allowed=COMPARE)}
    whole, cost = TrainConfig.from_settings(values), Cost()
    dataset = load_dataset(data, **reading_settings(whole))
    check_files(dataset)
    is_size_set = whole.input.input_size is not None
    whole = replace(whole, input=with_input(whole.input, dataset))
    with show_progress(progress) as shown_progress:
        comparison = compare_on(
            dataset, whole, is_size_set=is_size_set, min_accuracy=min_accuracy, examples=examples,
            cache=Path(cache).expanduser() if cache else None, progress=shown_progress,
        )  # fmt: skip
    given_values = given_settings(TrainConfig.from_settings(values))
    config_values = {name: value for name, value in given_values.items() if name not in _OF_COMPARISON}
    return replace(comparison, config=config_values, cost=cost.so_far())


def compare_on(
    dataset: Dataset,
    config: TrainConfig,
    *,
    is_size_set: bool,
    min_accuracy: float | None = None,
    examples: int = 500,
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> BaseComparison:
    """Compare bases on a data set; see :func:`compare`.

    Args:
        dataset: the examples.
        config: settings of a training; the input is that of all bases.
        is_size_set: whether the user set the size of the input; otherwise a base that has one size only keeps it.
        min_accuracy: a share; the best base is then the fastest one that reaches it.
        examples: number of examples in the last round.
        cache: the cache folder; None means the user's.
        progress: follows the work.
    """
    if examples < 1:
        raise InputError(f"expected at least 1, such as 500, got {examples}.", field="examples")
    if min_accuracy is not None and not 0 < min_accuracy <= 1:
        raise InputError(
            f"expected a share above 0 and up to 1, such as 0.9, got {min_accuracy:g}.", field="min_accuracy"
        )
    contest_type = DetectorComparison if dataset.task.trains_on == "maps" else HeadComparison
    contest: SuccessiveHalving = contest_type(dataset, config, cache or cache_folder(), progress)
    contest.load(candidates(config.choice.bases, dataset.modality), is_size_set=is_size_set)
    contest.draw()
    contest.measure()
    rounds = contest.run(examples)
    rows = contest.rows()
    metric = dataset.task.deciding
    sufficient_rows = [row for row in rows if row.finished and min_accuracy and row.reaches(metric, min_accuracy)]
    best = min(sufficient_rows, key=lambda row: row.ms) if sufficient_rows else contest.choose(rows)
    return BaseComparison(
        source=dataset.source,
        modality=dataset.modality.name,
        task=dataset.task.name,
        metric=metric.name,
        method=contest.method,
        budget=contest.budget,
        min_accuracy=min_accuracy,
        rounds=rounds,
        rows=rows,
        left_out=contest.left_out,
        best=best.handle,
        judged=contest.n_judged,
    )
