"""Opens a finished run: to predict with it, to look at its figures, to write its report."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import headstart
from headstart.errors import InputError
from headstart.reports.run import write_report
from headstart.runs.run import RunFolder


class Run(RunFolder):
    """A finished run; see :class:`~headstart.runs.run.RunFolder`.

    Its commands are the functions of the package of the same names, with this run as their first argument.
    """

    def evaluate(self, data: Any, **settings: Any) -> "Run":
        """Evaluate it on labelled data; see :func:`headstart.evaluate`."""
        return headstart.evaluate(self, data, **settings)

    def tune(self, **settings: Any) -> "Run":
        """Fine-tune it further, as a new run; see :func:`headstart.tune`."""
        return headstart.tune(self, **settings)

    def extend(self, more: Any, **settings: Any) -> "Run":
        """Train it again with more examples, as a new run; see :func:`headstart.extend`."""
        return headstart.extend(self, more, **settings)

    def explain(self, examples: Any, **settings: Any) -> Any:
        """Explain its predictions; see :func:`headstart.explain`."""
        return headstart.explain(self, examples, **settings)

    def export(self, to: str | Sequence[str] = "onnx", **settings: Any) -> "list[headstart.Export]":
        """Write its model in other formats; see :func:`headstart.export`."""
        return headstart.export(self, to, **settings)

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
