"""Every example read and decoded without a base: its digest, what it looks like, or why it cannot be used.

:func:`headstart.features.extraction.extract` finds out the same on its way; this is for those who want no features.
"""

import hashlib
import os
from collections.abc import Iterable, Sequence
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import NamedTuple

from headstart.data.fingerprints import ImageInfo, inspect_image
from headstart.data.images import Decoder
from headstart.data.parallel import map_ahead
from headstart.data.readers import Example, Reader, read_content, suffix_of
from headstart.data.tokenizers import text_of
from headstart.errors import BadExample
from headstart.features.store import Digest, FileIndex, ImageInfoStore, KnownFile
from headstart.system import console
from headstart.system.settings import cache_folder

_COMMIT_EVERY = 512
_DECODER = Decoder((224, 224))


@dataclass(frozen=True)
class Examined:
    """What there is to know of examples without a base.

    Attributes:
        digests: content digest of each; None where it cannot be used.
        problems: index -> reason, for those that cannot.
        image_infos: index -> what a picture looks like.
    """

    digests: list[Digest | None]
    problems: dict[int, str]
    image_infos: dict[int, ImageInfo] = field(default_factory=dict)


class _Seen(NamedTuple):
    number: int
    stat: os.stat_result | None
    known: KnownFile
    look: ImageInfo | None = None


def examine(examples: Sequence[Example], *, cache: Path | None = None, reader: Reader = _DECODER) -> Examined:
    """Read and decode examples; of files that have not changed, what was found out before is taken.

    Args:
        examples: paths of images, or texts.
        cache: the cache folder; None means the user's.
        reader: of images.
    """
    examples = [Path(os.path.abspath(one)) if isinstance(one, Path) else one for one in examples]
    if all(isinstance(one, str) for one in examples):
        return _examine_texts([str(one) for one in examples])
    cache = cache or cache_folder()
    with closing(FileIndex(cache, reader.key)) as files, closing(ImageInfoStore(cache, reader.key)) as looked:
        known = {i: found for i, one in enumerate(examples) if isinstance(one, Path) and (found := files.look_up(one))}
        new = [i for i in range(len(examples)) if i not in known]
        with console.progress("reading", len(new), "images") as bar:
            waiting: list[_Seen] = []
            for seen in map_ahead(lambda i: _see(i, examples[i], reader), new):
                known[seen.number] = seen.known
                waiting.append(seen)
                bar.advance()
                if len(waiting) == _COMMIT_EVERY:
                    _remember(files, looked, examples, waiting)
                    waiting = []
            _remember(files, looked, examples, waiting)
        digests = [None if known[i].problem else known[i].digest for i in range(len(examples))]
        problems = {i: one.problem for i, one in sorted(known.items()) if one.problem}
        return Examined(digests, problems, looks_of(looked, reader, examples, digests, range(len(examples))))


def looks_of(
    looked: ImageInfoStore,
    reader: Reader,
    examples: Sequence[Example],
    digests: Sequence[Digest | None],
    wanted: Iterable[int],
) -> dict[int, ImageInfo]:
    """Index -> what a picture looks like; those that nobody looked at yet are decoded.

    Args:
        looked: remembers it.
        reader: of images.
        examples: their paths.
        digests: of their contents.
        wanted: indices of those that may have to be decoded.
    """
    image_infos = looked.find(list({digest for digest in digests if digest}))
    one_of = {digest: i for i in wanted if (digest := digests[i]) and digest not in image_infos}
    if one_of:
        with console.progress("looking", len(one_of), "images") as bar:
            for seen in map_ahead(lambda i: _see(i, examples[i], reader), one_of.values()):
                bar.advance()
                if seen.look:
                    image_infos[seen.known.digest] = seen.look
        looked.remember([(digest, image_infos[digest]) for digest in one_of if digest in image_infos])
    return {i: image_infos[digest] for i, digest in enumerate(digests) if digest and digest in image_infos}


def known_image_infos(digests: Sequence[Digest], reader: Reader) -> dict[Digest, ImageInfo]:
    """What is known in the user's cache of pictures with such contents."""
    with closing(ImageInfoStore(cache_folder(), reader.key)) as looked:
        return looked.find(digests)


def _see(i: int, example: Example, reader: Reader) -> _Seen:
    try:
        data, stat = read_content(example)
    except BadExample as exc:
        return _Seen(i, None, KnownFile(b"", str(exc)))
    digest = hashlib.sha256(data).digest()
    try:
        return _Seen(i, stat, KnownFile(digest, None), inspect_image(data, reader.decode(data, suffix_of(example))))
    except BadExample as exc:
        return _Seen(i, stat, KnownFile(digest, str(exc)))


def _remember(files: FileIndex, looked: ImageInfoStore, examples: Sequence[Example], seen: Sequence[_Seen]) -> None:
    paths = [(example, one) for one in seen if isinstance(example := examples[one.number], Path)]
    files.remember([(example, one.stat, one.known) for example, one in paths if one.stat])
    looked.remember([(one.known.digest, one.look) for one in seen if one.look])


def _examine_texts(texts: Sequence[str]) -> Examined:
    digests: list[Digest | None] = []
    problems: dict[int, str] = {}
    for i, text in enumerate(texts):
        data = read_content(text)[0]
        digests.append(hashlib.sha256(data).digest())
        try:
            text_of(data)
        except BadExample as exc:
            problems[i], digests[i] = str(exc), None
    return Examined(digests, problems)
