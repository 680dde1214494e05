"""Progress on a terminal: a bar with rate and time left, which vanishes when the work is finished."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager

import click

from headstart.system.progress import NO_PROGRESS, Bar, LogProgress, NoProgress, PacedBar, Progress


def choose_progress(*, quiet: bool) -> Progress:
    """The Progress of the command line: bars on a terminal, log records elsewhere, nothing with ``--quiet``."""
    if quiet:
        return NO_PROGRESS
    return TerminalProgress() if sys.stderr.isatty() else LogProgress()


def current_progress() -> Progress:
    """The Progress of the command that is running."""
    context = click.get_current_context().find_root()
    return NO_PROGRESS if context.obj is None else context.obj


class TerminalProgress(NoProgress):
    """Bars by rich, on stderr."""

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar until the work is finished."""
        from rich.console import Console  # here, as importing it takes time
        from rich.progress import BarColumn, MofNCompleteColumn, TextColumn
        from rich.progress import Progress as Bars

        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
            TextColumn("{task.fields[pace]}"),
        )
        with Bars(*columns, console=Console(stderr=True), transient=True) as bars:
            task = bars.add_task(label, total=total, pace="")
            yield PacedBar(total, unit, lambda bar, n: bars.update(task, advance=n, pace=str(bar)))
