"""Tables in the files of Apache Arrow: Parquet, Feather, and what Hugging Face's datasets save on the disk."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from headstart.data.delimited import Record
from headstart.data.table_files import PARQUET, table_suffix
from headstart.system.extras import require

_ROWS_AT_ONCE, _FILES_AT_ONCE = 65_536, 64  # in memory
_FEATHER = b"ARROW1"
_CLASSES = "ClassLabel"  # of Hugging Face's datasets
_EXTRA, _PURPOSE = "tables", "reading a table in Parquet or Arrow"


def read_arrow_table(path: Path) -> tuple[list[str], Iterator[Record]]:
    """The names of the columns, and the rows.

    Raises:
        UnavailableError: pyarrow is not installed.
    """
    schema, batches = _open_parquet(path) if table_suffix(path) in PARQUET else _open_arrow(path)
    return list(schema.names), _records(schema, batches)


def _open_parquet(path: Path) -> tuple[Any, Iterator[Any]]:
    file = require("pyarrow.parquet", extra=_EXTRA, purpose=_PURPOSE).ParquetFile(path)
    schema = file.schema_arrow
    has_files = any("binary" in str(column.type) for column in schema)
    return schema, file.iter_batches(_FILES_AT_ONCE if has_files else _ROWS_AT_ONCE)


def _open_arrow(path: Path) -> tuple[Any, Iterator[Any]]:
    ipc = require("pyarrow.ipc", extra=_EXTRA, purpose=_PURPOSE)
    with open(path, "rb") as opened:
        is_feather = opened.read(len(_FEATHER)) == _FEATHER
    if not is_feather:  # a stream, as datasets save it
        stream = ipc.open_stream(path.read_bytes())
        return stream.schema, iter(stream)
    file = ipc.open_file(path.read_bytes())
    return file.schema, map(file.get_batch, range(file.num_record_batches))


def _records(schema: Any, batches: Iterator[Any]) -> Iterator[Record]:
    features = _labelled_features(schema)
    number = 0
    for batch in batches:
        columns = [
            [_with_names(value, features[name]) for value in column.to_pylist()]
            if name in features
            else column.to_pylist()
            for name, column in zip(schema.names, batch.columns, strict=True)
        ]
        for cells in zip(*columns, strict=True):
            number += 1
            yield Record(number, cells)


def _labelled_features(schema: Any) -> dict[str, Any]:
    """Column -> what it holds, of columns with numbers of classes, as Hugging Face's datasets record it in the file."""
    try:
        features = json.loads((schema.metadata or {})[b"huggingface"])["info"]["features"]
        return {name: feature for name, feature in features.items() if _CLASSES in json.dumps(feature)}
    except (KeyError, TypeError, AttributeError, ValueError, RecursionError):
        return {}


def _with_names(value: Any, feature: Any) -> Any:
    """A value with the names of classes in place of their numbers; -1 is a missing label.

    Args:
        value: a number, or a list or an object of such values.
        feature: what the value is; of a list, also what its items are.
    """
    if isinstance(feature, dict) and feature.get("_type") == _CLASSES:
        names = feature.get("names")
        if isinstance(value, list):
            return [_with_names(item, feature) for item in value]
        return names[value] if isinstance(names, list) and isinstance(value, int) and 0 <= value < len(names) else None
    if isinstance(feature, dict) and "feature" in feature and "_type" in feature:
        return _with_names(value, feature["feature"])
    if isinstance(feature, list) and len(feature) == 1:
        return _with_names(value, feature[0])
    if isinstance(value, list):
        return [_with_names(item, feature) for item in value]
    if isinstance(value, dict) and isinstance(feature, dict):
        return {name: _with_names(item, feature.get(name)) for name, item in value.items()}
    return value
