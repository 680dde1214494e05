"""``runs``: the finished runs in a folder, with their figures; and how they are removed."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

from headstart.commands.load import Run, load
from headstart.errors import HeadstartError, InputError
from headstart.runs.files import FACTS
from headstart.system.disk import size_on_disk
from headstart.tasks import get_task


@dataclass(frozen=True)
class RunEntry:
    """One run in a folder of runs.

    Attributes:
        folder: of the run.
        size: bytes on the disk.
        run: the run; None if it cannot be opened.
        problem: why it cannot be opened; empty if it can.
    """

    folder: Path
    size: int
    run: Run | None
    problem: str = ""

    @property
    def created(self) -> datetime | None:
        """When it was made, in local time."""
        return datetime.fromisoformat(self.run.facts.created).astimezone() if self.run else None

    @property
    def figure(self) -> str:
        """The most important metric and its split, such as ``test accuracy 98.8%``; empty if it has none."""
        split = self.run.figures.headline_figures if self.run else None
        if self.run is None or split is None:
            return ""
        metric = get_task(self.run.facts.task).metrics[0]
        return f"{self.run.figures.headline} {metric.in_text} {metric.format_value(split.metrics[metric.name].value)}"

    def to_json(self) -> dict[str, Any]:
        """As plain data."""
        run = self.run
        facts = {} if run is None else {
            "created": run.facts.created, "kind": run.facts.kind, "task": run.facts.task,
            "base": run.facts.base.handle, "classes": run.classes,
            "examples": run.facts.data.examples if run.facts.data else None,
            "split": run.figures.headline, "metrics": run.metrics,
        }  # fmt: skip
        return {
            "name": self.folder.name,
            "folder": str(self.folder),
            "bytes": self.size,
            **facts,
            "problem": self.problem,
        }


def list_runs(folder: Path) -> list[RunEntry]:
    """The runs in a folder, the newest first; those that cannot be opened come last, with the reason.

    Raises:
        InputError: there is no such folder.
    """
    if not folder.is_dir():
        raise InputError(f"there is no folder {folder}: `headstart train` makes it, or name another one.")
    entries = [entry_of(path.parent) for path in folder.glob(f"[!.]*/{FACTS}")]
    return sorted(
        entries, key=lambda entry: (entry.created is not None, entry.created, entry.folder.name), reverse=True
    )


def remove_runs(folders: Sequence[Path]) -> None:
    """Remove runs, with their evaluations, exports and reports.

    Raises:
        InputError: one of the folders is no run; none is removed then.
    """
    for folder in folders:
        if not (folder / FACTS).is_file():
            raise InputError(f"{folder} is no run, so it is not removed: it has no {FACTS}.")
    for folder in folders:
        shutil.rmtree(folder)


def entry_of(folder: Path) -> RunEntry:
    """A run, or why it cannot be opened."""
    try:
        return RunEntry(folder, size_on_disk(folder), load(folder))
    except HeadstartError as exc:
        return RunEntry(folder, size_on_disk(folder), None, str(exc))
