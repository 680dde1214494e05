"""Tables in JSON: one object a line, an array of objects, or an object of columns as pandas writes it."""

import json
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, TextIO

from headstart.data.delimited import Record
from headstart.data.table_files import open_text, table_suffix
from headstart.errors import InputError

_SPLIT_KEYS = {"columns", "data"}  # of pandas' to_json(orient="split")
_HALVES = re.compile("[\ud800-\udbff](?![\udc00-\udfff])|(?<![\ud800-\udbff])[\udc00-\udc7f\udd00-\udfff]")


def read_json_table(path: Path) -> tuple[list[str], Iterator[Record]]:
    """The names of the columns, which are the keys of all rows, and the rows.

    Raises:
        InputError: it is no table.
    """
    header = list(dict.fromkeys(key for _, value in _objects(path) for key in value))
    if not header:
        raise InputError(f"the table {path} is empty: expected one JSON object a line, or an array of objects.")
    return header, (Record(number, [value.get(key) for key in header]) for number, value in _objects(path))


def _objects(path: Path) -> Iterator[tuple[int, Mapping[str, Any]]]:
    with open_text(path) as file:
        start = file.read(1000).lstrip("\ufeff \t\r\n")
        file.seek(0)
        if start.startswith("[") or (table_suffix(path) == ".json" and not _has_lines(file)):
            file.seek(0)
            rows = _rows(path, _parsed(path, 1, file.read()))
            yield from ((number, _object(path, number, row)) for number, row in enumerate(rows, 1))
            return
        file.seek(0)
        for number, line in enumerate(file, 1):
            if line.strip():
                yield number, _object(path, number, _parsed(path, number, line))


def _has_lines(file: TextIO) -> bool:
    """Whether a .json file has an object in its first line, and more after it."""
    try:
        return isinstance(json.loads(file.readline()), dict) and bool(file.readline().strip())
    except (ValueError, RecursionError):
        return False


def _rows(path: Path, content: Any) -> Sequence[Any]:
    """The rows in the content of a whole file.

    Raises:
        InputError: there are none.
    """
    if isinstance(content, list):
        return content
    if isinstance(content, dict):
        if content.keys() >= _SPLIT_KEYS and _are_lists(content["data"]):
            return [dict(zip(content["columns"], row, strict=False)) for row in content["data"]]
        if columns := _columns(content):
            return [dict(zip(columns, row, strict=True)) for row in zip(*columns.values(), strict=True)]
        if rows := _only_list(content):
            return rows
    raise InputError(
        f"{path} is no table: expected an array of JSON objects, one object a line, or an object with a list for each "
        "column."
    )


def _are_lists(rows: Any) -> bool:
    return isinstance(rows, list) and all(isinstance(row, list) for row in rows)


def _columns(content: Mapping[str, Any]) -> dict[str, list[Any]]:
    """The columns of an object of columns, lists or objects of the same rows; empty if it is none."""
    values = list(content.values())
    if len(values) < 2 or not values[0]:
        return {}
    if all(isinstance(value, list) and len(value) == len(values[0]) for value in values):
        return dict(content)
    if all(isinstance(value, dict) and value.keys() == values[0].keys() for value in values):
        return {name: list(value.values()) for name, value in content.items()}
    return {}


def _only_list(content: Mapping[str, Any]) -> list[Any]:
    """The only list of objects among the values of an object, such as ``data``; empty if there are none or several."""
    lists = [value for value in content.values() if isinstance(value, list) and value and isinstance(value[0], dict)]
    return lists[0] if len(lists) == 1 else []


def _parsed(path: Path, number: int, text: str) -> Any:
    try:
        content = json.loads(text.lstrip("\ufeff"))
    except ValueError as exc:
        raise InputError(f"line {number} of {path} is not JSON: {exc}.") from exc
    except RecursionError as exc:
        raise InputError(f"line {number} of {path} is nested too deeply to be read.") from exc
    return _without_halves(content) if "\\ud" in text or "\\uD" in text else content


def _without_halves(value: Any) -> Any:
    """The same with the sign for unknown characters in place of half characters, as are at the end of cut texts."""
    if isinstance(value, str):
        return _HALVES.sub("\ufffd", value)
    if isinstance(value, list):
        return [*map(_without_halves, value)]
    if isinstance(value, dict):
        return {_without_halves(key): _without_halves(item) for key, item in value.items()}
    return value


def _object(path: Path, number: int, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise InputError(f"line {number} of {path} is not a JSON object: expected {{…}}.")
    return value
