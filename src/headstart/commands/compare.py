"""``headstart compare``: which pretrained base is the best on some data, within a budget."""

from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any, Unpack

from headstart.bases.candidates import candidates
from headstart.commands.base_comparison import BaseComparison, Budget
from headstart.commands.data_preparation import with_sample_range
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
from headstart.data.resizing import Resize
from headstart.errors import InputError, field_name
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
    that :func:`headstart.train` would train on.

    Args:
        data: a folder, a table or a DataFrame.
        config: settings, as for :func:`headstart.train`; see :data:`headstart.config.commands.COMPARE`.
        min_accuracy: a share; the best base is then the fastest one that reaches it.
        examples: number of examples in the last round.
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
    budget = Budget(whole.choice.max_mb, whole.choice.max_ms)
    whole = replace(whole, input=with_sample_range(whole.input, dataset))
    with show_progress(progress) as shown_progress:
        comparison = compare_on(
            dataset, whole.choice.bases, budget, min_accuracy=min_accuracy, examples=examples,
            **asdict(whole.split), **asdict(whole.input), cache=Path(cache).expanduser() if cache else None,
            progress=shown_progress,
        )  # fmt: skip
    config_values = {name: value for name, value in given_settings(whole).items() if name not in _OF_COMPARISON}
    return replace(comparison, config=config_values, cost=cost.so_far())


def compare_on(
    dataset: Dataset,
    bases: str | Sequence[str],
    budget: Budget,
    *,
    min_accuracy: float | None = None,
    examples: int = 500,
    val: float,
    test: float,
    seed: int,
    shots: int | None = None,
    input_size: int | tuple[int, int] | None = None,
    resize: Resize | None = None,
    sample_range: tuple[float, float] | None = None,
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> BaseComparison:
    """Compare bases on a data set; see :func:`compare`, and for ``shots`` :func:`headstart.train`."""
    if dataset.task.trains_on != "features":
        raise InputError(
            f"bases are compared by the features of whole images, and {dataset.source} has "
            f"{dataset.task.wording.labels_of_example} ({dataset.task.name}): train with one base after the other "
            f"({field_name('base')}), and compare the runs."
        )
    if examples < 1:
        raise InputError(f"expected at least 1, such as 500, got {examples}.", field="examples")
    if min_accuracy is not None and not 0 < min_accuracy <= 1:
        raise InputError(
            f"expected a share above 0 and up to 1, such as 0.9, got {min_accuracy:g}.", field="min_accuracy"
        )
    halving = SuccessiveHalving(dataset, budget, seed, cache or cache_folder(), progress)
    halving.load(candidates(bases, dataset.modality), input_size=input_size, resize=resize, sample_range=sample_range)
    halving.draw(val=val, test=test, shots=shots)
    halving.measure()
    rounds = halving.run(examples)
    rows = halving.rows()
    metric = dataset.task.deciding
    sufficient_rows = [row for row in rows if row.finished and min_accuracy and row.reaches(metric, min_accuracy)]
    best = min(sufficient_rows, key=lambda row: row.ms) if sufficient_rows else rows[0]
    return BaseComparison(
        dataset.source,
        dataset.modality.name,
        dataset.task.name,
        metric.name,
        budget,
        min_accuracy,
        rounds,
        rows,
        halving.left_out,
        best.handle,
    )
