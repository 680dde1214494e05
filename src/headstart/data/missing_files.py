"""Why no example of a data set can be used: the paths that were tried, and the probable cause."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path, PurePath

from headstart.data.audit import Audit
from headstart.data.dataset import Dataset
from headstart.data.example_rows import Skipped
from headstart.data.examples import is_url
from headstart.data.folders import ignore_unread, subfolders, walk
from headstart.data.table_files import is_table
from headstart.data.table_images import TableImage
from headstart.data.tables import FRAME, open_table
from headstart.errors import InputError, counted, field_name
from headstart.system.settings import check_readable

_SEARCHED_FOLDERS, _SEARCHED_FILES = 50, 20_000
_MOST_LOOKED_AT = 100  # to tell files from texts and URLs
_REASONS = 3
_DRIVE = re.compile(r"[A-Za-z]:[\\/]")
_WEB = re.compile(r"(www\.|//)\w")


def check_files(dataset: Dataset) -> None:
    """Check, before anything is computed, that a file of the data is there.

    Raises:
        InputError: no file exists; the message has the path of the first and the probable cause.
    """
    locations = [example.location for example in dataset.examples[dataset.settled :]]
    if any(isinstance(example, TableImage) for example in dataset.examples):
        return  # the table has just been read
    if not all(location and not is_url(location) for location in locations[:_MOST_LOOKED_AT]):
        return
    if not locations or any(location and _is_there(Path(location)) for location in locations):
        return
    raise InputError(
        f"{dataset.source} has no example that can be used: none of {counted(len(locations), 'file')} is there."
        + _where(dataset, dataset.files[dataset.settled])
        + _text_hint(dataset.source)
    )


def check_usable(dataset: Dataset, audit: Audit) -> None:
    """Check that an example can be used.

    Raises:
        InputError: none can; the message has the reasons.
    """
    if not len(audit.usable):
        raise InputError(
            f"{dataset.source} has no example that can be used: {_reasons(audit.skipped)}."
            + (_where(dataset, dataset.files[0]) if dataset.examples and dataset.examples[0].location else "")
        )


def _reasons(skipped: Sequence[Skipped]) -> str:
    """The most frequent reasons, each with its first file."""
    counts = Counter(item.reason for item in skipped)
    first = {item.reason: item.file for item in reversed(skipped)}
    return "; ".join(
        f"{reason} ({counted(n, 'file')}, such as {first[reason]})" for reason, n in counts.most_common(_REASONS)
    )


def _where(dataset: Dataset, file: str) -> str:
    """The path that was tried for a file, and the probable cause; empty if the file exists."""
    path = Path(os.path.abspath(dataset.root / file))
    if is_url(file) or _is_there(path):
        return ""
    start = "the current folder" if dataset.source == FRAME else f"the folder {dataset.root}"
    relative = "" if os.path.isabs(file) else f" Relative paths start from {start}."
    return f" The first, {file!r}, was looked for as {path}.{relative}{_likely_reason(dataset.root, file)}"


def _text_hint(source: str) -> str:
    """A hint where a table that names files has a column of texts, which may be the examples."""
    if source == FRAME or not Path(source).is_file() or not is_table(Path(source)):
        return ""
    head, _ = open_table(Path(source))
    names = [name for i, name in enumerate(head.header) if head.holds_sentences(i)]
    field = field_name("text_column", names[0]) if names else ""
    return f" If the examples are the texts in the column {names[0]!r}, set {field}." if names else ""


def _likely_reason(root: Path, file: str) -> str:
    if _WEB.match(file):
        return " It looks like a web address: write it with https:// at its beginning."
    if _DRIVE.match(file) and os.name != "nt":
        return f" It is a path of a Windows machine.{_elsewhere(root, file)}"
    if "\\" in file and os.name != "nt":
        is_present = _is_there(root / file.replace("\\", "/"))
        return " It has backslashes, which separate folders on Windows only: write slashes." + (
            "" if is_present else _elsewhere(root, file)
        )
    same = next((name for name in _names(root / file) if PurePath(name).stem == PurePath(file).name), "")
    if same or not PurePath(file).suffix:
        hint = f": {(root / file).parent / same} is there" if same else ""
        return f" It has no extension. Write names of files, such as {same or file + '.jpg'}{hint}."
    other_case = next((n for n in _names(root / file) if n.casefold() == PurePath(file).name.casefold()), "")
    if other_case:
        return f" Upper and lower case differ: {(root / file).parent / other_case} is there."
    same = next((name for name in _names(root / file) if PurePath(name).stem == PurePath(file).stem), "")
    if same:
        return f" Its extension differs: {(root / file).parent / same} is there."
    return _elsewhere(root, file)


def _elsewhere(root: Path, file: str) -> str:
    """A hint where a file of that name lies: one level up or down, or anywhere below the folder."""
    parts = [part for part in re.split(r"[\\/]+", file) if part not in ("", ".", "..")]
    match = next((path for path in _candidates(root, parts) if _is_there(path)), None)
    return f" {match} is there: correct the paths, or move the table." if match else ""


def _candidates(root: Path, parts: Sequence[str]) -> Iterator[Path]:
    yield root.parent.joinpath(*parts)
    for folder in subfolders(root)[:_SEARCHED_FOLDERS]:
        yield folder.joinpath(*parts)
    for skipped in range(1, len(parts)):
        yield root.joinpath(*parts[skipped:])
    for path in islice(walk(str(root), ignore_unread), _SEARCHED_FILES):
        if parts[-1] in (PurePath(path).name, PurePath(path).stem):
            yield Path(path)


def _names(path: Path) -> list[str]:
    """The names of what lies in the folder of a path."""
    try:
        check_readable(path.parent)
        return sorted(os.listdir(path.parent))
    except OSError:
        return []


def _is_there(path: Path) -> bool:
    try:
        check_readable(path)
        return path.is_file()
    except OSError:
        return False
