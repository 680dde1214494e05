"""The root folder of the page: its data, runs, uploads and jobs."""

import contextlib
import os
import shutil
import time
from dataclasses import dataclass
from pathlib import Path

from headstart.data.boxes.layout import EXTENSIONS
from headstart.data.folders import is_folder
from headstart.data.table_files import is_table
from headstart.errors import InputError, field_name
from headstart.runs.folder import check_name

_OWN_FOLDER = ".headstart"
_RUN_FILES = ("run.json", "metrics.json")
_DAY_S = 24 * 60 * 60
_MAX_ENTRIES = 500  # of a folder
UNFINISHED = ".unfinished"
"""File in an incomplete upload."""


class NotFoundError(InputError):
    """An address names something that does not exist."""


@dataclass(frozen=True)
class Entry:
    """A folder or a table inside a folder.

    Attributes:
        path: relative to the root.
        name: of the file or folder.
        is_table: whether it is a table.
        subfolders: number of folders in a folder.
        has_annotations: whether a folder holds a file such as those of boxes.
    """

    path: str
    name: str
    is_table: bool
    subfolders: int = 0
    has_annotations: bool = False

    @property
    def is_usable(self) -> bool:
        """Whether it may be a data set: a table, folders of classes, or images with boxes."""
        return self.is_table or self.subfolders > 1 or self.has_annotations


class RootFolder:
    """The root folder with the runs, and a hidden folder for uploads and jobs.

    Args:
        root: files outside it are neither read nor written.
        runs: folder of the runs, in the root.

    Raises:
        InputError: the root does not exist, or the runs are outside it.
    """

    def __init__(self, root: Path, runs: Path = Path("runs")) -> None:
        self.root = Path(os.path.realpath(root.expanduser()))
        if not self.root.is_dir():
            raise InputError(f"there is no folder {root}.", field="root")
        self.runs = Path(os.path.realpath(self.root / runs.expanduser()))
        if not self.runs.is_relative_to(self.root):
            raise InputError(f"{runs} is outside {self.root}: name a folder inside {field_name('root')}.", field="runs")
        own_folder = self.root / _OWN_FOLDER
        self.uploads, self.jobs, self.scratch = (own_folder / name for name in ("uploads", "jobs", "scratch"))
        for folder in (self.uploads, self.jobs, self.scratch):
            folder.mkdir(parents=True, exist_ok=True)

    def resolve(self, path: str) -> Path:
        """The absolute path of a path relative to the root, with all links followed.

        Raises:
            InputError: it is outside the root.
            NotFoundError: it does not exist.
        """
        if "\0" in path:
            raise InputError("this is not a valid path.")
        resolved = Path(os.path.realpath(self.root / path))
        if not resolved.is_relative_to(self.root):
            raise InputError(f"{path} is outside {self.root}: only files inside it can be read.")
        if not resolved.exists():
            raise NotFoundError(f"{path} does not exist in {self.root}.")
        return resolved

    def relative(self, path: Path) -> str:
        """A path relative to the root, as addresses contain it."""
        return path.relative_to(self.root).as_posix()

    def run(self, name: str) -> Path:
        """The folder of a run.

        Raises:
            NotFoundError: no run has this name.
            InputError: a link in the folder leads outside the root.
        """
        folder = Path(os.path.realpath(self.runs / check_name(name)))
        if not folder.is_relative_to(self.root) or not all((folder / file).is_file() for file in _RUN_FILES):
            raise NotFoundError(f"unknown run {name}.")
        for path in folder.rglob("*"):
            self.resolve(str(path))
        return folder

    def run_names(self) -> list[str]:
        """All finished runs, newest first."""
        folders = []
        for path in self.runs.glob("[!.]*/run.json"):
            with contextlib.suppress(InputError):  # a link in it leads outside the root
                folders.append(self.run(path.parent.name))
        return [folder.name for folder in sorted(folders, key=lambda folder: -(folder / "run.json").stat().st_mtime)]

    def entries(self, folder: Path) -> list[Entry]:
        """The folders and tables in a folder, without hidden ones and links that lead outside the root."""
        entries = []
        for item in sorted(folder.iterdir(), key=lambda item: item.name.lower()):
            target = Path(os.path.realpath(item))
            if item.name.startswith(".") or target == self.runs or not target.is_relative_to(self.root):
                continue
            if target.is_dir():
                visible = [item for item in _scan(target) if not item.name.startswith(".")]
                has_annotations = any(item.name.lower().endswith(EXTENSIONS) for item in visible)
                entries.append(
                    Entry(self.relative(item), item.name, False, sum(map(is_folder, visible)), has_annotations)
                )
            elif is_table(item) and target.is_file():
                entries.append(Entry(self.relative(item), item.name, True))
        return entries[:_MAX_ENTRIES]

    def uploaded(self) -> list[Path]:
        """Complete uploads, newest first."""
        folders = [path for path in self.uploads.iterdir() if path.is_dir() and not (path / UNFINISHED).exists()]
        return sorted(folders, key=lambda path: -path.stat().st_mtime)

    def clean(self, used: set[Path]) -> None:
        """Remove scratch files, incomplete uploads, and unused uploads that are older than a day.

        Args:
            used: uploads that a job or a run needs.
        """
        shutil.rmtree(self.scratch, ignore_errors=True)
        self.scratch.mkdir()
        for path in self.uploads.iterdir():
            is_old = path.stat().st_mtime < time.time() - _DAY_S
            if (path / UNFINISHED).exists() or (is_old and path not in used):
                shutil.rmtree(path, ignore_errors=True)


def _scan(folder: Path) -> list[os.DirEntry[str]]:
    try:
        with os.scandir(folder) as entries:
            return [*entries]
    except OSError:
        return []
