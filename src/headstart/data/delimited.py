"""Delimited text tables, CSV and TSV, also with quotes that no standard allows.

Python's csv module reads them; this module finds the dialect and checks what csv accepts without a word. A double
quote at the start of a text makes csv join all rows up to the next quote. Delimiters in texts without quotes make more
cells than the table has columns.
"""

import csv
import logging
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

from headstart.data.table_files import open_text, table_suffix
from headstart.errors import InputError, counted

logger = logging.getLogger(__name__)

DELIMITERS = "\t,;|"
MOST_CHARACTERS = 100_000_000
"""Of a cell. Python's own limit is 131,072, and texts are longer."""

NULLS = frozenset(
    # as databases, NumPy, pandas and Excel write them; not NA, N/A and None, which are names of classes as well
    ("\\N", "NULL", "null", "Null", "(null)", "<null>", "NaN", "nan", "-nan", "<NA>", "NaT", "#N/A", "#NA")
)
"""What stands for a missing value, if it is not in quotes."""

csv.field_size_limit(MOST_CHARACTERS)  # for all of Python, as csv has no other way

_SAMPLED_LINES = 200  # that decide on the delimiter
_MOST_LINES = 1000  # of one cell
_FEW_ROWS, _FEW = 5, 0.01  # rows that do not fit: up to five, or one in a hundred, are left out
_MOST_VALUES = 0.5  # distinct values for each row, in a column of labels
_NAMED = 5  # rows in a message


class Record(NamedTuple):
    """One row.

    Attributes:
        number: of its last line, from 1.
        cells: of the row; of one with a problem as far as they can be told apart.
        problem: why it is not a row of the table; empty if it is.
        nulls: positions of cells that say that a value is missing, such as ``NULL`` without quotes.
    """

    number: int
    cells: Sequence[Any]
    problem: str = ""
    nulls: Sequence[int] = ()


class _Dialect(NamedTuple):
    """How the cells of a line are separated, beside the standard."""

    delimiter: str
    escape: str | None = None
    skip_space: bool = False

    def reader(self, lines: Iterable[str]) -> Any:
        if self.escape:  # or \N of MySQL would be read as N
            null = re.compile(rf"(?:^|(?<={re.escape(self.delimiter)}))\\N(?=[\r\n{re.escape(self.delimiter)}]|$)")
            lines = (null.sub(r"\\\\N", line) for line in lines)
        return csv.reader(
            lines, delimiter=self.delimiter, escapechar=self.escape, skipinitialspace=self.skip_space, strict=True
        )


def read_delimited(path: Path) -> tuple[list[str], Iterator[Record]]:
    """The first line of a table as cells, and the rows after it.

    Raises:
        InputError: it is empty, or more than a few rows do not fit its columns.
    """
    header, first, delimiter = _read_head(path)
    if not any(header):
        raise InputError(f"the table {path} is empty: expected a line with the names of its columns.")
    if _is_standard(path, first + 1, len(header), delimiter):
        return header, _standard_rows(path, first + 1, delimiter)
    with open_text(path) as file:
        lines = list(islice(file, first + 1, None))
    table = _recover(lines, len(header), delimiter, first + 1)
    table.check(path, len(header), delimiter)
    return header, iter(table.records)


def read_header(path: Path) -> list[str]:
    """The first line of a table as cells; no other row is checked."""
    return _read_head(path)[0]


def _read_head(path: Path) -> tuple[list[str], int, str]:
    """The first line as cells, how many lines there are before it, and the delimiter."""
    with open_text(path) as file:
        sample = list(islice(file, _SAMPLED_LINES + 1))
    first = _n_lines_above(sample)
    marked = re.match(r"sep=(.)\s*$", sample[first]) if len(sample) > first else None  # how Excel marks the delimiter
    first += 1 if marked else 0
    delimiter = marked[1] if marked else _delimiter(path, sample[first:])
    header = _split_line(sample[first].lstrip("\ufeff"), delimiter) if len(sample) > first else []
    return header, first, delimiter


def _n_lines_above(sample: list[str]) -> int:
    """How many empty lines and comments are above the header. A header may begin with ``#``, too: ``#id,text``."""
    for n, line in enumerate(sample):
        following = "".join(sample[n + 1 : n + 3])
        is_comment = line.startswith("#") and not any(mark in line for mark in DELIMITERS if mark in following)
        if line.strip() and not (is_comment and following):
            return n
    return len(sample)


def _delimiter(path: Path, sample: list[str]) -> str:
    """The delimiter that most rows and the header agree on."""
    width = {delimiter: len(_split_line(sample[0], delimiter)) if sample else 1 for delimiter in DELIMITERS}
    candidates = [delimiter for delimiter in DELIMITERS if width[delimiter] > 1]
    if table_suffix(path) == ".tsv" and "\t" in candidates:
        return "\t"
    if len(candidates) < 2:
        return candidates[0] if candidates else ","

    def agreement(delimiter: str) -> tuple[int, int]:
        return sum(len(_split_line(line, delimiter)) == width[delimiter] for line in sample[1:]), width[delimiter]

    return max(candidates, key=agreement)


def _split_line(line: str, delimiter: str) -> list[str]:
    return next(csv.reader([line], delimiter=delimiter), [])


def _standard_rows(path: Path, skipped_lines: int, delimiter: str) -> Iterator[Record]:
    for number, cells, lines in _parsed(path, skipped_lines, delimiter):
        yield Record(number, cells, nulls=_nulls(cells, lines))


def _parsed(path: Path, skipped_lines: int, delimiter: str) -> Iterator[tuple[int, list[str], list[str]]]:
    """Rows in the standard dialect: number, cells and lines of each.

    Raises:
        csv.Error: a row is in another dialect.
    """
    lines: list[str] = []
    with open_text(path) as file:

        def remembered() -> Iterator[str]:
            for line in islice(file, skipped_lines, None):
                lines.append(line)
                yield line

        reader = _Dialect(delimiter).reader(remembered())
        for cells in reader:
            if cells:
                yield reader.line_num + skipped_lines, cells, lines
            lines.clear()


def _nulls(cells: Sequence[str], lines: Sequence[str]) -> Sequence[int]:
    """Positions of the cells that say that a value is missing: in quotes they are texts."""
    if NULLS.isdisjoint(map(str.strip, cells)):
        return ()
    text = "".join(lines)
    return [i for i, cell in enumerate(cells) if cell.strip() in NULLS and f'"{cell}"' not in text]


def _is_standard(path: Path, skipped_lines: int, width: int, delimiter: str) -> bool:
    """Whether every row has the width of the header, and no cell holds what looks like rows."""
    try:
        for _, cells, lines in _parsed(path, skipped_lines, delimiter):
            if not _fits(cells, width) or (len(lines) > 1 and _are_all_rows(lines, width, delimiter)):
                return False
    except csv.Error:
        return False
    return True


def _fits(cells: Sequence[str], width: int) -> bool:
    """Whether a row has no more cells than the header; empty cells at its end do not count, nor missing ones."""
    return len(cells) <= width or not any(cells[width:])


def _are_all_rows(lines: Sequence[str], width: int, delimiter: str) -> bool:
    return width > 1 and all(line.count(delimiter) == width - 1 for line in lines)


@dataclass
class _Table:
    """Rows, read one line after another.

    Attributes:
        records: all rows, also those with a problem.
        literal: numbers of rows whose double quotes belong to the text.
    """

    records: list[Record] = field(default_factory=list)
    literal: list[int] = field(default_factory=list)

    @property
    def misfits(self) -> list[Record]:
        """The rows with a problem."""
        return [record for record in self.records if record.problem]

    def check(self, path: Path, width: int, delimiter: str) -> None:
        """Say what was read in another way than it is written, and refuse a table with too many problems."""
        if self.literal:
            rows = _numbers(self.literal)
            logger.warning(f"{path}: {rows} with a double quote that is not closed: it is read as part of the cell")
        misfits = [record.number for record in self.misfits]
        n_tolerated = min(max(_FEW_ROWS, int(_FEW * len(self.records))), len(self.records) // 2)
        if len(misfits) > n_tolerated:
            separator = "a tab" if delimiter == "\t" else repr(delimiter)
            raise InputError(
                f"{path}: {_numbers(misfits)} of {counted(len(self.records), 'row')} with more cells than the header, "
                f"which has {width}. A cell that contains {separator} must be enclosed in double quotes, and double "
                "quotes in it doubled. Or write the table with another delimiter, or as .jsonl or .parquet."
            )


def _numbers(rows: Sequence[int]) -> str:
    row_numbers = ", ".join(map(str, rows[:_NAMED])) + (" …" if len(rows) > _NAMED else "")
    return f"{counted(len(rows), 'row')} ({row_numbers})"


def _recover(lines: list[str], width: int, delimiter: str, skipped_lines: int) -> _Table:
    """Read a table in the dialect that leaves the fewest problems."""
    text = "".join(islice(lines, 100_000))
    dialects = [_Dialect(delimiter)]
    if '\\"' in text or f"\\{delimiter}" in text:
        dialects.append(_Dialect(delimiter, escape="\\"))
    if re.search(f'{re.escape(delimiter)} +"', text):
        dialects.append(_Dialect(delimiter, skip_space=True))
    category = _find_category(lines, width, delimiter)
    tables = [_read_lines(lines, width, dialect, category, skipped_lines) for dialect in dialects]
    return min(tables, key=lambda table: (len(table.misfits), len(table.literal)))


def _find_category(lines: list[str], width: int, delimiter: str) -> tuple[int, set[str]] | None:
    """The column with the fewest values, such as labels, and these, by lines that can only be whole rows."""
    rows = [cells for line in lines if '"' not in line and len(cells := _cells(line, delimiter)) == width]
    columns = [(i, {cells[i] for cells in rows}) for i in range(width if rows else 0)]
    column, values = min(columns, key=lambda column: len(column[1]), default=(0, set()))
    return (column, values) if values and len(values) <= _MOST_VALUES * len(rows) else None


def _cells(line: str, delimiter: str) -> list[str]:
    """The cells of a line if double quotes have no meaning."""
    return line.rstrip("\r\n").split(delimiter)


def _read_lines(
    lines: list[str], width: int, dialect: _Dialect, category: tuple[int, set[str]] | None, skipped_lines: int
) -> _Table:
    table, i = _Table(), 0
    while i < len(lines):
        if not lines[i].strip("\r\n"):
            i += 1
            continue
        plain = _cells(lines[i], dialect.delimiter)
        cells, n_lines = _quoted(lines, i, dialect) if _has_marks(lines[i], dialect) else (plain, 1)
        if n_lines > 1 and cells is not None and _is_swallowing(lines[i : i + n_lines], width, dialect, category):
            cells = None
        is_exact = cells is not None and _fits(cells, width) and (n_lines == 1 or len(cells) >= width)
        if not is_exact and len(plain) == width:
            cells, n_lines = plain, 1
            table.literal.append(i + 1 + skipped_lines)
        cells, n_lines = (plain, 1) if cells is None else (cells, n_lines)
        problem = "" if _fits(cells, width) else f"has {len(cells)} cells, and the header has {width}"
        nulls = _nulls(cells, lines[i : i + n_lines])
        i += n_lines
        table.records.append(Record(i + skipped_lines, cells, problem, nulls))
    return table


def _has_marks(line: str, dialect: _Dialect) -> bool:
    """Whether a line has double quotes or an escaped delimiter; other backslashes belong to the text."""
    return '"' in line or (dialect.escape is not None and f"{dialect.escape}{dialect.delimiter}" in line)


def _quoted(lines: list[str], i: int, dialect: _Dialect) -> tuple[list[str] | None, int]:
    """The row that begins in a line, and how many lines it has; None if its quotes are wrong."""
    reader = dialect.reader(islice(lines, i, i + _MOST_LINES))
    try:
        return next(reader, None), reader.line_num
    except csv.Error:
        return None, 1


def _is_swallowing(lines: Sequence[str], width: int, dialect: _Dialect, category: tuple[int, set[str]] | None) -> bool:
    """Whether a cell of several lines is several rows: each line has all cells, and a known value in one of them."""
    if category is None:
        return False
    column, values = category
    rows = [_cells(line, dialect.delimiter) for line in lines]
    return all(len(cells) == width and cells[column].strip('"') in values for cells in rows)
