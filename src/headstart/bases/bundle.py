"""Bundles: folders with all the files that some bases need, to be carried to machines without network.

    bundle/
      manifest.json               for every handle: its folder, files with sizes and digests, licence, source, date
      keras-Xception-1f2e3d4c/    the files of one base, under the names that its source gives them

A folder is named after what is in it and never changes; the manifest is written last and replaced whole. So a bundle
is whole at any moment, whatever was interrupted.
"""

import hashlib
import json
import os
import re
import shlex
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import date
from importlib.metadata import version
from pathlib import Path
from typing import Any, NamedTuple

from filelock import FileLock

from headstart.bases.base import Base, file_sha256
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, IntegrityError, UnavailableError
from headstart.system import console
from headstart.system.settings import bundle_folder, is_offline

MANIFEST = "manifest.json"
_BLOCK = 8 << 20


class File(NamedTuple):
    """What the manifest says of a file: its size in bytes and its SHA-256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """What the manifest says of a base.

    Args:
        folder: name of its folder in the bundle.
        files: by their paths in that folder.
        licence: of the weights, where known.
        source: that it was obtained from.
        date: on which, as YYYY-MM-DD.
        headstart: version that obtained it.
    """

    folder: str
    files: Mapping[str, File]
    licence: str
    source: str
    date: str
    headstart: str


def read(bundle: Path) -> dict[str, Entry]:
    """The bases in a bundle, by their handles.

    Raises:
        InputError: this is no bundle.
        IntegrityError: its manifest is damaged.
    """
    path = bundle / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{bundle} is not a bundle: expected a folder with {MANIFEST}, as `headstart fetch HANDLE --to FOLDER` "
            "makes it."
        )
    try:
        return {
            handle: Entry(**{**entry, "files": {name: File(**file) for name, file in entry["files"].items()}})
            for handle, entry in json.loads(path.read_text(encoding="utf-8"))["bases"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise IntegrityError(f"{path} is damaged ({exc}): copy the bundle anew.") from exc


def find(handle: str) -> str | None:
    """The folder with the files of a base in the bundle that is in use, every one of them checked.

    Returns:
        None where no bundle is in use, or this one does not have the base.

    Raises:
        InputError: what is in use is no bundle.
        IntegrityError: a file is missing or is not what was fetched.
    """
    bundle = bundle_folder()
    if bundle is None:
        return None
    entries = read(bundle)
    entry = entries.get(handle) or next((e for h, e in entries.items() if h.lower() == handle.lower()), None)
    if entry is None:
        return None
    folder = Path(os.path.abspath(bundle / entry.folder))  # a child process may stand in another folder
    for name, expected in entry.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected.size or file_sha256(path) != expected.sha256:
            what = "is missing" if size is None else "is not the file that was fetched"
            raise IntegrityError(
                f"{path} {what}: {MANIFEST} of the bundle says {expected.size:,} bytes with SHA-256 "
                f"{expected.sha256}. Copy the bundle anew."
            )
    return str(folder)


def held() -> list[str]:
    """The handles in the bundle that is in use; none where there is none."""
    bundle = bundle_folder()
    return list(read(bundle)) if bundle else []


def why_offline() -> str | None:
    """Why a base that is not here must not be fetched; None if it may be."""
    bundle = bundle_folder()
    if bundle:
        return f"the bundle {bundle} does not have it: it has {', '.join(held())}"
    return "the network must not be used: --offline or HEADSTART_OFFLINE" if is_offline() else None


def not_here(handle: str, why: str, otherwise: str) -> UnavailableError:
    """The error for a base that is not on this machine and cannot be fetched.

    Args:
        handle: of the base.
        why: it cannot be fetched.
        otherwise: what else its user can do: a sentence.
    """
    return UnavailableError(
        f"{handle} is not here and cannot be fetched ({why}). Where there is a network: `headstart fetch "
        f"{shlex.quote(handle)} --to bundle/`; bring bundle/ here and add --bundle bundle/. {otherwise}"
    )


def files_of(base: Base) -> Mapping[str, Path]:
    """The files that a base is loaded from, by the names that they have in a bundle."""
    if base.files or base.weights_path is None:
        return base.files
    return {base.weights_path.name: base.weights_path}


def add(bundle: Path, bases: Mapping[str, Base]) -> None:
    """Put bases into a bundle, which is made where there is none: all of them or, if that fails, none.

    Args:
        bundle: the folder.
        bases: by the handles under which they will be found; one that is there already is replaced.

    Raises:
        InputError: there is such a folder, and it is no bundle.
        OSError: it cannot be written.
    """
    bundle = Path(os.path.abspath(bundle.expanduser()))
    bundle.parent.mkdir(parents=True, exist_ok=True)
    made = bundle.with_name(f".{bundle.name}.fetching")
    with FileLock(f"{made}.lock"):
        is_new = not bundle.exists() or (bundle.is_dir() and not any(bundle.iterdir()))
        entries = {} if is_new else read(bundle)
        shutil.rmtree(made, ignore_errors=True)  # of a process that was killed
        made.mkdir()
        try:
            entries |= {handle: _copy(handle, base, made) for handle, base in bases.items()}
            manifest = {"bases": {handle: _as_json(entry) for handle, entry in sorted(entries.items())}}
            (made / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
            if is_new:
                os.replace(made, bundle)
            else:
                _move(made, bundle, {entry.folder for entry in entries.values()})
        finally:
            shutil.rmtree(made, ignore_errors=True)


def _as_json(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "files": {name: file._asdict() for name, file in entry.files.items()}}


def _copy(handle: str, base: Base, to: Path) -> Entry:
    """Copy the files of a base into a folder of its own below ``to``."""
    files = files_of(base)
    scratch = to / "copying"
    copied = {}
    total = sum(path.stat().st_size for path in files.values())
    with console.progress(f"copying {handle}", total // 1_000_000, unit="MB") as bar:
        for name, path in files.items():
            copied[name] = _copy_file(path, scratch / name, bar)
    content = hashlib.sha256(json.dumps(copied, sort_keys=True).encode()).hexdigest()
    folder = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', handle)[-80:].strip('-.')}-{content[:8]}"
    if (to / folder).exists():
        shutil.rmtree(scratch)
    else:
        scratch.rename(to / folder)
    return Entry(
        folder, copied, base.licence, parse_handle(handle).source, date.today().isoformat(), version("headstart")
    )


def _copy_file(path: Path, to: Path, bar: console.Progress) -> File:
    to.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file, open(to, "wb") as copy:
        while block := file.read(_BLOCK):
            copy.write(block)
            digest.update(block)
            size += len(block)
            bar.advance(size // 1_000_000 - (size - len(block)) // 1_000_000)
    return File(size, digest.hexdigest())


def _move(made: Path, bundle: Path, wanted: Iterable[str]) -> None:
    """Move what was made into the bundle, the manifest last, and remove what it does not name any more."""
    for folder in [path for path in made.iterdir() if path.is_dir()]:
        if (bundle / folder.name).exists():  # the same content, unless it was damaged since
            os.replace(bundle / folder.name, made / f"{folder.name}.old")
        os.replace(folder, bundle / folder.name)
    os.replace(made / MANIFEST, bundle / MANIFEST)
    for path in bundle.iterdir():
        if path.is_dir() and path.name not in wanted:
            shutil.rmtree(path, ignore_errors=True)
