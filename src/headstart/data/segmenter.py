"""Words of languages that do not divide them by spaces, by a tokenizer of Stanza's.

Source: Qi et al., arXiv 2003.07082; a tokenizer reads characters and says after which of them a word ends.
"""

import pickle
import tempfile
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from headstart.errors import InputError, one_line
from headstart.system.extras import require
from headstart.system.scratch import scratch_folder

_TEXTS_KEPT = 20_000  # every text is divided several times: to choose words, to count those known, to look them up
_one_at_a_time = Lock()


@dataclass(frozen=True)
class Segmenter:
    """Divides texts into words.

    Args:
        path: of the tokenizer's file.
        sha256: of that file (hex), which is what it is known by.
    """

    path: Path
    sha256: str

    def words(self, text: str) -> tuple[str, ...]:
        """The words of a text, in order.

        Raises:
            InputError: the file is no tokenizer of Stanza's.
            UnavailableError: Stanza is not installed.
        """
        return _words(self, text)


@lru_cache(_TEXTS_KEPT)
def _words(segmenter: Segmenter, text: str) -> tuple[str, ...]:
    with _one_at_a_time:  # texts are read on several threads
        document = _pipeline(segmenter.path, segmenter.sha256)(text)
    return tuple(" ".join(token.text.split()) for sentence in document.sentences for token in sentence.tokens)


@lru_cache(1)
def _pipeline(path: Path, sha256: str) -> Any:
    stanza = require("stanza", extra="stanza", purpose="dividing texts into words")
    with scratch_folder(Path(tempfile.gettempdir()), "headstart") as folder:
        (folder / "resources.json").write_text("{}")  # Stanza needs this file, even if it gets a model file
        try:
            return stanza.Pipeline(
                "xx",  # all that depends on the language is in the file
                dir=str(folder), processors="tokenize", package=None, tokenize_model_path=str(path),
                tokenize_no_ssplit=True, download_method=None, allow_unknown_language=True, use_gpu=False,
                verbose=False,
            )  # fmt: skip
        except (OSError, EOFError, ValueError, LookupError, TypeError, RuntimeError, pickle.UnpicklingError) as exc:
            raise InputError(
                f"Stanza cannot use {path} as a tokenizer ({one_line(str(exc))}): expected a file of its "
                "folder tokenize/ that needs no character model beside it."
            ) from exc
