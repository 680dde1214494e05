"""Examples in class folders: ``cat/1.jpg``, ``train/cat/1.jpg`` or ``cat/train/1.jpg``."""

import errno
import logging
import os
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

from headstart.data.example_rows import ExampleRows, Skipped
from headstart.data.folders import ignore_unread, is_hidden, subfolders, walk
from headstart.data.modalities import IMAGE, Modality, modality_of_folder
from headstart.data.split_names import is_unlabelled, is_wrapper, split_of, splits_of
from headstart.errors import InputError, counted

logger = logging.getLogger(__name__)

_NAMED = 4  # folders that a message names
_TABLES = (".csv", ".tsv", ".jsonl", ".parquet")


class _Layout(NamedTuple):
    """What the folders of a data set are.

    Attributes:
        splits: folder of class folders -> its split; a single one without a split where there are none.
        unlabelled: folders of examples without labels.
    """

    splits: dict[Path, str]
    unlabelled: list[Path]


def find_in_folder(root: Path, group_by: str | None, *, need_train: bool) -> ExampleRows:
    """Find the examples of a folder.

    Args:
        root: the folder, absolute.
        group_by: ``folder``, or a regular expression that finds the group in a file name.
        need_train: whether there has to be something to train on.

    Raises:
        InputError: the folders can be understood in two ways, none is for training, or a file has no group.
    """
    rows = ExampleRows(modality_of_folder(root))
    layout = _layout(root, rows, need_train=need_train)
    splits: list[str] = []
    for folder, split in layout.splits.items():
        _collect(root, folder, rows, layout.unlabelled)
        splits += [split] * (len(rows.files) - len(splits))
    rows.splits = splits if any(layout.splits.values()) else _inner_splits(root, rows)
    for folder in layout.unlabelled:
        _warn_of_unlabelled(root, folder, rows)
    if rows.splits is None:
        _warn_of_same_folders(root, rows)
        _warn_of_split_names(root, rows)
    rows.examples = [rows.modality.example_of_file(root, file) for file in rows.files]
    if group_by:
        rows.groups = [group_of(file, group_by) for file in rows.files]
    return rows


def _layout(root: Path, rows: ExampleRows, *, need_train: bool) -> _Layout:
    folders = subfolders(root)
    split_of_name = splits_of(folder.name for folder in folders)
    candidates = {folder: _unwrapped(folder) for folder in folders if folder.name in split_of_name}
    splits = {inner: split_of_name[folder.name] for folder, inner in candidates.items() if subfolders(inner)}
    unlabelled = [inner for inner in candidates.values() if inner not in splits]
    other_folders = [folder for folder in folders if folder.name not in split_of_name]
    if not splits and need_train and not other_folders:
        _check_class_folders(root, {folder.name: split_of_name[folder.name] for folder in candidates}, rows)
    if not splits or ("train" not in splits.values() and other_folders):  # such as the classes valid and invalid
        return _Layout({root: ""}, [])
    without_examples = [folder for folder in other_folders if not rows.modality.has_file(walk(str(folder)))]
    flat = [folder for folder in other_folders if is_unlabelled(folder.name) and folder not in without_examples]
    unknown = [folder.name for folder in other_folders if folder not in without_examples and folder not in flat]
    if unknown:
        names = ", ".join(folder.name for folder in candidates)
        raise InputError(
            f"{root} has split folders ({names}) and others ({', '.join(unknown)}): expected train, val and test "
            "folders only, or one folder per class only. Move the others away."
        )
    if need_train and "train" not in splits.values():
        train = [
            f" {folder.name} has no folders in it." for folder in candidates if split_of_name[folder.name] == "train"
        ]
        raise InputError(
            f"{root} has split folders but none to train on: expected a folder called train, with one folder per "
            f"class.{''.join(train)}"
        )
    rows.skipped += [
        Skipped(f"{folder.name}{os.sep}", f"beside the split folders, without {rows.modality.plural}")
        for folder in without_examples
    ]
    lone = _lone_folders(splits)
    labelled = {folder: split for folder, split in splits.items() if folder not in lone}
    return _Layout(labelled, sorted([*unlabelled, *flat, *lone, *_unlabelled_in_train(labelled)]))


def _check_class_folders(root: Path, split_of_name: dict[str, str], rows: ExampleRows) -> None:
    """Check that ``train`` and ``test`` without folders in them are not read as classes.

    Raises:
        InputError: they would be.
    """
    names = [name for name in split_of_name if rows.modality.has_file(walk(str(root / name), ignore_unread))]
    splits = {split_of_name[name] for name in names}
    if "train" in splits and len(splits) > 1:
        tables = [path.name for path in sorted(root.iterdir()) if path.suffix.lower() in _TABLES]
        hint = f" Did you mean the table {root / tables[0]}?" if tables else ""
        raise InputError(
            f"{root} has the split folders {_join_names(names)} without class folders in them, so the labels of their "
            f"{rows.modality.plural} are not known: expected one folder per class in each, or a table with the labels."
            f"{hint}"
        )


def _unwrapped(folder: Path) -> Path:
    """The folder in which the classes are: of ``seg_train`` it is ``seg_train/seg_train``, or ``seg_train/images``."""
    while len(inner := [entry for entry in folder.iterdir() if not is_hidden(entry.name)]) == 1:
        (only,) = inner
        is_same = only.name == folder.name or split_of(only.name) or is_wrapper(only.name)
        if not (only.is_dir() and is_same) or only not in subfolders(folder):
            break
        folder = only
    return folder


def _lone_folders(splits: dict[Path, str]) -> list[Path]:
    """Split folders with a single folder in them that is no class: ``test/unknown``."""
    if "train" not in splits.values():
        return []
    classes = {entry.name for folder, split in splits.items() if split == "train" for entry in subfolders(folder)}
    return [
        folder
        for folder, split in splits.items()
        if split != "train" and len(inner := subfolders(folder)) == 1 and inner[0].name not in classes
    ]


def _unlabelled_in_train(splits: dict[Path, str]) -> list[Path]:
    """Folders beside the classes to train on whose name says that they have no labels, and that only train has.

    The reviews of IMDb have a folder ``train/unsup``.
    """
    held_out = {entry.name for folder, split in splits.items() if split != "train" for entry in subfolders(folder)}
    folders = [entry for folder, split in splits.items() if split == "train" for entry in subfolders(folder)]
    unlabelled = [entry for entry in folders if is_unlabelled(entry.name) and entry.name not in held_out]
    return unlabelled if held_out and len(folders) - len(unlabelled) > 1 else []


def _collect(root: Path, parent: Path, rows: ExampleRows, unlabelled: Sequence[Path]) -> None:
    """Add every class folder of ``parent``; files in folders below a class folder belong to that class."""

    def skip(path: str, reason: str) -> None:
        rows.skipped.append(Skipped(os.path.relpath(path, root), reason))

    folders = {folder.name for folder in subfolders(parent, skip)}
    for entry in sorted(os.scandir(parent), key=lambda e: e.name):
        if is_hidden(entry.name) or Path(entry.path) in unlabelled:
            continue
        if entry.name not in folders:
            if not os.path.isdir(entry.path):  # else a link in a circle, which is skipped already
                skip(entry.path, _stray(entry.path))
            continue
        if not _is_unicode(entry.name):
            raise InputError(f"the name of the class folder {entry.path!r} is not UTF-8: rename it.")
        before = len(rows.files)
        for file in walk(entry.path, skip):
            if Path(file).suffix.lower() in rows.modality.extensions:
                rows.files.append(os.path.relpath(file, root))
                rows.labels.append(entry.name)
            else:
                skip(file, _not_an_example(file, rows.modality))
        if len(rows.files) == before:
            rows.empty_classes.append(os.path.relpath(entry.path, root))


def _is_unicode(name: str) -> bool:
    return not any("\ud800" <= character <= "\udfff" for character in name)


def _not_an_example(path: str, modality: Modality) -> str:
    """Why a file in a class folder is not used."""
    suffix = Path(path).suffix
    if os.path.islink(path) and not os.path.exists(path):
        return _broken_link(path)
    if not suffix:
        return "it has no extension"
    for kind in (modality, IMAGE):
        if suffix.lower() in kind.unread_extensions:
            return f"its extension {suffix} is that of {kind.unread_advice}"
    return f"its extension {suffix} is not that of {modality.article} {modality.noun}"


def _stray(path: str) -> str:
    return "lies outside the class folders" if os.path.exists(path) else _broken_link(path)


def _broken_link(path: str) -> str:
    try:
        os.stat(path)
    except OSError as exc:
        if exc.errno == errno.ELOOP:
            return "a symbolic link that leads to itself"
    return "a symbolic link to nothing"


def _inner_splits(root: Path, rows: ExampleRows) -> list[str] | None:
    """The splits of ``cat/train/1.jpg`` and ``dog/test/2.jpg``; None where not all class folders have such folders."""
    inner = [Path(file).parts[1] if len(Path(file).parts) > 2 else "" for file in rows.files]
    splits = [split_of(name) for name in inner]
    if not splits or not all(splits) or not {"train"} < set(splits):
        return None
    names = _join_names(dict.fromkeys(inner))
    logger.info(f"{root}: the folders {names} in each class folder are the splits of the data")
    return splits


def _warn_of_unlabelled(root: Path, folder: Path, rows: ExampleRows) -> None:
    n = sum(Path(file).suffix.lower() in rows.modality.extensions for file in walk(str(folder)))
    if not n:
        rows.skipped.append(Skipped(f"{os.path.relpath(folder, root)}{os.sep}", f"it holds no {rows.modality.plural}"))
        return
    logger.warning(
        f"{os.path.relpath(folder, root)} has no class folders: {counted(n, rows.modality.noun)} without labels, "
        f"neither trained nor evaluated on. Predict them with `headstart predict RUN {folder}`."
    )


def _warn_of_same_folders(root: Path, rows: ExampleRows) -> None:
    """Say so where folders that are read as classes look like splits or sources."""
    classes = sorted({Path(file).parts[0] for file in rows.files})
    if len(classes) < 2 or any(len(Path(file).parts) == 2 for file in rows.files):
        return
    inner = [{folder.name for folder in subfolders(root / name)} for name in classes]
    common = sorted(set.intersection(*inner))
    if len(common) > 1 and 2 * len(common) >= len(set.union(*inner)):
        logger.warning(
            f"{root}: the folders {_join_names(classes)} are read as classes, but all of them have the same folders in "
            f"them ({_join_names(common)}). If they are splits, name them train, val and test. If "
            f"{_join_names(common)} are the classes, put these folders first: one folder per class."
        )


def _warn_of_split_names(root: Path, rows: ExampleRows) -> None:
    """Say so where a folder that is read as a class, beside two other_classes or more, has the name of a split."""
    classes = sorted({Path(file).parts[0] for file in rows.files})
    names = [name for name in classes if split_of(name) or is_unlabelled(name)]
    other_classes = [name for name in classes if name not in names]
    if names and len(other_classes) > 1:
        logger.warning(
            f"{root}: {_join_names(names)} is read as a class, like {_join_names(other_classes)}. If its "
            f"{rows.modality.plural} are for testing or have no labels, move the folder out of {root}."
        )


def _join_names(names: Iterable[str]) -> str:
    names = list(names)
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")


def group_of(file: str, group_by: str) -> str:
    """The group of a file in a folder of data.

    Args:
        file: its name in the folder.
        group_by: ``folder``, or a regular expression that finds the group in the name.

    Raises:
        InputError: the expression is not one, or the file has no group.
    """
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
