"""The source ``stanza:``: the language models and word vectors of Stanza, as features of texts.

``stanza:LANG`` is the pair of character language models, forward and backward: the features of a text are the mean of
their states at the end of each word, which Stanza's taggers use too. ``stanza:LANG:forward`` and ``:backward`` are one
of the two, ``stanza:LANG:vectors`` are the word vectors. The models are rebuilt in Keras, so that neither Stanza nor
torch is needed after the download. ``stanza:FILE.pt`` is a file.

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
from headstart.bases.base import BaseSpec, refuse_weights
from headstart.bases.bundle import offline_reason, unavailable_error
from headstart.bases.handle import parse_handle
from headstart.bases.text import TextBase
from headstart.bases.torch_checkpoint import read_torch_checkpoint
from headstart.bases.word_table import Words
from headstart.data.tokenizers import CharacterTokenizer
from headstart.errors import InputError, UnavailableError, field_name
from headstart.system.checksums import file_sha256
from headstart.system.extras import require
from headstart.system.progress import NO_PROGRESS, Progress

_PARTS = {
    "charlm": ("forward_charlm", "backward_charlm"),
    "forward": ("forward_charlm",),
    "backward": ("backward_charlm",),
    "vectors": ("pretrain",),
}
_ALIASES = {"zh": "zh-hans"}  # from Stanza's own list
_SPECIAL_TOKENS = 4  # the first of Stanza's vocabularies: padding, unknown, empty, root
_START, _END = "\n", " "


def names() -> list[str]:
    """Names for ``stanza:``: an empty list, because every language is possible."""
    return []


def load(spec: BaseSpec, progress: Progress = NO_PROGRESS) -> TextBase:
    """Load models of Stanza.

    Raises:
        InputError: no such part or file, or a file of another kind.
        UnavailableError: the models are not on this machine and cannot be downloaded.
    """
    refuse_weights(spec)
    spec = spec if spec.words_folder else select_words(spec, ())
    files = _files(spec)
    paths = list(files.values())
    if spec.words_folder:
        return word_vectors.base_from_words(spec, "see the model's page", files)
    models = [_read_model(path) for path in paths]
    characters = models[0].characters
    if any(model.characters != characters for model in models):
        raise InputError(f"the models of {spec.handle} have different characters: they do not belong together.")
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
        fine_tune_learning_rate=1e-4,
    )


def select_words(
    spec: BaseSpec, texts: Iterable[str], cache: Path | None = None, progress: Progress = NO_PROGRESS
) -> BaseSpec:
    """Select words as :func:`word_vectors.select_words` does, if the handle means word vectors."""
    paths = list(_files(spec).values())
    saved = read_torch_checkpoint(paths[0]) if len(paths) == 1 else {}
    if "emb" not in saved:
        return spec

    def read(selected: set[str]) -> Words:
        words = [word.replace("\xa0", " ") for word in saved["vocab"]["_id2unit"]]
        rows = [
            row for row, word in enumerate(words)
            if row >= _SPECIAL_TOKENS and (row < word_vectors.N_FREQUENT + _SPECIAL_TOKENS or word in selected)
        ]  # fmt: skip
        return Words([words[row] for row in rows], np.asarray(saved["emb"], np.float32)[rows])

    folder = word_vectors.cache_words(paths[0], texts, read, spec.segmenter, cache)
    return replace(spec, words_folder=str(folder))


def _files(spec: BaseSpec) -> dict[str, Path]:
    """The files of a handle by their paths in the folder of its language, after a download by Stanza if necessary."""
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
        raise InputError(f"{handle}: unknown part {part!r}: expected one of {', '.join(_PARTS)}.")
    folder = Path(spec.folder) if spec.folder else _resources_folder() / language
    paths = [_model_file(handle, language, folder / kind) for kind in kinds]
    return {path.relative_to(folder).as_posix(): path for path in paths}


def tokenizer_file(handle: str) -> str:
    """The file of a tokenizer of Stanza, after a download by Stanza if necessary.

    Args:
        handle: ``stanza:LANG`` or ``stanza:FILE.pt``.

    Raises:
        InputError: another form, or no such file.
        UnavailableError: the tokenizer is not on this machine and cannot be downloaded.
    """
    source, _, name = handle.partition(":")
    if source != "stanza" or not name:
        raise InputError(
            f"expected stanza:LANG, such as stanza:zh, or stanza:FILE.pt, got {handle!r}.", field="segmenter"
        )
    if name.endswith(".pt"):
        (file_path,) = _files(BaseSpec(handle)).values()
        return str(file_path)
    language = _ALIASES.get(name, name)
    folder = _resources_folder() / language / "tokenize"
    path = _find_or_fetch(language, folder, "tokenize")
    if isinstance(path, str):
        raise UnavailableError(
            f"the tokenizer of {handle} is not on this machine and cannot be downloaded ({path}). On a machine with "
            f"network, run stanza.download({language!r}, processors='tokenize') in Python; copy the .pt file into "
            f"{folder}, or set {field_name('segmenter', 'stanza:FILE.pt')}."
        )
    return str(path)


def _resources_folder() -> Path:
    home = os.environ.get("STANZA_RESOURCES_DIR")
    if home is not None:
        return Path(home)
    return Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache").expanduser() / "stanza" / "resources"


def _model_file(handle: str, language: str, folder: Path) -> Path:
    # The download of a tagger includes the models that it depends on: word vectors and both character models.
    path = _find_or_fetch(language, folder, "pos")
    if isinstance(path, str):
        raise unavailable_error(handle, path, f"Or copy its .pt file into {folder}, or use stanza:FILE.pt.")
    return path


def _find_or_fetch(language: str, folder: Path, processors: str) -> Path | str:
    """The file in one of Stanza's folders, after a download if necessary; or the reason why it is not available."""
    if not any(folder.glob("*.pt")):
        reason = offline_reason()
        if reason:
            return reason
        stanza = require("stanza", extra="stanza", purpose=f"fetching Stanza's models of {language!r}")
        try:
            stanza.download(language, model_dir=str(_resources_folder()), processors=processors, verbose=True)
        except (OSError, ValueError) as exc:
            return str(exc)
    paths = sorted(folder.glob("*.pt"))
    return paths[0] if paths else f"Stanza has no such model for {language!r}"


class _CharacterModel(NamedTuple):
    """A character language model: its characters by id, and the LSTM weights of each layer."""

    is_forward: bool
    characters: list[str]
    embedding: np.ndarray
    layers: list[tuple[np.ndarray, np.ndarray, np.ndarray]]
    initial_state: tuple[np.ndarray, np.ndarray]  # hidden and cell state, (layers, width)

    @property
    def width(self) -> int:
        return self.initial_state[0].shape[-1]


def _read_model(path: Path) -> _CharacterModel:
    saved = read_torch_checkpoint(path)
    saved = saved.get("model", saved)
    try:
        state, characters = saved["state_dict"], saved["vocab"]["_id2unit"]
        count = int(saved["args"]["char_num_layers"])
        hidden, cell = (np.asarray(state[f"charlstm_{kind}_init"])[:, 0] for kind in ("h", "c"))
        layers = [_lstm_weights(state, i) for i in range(count)]
        table = np.asarray(state["char_emb.weight"])
        return _CharacterModel(bool(saved["is_forward_lm"]), list(characters), table, layers, (hidden, cell))
    except (KeyError, TypeError, IndexError) as exc:
        raise InputError(f"{path} is not a character language model of Stanza: {exc} is missing in it.") from exc


def _lstm_weights(state: dict[str, Any], number: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Kernel, recurrent kernel and bias of an LSTM for Keras; torch has the gates in the same order."""
    pattern = "charlstm.lstm.{}_l{}" if "charlstm.lstm.weight_ih_l0" in state else "charlstm.lstm.cells.{1}.{0}"
    kernel, recurrent, input_bias, recurrent_bias = (
        np.asarray(state[pattern.format(kind, number)]) for kind in ("weight_ih", "weight_hh", "bias_ih", "bias_hh")
    )
    return kernel.T, recurrent.T, input_bias + recurrent_bias


def _build(models: list[_CharacterModel], include_top: bool) -> Any:
    """Character ids (n, t) with start and end marks to the mean of the models' states at the ends of words, (n, d)."""
    import keras
    from keras import ops

    ids = keras.Input((None,), dtype="int32")
    start_mark, end_mark = len(models[0].characters) + 1, len(models[0].characters) + 2
    space = 1 + models[0].characters.index(_END)
    states: list[Any] = []
    weights: dict[str, list[np.ndarray]] = {}
    for model in models:
        direction = "forward" if model.is_forward else "backward"
        x = ids if model.is_forward else ops.flip(ids, axis=1)
        mask = ops.not_equal(x, 0)
        is_word_end = ops.logical_or(ops.equal(x, space), ops.equal(x, end_mark if model.is_forward else start_mark))
        table = _embedding_table(model)
        weights[f"{direction}_characters"] = [table]
        y = keras.layers.Embedding(*table.shape, name=f"{direction}_characters")(x)
        zeros = ops.zeros_like(x[:, 0])
        for i, arrays in enumerate(model.layers):
            state = []
            for kind, rows in zip(("hidden", "cell"), model.initial_state, strict=True):
                name = f"{direction}_{kind}_{i}"
                weights[name] = [rows[i : i + 1]]
                state.append(keras.layers.Embedding(1, model.width, name=name)(zeros))
            lstm = keras.layers.LSTM(model.width, return_sequences=True, name=f"{direction}_lstm_{i}")
            y = lstm(y, mask=mask, initial_state=state)
            weights[lstm.name] = list(arrays)
        word_ends = ops.expand_dims(ops.cast(is_word_end, "float32"), -1)
        states.append(ops.sum(y * word_ends, axis=1) / ops.maximum(ops.sum(word_ends, axis=1), 1.0))
    network = keras.Model(
        ids, ops.concatenate(states, axis=-1) if len(states) > 1 else states[0], name="character_models"
    )
    for name, values in weights.items():
        network.get_layer(name).set_weights([np.asarray(value, np.float32) for value in values])
    return network


def _embedding_table(model: _CharacterModel) -> np.ndarray:
    """The vectors of a model's characters, with a row for padding before them and two rows for the marks after them.

    In the direction of reading, the first mark has the vector of a line break and the last one that of a space.
    """
    table = model.embedding
    start, end = (table[model.characters.index(mark)] for mark in (_START, _END))
    marks = [start, end] if model.is_forward else [end, start]
    return np.concatenate([np.zeros_like(table[:1]), table, np.stack(marks)])
