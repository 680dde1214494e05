"""Examples with labels, from class folders, split folders or a table.

Images are found and named, and none of them is opened; texts are read, for they are small.
"""

import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path, PurePath
from typing import Any, NamedTuple

import numpy as np

from headstart.data.examples import Example, FileExample, TextExample, address_in
from headstart.data.folders import is_hidden, subfolders, walk
from headstart.data.modalities import IMAGE, TEXT, Modality, modalities
from headstart.data.modalities.text import read_text
from headstart.data.tables import Columns, Row, is_frame, is_table, read_rows
from headstart.errors import InputError, counted, did_you_mean
from headstart.tasks import Task, task_for
from headstart.tasks.labels import NO_LABEL, Label, label_names

SPLITS = ("train", "val", "test")
FRAME = "DataFrame"
"""The source of data that came without a path."""

_SPLIT_NAMES = {
    "train": "train", "training": "train",
    "val": "val", "valid": "val", "validation": "val", "dev": "val",
    "test": "test", "testing": "test", "holdout": "test",
}  # fmt: skip


class Skipped(NamedTuple):
    """A file that is not used, and the reason."""

    file: str
    reason: str


@dataclass(frozen=True)
class EarlierRun:
    """What a finished run predicted for its examples, before others were added.

    Attributes:
        run: its folder.
        classes: its classes.
        probabilities: float (m, classes). With one class for each example only those of the predicted and of the true
            class are known, and the others are 0.
        thresholds: float (classes,), smallest probability at which a label was predicted; None with one class each.
    """

    run: str
    classes: list[str]
    probabilities: np.ndarray
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
        texts: n texts; None if the examples are files.
        earlier: predictions of the first m examples by the run that is extended; None if none is.
        modality: what the examples are.
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
    texts: list[str] | None = None
    earlier: EarlierRun | None = None
    modality: Modality = field(kw_only=True)

    def __len__(self) -> int:
        return len(self.files)

    @property
    def settled(self) -> int:
        """How many examples, from the first on, belong to the run that is extended: they are always used."""
        return len(self.earlier.probabilities) if self.earlier else 0

    @cached_property
    def examples(self) -> Sequence[Example]:
        """All examples, in order."""
        if self.texts is not None:
            return [TextExample(text, name=file) for text, file in zip(self.texts, self.files, strict=True)]
        return [FileExample(address_in(self.root, file)) for file in self.files]

    def texts_at(self, indices: Iterable[int]) -> list[str] | None:
        """The texts of some examples; None if the examples are files."""
        return None if self.texts is None else [self.texts[int(i)] for i in indices]

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
    classes: Sequence[str] | None = None,
    known_classes: Sequence[str] | None = None,
    added: bool = False,
) -> Dataset:
    """Find the labelled images or texts of a folder, a table or a pandas DataFrame.

    A folder of text files (``.txt``, ``.text``, ``.md``) holds texts; a table does if it has a column of them. The data
    are multi-label (any number of labels for each example, also none) if a table has several label columns, a column
    of lists, or a separator between labels.

    Args:
        data: a folder with one folder per class (or with ``train``, ``val``, ``test`` folders of such folders); a
            ``.csv``, ``.tsv``, ``.jsonl`` or ``.parquet`` file; or a DataFrame. Paths in a file are relative to it,
            paths in a DataFrame to the current folder. A Dataset is given back as it is.
        path_column: of a table of images; found by its usual names when None, as are the next two and ``split_column``.
        text_column: of a table of texts; several are joined.
        label_column: of a table; several hold 0 or 1, each for the label that it is named after.
        label_separator: text between several labels in one cell of a table.
        task: name of the task; None takes the one that the labels match.
        split_column: of a table.
        group_by: groups that must stay together: a column of a table; for folders, the word ``folder`` (the folder of
            a file) or a regular expression whose first group, found in the file name, names the group.
        classes: use these classes only, in this order; None takes all.
        known_classes: those of a finished run, to evaluate it: the data may lack some, but have no others.
        added: the data are added to others, so one class is enough, and ``train`` may be missing.

    Raises:
        InputError: there are no such data, they cannot be read, or they have fewer than two classes.
    """
    if isinstance(data, Dataset):
        return data
    texts, labels = ([name] if isinstance(name, str) else name for name in (text_column, label_column))
    if label_separator == "":
        raise InputError("expected the text between two labels, such as ';', got ''.", field="label_separator")
    columns = Columns(path_column, texts, labels, split_column, group_by, label_separator)
    if is_frame(data):
        source, root, rows = FRAME, Path.cwd(), _from_table(data, columns)
    else:
        path = Path(data).expanduser()
        if not path.exists():
            raise InputError(f"no such file or folder: {path}. Expected a folder or a table.{_near(path)}")
        source, root = str(data), Path(os.path.abspath(path if path.is_dir() else path.parent))
        if path.is_dir():
            if any((path_column, texts, labels, label_separator, split_column)):
                raise InputError(f"{path} is a folder: columns and separators are for tables only.")
            rows = _from_folder(root, group_by, need_train=known_classes is None and not added)
        elif is_table(path):
            rows = _from_table(path, columns)
        else:
            raise InputError(
                f"cannot read {path} as data: expected a folder, or a .csv, .tsv, .jsonl or .parquet table."
            )
    if known_classes is None and not added and rows.splits and "train" not in rows.splits:
        raise InputError(f"{source} has splits, but none is 'train'.")
    if known_classes is not None:
        return _dataset_of_known(source, root, rows, known_classes, task)
    return _dataset(source, root, rows, classes, task, fewest=1 if added else 2)


@dataclass
class _ExampleRows:
    modality: Modality
    files: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    texts: list[str] | None = None
    splits: list[str] | None = None
    groups: list[str] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)
    label_columns: Sequence[str] = ()  # labels with a column of their own

    @property
    def present(self) -> set[str]:
        return label_names(self.labels) | set(self.label_columns)


def _dataset(
    source: str,
    root: Path,
    rows: _ExampleRows,
    class_names: Sequence[str] | None,
    task_name: str | None,
    *,
    fewest: int,
) -> Dataset:
    task = task_for(rows.labels, task_name)
    present = rows.present
    classes = list(class_names or rows.label_columns or sorted(present, key=_class_order))
    for name in classes:
        if name not in present:
            raise InputError(f"{source} has no class {name!r}.{did_you_mean(name, present)}")
    if len(set(classes)) < fewest:
        raise InputError(_too_few_classes(source, rows, classes))
    skipped = rows.skipped + [Skipped(f"{name}{os.sep}", "an empty class folder") for name in rows.empty_classes]
    keep = [i for i, label in enumerate(rows.labels) if isinstance(label, list) or label in set(classes)]
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
        texts=[rows.texts[i] for i in keep] if rows.texts is not None else None,
        modality=rows.modality,
    )


def _dataset_of_known(
    source: str, root: Path, rows: _ExampleRows, classes: Sequence[str], task_name: str | None
) -> Dataset:
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
        raise InputError(_too_few_classes(source, rows, []))
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
        rows.texts,
        modality=rows.modality,
    )


def _class_order(name: str) -> tuple[int, float, str]:
    return (0, int(name), name) if re.fullmatch(r"-?\d{1,15}", name) else (1, 0, name)


def _too_few_classes(source: str, rows: _ExampleRows, classes: list[str]) -> str:
    if rows.files:
        only = f"{classes[0]!r}, {counted(len(rows.files), 'example')}"
        return f"{source} has one class only ({only}): expected at least two."
    skipped = [
        f" {len(rows.skipped)} files are not used, such as {file} ({reason})." for file, reason in rows.skipped[:1]
    ]
    return f"{source} has no labelled examples: expected one folder per class with {_file_kinds()}." + "".join(skipped)


def _file_kinds() -> str:
    first, *others = (f"{modality.noun} files in it ({', '.join(modality.extensions)})" for modality in modalities())
    return " or ".join([first, *(kind.replace(" in it", "") for kind in others)])


def _modality_of_folder(root: Path) -> Modality:
    """The first modality that has a file in a folder; texts if none has."""
    return next((modality for modality in modalities() if _has_files(modality, walk(str(root)))), TEXT)


def _modality_of_table(files: Sequence[str]) -> Modality:
    """The first modality that has a file of a table; images if none has, because a URL may lack an extension."""
    of_files = (modality for modality in modalities() if not modality.is_in_tables)
    return next((modality for modality in of_files if _has_files(modality, files)), IMAGE)


def _has_files(modality: Modality, files: Iterable[str]) -> bool:
    return any(PurePath(file).suffix.lower() in modality.extensions for file in files)


def _from_folder(root: Path, group_by: str | None, *, need_train: bool) -> _ExampleRows:
    folders = {entry: _SPLIT_NAMES.get(entry.name.lower(), "") for entry in subfolders(root)}
    split_folders = {entry: name for entry, name in folders.items() if name and any(subfolders(entry))}
    rows = _ExampleRows(_modality_of_folder(root), splits=[] if split_folders else None)
    if split_folders:
        _check_split_folders(root, folders, split_folders, need_train=need_train)
        for entry, name in split_folders.items():
            _collect(root, entry, rows)
            rows.splits += [name] * (len(rows.files) - len(rows.splits or ()))  # type: ignore[operator]
    else:
        _collect(root, root, rows)
    if rows.modality.is_in_tables:  # what is wrong with one is said when it is tokenized
        rows.texts = [read_text(root / file) for file in rows.files]
    if group_by:
        rows.groups = [_group_of(file, group_by) for file in rows.files]
    return rows


def _check_split_folders(
    root: Path, parts: dict[Path, str], split_folders: dict[Path, str], *, need_train: bool
) -> None:
    unknown = [entry.name for entry, name in parts.items() if entry not in split_folders]
    if unknown:
        raise InputError(
            f"{root} has split folders ({', '.join(e.name for e in split_folders)}) and others ({', '.join(unknown)}): "
            "expected train, val and test folders only, or one folder per class only. Move the others away."
        )
    if need_train and "train" not in split_folders.values():
        raise InputError(f"{root} has split folders but none to train on: expected a folder called train.")


def _collect(root: Path, parent: Path, rows: _ExampleRows) -> None:
    """Add every class folder of ``parent``; files in folders below a class folder belong to that class."""
    for entry in sorted(os.scandir(parent), key=lambda e: e.name):
        if is_hidden(entry.name):
            continue
        if not entry.is_dir():
            rows.skipped.append(Skipped(os.path.relpath(entry.path, root), "lies outside the class folders"))
            continue
        before = len(rows.files)
        for file in walk(entry.path):
            name = os.path.relpath(file, root)
            if Path(file).suffix.lower() in rows.modality.extensions:
                rows.files.append(name)
                rows.labels.append(entry.name)
            else:
                suffix, kind = Path(file).suffix, f"{rows.modality.article} {rows.modality.noun}"
                reason = f"its extension {suffix} is not that of {kind}" if suffix else "it has no extension"
                rows.skipped.append(Skipped(name, reason))
        if len(rows.files) == before:
            rows.empty_classes.append(os.path.relpath(entry.path, root))


def _group_of(file: str, group_by: str) -> str:
    if group_by == "folder":
        return os.path.dirname(file)
    try:
        match = re.search(group_by, file)
    except re.error as exc:
        raise InputError(
            f"expected 'folder' or a regular expression, got {group_by!r} ({exc}).", field="group_by"
        ) from exc
    if match is None:
        raise InputError(
            f"{group_by!r} does not match the file name {file!r}: every file needs a group.", field="group_by"
        )
    return match[1] if match.re.groups else match[0]


def _from_table(table: Any, columns: Columns) -> _ExampleRows:
    rows = _ExampleRows(IMAGE)
    splits: list[str] = []
    groups: list[str] = []
    texts: list[str] = []
    for row in read_rows(table, columns):
        content, kind = (row.path, "path") if row.text is None else (row.text, "text")
        if not content or row.label == "":
            rows.skipped.append(Skipped(row.path or row.where, f"{row.where} has no {'label' if content else kind}"))
            continue
        _check_label(row, rows)
        if not _is_unicode("".join(row.label)):
            rows.skipped.append(Skipped(row.path or row.where, f"the label in {row.where} is not UTF-8"))
            continue
        if row.split is not None:
            known = _SPLIT_NAMES.get(row.split.strip().lower())
            if known is None:
                raise InputError(f"{row.where} has the split {row.split!r}: expected train, val or test.")
            splits.append(known)
        if row.group is not None:
            groups.append(row.group)
        if row.text is None:
            rows.files.append(content)
        else:
            rows.files.append(f"row {row.number}")
            texts.append(content)
        rows.labels.append(row.label)
    if columns.label and len(columns.label) > 1:
        rows.label_columns = columns.label
    rows.texts = texts or None
    rows.modality = TEXT if texts else _modality_of_table(rows.files)
    rows.splits, rows.groups = splits or None, groups or None
    return rows


def _check_label(row: Row, rows: _ExampleRows) -> None:
    """Check that a label is of the same kind as those before it, and that a run's tables can hold it."""
    if rows.labels and isinstance(row.label, list) != isinstance(rows.labels[0], list):
        expected = "a list of labels" if isinstance(row.label, str) else "one label"
        raise InputError(f"{row.where} has the label {row.label!r}: expected {expected}, as in the rows before it.")
    fault = task_for([row.label]).label_fault(label_names([row.label]))
    if fault:
        raise InputError(f"{row.where} {fault}")


def _is_unicode(text: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in text)


def _near(path: Path) -> str:
    names = [entry.name for entry in path.parent.iterdir()] if path.parent.is_dir() else []
    return did_you_mean(path.name, names)
