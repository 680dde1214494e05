"""The only place that prints: results to stdout, log records (notes and warnings) and errors to stderr."""

import json
import logging
import shutil
import sys
import textwrap
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, TextIO

_YELLOW, _RED = "33", "31"

logger = logging.getLogger("headstart")


def result(text: str = "") -> None:
    """Print one line of the answer to stdout; what it cannot show, such as file names that are no text, is escaped."""
    encoding = sys.stdout.encoding or "utf-8"
    sys.stdout.write(text.encode(encoding, "backslashreplace").decode(encoding) + "\n")


def result_json(value: Any) -> None:
    """Print a JSON document (one line) to stdout."""
    result(json.dumps(value, ensure_ascii=False))


def result_text(text: str) -> None:
    """Print sentences to stdout; a terminal gets lines that end between words."""
    result(_wrapped(text, sys.stdout))


def table(
    header: Sequence[str],
    rows: Sequence[Sequence[str]],
    right: Sequence[int] = (),
    less_important: Sequence[int] = (),
) -> None:
    """Print a plain aligned table to stdout.

    Args:
        header: names of the columns.
        rows: cells, for each column one.
        right: indices of columns that are right-aligned.
        less_important: indices of columns that are left out on a terminal that is too narrow for all.
    """
    widths = [max(len(str(cell)) for cell in column) for column in zip(header, *rows, strict=True)]
    is_too_wide = sys.stdout.isatty() and sum(widths) + 2 * len(widths) - 2 > shutil.get_terminal_size().columns
    visible_columns = [i for i in range(len(widths)) if not (is_too_wide and i in less_important)]
    for row in (header, ["─" * w for w in widths], *rows):
        cells = [str(row[i]).rjust(widths[i]) if i in right else str(row[i]).ljust(widths[i]) for i in visible_columns]
        result("  ".join(cells).rstrip())


def coloured(text: str, colour: str) -> str:
    """Text in one of a terminal's colours, by its number, if stdout is a terminal."""
    return f"\033[{colour}m{text}\033[0m" if sys.stdout.isatty() else text


def error(text: str) -> None:
    """Print the one line of a failed command to stderr, even with ``--quiet``."""
    _write_stderr(text, "error", _RED)


def note(text: str) -> None:
    """Log a note: stderr shows it, unless ``--quiet`` is set."""
    logger.info(text)


def warn(text: str) -> None:
    """Log a warning: stderr shows it, unless ``--quiet`` is set."""
    logger.warning(text)


@contextmanager
def logging_to_stderr(*, quiet: bool) -> Iterator[None]:
    """In here, stderr shows what headstart logs: notes (INFO) as they are, warnings with a word before them.

    Args:
        quiet: show nothing.
    """
    handler = logging.NullHandler() if quiet else _StderrHandler()
    before = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    logger.propagate = False  # a library that gives the root logger a handler would show everything twice
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(before[0])
        logger.propagate = before[1]


class _StderrHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        if record.levelno >= logging.WARNING:
            _write_stderr(_wrapped(record.getMessage(), sys.stderr, len("warning: ")), "warning", _YELLOW)
        else:
            _write_stderr(_wrapped(record.getMessage(), sys.stderr))


def _wrapped(text: str, stream: TextIO, indent: int = 0) -> str:
    """The text, with lines that end between words if the stream is a terminal.

    Args:
        text: one or several lines.
        stream: that it is written to.
        indent: columns of the first line that something else takes.
    """
    if not stream.isatty():
        return text
    width = shutil.get_terminal_size().columns
    lines = (" " * indent + text).split("\n")
    parts = (textwrap.wrap(line, width, break_long_words=False, break_on_hyphens=False) or [""] for line in lines)
    return "\n".join(part for line in parts for part in line)[indent:]


def _write_stderr(text: str, kind: str = "", colour: str = "") -> None:
    start, end = (f"\033[{colour}m", "\033[0m") if sys.stderr.isatty() else ("", "")
    sys.stderr.write(f"{start}{kind}:{end} {text}\n" if kind else text + "\n")
    sys.stderr.flush()
