"""Reads and writes ``run.json`` and ``metrics.json``. What is not as the schema says is refused by file and field."""

import json
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any, TypeVar

from headstart.errors import InputError, IntegrityError, UnavailableError
from headstart.runs.migrations import migrate_figures, migrate_run
from headstart.runs.records import FieldError, Record, decode, wrong_value
from headstart.runs.schema import FORMAT_VERSION, Figures, RunFacts
from headstart.system.checksums import checksums_of, file_sha256
from headstart.tasks import get_task

FACTS, FIGURES = "run.json", "metrics.json"
_WITHOUT_DIGEST = (FACTS, "suspects.csv", "report.html")  # users edit the second, and write the third again

ADVICE = "The file was damaged or edited by hand: copy the run again, or train again."
"""What ends a message about a file of a run."""

R = TypeVar("R", bound=Record)


def read_facts(folder: str | Path) -> RunFacts:
    """Read ``run.json`` of a run; one of an earlier format is brought to the present one, in memory.

    Raises:
        InputError: the folder is not a run, a later version of headstart wrote it, or its task is not installed.
        IntegrityError: the file is damaged, or was edited so that it means nothing.
    """
    path = Path(folder, FACTS)
    if not path.is_file():
        is_file = "it is a file" if Path(folder).is_file() else "there is no such folder"
        reason = f"there is no {FACTS} in it" if Path(folder).is_dir() else is_file
        raise InputError(f"{folder} is not a run: {reason}. Expected a folder that `headstart train` made.")
    facts = _read(path, RunFacts, migrate_run, RunFacts.faults)
    try:
        get_task(facts.task)
    except InputError as exc:
        raise InputError(f"{path}: {exc}") from exc
    return facts


def read_figures(folder: str | Path, facts: RunFacts) -> Figures:
    """Read ``metrics.json`` of a run, as :func:`read_facts` does.

    Args:
        folder: of the run.
        facts: its ``run.json``.

    Raises:
        InputError: a later version of headstart wrote it.
        IntegrityError: the file is missing or damaged, or was edited so that it means nothing.
    """
    path = Path(folder, FIGURES)
    if not path.is_file():
        raise IntegrityError(f"{path} is missing. {ADVICE}")
    task = get_task(facts.task)
    figures = _read(path, Figures, migrate_figures, lambda figures: figures.faults(facts.classes, task))
    checked_file(Path(folder), facts, FIGURES)
    return figures


def checked_file(folder: Path, facts: RunFacts, name: str) -> Path:
    """The path of a file of a run, after a comparison with its SHA-256 in ``run.json``.

    Args:
        folder: of the run.
        facts: its ``run.json``; those of earlier formats know the digest of few files.
        name: of the file, such as ``engine/model.bin``.

    Raises:
        IntegrityError: the file is missing, or has changed since the run was made.
    """
    path = folder / name
    if not path.is_file():
        raise IntegrityError(f"{path} is missing. {ADVICE}")
    if name in facts.files and file_sha256(path) != facts.files[name]:
        raise IntegrityError(f"{path}: its SHA-256 is not the one in {FACTS}, files.{name}. {ADVICE}")
    return path


def write_facts(folder: Path, facts: RunFacts) -> None:
    """Write ``run.json`` last of all files, with the digests of the others."""
    files = {name: digest for name, digest in checksums_of(folder).items() if name not in _WITHOUT_DIGEST}
    write_json(folder / FACTS, facts.replace(files=files).to_json())


def write_figures(folder: Path, figures: Figures) -> None:
    """Write ``metrics.json``."""
    write_json(folder / FIGURES, figures.to_json())


def write_json(path: Path, value: Any) -> None:
    """Write readable JSON; bytes in file names that are no text are escaped, and read back as they were."""
    text = json.dumps(value, indent=1, ensure_ascii=False) + "\n"
    path.write_text(text, encoding="utf-8", errors="backslashreplace")


def _read(
    path: Path, kind: type[R], migrate: Callable[[dict[str, Any], int], dict[str, Any]],
    faults: Callable[[R], Iterable[FieldError]],
) -> R:  # fmt: skip
    try:
        plain = json.loads(path.read_text(encoding="utf-8"))
    except PermissionError as exc:
        raise UnavailableError(f"{path} cannot be read: {exc.strerror}.") from exc
    except (OSError, ValueError, RecursionError) as exc:
        raise IntegrityError(f"{path} cannot be read as JSON ({exc}). {ADVICE}") from exc
    try:
        if not isinstance(plain, dict):
            raise wrong_value("the whole", "an object", plain)
        version = _version(path, plain)
        record = decode(kind, plain if version == FORMAT_VERSION else migrate(plain, version))
        for fault in faults(record):
            raise fault
    except FieldError as exc:
        raise IntegrityError(f"{path}: {exc}. {ADVICE}") from exc
    return record


def _version(path: Path, plain: dict[str, Any]) -> int:
    """The format of a file; the first one did not say it."""
    if "format_version" not in plain:
        if "kind" in plain:  # which the first format did not have
            raise FieldError("format_version", "missing")
        return 1
    version = plain["format_version"]
    if not isinstance(version, int) or isinstance(version, bool) or version < 1:
        raise wrong_value("format_version", "a whole number from 1 on", version)
    if version > FORMAT_VERSION:
        raise InputError(
            f"{path}: format_version {version} is newer than this version of headstart, which reads up to "
            f"{FORMAT_VERSION}. Upgrade headstart, or train again with this version."
        )
    return version
