"""XML and JSON files of annotation tools, read with care: they come from anywhere."""

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, TreeBuilder
from xml.parsers import expat

from headstart.data.examples import FileExample
from headstart.errors import BadExample, InputError

_BOM = b"\xef\xbb\xbf"


@contextmanager
def reading(file: Path) -> Iterator[None]:
    """Name an annotation file in the error of reading it.

    Raises:
        InputError: it cannot be read.
    """
    try:
        yield
    except BadExample as exc:
        raise InputError(f"cannot read the annotations {file}: {exc}.") from exc


def read_bytes(path: Path) -> bytes:
    """The content of an annotation file.

    Raises:
        BadExample: it cannot be read, is empty, or too large.
    """
    return FileExample(str(path)).read()


def read_lines(path: Path) -> list[str]:
    """The lines of a list that an annotation tool wrote; see :func:`read_text`.

    Raises:
        InputError: it cannot be read.
    """
    try:
        return read_text(path).splitlines()
    except BadExample as exc:
        raise InputError(f"cannot read the list {path}: {exc}.") from exc


def read_text(path: Path) -> str:
    """A text file in UTF-8, with or without a mark at its beginning; other bytes become lone surrogates.

    Raises:
        BadExample: it cannot be read, or is too large.
    """
    if path.is_file() and not path.stat().st_size:
        return ""
    return read_bytes(path).removeprefix(_BOM).decode("utf-8", "surrogateescape")


def read_json(path: Path) -> Any:
    """The value in a JSON file.

    Raises:
        BadExample: it cannot be read, or is not JSON.
    """
    try:
        return json.loads(read_bytes(path))
    except RecursionError as exc:
        raise BadExample("JSON that is nested too deeply to be read") from exc
    except ValueError as exc:  # also bytes that are no text
        raise BadExample(f"not JSON: {exc}") from exc


def read_xml(path: Path, tag: str) -> Element:
    """The root of an XML file.

    A file that defines entities is refused: it can name other files, or grow to gigabytes as it is read. Annotation
    tools write none.

    Args:
        path: of the file.
        tag: that the root has.

    Raises:
        BadExample: it cannot be read, is not XML, defines entities, or has another root.
    """
    content = read_bytes(path)
    builder = TreeBuilder()
    parser = expat.ParserCreate()
    parser.buffer_text = True
    parser.StartElementHandler = builder.start
    parser.EndElementHandler = builder.end
    parser.CharacterDataHandler = builder.data
    parser.EntityDeclHandler = _refuse_entity
    try:
        parser.Parse(content, True)
    except (expat.ExpatError, ValueError) as exc:  # ValueError: an encoding that the parser does not know
        raise BadExample(f"not XML: {exc}") from exc
    root = builder.close()
    if root.tag != tag:
        raise BadExample(f"XML whose first element is <{root.tag}>, not <{tag}>")
    return root


def _refuse_entity(name: str, *_: Any) -> None:
    raise BadExample(f"XML that defines an entity, {name!r}: not read")


def mappings(values: Any) -> list[Mapping[str, Any]]:
    """The JSON objects in a list; others, and what is no list, are left out."""
    return [value for value in values if isinstance(value, Mapping)] if isinstance(values, list) else []


def child_text(element: Element, path: str) -> str:
    """The text of an element inside another, without space around it; empty if it is missing."""
    return (element.findtext(path) or "").strip()
