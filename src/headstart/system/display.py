"""What ``progress=True`` means: a bar and notes where somebody looks, log records elsewhere."""

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from importlib.util import find_spec
from typing import Any

from headstart.system.progress import NO_PROGRESS, Bar, LogProgress, NoProgress, PacedBar, Progress


@contextmanager
def show_progress(progress: bool | Progress) -> Iterator[Progress]:
    """The Progress that a public function passes to its stages.

    Args:
        progress: True shows a bar and notes in a notebook and on a terminal, and elsewhere logs a record every ten
            seconds; False shows neither bars nor notes; a Progress is used as it is. Warnings go to ``logging`` in
            each case.
    """
    if not isinstance(progress, bool):
        yield progress
    elif not progress:
        yield NO_PROGRESS
    elif not (in_notebook() or sys.stderr.isatty()):
        yield LogProgress()
    else:
        has_handler = logging.getLogger("headstart").hasHandlers()  # then its owner has decided what is shown
        with nullcontext() if has_handler else _notes_on_stderr():
            yield TqdmProgress()


def in_notebook() -> bool:
    """Whether this is the kernel of a notebook."""
    ipython = sys.modules.get("IPython")
    shell: Any = ipython.get_ipython() if ipython else None
    return shell is not None and "IPKernelApp" in shell.config


class TqdmProgress(NoProgress):
    """Bars by tqdm: in a notebook as a widget, where ipywidgets is installed; as text on stderr otherwise."""

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        """Show a bar that vanishes at the end."""
        if in_notebook() and find_spec("ipywidgets"):
            from tqdm.notebook import tqdm
        else:
            from tqdm.std import tqdm
        form = "{desc} {bar} {n_fmt}/{total_fmt}{postfix}"
        with tqdm(desc=label, total=total, bar_format=form, leave=False, file=sys.stderr) as bar:

            def show(paced: PacedBar, n: int) -> None:
                bar.set_postfix_str(str(paced), refresh=False)
                bar.update(n)

            yield PacedBar(total, unit, show)


class _NoteHandler(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        from tqdm.std import tqdm

        start = "warning: " if record.levelno >= logging.WARNING else ""
        tqdm.write(start + record.getMessage(), file=sys.stderr)  # above the bar, if there is one


@contextmanager
def _notes_on_stderr() -> Iterator[None]:
    logger, handler = logging.getLogger("headstart"), _NoteHandler()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.INFO)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(level)
