"""Folders whose examples are in tables: parts of one data set, such as ``data/train-00000-of-00002.parquet``.

The layouts are those of Hugging Face's datasets, and of competitions: tables named after splits (``train.csv`` and
``test.csv``) or in folders named after them (``default/train/0000.parquet``), numbered parts (``part-0.parquet``), and
``metadata.csv`` beside the images that it names.
"""

import logging
import os
from collections.abc import Sequence
from pathlib import Path

from headstart.data.folders import ignore_unread, subfolders, walk
from headstart.data.split_names import is_unlabelled, is_wrapper, split_of
from headstart.data.table_columns import Columns
from headstart.data.table_examples import Part
from headstart.data.table_files import ARROW, PARQUET, is_table, table_stem, table_suffix
from headstart.data.tables import column_roles
from headstart.errors import InputError

logger = logging.getLogger(__name__)

_METADATA = ("metadata.csv", "metadata.jsonl", "metadata.parquet")
_FORMATS = (PARQUET, ARROW, (".jsonl", ".ndjson"), (".csv", ".tsv"), (".json",))  # the first ones that there are
_RECORDS = ("dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json")
_NAMED = 4  # folders or files in a message


def find_metadata(root: Path, columns: Columns) -> list[Part]:
    """Tables called ``metadata`` with the labels of the images beside them, in a folder or its split folders."""
    folders = [(root, ""), *((folder, split) for folder in subfolders(root) if (split := split_of(folder.name)))]
    parts = [Part(folder / name, split) for folder, split in folders for name in _METADATA]
    return [
        part
        for part in parts
        if part.table.is_file() and {"path", "label"} <= set(column_roles(part.table, columns).values())
    ]


def find_parts(root: Path, columns: Columns) -> list[Part]:
    """The tables in a folder that make up one data set; empty if there are none.

    Raises:
        InputError: there are several data sets.
        UnavailableError: the package for this kind of file is not installed.
    """
    files = [path for path in map(Path, walk(str(root), ignore_unread)) if is_table(path) and not _is_record(path)]
    tables = next(filter(None, ([path for path in files if table_suffix(path) in form] for form in _FORMATS)), [])
    parts = [Part(path, _split_of(path, root)) for path in tables]
    if any(part.split for part in parts):
        _log_unused(root, [part.table for part in parts if not part.split])
        parts = [part for part in parts if part.split]
    _check_one_set(root, parts)
    labelled = [part for part in parts if "label" in column_roles(part.table, columns).values()]
    without_labels = [part.table for part in parts if part not in labelled]
    if labelled:
        _log_unused(root, without_labels, " It has no column of labels.")
    return labelled or parts


def _is_record(path: Path) -> bool:
    """Whether a file is what Hugging Face's datasets write beside a data set: facts, and results of their functions."""
    return path.name in _RECORDS or path.name.startswith("cache-")


def _split_of(table: Path, root: Path) -> str:
    """The split in the name of a table or of its folder; empty if neither has one."""
    names = [table_stem(table), *table.parent.relative_to(root).parts[::-1]]
    return "" if is_unlabelled(table_stem(table)) else next(filter(None, map(split_of, names)), "")


def _check_one_set(root: Path, parts: Sequence[Part]) -> None:
    """Check that tables lie in one folder, apart from folders that are named after splits."""
    folders: dict[Path, None] = {}
    for part in parts:
        folder = part.table.parent
        while folder != root and (split_of(folder.name) or is_wrapper(folder.name)):
            folder = folder.parent
        folders[folder] = None
    if len(folders) > 1:
        raise InputError(f"{root} has several sets of tables: {_join(root, list(folders))}. {_advice(list(folders))}")


def _advice(folders: Sequence[Path]) -> str:
    """What to do about tables in several folders, of which one alone may be one class."""
    pair = next((folder.name for folder in folders if "=" in folder.name), "")
    if pair:
        column, _, value = pair.partition("=")
        return (
            f"A name such as {pair} is the value {value} in a column {column}, which headstart does not read from "
            "names. Write one table with this column; pandas.read_parquet() reads such folders of Parquet files as one."
        )
    return "Name one of these folders; or, if each one is a class, write one table with a column of classes."


def _log_unused(root: Path, tables: Sequence[Path], reason: str = "") -> None:
    if tables:
        logger.warning(f"{root}: {_join(root, tables)} is not used.{reason}")


def _join(root: Path, paths: Sequence[Path]) -> str:
    names = [os.path.relpath(path, root) for path in paths]
    return ", ".join(names[:_NAMED]) + (" …" if len(names) > _NAMED else "")
