"""Bundles: folders with all files that some bases need, to be copied to machines without network.

    bundle/
      manifest.json               for every handle: its folder, files with sizes and digests, licence, source, date
      keras-Xception-1f2e3d4c/    the files of one base, under the names that its source uses

The name of a base's folder contains a digest of its content, and the folder never changes. The manifest is written last
and replaced as a whole. A bundle is therefore complete at any moment, also after an interruption.
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

from headstart.bases.base import Base
from headstart.bases.handle import parse_handle
from headstart.errors import InputError, IntegrityError, UnavailableError, field_name
from headstart.system.checksums import file_sha256
from headstart.system.locks import patient_lock
from headstart.system.progress import NO_PROGRESS, Bar, Progress
from headstart.system.scratch import make_folder
from headstart.system.settings import bundle_folder, is_offline

MANIFEST = "manifest.json"
_BLOCK_BYTES = 8 << 20


class File(NamedTuple):
    """The manifest's facts about a file: its size in bytes and its SHA-256 (hex)."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Entry:
    """The manifest's facts about a base.

    Args:
        folder: name of its folder in the bundle.
        files: by their paths in that folder.
        licence: of the weights, if known.
        source: where it was fetched from.
        date: when it was fetched, as YYYY-MM-DD.
        headstart: version of headstart that fetched it.
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
        InputError: the folder is not a bundle.
        IntegrityError: its manifest is damaged.
    """
    path = bundle / MANIFEST
    if not path.is_file():
        raise InputError(
            f"{bundle} is not a bundle: expected a folder with {MANIFEST}. `headstart fetch HANDLE --to FOLDER` "
            "creates one."
        )
    try:
        return {
            handle: Entry(**{**entry, "files": {name: File(**file) for name, file in entry["files"].items()}})
            for handle, entry in json.loads(path.read_text(encoding="utf-8"))["bases"].items()
        }
    except (ValueError, KeyError, TypeError, AttributeError) as exc:
        raise IntegrityError(f"{path} is damaged ({exc}): copy the bundle again.") from exc


def find(handle: str) -> str | None:
    """Find the folder of a base in the active bundle, and check all of its files.

    Returns:
        None if no bundle is active, or if it does not contain the base.

    Raises:
        InputError: the folder set as bundle is not a bundle.
        IntegrityError: a file is missing, or differs from the file that was fetched.
    """
    bundle = bundle_folder()
    if bundle is None:
        return None
    entries = read(bundle)
    entry = entries.get(handle) or next((e for h, e in entries.items() if h.lower() == handle.lower()), None)
    if entry is None:
        return None
    folder = Path(os.path.abspath(bundle / entry.folder))  # a child process may have another working directory
    for name, expected in entry.files.items():
        path = folder / name
        size = path.stat().st_size if path.is_file() else None
        if size != expected.size or file_sha256(path) != expected.sha256:
            fault = "is missing" if size is None else "is not the file that was fetched"
            raise IntegrityError(
                f"{path} {fault}: {MANIFEST} of the bundle says {expected.size:,} bytes with SHA-256 "
                f"{expected.sha256}. Copy the bundle again."
            )
    return str(folder)


def list_handles() -> list[str]:
    """The handles in the active bundle; empty if no bundle is active."""
    bundle = bundle_folder()
    return list(read(bundle)) if bundle else []


def offline_reason() -> str | None:
    """Why a base that is not on this machine must not be downloaded; None if downloads are allowed."""
    bundle = bundle_folder()
    if bundle:
        return f"the bundle {bundle} does not have it: it has {', '.join(list_handles())}"
    return f"downloads are disabled by {field_name('offline')} or HEADSTART_OFFLINE" if is_offline() else None


def unavailable_error(handle: str, reason: str, alternative: str) -> UnavailableError:
    """The error for a base that is not on this machine and cannot be downloaded.

    Args:
        handle: of the base.
        reason: why it cannot be downloaded.
        alternative: what else the user can do, as a sentence.
    """
    return UnavailableError(
        f"{handle} is not on this machine and cannot be downloaded ({reason}). On a machine with network, run "
        f"`headstart fetch {shlex.quote(handle)} --to bundle/`; copy bundle/ to this machine and set "
        f"{field_name('bundle', 'bundle/')}. {alternative}"
    )


def files_of(base: Base) -> Mapping[str, Path]:
    """The files that a base is loaded from, by their names in a bundle."""
    if base.files or base.weights_path is None:
        return base.files
    return {base.weights_path.name: base.weights_path}


def add(bundle: Path, bases: Mapping[str, Base], progress: Progress = NO_PROGRESS) -> None:
    """Add bases to a bundle, and create the bundle if it does not exist. If one base fails, none is added.

    Args:
        bundle: the folder.
        bases: by their handles in the bundle; an existing base with the same handle is replaced.
        progress: follows the copying.

    Raises:
        InputError: the folder exists and is not a bundle.
        OSError: the bundle cannot be written.
    """
    bundle = Path(os.path.abspath(bundle.expanduser()))
    make_folder(bundle.parent)
    staging = bundle.with_name(f".{bundle.name}.fetching")
    with patient_lock(f"{staging}.lock", f"writing {bundle}") as is_alone:
        if not is_alone:
            raise UnavailableError(f"{bundle} is being written by a process that has stopped. Continue it, or end it.")
        is_new = not bundle.exists() or (bundle.is_dir() and not any(bundle.iterdir()))
        entries = {} if is_new else read(bundle)
        shutil.rmtree(staging, ignore_errors=True)  # left by a process that was killed
        staging.mkdir()
        try:
            entries |= {handle: _copy_base(handle, base, staging, progress) for handle, base in bases.items()}
            manifest = {"bases": {handle: _to_json(entry) for handle, entry in sorted(entries.items())}}
            (staging / MANIFEST).write_text(json.dumps(manifest, indent=1, ensure_ascii=False), encoding="utf-8")
            if is_new:
                os.replace(staging, bundle)
            else:
                _move_into_bundle(staging, bundle, {entry.folder for entry in entries.values()})
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def _to_json(entry: Entry) -> dict[str, Any]:
    return {**asdict(entry), "files": {name: file._asdict() for name, file in entry.files.items()}}


def _copy_base(handle: str, base: Base, target: Path, progress: Progress) -> Entry:
    """Copy the files of a base into a new folder in ``target``."""
    paths = files_of(base)
    scratch = target / "copying"
    files = {}
    total = sum(path.stat().st_size for path in paths.values())
    with progress.start(f"copying {handle}", total // 1_000_000, unit="MB") as bar:
        for name, path in paths.items():
            files[name] = _copy_file(path, scratch / name, bar)
    digest = hashlib.sha256(json.dumps(files, sort_keys=True).encode()).hexdigest()
    folder = f"{re.sub(r'[^A-Za-z0-9._-]+', '-', handle)[-80:].strip('-.')}-{digest[:8]}"
    if (target / folder).exists():
        shutil.rmtree(scratch)
    else:
        scratch.rename(target / folder)
    source = parse_handle(handle).source
    return Entry(folder, files, base.licence, source, date.today().isoformat(), version("headstart"))


def _copy_file(path: Path, target: Path, bar: Bar) -> File:
    target.parent.mkdir(parents=True, exist_ok=True)
    digest, size = hashlib.sha256(), 0
    with open(path, "rb") as file, open(target, "wb") as copy:
        while block := file.read(_BLOCK_BYTES):
            copy.write(block)
            digest.update(block)
            size += len(block)
            bar.advance(size // 1_000_000 - (size - len(block)) // 1_000_000)
    return File(size, digest.hexdigest())


def _move_into_bundle(staging: Path, bundle: Path, current_folders: Iterable[str]) -> None:
    """Move new folders into the bundle, the manifest last; then remove the folders that it no longer names."""
    for folder in [path for path in staging.iterdir() if path.is_dir()]:
        if (bundle / folder.name).exists():  # the same content, unless it has been damaged
            os.replace(bundle / folder.name, staging / f"{folder.name}.old")
        os.replace(folder, bundle / folder.name)
    os.replace(staging / MANIFEST, bundle / MANIFEST)
    for path in bundle.iterdir():
        if path.is_dir() and path.name not in current_folders:
            shutil.rmtree(path, ignore_errors=True)
