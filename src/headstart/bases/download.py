"""Downloads for sources without a client of their own, by the library pooch.

pooch streams a file to disk, checks its digest and reports an incomplete one. Added here: one download at a time across
processes, no remains of a process that was killed, the offline setting, and headstart's progress bar and errors. pooch
and requests are imported only when a download starts.
"""

import logging
import os
import shutil
import tarfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.errors import IntegrityError
from headstart.system.locks import patient_lock
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.scratch import scratch_folder

logger = logging.getLogger(__name__)

_CHUNK_BYTES = 1 << 20
_TIMEOUT_S = 30.0
_MB = 1_000_000


def download(url: str, target: Path, *, digest: str = "", progress: Progress = NO_PROGRESS) -> None:
    """Download a file with progress; it appears at ``target`` complete or not at all.

    Args:
        url: of the file, by HTTP or HTTPS.
        target: path of the new file; if it already exists, nothing is downloaded.
        digest: expected MD5 or SHA-256 (hex), or an empty string if it is not known.
        progress: follows the download.

    Raises:
        OSError: no network, no such file, or the connection broke.
        IntegrityError: the file has another digest; it was deleted.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    with patient_lock(f"{target}.lock", f"downloading {target.name}") as is_alone:
        partial_folder = target.with_name(f"{target.name}.partial{'' if is_alone else f'-{os.getpid()}'}")
        if target.exists():  # downloaded by another process
            return
        shutil.rmtree(partial_folder, ignore_errors=True)  # left by a process that was killed
        try:
            os.replace(_retrieve(url, partial_folder, digest, progress), target)
        finally:
            shutil.rmtree(partial_folder, ignore_errors=True)


def _retrieve(url: str, folder: Path, digest: str, progress: Progress) -> str:
    import pooch
    import requests

    known_hash = f"{'sha256' if len(digest) == 64 else 'md5'}:{digest}" if digest else None
    with ExitStack() as stack:
        stack.enter_context(_only_warnings(pooch.get_logger()))
        downloader = pooch.HTTPDownloader(
            progressbar=_ProgressBar(url, folder.parent, progress, stack), chunk_size=_CHUNK_BYTES, timeout=_TIMEOUT_S
        )
        try:
            return str(pooch.retrieve(url, known_hash, fname="file", path=folder, downloader=downloader))
        except requests.RequestException:  # an OSError; some of them are ValueErrors, too
            raise
        except ValueError as exc:
            raise IntegrityError(f"the file from {url} does not have the digest {digest}, and was deleted.") from exc


@contextmanager
def _only_warnings(logger: logging.Logger) -> Iterator[None]:
    """Silence pooch's own messages for the time of a download: it writes them to stderr."""
    level = logger.level
    logger.setLevel(logging.WARNING)
    try:
        yield
    finally:
        logger.setLevel(level)


class _ProgressBar:
    """Shows a download in MB, with the methods and the attribute that pooch expects of a progress bar.

    Args:
        url: of the file.
        folder: that it is downloaded into.
        progress: follows the download.
        stack: ends it.
    """

    def __init__(self, url: str, folder: Path, progress: Progress, stack: ExitStack) -> None:
        self._url, self._folder, self._progress, self._stack = url, folder, progress, stack
        self._received = self._total = self._shown_mb = 0

    @property
    def total(self) -> int:
        """Size of the file in bytes; 0 if the server does not state it."""
        return self._total

    @total.setter
    def total(self, size: int) -> None:
        self._total = size
        logger.info(f"downloading {self._url} ({size / _MB:.0f} MB) into {self._folder}")
        self._bar = self._stack.enter_context(self._progress.start("download", size // _MB, unit="MB"))

    def update(self, n: int) -> None:
        """Record ``n`` more bytes; pooch counts the last chunk as a full one."""
        self._received += n
        received_mb = min(self._received, self._total or self._received) // _MB
        if received_mb > self._shown_mb:
            self._bar.advance(received_mb - self._shown_mb)
            self._shown_mb = received_mb

    def reset(self) -> None:
        """Start counting again, as pooch does when all chunks have arrived."""
        self._received = 0

    def close(self) -> None:
        """Do nothing: the stack closes the bar."""


def fetch_archive(url: str, folder: Path, handle: str, progress: Progress = NO_PROGRESS) -> None:
    """Download a ``.tar.gz`` and unpack it; the folder appears complete or not at all.

    Args:
        url: of the archive.
        folder: the new folder.
        handle: of the base in the archive.
        progress: follows the download.

    Raises:
        IntegrityError: the file is not a complete archive; it was deleted.
        UnavailableError: no network, no such file, or downloads are disabled.
    """
    alternative = f"Or download {url}, unpack it into {folder}, or name a local folder."
    reason = offline_reason()
    if reason:
        raise unavailable_error(handle, reason, alternative)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with (
        patient_lock(f"{folder}.lock", f"downloading {handle}"),
        scratch_folder(folder.parent, "fetching") as scratch,
    ):
        if folder.is_dir() and any(folder.iterdir()):  # downloaded by another process
            return
        archive, content = scratch / "archive", scratch / "content"
        try:
            download(url, archive, progress=progress)
        except OSError as exc:
            raise unavailable_error(handle, str(exc), alternative) from exc
        try:
            with tarfile.open(archive) as file:
                file.extractall(content, filter="data")
        except (tarfile.TarError, EOFError, OSError) as exc:
            raise IntegrityError(f"the file from {url} is not a complete archive ({exc}), and was deleted.") from exc
        shutil.rmtree(folder, ignore_errors=True)
        os.replace(content, folder)
