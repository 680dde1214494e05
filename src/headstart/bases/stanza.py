"""The source ``stanza:``: what Stanza's models know of a language, as features of texts.

``stanza:LANG`` is the pair of its character language models, forward and backward: a text is the mean of what they hold
at the end of each word, which is what Stanza's taggers see of it. ``stanza:LANG:forward`` and ``:backward`` are one of
the two, ``stanza:LANG:vectors`` are the word vectors. The models are rebuilt in Keras, so that neither Stanza nor torch
is needed once they are here; ``stanza:FILE.pt`` takes a file.

Source: Qi et al., arXiv 2003.07082; Akbik et al., "Contextual string embeddings for sequence labeling", COLING 2018.
"""

import hashlib
import os
from collections.abc import Iterable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from headstart.bases import word_vectors
from headstart.bases.base import BaseSpec, file_sha256, refuse_weights
from headstart.bases.bundle import not_here, why_offline
from headstart.bases.handle import parse_handle
from headstart.bases.text import TextBase
from headstart.bases.torch_checkpoint import read_torch_checkpoint
from headstart.bases.word_table import Words
from headstart.data.tokenizers import CharacterTokenizer
from headstart.errors import InputError, UnavailableError
from headstart.system.extras import require

_PARTS = {
    "charlm": ("forward_charlm", "backward_charlm"),
    "forward": ("forward_charlm",),
    "backward": ("backward_charlm",),
    "vectors": ("pretrain",),
}
_ALIASES = {"zh": "zh-hans"}  # as Stanza's own list has it
_SPECIAL = 4  # of Stanza's vocabularies: padding, unknown, empty, root
_START, _END = "\n", " "


def names() -> list[str]:
    """Names that follow ``stanza:``: any language, so there are none to list."""
    return []


def load(spec: BaseSpec) -> TextBase:
    """Give models of Stanza as a base.

    Raises:
        InputError: no such part or file, or a file of another kind.
        UnavailableError: the models are not here and cannot be fetched.
    """
    refuse_weights(spec)
    spec = spec if spec.words else choose_words(spec, ())
    files = _files(spec)
    paths = list(files.values())
    if spec.words:
        return word_vectors.of_words(spec, "see the model's page", files)
    models = [_read(path) for path in paths]
    characters = models[0].characters
    if any(model.characters != characters for model in models):
        raise InputError(f"the models of {spec.handle} know different characters: they do not belong together.")
    digests = [file_sha256(path) for path in paths]
    return TextBase(
        spec=spec,
        build=partial(_build, models),
        weights_path=paths[0],
        weights_sha256=digests[0] if len(paths) == 1 else hashlib.sha256("".join(digests).encode()).hexdigest(),
        feature_dim=sum(model.width for model in models),
        files=files,
        licence="Apache-2.0",
        tokenizer=CharacterTokenizer(tuple(characters)),
        tuning_rate=1e-4,
    )


def choose_words(spec: BaseSpec, texts: Iterable[str], cache: Path | None = None) -> BaseSpec:
    """As that of word vectors, where the handle names some; else there is nothing to choose."""
    paths = list(_files(spec).values())
    saved = read_torch_checkpoint(paths[0]) if len(paths) == 1 else {}
    if "emb" not in saved:
        return spec

    def read(wanted: set[str]) -> Words:
        every = [word.replace("\xa0", " ") for word in saved["vocab"]["_id2unit"]]
        rows = [
            row for row, word in enumerate(every)
            if row >= _SPECIAL and (row < word_vectors.FREQUENT + _SPECIAL or word in wanted)
        ]  # fmt: skip
        return Words([every[row] for row in rows], np.asarray(saved["emb"], np.float32)[rows])

    return replace(spec, words=str(word_vectors.keep_words(paths[0], texts, read, spec.words_by, cache)))


def _files(spec: BaseSpec) -> dict[str, Path]:
    """The files of a handle, by their places in the folder of its language; fetched by Stanza if they are not here."""
    handle = spec.handle
    language, _, part = parse_handle(handle).name.partition(":")
    if language.endswith(".pt"):
        path = Path(os.path.abspath(Path(language).expanduser()))
        path = Path(spec.folder, path.name) if spec.folder else path
        if not path.is_file():
            raise InputError(
                f"{handle}: there is no file {path}. Expected a model of Stanza, such as forward_charlm/….pt."
            )
        return {path.name: path}
    language = _ALIASES.get(language, language)
    kinds = _PARTS.get(part or "charlm")
    if kinds is None:
        raise InputError(f"{handle}: Stanza has no part {part!r} here: expected one of {', '.join(_PARTS)}.")
    folder = Path(spec.folder) if spec.folder else _home() / language
    paths = [_file(handle, language, folder / kind) for kind in kinds]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def tokenizer_file(handle: str) -> str:
    """The file of one of Stanza's tokenizers, fetched by Stanza if it is not here.

    Args:
        handle: ``stanza:LANG`` or ``stanza:FILE.pt``.

    Raises:
        InputError: it is neither, or there is no such file.
        UnavailableError: the tokenizer is not here and cannot be fetched.
    """
    source, _, name = handle.partition(":")
    if source != "stanza" or not name:
        raise InputError(f"--words-by {handle}: expected stanza:LANG, such as stanza:zh, or stanza:FILE.pt.")
    if name.endswith(".pt"):
        (path,) = _files(BaseSpec(handle)).values()
        return str(path)
    language = _ALIASES.get(name, name)
    folder = _home() / language / "tokenize"
    found = _fetched(language, folder, "tokenize")
    if isinstance(found, str):
        raise UnavailableError(
            f"the tokenizer of {handle} is not here and cannot be fetched ({found}). Get it where there is a network, "
            f"in Python: stanza.download({language!r}, processors='tokenize'); put its .pt into {folder}, or use "
            "--words-by stanza:FILE.pt."
        )
    return str(found)


def _home() -> Path:
    home = os.environ.get("STANZA_RESOURCES_DIR")
    if home is not None:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stanza" / "resources"


def _file(handle: str, language: str, folder: Path) -> Path:
    # A tagger brings what it stands on: word vectors and both character models.
    found = _fetched(language, folder, "pos")
    if isinstance(found, str):
        raise not_here(handle, found, f"Or put its .pt into {folder}, or use stanza:FILE.pt.")
    return found


def _fetched(language: str, folder: Path, processors: str) -> Path | str:
    """The file in a folder of Stanza's, fetched by Stanza if it is not there; or why it cannot be had."""
    if not any(folder.glob("*.pt")):
        offline = why_offline()
        if offline:
            return offline
        stanza = require("stanza", extra="stanza", purpose=f"fetching Stanza's models of {language!r}")
        try:
            stanza.download(language, model_dir=str(_home()), processors=processors, verbose=True)
        except (OSError, ValueError) as exc:
            return str(exc)
    found = sorted(folder.glob("*.pt"))
    return found[0] if found else f"Stanza has none for {language!r}"


class _Model(NamedTuple):
    """One character language model: its characters by id, and per layer the arrays of an LSTM."""

    is_forward: bool
    characters: list[str]
    embedding: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    start: tuple[np.ndarray, np.ndarray]  # hidden and cell state, (layers, width)

    @property
    def width(self) -> int:
        return self.start[0].shape[-1]


def _read(path: Path) -> _Model:
    saved = read_torch_checkpoint(path)
    saved = saved.get("model", saved)
    try:
        state, characters = saved["state_dict"], saved["vocab"]["_id2unit"]
        count = int(saved["args"]["char_num_layers"])
        hidden, cell = (np.asarray(state[f"charlstm_{kind}_init"])[:, 0] for kind in ("h", "c"))
        layers = [_layer(state, i) for i in range(count)]
        table = np.asarray(state["char_emb.weight"])
        return _Model(bool(saved["is_forward_lm"]), list(characters), table, layers, (hidden, cell))
    except (KeyError, TypeError, IndexError) as exc:
        raise InputError(f"{path} is not a character language model of Stanza: {exc} is missing in it.") from exc


def _layer(state: dict[str, Any], number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, recurrent kernel and bias of an LSTM as Keras wants them; torch has the gates in the same order."""
    own = "charlstm.lstm.{}_l{}" if "charlstm.lstm.weight_ih_l0" in state else "charlstm.lstm.cells.{1}.{0}"
    kernel, recurrent, first, second = (
        np.asarray(state[own.format(kind, number)]) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return kernel.T, recurrent.T, first + second


def _build(models: list[_Model], include_top: bool) -> Any:
    """Ids (n, t) of characters between the two marks to what the models hold at the ends of words, (n, d)."""
    import keras
    from keras import ops

    ids = keras.Input((None,), dtype="int32")
    first, last = len(models[0].characters) + 1, len(models[0].characters) + 2
    space = 1 + models[0].characters.index(_END)
    held: list[Any] = []
    weights: dict[str, list[np.ndarray]] = {}
    for model in models:
        side = "forward" if model.is_forward else "backward"
        x = ids if model.is_forward else ops.flip(ids, axis=1)
        seen = ops.not_equal(x, 0)
        ends = ops.logical_or(ops.equal(x, space), ops.equal(x, last if model.is_forward else first))
        table = _table(model)
        weights[f"{side}_characters"] = [table]
        y = keras.layers.Embedding(*table.shape, name=f"{side}_characters")(x)
        nothing = ops.zeros_like(x[:, 0])
        for i, arrays in enumerate(model.layers):
            state = []
            for kind, rows in zip(("hidden", "cell"), model.start, strict=True):
                name = f"{side}_{kind}_{i}"
                weights[name] = [rows[i : i + 1]]
                state.append(keras.layers.Embedding(1, model.width, name=name)(nothing))
            lstm = keras.layers.LSTM(model.width, return_sequences=True, name=f"{side}_lstm_{i}")
            y = lstm(y, mask=seen, initial_state=state)
            weights[lstm.name] = list(arrays)
        at_ends = ops.expand_dims(ops.cast(ends, "float32"), -1)
        held.append(ops.sum(y * at_ends, axis=1) / ops.maximum(ops.sum(at_ends, axis=1), 1.0))
    network = keras.Model(ids, ops.concatenate(held, axis=-1) if len(held) > 1 else held[0], name="character_models")
    for name, values in weights.items():
        network.get_layer(name).set_weights([np.asarray(value, np.float32) for value in values])
    return network


def _table(model: _Model) -> np.ndarray:
    """The vectors of a model's characters, with padding in front and the two marks behind.

    What stands first is read as a line's start and what stands last as a word's end, in the direction of reading.
    """
    table = model.embedding
    start, end = (table[model.characters.index(mark)] for mark in (_START, _END))
    marks = [start, end] if model.is_forward else [end, start]
    return np.concatenate([np.zeros_like(table[:1]), table, np.stack(marks)])
