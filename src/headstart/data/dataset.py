"""Examples with labels, from class folders, split folders or a table.

Images are found and named, and none of them is opened; texts are read, for they are small.
"""

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.boxes import find_boxes
from headstart.data.class_folders import find_in_folder
from headstart.data.class_names import same_name, warn_of_similar
from headstart.data.example_rows import ExampleRows, LabelProblem, Skipped
from headstart.data.examples import Example
from headstart.data.folders import UNREADABLE, subfolders
from headstart.data.modalities import Modality, modalities
from headstart.data.table_columns import Columns
from headstart.data.table_examples import Part, find_in_tables
from headstart.data.table_files import is_table, what_else
from headstart.data.table_folders import find_metadata, find_parts
from headstart.data.tables import FRAME, is_frame
from headstart.errors import InputError, counted, did_you_mean, field_name
from headstart.tasks import Task, get_task, task_for
from headstart.tasks.labels import NO_LABEL, BoxLabels, label_names, renamed_labels

_TABLE_KINDS = ".csv, .tsv, .json, .jsonl, .parquet, .feather; text tables also as .gz, .bz2 or .xz"


@dataclass(frozen=True)
class EarlierRun:
    """What a finished run predicted for its examples, before others were added.

    Attributes:
        run: its folder.
        classes: its classes.
        outputs: of its model for m examples, as far as its table tells, see
            :meth:`headstart.tasks.Task.outputs_of_table`.
        thresholds: float (classes,), smallest probability at which a label was predicted; None with one class each.
    """

    run: str
    classes: list[str]
    outputs: np.ndarray
    thresholds: np.ndarray | None = None


@dataclass(frozen=True)
class Dataset:
    """Labelled images or texts.

    Attributes:
        source: path of the data, or ``DataFrame``.
        root: folder that relative file names start from.
        files: names relative to ``root``, or absolute where they lie elsewhere; of texts in a table, their rows.
        classes: class names; numbers in numeric order, else alphabetical. Labels that have columns of their own are in
            the order of these.
        labels: an array (n, …) as the task encodes them.
        task: what is predicted.
        given_splits: ``train``, ``val`` or ``test`` of each example, empty where it has none; None if the data have no
            split of their own.
        groups: name of the patient, video, scene … of each example; None without ``group_by``.
        skipped: files and rows that are no examples.
        label_problems: parts of labels that are wrong, such as boxes outside their image.
        earlier: predictions of the first m examples by the run that is extended; None if none is.
        modality: what the examples are.
        examples: n of them, in order.
    """

    source: str
    root: Path
    files: list[str]
    classes: list[str]
    labels: np.ndarray
    task: Task
    given_splits: list[str] | None = None
    groups: list[str] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    earlier: EarlierRun | None = None
    label_problems: Sequence[LabelProblem] = field(default=(), kw_only=True)
    modality: Modality = field(kw_only=True)
    examples: Sequence[Example] = field(kw_only=True, repr=False)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def settled(self) -> int:
        """How many examples, from the first on, belong to the run that is extended: they are always used."""
        return len(self.earlier.outputs) if self.earlier else 0

    @property
    def texts(self) -> list[str]:
        """The content of every example, if tables hold it; else empty."""
        return [example.text for example in self.examples] if self.modality.is_in_tables else []

    def reading_settings(self) -> dict[str, str]:
        """The settings with which :func:`load_dataset` reads the labels from a table with cells of the task.

        The task is among them if it would not be recognised.
        """
        cells = [self.task.to_cell(label, self.classes) for label in self.labels]
        is_recognised = task_for([self.task.from_cell(cell) for cell in cells]) is self.task
        return {**self.task.cell_settings, **({} if is_recognised else {"task": self.task.name})}

    @property
    def class_names(self) -> list[str]:
        """The class name of every example, in order; several labels of one example are joined."""
        return [", ".join(self.task.names(label, self.classes)) or NO_LABEL for label in self.labels]

    @property
    def class_counts(self) -> dict[str, int]:
        """Class name -> number of examples, for all classes in order."""
        return self.task.class_counts(self.labels, self.classes)


def load_dataset(
    data: Any,
    *,
    path_column: str | None = None,
    text_column: str | Sequence[str] | None = None,
    label_column: str | Sequence[str] | None = None,
    label_separator: str | None = None,
    task: str | None = None,
    split_column: str | None = None,
    group_by: str | None = None,
    annotations: str | None = None,
    classes: Sequence[str] | None = None,
    known_classes: Sequence[str] | None = None,
    added: bool = False,
) -> Dataset:
    """Find the labelled images or texts of a folder, a table or a pandas DataFrame.

    A folder of text files (``.txt``, ``.text``, ``.md``) holds texts; a table does if it has a column of them. The data
    are multi-label (any number of labels for each example, also none) if a table has several label columns, a column
    of lists, or a separator between labels. Boxes of objects are read from the files of annotation tools, which are
    found in a folder by themselves (:mod:`headstart.data.boxes`), and from tables with their corners.

    Args:
        data: a folder with one folder per class (or with ``train``, ``val``, ``test`` folders of such folders); a
            ``.csv``, ``.tsv``, ``.json``, ``.parquet`` or ``.feather`` file, or a folder of such files; or a DataFrame.
            Paths in a file are relative to it, paths in a DataFrame to the current folder. A Dataset is given
            back as it is.
        path_column: of a table of images; found by its usual names when None, as are the next two and ``split_column``.
        text_column: of a table of texts; several are joined.
        label_column: of a table; several hold 0 or 1, each for the label that it is named after.
        label_separator: text between several labels in one cell of a table.
        task: name of the task; None takes the one that the labels match.
        split_column: of a table.
        group_by: groups that must stay together: a column of a table; for folders, the word ``folder`` (the folder of
            a file) or a regular expression whose first group, found in the file name, names the group.
        annotations: the file or folder with the boxes of a folder of images, where it lies elsewhere or is one of
            several.
        classes: use these classes only, in this order; None takes all.
        known_classes: those of a finished run, to evaluate it: the data may lack some, but have no others.
        added: the data are added to others, so one class is enough, and ``train`` may be missing.

    Raises:
        InputError: there are no such data, they cannot be read, or they have fewer than two classes.
    """
    if isinstance(data, Dataset):
        return data
    _check_kind(data)
    texts, labels = ([name] if isinstance(name, str) else name for name in (text_column, label_column))
    if label_separator == "":
        raise InputError("expected the text between two labels, such as ';', got ''.", field="label_separator")
    columns = Columns(path_column, texts, labels, split_column, group_by, label_separator)
    if is_frame(data):
        source, root = FRAME, Path.cwd()
    else:
        path = Path(data).expanduser()
        if not path.exists():
            raise InputError(f"no such file or folder: {path}. Expected a folder or a table.{_near(path)}")
        if (path / "run.json").is_file() and (path / "metrics.json").is_file():
            raise InputError(f"{path} is a run, not data: expected a folder with one folder per class, or a table.")
        source, root = str(data), Path(os.path.abspath(path if path.is_dir() else path.parent))
    rows = None
    if task is None or annotations is not None or get_task(task).matches([BoxLabels((), (0, 0))]):
        rows = find_boxes(data, root, columns, annotations=annotations)
    if rows is None:
        need_train = known_classes is None and not added
        rows = _find_examples(data, root, columns, need_train=need_train)
    if known_classes is None and not added and rows.splits and "train" not in rows.splits:
        raise InputError(f"{source} has splits, but none is 'train'.")
    if known_classes is not None:
        return _dataset_of_known(source, root, rows, known_classes, task)
    return _dataset(source, root, rows, classes, task, added=added)


def _check_kind(data: Any) -> None:
    """See that data are a path or a DataFrame.

    Raises:
        InputError: they are not.
    """
    if is_frame(data) or (isinstance(data, str | os.PathLike) and os.fspath(data)):
        return
    if isinstance(data, str | os.PathLike):
        raise InputError("expected the path of a folder or a table, got an empty one.")
    hint = ""
    if hasattr(data, "to_pandas"):
        hint = " Pass what its method to_pandas() returns."
    elif isinstance(data, dict | list | tuple):
        hint = " Make a DataFrame of it: pandas.DataFrame(data)."
    elif isinstance(data, np.ndarray):
        hint = " Write the images as files, one folder per class."
    raise InputError(
        f"expected the path of a folder or a table, or a pandas DataFrame, got a value of type {type(data).__name__}."
        + hint
    )


def _find_examples(data: Any, root: Path, columns: Columns, *, need_train: bool) -> ExampleRows:
    """Examples whose labels are names."""
    if is_frame(data):
        return find_in_tables([Part(data)], root, columns, "the DataFrame")
    path = Path(data).expanduser()
    if path.is_dir():
        return _find_in_folder(path, root, columns, need_train=need_train)
    if is_table(path):
        return find_in_tables([Part(path)], root, columns, str(path))
    kind = f"it is {what_else(path)}. Expected" if what_else(path) else "expected"
    raise InputError(f"cannot read {path} as data: {kind} a folder, a table ({_TABLE_KINDS}), or annotations of boxes.")


def _find_in_folder(path: Path, root: Path, columns: Columns, *, need_train: bool) -> ExampleRows:
    """Examples in class folders, or in the tables of a folder without any."""
    if metadata := find_metadata(root, columns):
        return find_in_tables(metadata, root, columns, str(root))
    rows = find_in_folder(root, columns.group, need_train=need_train)
    if not rows.files and (parts := find_parts(root, columns)):
        return find_in_tables(parts, root, columns, str(root))
    _check_no_columns(path, columns)
    return rows


def _dataset(
    source: str,
    root: Path,
    rows: ExampleRows,
    class_names: Sequence[str] | None,
    task_name: str | None,
    *,
    added: bool,
) -> Dataset:
    task = task_for(rows.labels, task_name)
    present = rows.present
    given_names = [same_name(name, present) for name in class_names or ()]
    classes = given_names or list(rows.label_columns) or sorted(present, key=_class_order)
    for name in classes:
        if name not in present:
            raise InputError(f"{source} has no class {name!r}.{did_you_mean(name, present)}")
    if len(set(classes)) < (1 if added else task.min_classes):
        raise InputError(_too_few_classes(source, root, rows, classes))
    warn_of_similar(source, classes)
    if rows.splits and not added and task.min_train:
        _check_train(source, rows, classes)
    skipped = rows.skipped + [Skipped(f"{name}{os.sep}", "an empty class folder") for name in rows.empty_classes]
    used = set(classes)
    keep = [i for i, label in enumerate(rows.labels) if task.is_usable(label, used)]
    return Dataset(
        source=source,
        root=root,
        files=[rows.files[i] for i in keep],
        classes=classes,
        labels=task.encode([rows.labels[i] for i in keep], classes),
        task=task,
        given_splits=[rows.splits[i] for i in keep] if rows.splits else None,
        groups=[rows.groups[i] for i in keep] if rows.groups else None,
        skipped=skipped,
        label_problems=rows.label_problems,
        modality=rows.modality,
        examples=[rows.examples[i] for i in keep],
    )


def _dataset_of_known(
    source: str, root: Path, rows: ExampleRows, classes: Sequence[str], task_name: str | None
) -> Dataset:
    if not rows.label_columns:
        names = {name: same_name(name, classes) for name in rows.present}
        rows.labels = renamed_labels(rows.labels, names.__getitem__)
    unknown = sorted(rows.present - set(classes))
    if unknown:
        raise InputError(
            f"{source} has classes that the run does not know: {', '.join(map(repr, unknown[:10]))}. "
            f"It knows {', '.join(map(repr, classes[:10]))}{' …' if len(classes) > 10 else ''}."
            + did_you_mean(unknown[0], classes)
        )
    unnamed = [name for name in classes if rows.label_columns and name not in rows.label_columns]
    if unnamed:
        raise InputError(
            f"of {len(classes)} labels that the run knows, {source} has no column for {', '.join(map(repr, unnamed))}: "
            "expected one for each."
        )
    if not rows.files:
        raise InputError(_too_few_classes(source, root, rows, []))
    task = task_for(rows.labels, task_name)
    labels = task.encode(rows.labels, classes)
    return Dataset(
        source,
        root,
        rows.files,
        list(classes),
        labels,
        task,
        rows.splits,
        rows.groups,
        rows.skipped,
        label_problems=rows.label_problems,
        modality=rows.modality,
        examples=rows.examples,
    )


def _class_order(name: str) -> tuple[int, float, str]:
    return (0, int(name), name) if re.fullmatch(r"-?\d{1,15}", name) else (1, 0, name)


def _check_train(source: str, rows: ExampleRows, classes: list[str]) -> None:
    """Check that the split that comes with the data has every class to train on."""
    splits: dict[str, set[str]] = {name: set() for name in classes}
    for label, split in zip(rows.labels, rows.splits or (), strict=True):
        for name in label_names([label]) & splits.keys():
            splits[name].add(split)
    missing = [name for name in classes if splits[name] and "train" not in splits[name]]
    if missing:
        class_list = ", ".join(f"{name!r} (in {' and '.join(sorted(splits[name]))})" for name in missing[:10])
        trained = [name for name in classes if "train" in splits[name]]
        raise InputError(
            f"{source} has no examples to train on of {class_list}: expected every class in train."
            f"{did_you_mean(missing[0], trained)} Move some to train, or leave the class out ({field_name('classes')})."
        )


def _check_no_columns(path: Path, columns: Columns) -> None:
    """Check that nothing is set for a folder that is for tables only."""
    settings = {
        "path_column": columns.path, "text_column": columns.text, "label_column": columns.label,
        "split_column": columns.split, "label_separator": columns.label_separator,
    }  # fmt: skip
    for name, value in settings.items():
        if value:
            raise InputError(f"it is for tables, and {path} is a folder.", field=name)


def _too_few_classes(source: str, root: Path, rows: ExampleRows, classes: list[str]) -> str:
    if rows.files and classes:
        only = f"{classes[0]!r}, {counted(len(rows.files), 'example')}"
        unread = next((item for item in rows.skipped if UNREADABLE in item.reason), None)
        hint = (
            f" {unread.file} {unread.reason}."
            if unread
            else _one_level_up(root, classes) or _table_beside(source, root)
        )
        return f"{source} has one class only ({only}): expected at least two.{hint}"
    is_folder = source != FRAME and Path(source).is_dir()
    expected = f"one folder per class with {_file_kinds()}" if is_folder else "rows with an example and its label"
    kind = "file" if is_folder else "row"
    skipped = [
        f" {counted(len(rows.skipped), kind)} cannot be used, such as {file} ({reason})."
        for file, reason in rows.skipped[:1]
    ]
    return f"{source} has no labelled examples: expected {expected}." + "".join(skipped) + _table_beside(source, root)


def _one_level_up(root: Path, classes: list[str]) -> str:
    """A hint where the class folders are in the only folder."""
    folder = root / classes[0]
    inner = [entry.name for entry in subfolders(folder)] if folder.is_dir() else []
    return f" Did you mean {folder}, which has the folders {', '.join(inner[:4])}?" if len(inner) > 1 else ""


def _table_beside(source: str, root: Path) -> str:
    """A hint where a folder of examples has a table, which may have the labels."""
    if source == FRAME or not Path(source).is_dir():
        return ""
    tables = sorted(path for path in root.iterdir() if is_table(path) and path.suffix.lower() != ".txt")
    if tables:
        return f" Did you mean the table {tables[0]}?"
    other = next((path for path in sorted(root.iterdir()) if what_else(path)), None)
    return f" {other} is {what_else(other)}." if other else ""


def _file_kinds() -> str:
    first, *other_kinds = (
        f"{modality.noun} files in it ({', '.join(modality.extensions)})" for modality in modalities()
    )
    return " or ".join([first, *(kind.replace(" in it", "") for kind in other_kinds)])


def _near(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)
