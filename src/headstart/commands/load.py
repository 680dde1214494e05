"""Opens a finished run: to predict with it, to look at its figures, to write its report."""

from pathlib import Path

from headstart.errors import InputError
from headstart.reports.run import write_report
from headstart.runs.run import RunFolder


class Run(RunFolder):
    """A finished run; see :class:`~headstart.runs.run.RunFolder`."""

    def report(self) -> Path:
        """Write ``report.html`` again and return its path.

        Raises:
            InputError: nothing is known of how good it is, because it was adopted.
        """
        if not self.metrics:
            raise InputError(f"{self.folder} was adopted, and has no figures: `headstart evaluate` makes a report.")
        return write_report(self.folder)


def load(folder: str | Path) -> Run:
    """Open a finished run.

    Raises:
        InputError: the folder is not a run.
    """
    return Run(folder)
