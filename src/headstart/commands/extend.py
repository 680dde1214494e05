"""A finished run with more examples: new classes, or more of the old ones.

The old examples keep their splits and their labels, so what was held out stays held out, and every old
class is judged on the same examples before and after. Their features come from the cache. The new examples are divided
among themselves; what is the same as an old one, nearly so or of its group goes where that is.
"""

import logging
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Unpack

import numpy as np

from headstart.commands.load import Run
from headstart.commands.train import train
from headstart.commands.tune import recorded_settings
from headstart.config import Config, merge_settings
from headstart.config.commands import EXTEND, READ, shows_settings
from headstart.config.keywords import ExtendKeywords
from headstart.data.class_names import similar_names
from headstart.data.dataset import Dataset, EarlierRun, load_dataset
from headstart.data.examples import Example
from headstart.data.missing_files import check_files
from headstart.data.parallel import map_ahead
from headstart.data.run_examples import EXAMPLES, read_examples
from headstart.data.tables import is_frame
from headstart.errors import BadExample, InputError, counted, field_name
from headstart.features.examination import Examined, examine
from headstart.runs.files import read_facts
from headstart.runs.predictor import open_reader
from headstart.runs.run import RunFolder, folder_of
from headstart.runs.schema import RunFacts
from headstart.runs.tables import read_outputs, read_predictions
from headstart.system.display import show_progress
from headstart.system.progress import Progress
from headstart.tasks import Task, get_task

logger = logging.getLogger(__name__)

_SHOWN = 5  # of the examples that have changed


@shows_settings(EXTEND)
def extend(
    run: RunFolder | str | Path,
    more: Any,
    *,
    config: Config = None,
    name: str | None = None,
    runs: str | Path | None = None,
    tensorboard: bool = False,
    mlflow: bool = False,
    cache: str | Path | None = None,
    progress: bool | Progress = True,
    **settings: Unpack[ExtendKeywords],
) -> Run:
    """Train a run again with more examples, of its own classes or of new ones, and compare the two on the old classes.

    The run does not change. The result is a new run, made with all settings of the old
    one, and keeps a table of all examples (``examples.jsonl``). Old classes keep their numbers, new ones follow.

    Args:
        run: the run, or its folder.
        more: data as for :func:`headstart.train`; one class is enough. Examples that the run has already are passed
            over.
        config: settings, as for :func:`headstart.train`: how the new examples are read, and ``fine_tune``. What is not
            set is as it was for the old run.
        name: of the new run; that of the old one, with a number, when None.
        runs: folder that the new run goes into; that of the old one when None.
        tensorboard: write TensorBoard events into the run folder as well.
        mlflow: log the run to MLflow as well.
        cache: folder of the feature cache; the cache of the user when None.
        progress: as for :func:`headstart.train`.
        settings: settings by name; see ``config``.

    Returns:
        The new run; ``facts.change`` compares it with the old one, see :mod:`headstart.evaluation.class_changes`.

    Raises:
        InputError: no such run; its examples are no longer what they were; or nothing new can be added from ``more``.
        UnavailableError: weights, network or an optional package is missing.
        IntegrityError: a frozen weight has changed, or the finished model computes something else.
    """
    folder = folder_of(run)
    facts = read_facts(folder)
    recorded = recorded_settings(folder, facts)
    values = merge_settings(config, settings, allowed=EXTEND)
    with show_progress(progress) as shown_progress:
        dataset, config_values = _extended(
            folder, more, facts, recorded, values, Path(cache).expanduser() if cache else None, shown_progress
        )
        extended = train(
            dataset, config=config_values, name=name or folder.name, runs=folder.parent if runs is None else runs,
            tensorboard=tensorboard, mlflow=mlflow, cache=cache, progress=shown_progress,
        )  # fmt: skip
        _warn(extended)
    return extended


def _extended(
    run: Path,
    more: Any,
    facts: RunFacts,
    recorded: dict[str, Any],
    values: dict[str, Any],
    cache: Path | None,
    progress: Progress,
) -> tuple[Dataset, dict[str, Any]]:
    """Old and new examples together, and the settings to train on them; see :func:`extend`."""
    old, digests = _old_examples(run, facts, recorded, cache, progress)
    columns = ("path_column", "text_column", "label_column", "label_separator")
    in_table = is_frame(more) or not Path(more).expanduser().is_dir()
    defaults = {name: recorded[name] for name in columns} if in_table else {}
    defaults["group_by"] = recorded["group_by"]
    reading = {**defaults, **{name: value for name, value in values.items() if name in READ}}
    new = load_dataset(more, **reading, task=recorded.get("task"), added=True)
    check_files(new)
    _check_kind(run, old, new)
    dataset = _together(old, _only_new(run, old, digests, new))
    splits = set(old.given_splits or ())
    return dataset, {
        **recorded,
        "classes": dataset.classes,
        "group_by": reading["group_by"],
        "fine_tune": values.get("fine_tune", recorded["fine_tune"]),
        "relabel": None,  # the labels of the old examples are corrected already
        "shots": None,  # all new examples count
        "val": recorded["val"] if "val" in splits else 0.0,  # or new examples alone would be a split of their own
        "test": recorded["test"] if "test" in splits else 0.0,
    }


def _old_examples(
    folder: Path, facts: RunFacts, recorded: dict[str, Any], cache: Path | None, progress: Progress
) -> tuple[Dataset, list[str]]:
    """The examples of a run as it used them, with what it said of them; and their digests, hex.

    Raises:
        InputError: some are gone, or have another content now.
    """
    rows = read_predictions(folder, facts)
    task = get_task(facts.task)
    classes, thresholds, files = facts.classes, facts.thresholds, [row.file for row in rows]
    root, modality = Path(facts.data_root), facts.modality
    old = Dataset(
        source=facts.data.source if facts.data else "",
        root=root,
        files=files,
        classes=classes,
        task=task,
        labels=task.encode([task.from_cell(row.label_cell) for row in rows], classes),
        given_splits=[row.split for row in rows],
        groups=_groups(folder, facts, files) if recorded["group_by"] else None,
        modality=modality,
        examples=[modality.example_in(root, row.file, row.text) for row in rows],
        earlier=EarlierRun(
            str(folder),
            classes,
            read_outputs(rows, task, classes),
            np.array([thresholds[name] for name in classes]) if thresholds else None,
        ),
    )
    digests = [row.sha256 for row in rows]
    if not modality.is_in_tables:
        reader = open_reader(facts.base, folder)
        examined = examine(old.examples, old.modality, cache=cache, reader=reader, progress=progress)
        _check_unchanged(folder, old, digests, examined)
    return old, digests


def _check_unchanged(folder: Path, old: Dataset, digests: Sequence[str], examined: Examined) -> None:
    strange = [
        f"  {file}: {'has another content' if example.version() else 'is not there'}"
        for file, example, digest, now in zip(old.files, old.examples, digests, examined.digests, strict=True)
        if not now or now.hex() != digest
    ]
    if strange:
        file_lines = "\n".join(strange[:_SHOWN] + (["  …"] if len(strange) > _SHOWN else []))
        raise InputError(
            f"{len(strange):,} of {counted(len(old), 'image')} that {folder} was made of are no longer what they were, "
            f"in {old.root}:\n{file_lines}\nRestore them, or train again on all data with headstart train."
        )


def _groups(folder: Path, facts: RunFacts, files: Sequence[str]) -> list[str]:
    """The group of each old example, from the table in the run or from where its data came from."""
    config, path = facts.config or {}, facts.data.path if facts.data else None
    if path is None:
        raise InputError(
            f"{folder} was trained on a DataFrame with groups ({config['group_by']}), which are not kept: call train() "
            "with all data again."
        )
    if path == EXAMPLES:
        source = read_examples(folder, facts.classes, get_task(facts.task), facts.modality)
    else:
        source = load_dataset(path, **{name: config[name] for name in READ})
    group_of_file = dict(zip(source.files, source.groups or (), strict=True))
    missing = [file for file in files if file not in group_of_file]
    if missing:
        raise InputError(
            f"{path} no longer has {counted(len(missing), 'example')} of {folder}, such as {missing[0]}, so their "
            f"groups ({config['group_by']}) are unknown. Put them back, or train on all data again."
        )
    return [group_of_file[file] for file in files]


def _check_kind(run: Path, old: Dataset, new: Dataset) -> None:
    """See that new examples are of the kind of the old ones, and that all classes can be told apart.

    Raises:
        InputError: they are not.
    """
    if old.modality.name != new.modality.name:
        raise InputError(f"{run} is made of {old.modality.plural}, and {new.source} holds {new.modality.plural}.")
    if old.task is not new.task:
        raise InputError(
            f"{run} has {_described(old.task)}, and {new.source} {_described(new.task)}: name its columns as in "
            "training."
        )
    added = [name for name in new.classes if name not in old.classes]
    for names in similar_names([*old.classes, *added]):
        if names[-1] in added:
            raise InputError(
                f"{new.source} has the class {names[-1]!r}, and {names[0]!r} is there already: their names are nearly "
                "the same. Give the class one name."
            )
    if added and not old.task.allows_new_classes:
        raise InputError(
            f"{new.source} has {old.task.wording.class_plural} that {run} does not know: "
            f"{', '.join(map(repr, added[:10]))}. It is unknown which old examples have them: label those too and "
            f"train again, or leave them out with {field_name('classes')}."
        )


def _described(task: Task) -> str:
    return f"{task.wording.labels_of_example} ({task.name})"


def _only_new(run: Path, old: Dataset, digests: Sequence[str], new: Dataset) -> Dataset:
    """The examples that the run does not have: with another content, or another label.

    Raises:
        InputError: there are none.
    """
    known_pairs = set(zip(digests, old.class_names, strict=True))
    pairs = zip(map_ahead(_digest, new.examples), new.class_names, strict=True)
    fresh = [i for i, pair in enumerate(pairs) if pair not in known_pairs]
    n_known = len(new) - len(fresh)
    if not fresh:
        raise InputError(
            f"nothing to add: all {counted(n_known, new.modality.noun)} in {new.source} are in {run} already."
        )
    if n_known:
        logger.info(f"{n_known:,} of {counted(len(new), new.modality.noun)} in {new.source} are in {run} already")
    return replace(
        new,
        files=[new.files[i] for i in fresh],
        labels=new.labels[fresh],
        given_splits=[new.given_splits[i] for i in fresh] if new.given_splits else None,
        groups=[new.groups[i] for i in fresh] if new.groups else None,
        examples=[new.examples[i] for i in fresh],
    )


def _digest(example: Example) -> str:
    """SHA-256 of the content, hex; empty if it cannot be read, which is reported when it is used."""
    try:
        return example.digest().hex()
    except BadExample:
        return ""


def _together(old: Dataset, new: Dataset) -> Dataset:
    """Old examples, then new ones; of these, those without a side are to be divided."""
    classes = [*old.classes, *(name for name in new.classes if name not in old.classes)]
    task = old.task
    cells = [task.to_cell(label, dataset.classes) for dataset in (old, new) for label in dataset.labels]
    examples = [*old.examples, *new.examples]
    apart = [f"old example {i}" for i in range(len(old))]
    return Dataset(
        source=f"{old.source} + {new.source}",
        root=old.root,
        files=[example.location or f"row {i}" for i, example in enumerate(examples, 1)],
        classes=classes,
        task=task,
        labels=task.encode([task.from_cell(cell) for cell in cells], classes),
        given_splits=[*(old.given_splits or ()), *(new.given_splits or [""] * len(new))],
        groups=[*(old.groups or apart), *new.groups] if new.groups else None,
        skipped=new.skipped,
        label_problems=new.label_problems,
        modality=old.modality,
        examples=examples,
        earlier=old.earlier,
    )


def _warn(extended: Run) -> None:
    """Name the classes that got significantly worse."""
    for change in extended.facts.change.classes if extended.facts.change else ():
        if change.outcome == "worse" and change.before and change.after:
            confused = (
                f"; {change.n_confused:,} are now predicted as {change.confused_with}" if change.confused_with else ""
            )
            logger.warning(
                f"{change.name} got significantly worse: of its {change.examples:,} held-out examples, "
                f"{change.before[0]:.1%} were found before and {change.after[0]:.1%} after{confused}"
            )
