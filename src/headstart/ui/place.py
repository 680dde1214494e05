"""The folder that a page may see, and where in it things are."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from headstart.data.tables import is_table
from headstart.errors import InputError
from headstart.runs.folder import check_name

_OWN = ".headstart"
_OF_A_RUN = ("run.json", "metrics.json")
_DAY_S = 24 * 60 * 60
_MOST_SHOWN = 500  # entries of a folder
UNFINISHED = ".unfinished"
"""File in an upload that is not complete."""


class NotThereError(InputError):
    """What an address names is not there."""


@dataclass(frozen=True)
class Entry:
    """What can be opened in a folder: a folder, or a table.

    Attributes:
        path: relative to the root.
        name: of it.
        is_table: whether it is a table.
        inside: of a folder, how many folders are in it.
    """

    path: str
    name: str
    is_table: bool
    inside: int = 0


class Place:
    """The root and what lies in it: the runs, and a hidden folder for uploads and jobs.

    Args:
        root: nothing outside of it is read or written.
        runs: folder of the runs, in the root.

    Raises:
        InputError: there is no such root, or the runs lie outside of it.
    """

    def __init__(self, root: Path, runs: Path = Path("runs")) -> None:
        self.root = Path(os.path.realpath(root.expanduser()))
        if not self.root.is_dir():
            raise InputError(f"--root {root}: there is no such folder.")
        self.runs = Path(os.path.realpath(self.root / runs.expanduser()))
        if not self.runs.is_relative_to(self.root):
            raise InputError(f"--runs {runs} lies outside {self.root}: name a folder in it, or another --root.")
        own = self.root / _OWN
        self.uploads, self.jobs, self.scratch = own / "uploads", own / "jobs", own / "scratch"
        for folder in (self.uploads, self.jobs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def inside(self, path: str) -> Path:
        """A path that came from the browser, relative to the root, with all links followed.

        Raises:
            InputError: it leads outside.
            NotThereError: there is no such thing.
        """
        if "\0" in path:
            raise InputError("that is no path.")
        found = Path(os.path.realpath(self.root / path))
        if not found.is_relative_to(self.root):
            raise InputError(f"{path} lies outside {self.root}, and nothing else can be read here.")
        if not found.exists():
            raise NotThereError(f"there is no {path} in {self.root}.")
        return found

    def told(self, path: Path) -> str:
        """A path in the root as the browser knows it."""
        return path.relative_to(self.root).as_posix()

    def run(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            NotThereError: there is no such run.
            InputError: something in it leads outside.
        """
        folder = Path(os.path.realpath(self.runs / check_name(name)))
        if not folder.is_relative_to(self.root) or not all((folder / file).is_file() for file in _OF_A_RUN):
            raise NotThereError(f"there is no run called {name}.")
        for path in folder.rglob("*"):
            self.inside(str(path))
        return folder

    def run_names(self) -> list[str]:
        """All finished runs, the newest first."""
        found = []
        for path in self.runs.glob("[!.]*/run.json"):
            with contextlib.suppress(InputError):  # something in it leads outside
                found.append(self.run(path.parent.name))
        return [folder.name for folder in sorted(found, key=lambda folder: -(folder / "run.json").stat().st_mtime)]

    def entries(self, folder: Path) -> list[Entry]:
        """The folders and tables in a folder that may be data; hidden ones and links that lead outside are left out."""
        found = []
        for item in sorted(folder.iterdir(), key=lambda item: item.name.lower()):
            target = Path(os.path.realpath(item))
            if item.name.startswith(".") or target == self.runs or not target.is_relative_to(self.root):
                continue
            if target.is_dir():
                inside = sum(1 for one in _listed(target) if one.is_dir() and not one.name.startswith("."))
                found.append(Entry(self.told(item), item.name, False, inside))
            elif is_table(item) and target.is_file():
                found.append(Entry(self.told(item), item.name, True))
        return found[:_MOST_SHOWN]

    def uploaded(self) -> list[Path]:
        """Complete uploads, the newest first."""
        found = [path for path in self.uploads.iterdir() if path.is_dir() and not (path / UNFINISHED).exists()]
        return sorted(found, key=lambda path: -path.stat().st_mtime)

    def clean(self, used: set[Path]) -> None:
        """Remove scratch files, uploads that were broken off, and those of which nothing came within a day.

        Args:
            used: uploads that a job or a run needs.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        for path in self.uploads.iterdir():
            is_old = path.stat().st_mtime < time.time() - _DAY_S
            if (path / UNFINISHED).exists() or (is_old and path not in used):
                shutil.rmtree(path, ignore_errors=True)


def _listed(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [*entries]
    except OSError:
        return []
