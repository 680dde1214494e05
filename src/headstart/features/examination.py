"""Every example read and decoded without a base: digest, header and fingerprint, or why it cannot be used.

:func:`headstart.features.extraction.extract` determines the same in its pass; this is for callers without a base.
"""

import hashlib
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from headstart.data.examples import Example
from headstart.data.fingerprints import ImageInfo, inspect_image
from headstart.data.images import Decoder
from headstart.data.modalities import Modality
from headstart.data.parallel import map_ahead
from headstart.data.readers import Reader
from headstart.errors import BadExample
from headstart.features.known_files import FileIndex, FileVersion, ImageInfoStore, KnownFile
from headstart.features.store import Digest
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

_COMMIT_EVERY = 512
_DECODER = Decoder((224, 224))


@dataclass(frozen=True)
class Examined:
    """What is known of examples without a base.

    Attributes:
        digests: content digest of each; None where it cannot be used.
        problems: index -> reason, for those that cannot.
        image_infos: index -> header and fingerprint of an image.
    """

    digests: list[Digest | None]
    problems: dict[int, str]
    image_infos: dict[int, ImageInfo] = field(default_factory=dict)


class _Finding(NamedTuple):
    number: int
    version: FileVersion | None
    file: KnownFile
    image_info: ImageInfo | None = None


def examine(
    examples: Sequence[Example],
    modality: Modality,
    *,
    cache: Path | None = None,
    reader: Reader = _DECODER,
    progress: Progress = NO_PROGRESS,
) -> Examined:
    """Read examples and see whether they can be used; of image files that have not changed, what is known is taken.

    Args:
        examples: of one modality.
        modality: of the examples.
        cache: the cache folder; None means the user's.
        reader: of images.
        progress: follows the work.
    """
    if not modality.has_pixels:
        return _examine_contents(examples, modality)
    cache = cache or cache_folder()
    with closing(FileIndex(cache, reader.key)) as files, closing(ImageInfoStore(cache, reader.key)) as known_images:
        known_files = files.find(examples)
        new = [i for i in range(len(examples)) if i not in known_files]
        with progress.start("reading", len(new), "images") as bar:
            pending: list[_Finding] = []
            for finding in map_ahead(lambda i: _look_at(i, examples[i], reader), new):
                known_files[finding.number] = finding.file
                pending.append(finding)
                bar.advance()
                if len(pending) == _COMMIT_EVERY:
                    _remember(files, known_images, pending)
                    pending = []
            _remember(files, known_images, pending)
        digests = [None if known_files[i].problem else known_files[i].digest for i in range(len(examples))]
        problems = {i: file.problem for i, file in sorted(known_files.items()) if file.problem}
        image_infos = image_infos_of(known_images, reader, examples, digests, range(len(examples)), progress)
        return Examined(digests, problems, image_infos)


def _examine_contents(examples: Sequence[Example], modality: Modality) -> Examined:
    """Read examples such as texts, which are not cached: reading them takes no longer than looking them up."""
    digests: list[Digest | None] = []
    problems: dict[int, str] = {}
    for i, example in enumerate(examples):
        try:
            data = example.read()
            modality.check(data)
            digests.append(hashlib.sha256(data).digest())
        except BadExample as exc:
            problems[i] = str(exc)
            digests.append(None)
    return Examined(digests, problems)


def image_infos_of(
    known_images: ImageInfoStore,
    reader: Reader,
    examples: Sequence[Example],
    digests: Sequence[Digest | None],
    indices: Iterable[int],
    progress: Progress,
) -> dict[int, ImageInfo]:
    """Index -> header and fingerprint of an image; those that are not known yet are decoded.

    Args:
        known_images: remembers them.
        reader: of images.
        examples: image files.
        digests: of their contents.
        indices: those that may have to be decoded.
        progress: follows the work.
    """
    image_infos = known_images.find(list({digest for digest in digests if digest}))
    missing = {digest: i for i in indices if (digest := digests[i]) and digest not in image_infos}
    if missing:
        with progress.start("fingerprints", len(missing), "images") as bar:
            for finding in map_ahead(lambda i: _look_at(i, examples[i], reader), missing.values()):
                bar.advance()
                if finding.image_info:
                    image_infos[finding.file.digest] = finding.image_info
        known_images.remember([(digest, image_infos[digest]) for digest in missing if digest in image_infos])
    return {i: image_infos[digest] for i, digest in enumerate(digests) if digest and digest in image_infos}


def known_image_infos(digests: Sequence[Digest], reader: Reader) -> dict[Digest, ImageInfo]:
    """What the user's cache knows of images with these contents."""
    with closing(ImageInfoStore(cache_folder(), reader.key)) as known_images:
        return known_images.find(digests)


def _look_at(i: int, example: Example, reader: Reader) -> _Finding:
    version = FileVersion.of(example)
    try:
        data = example.read()
    except BadExample as exc:
        return _Finding(i, None, KnownFile(b"", str(exc)))
    digest = hashlib.sha256(data).digest()
    try:
        pixels = reader.decode(data, example.suffix)
        return _Finding(i, version, KnownFile(digest, None), inspect_image(data, pixels))
    except BadExample as exc:
        return _Finding(i, version, KnownFile(digest, str(exc)))


def _remember(files: FileIndex, known_images: ImageInfoStore, findings: Sequence[_Finding]) -> None:
    files.remember([(finding.version, finding.file) for finding in findings if finding.version])
    known_images.remember([(finding.file.digest, finding.image_info) for finding in findings if finding.image_info])
