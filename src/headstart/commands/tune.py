"""``headstart tune``: a finished run, fine-tuned further."""

import logging
from pathlib import Path
from typing import Any, Unpack

from headstart.commands.load import Run
from headstart.commands.train import train
from headstart.config import Config, FineTuneConfig, merge_settings, names_in
from headstart.config.commands import TUNE, shows_settings
from headstart.config.keywords import TuneKeywords
from headstart.data.run_examples import EXAMPLES, read_examples
from headstart.errors import InputError, field_name
from headstart.runs.files import read_facts
from headstart.runs.run import RunFolder, folder_of
from headstart.runs.schema import RunFacts
from headstart.system.progress import Progress
from headstart.tasks import get_task

logger = logging.getLogger(__name__)


@shows_settings(TUNE)
def tune(
    run: RunFolder | str | Path,
    *,
    config: Config = None,
    name: str | None = None,
    runs: str | Path | None = None,
    tensorboard: bool = False,
    mlflow: bool = False,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[TuneKeywords],
) -> Run:
    """Fine-tune a finished run further: the same data, split and head, with other blocks or other settings.

    The run itself does not change; the result is a new run.

    Args:
        run: the run, or its folder.
        config: settings of fine-tuning, as for :func:`headstart.train`.
        name: of the new run; that of the old one, with a number, when None.
        runs: folder for the new run; that of the old one when None.
        tensorboard: write TensorBoard events into the run folder as well.
        mlflow: log the run to MLflow as well.
        cache: folder of the feature cache; the cache of the user when None.
        progress: as for :func:`headstart.train`.
        settings: settings of fine-tuning by name, see :class:`headstart.config.FineTuneConfig`.

    Raises:
        InputError: no such run; it was trained on a DataFrame, which is not kept; or a setting cannot be used.
        UnavailableError: weights, network or an optional package is missing.
        IntegrityError: what was frozen has changed, or the finished model computes something else.
    """
    values = merge_settings(config, settings, allowed=names_in(FineTuneConfig))
    folder = folder_of(run)
    facts = read_facts(folder)
    recorded = recorded_settings(folder, facts)
    if get_task(facts.task).trains_on != "features":
        raise InputError(
            f"{folder} is a {facts.task} run, whose base is not fine-tuned: train again with other settings, such as "
            f"{field_name('detector_epochs')}."
        )
    data: Any = facts.data.path if facts.data else None
    if data is None:
        raise InputError(f"{folder} was trained on a DataFrame, which is not kept: call train() with it again.")
    if data == EXAMPLES:
        data = read_examples(folder, facts.classes, get_task(facts.task), facts.modality)
    defaults = dict.fromkeys(names_in(FineTuneConfig))
    tuned = train(
        data, config={**recorded, **defaults, **values}, tensorboard=tensorboard, mlflow=mlflow, cache=cache,
        name=name or folder.name, runs=folder.parent if runs is None else runs, progress=progress,
    )  # fmt: skip
    if tuned.facts.data and facts.data and tuned.facts.data.digest != facts.data.digest:
        logger.warning(f"the data of {folder} have changed since it was trained: do not compare the two runs.")
    return tuned


def recorded_settings(run: str | Path, facts: RunFacts) -> dict[str, Any]:
    """The settings that a run was trained with, name -> value.

    Raises:
        InputError: the run was adopted, or is an evaluation.
    """
    if facts.config is None:
        kind = "is an evaluation" if facts.kind == "evaluation" else "was adopted"
        raise InputError(
            f"{run} {kind}, without its data: train on your own data, with {field_name('base', facts.base.handle)}."
        )
    return facts.config
