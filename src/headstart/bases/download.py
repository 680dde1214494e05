"""Downloads of our own, where a source has no client: whole or not at all, and never without leave."""

import http.client
import logging
import os
import shutil
import tarfile
import tempfile
import urllib.error
import urllib.request
from pathlib import Path

from filelock import FileLock

from headstart.bases.bundle import not_here, why_offline
from headstart.errors import IntegrityError
from headstart.system import console

logger = logging.getLogger(__name__)

_BLOCK_BYTES = 1 << 20
_TIMEOUT_S = 30.0


def download(url: str, to: Path) -> None:
    """Download a file, with progress.

    Raises:
        OSError: there is no network, no such file, or the connection broke.
        http.client.HTTPException: likewise.
    """
    with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as reply, open(to, "wb") as file:
        total = int(reply.headers.get("Content-Length") or 0)
        logger.info(f"downloading {url} ({total / 1e6:.0f} MB) into {to.parent}")
        received = shown_mb = 0
        with console.progress("download", total // 1_000_000, unit="MB") as bar:
            while block := reply.read(_BLOCK_BYTES):
                file.write(block)
                received += len(block)
                bar.advance(received // 1_000_000 - shown_mb)
                shown_mb = received // 1_000_000
    if total and received != total:
        raise urllib.error.URLError(f"the connection broke after {received:,} of {total:,} bytes")


def fetch_archive(url: str, folder: Path, handle: str) -> None:
    """Download a ``.tar.gz`` and unpack it; the folder appears complete or not at all.

    Args:
        url: where it is.
        folder: to make.
        handle: of the base that it holds.

    Raises:
        IntegrityError: what arrived is no such archive, or is cut short; it is discarded.
        UnavailableError: there is no network, no such file, or it must not be used.
    """
    advice = f"Or get {url} and put its content into {folder}, or name a local folder."
    offline = why_offline()
    if offline:
        raise not_here(handle, offline, advice)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{folder}.lock"), tempfile.TemporaryDirectory(dir=folder.parent, prefix=".fetching-") as scratch:
        if folder.is_dir() and any(folder.iterdir()):
            return  # another process was faster
        archive, content = Path(scratch, "archive"), Path(scratch, "content")
        try:
            download(url, archive)
        except (OSError, http.client.HTTPException, ValueError) as exc:
            raise not_here(handle, str(exc), advice) from exc
        try:
            with tarfile.open(archive) as file:
                file.extractall(content, filter="data")
        except (tarfile.TarError, EOFError, OSError) as exc:
            raise IntegrityError(f"what came from {url} is not a whole archive ({exc}): it was discarded.") from exc
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(content, folder)
