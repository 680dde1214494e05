"""Word vectors from files in the formats that are about."""

import gzip
from pathlib import Path

import numpy as np
import pytest

from headstart.bases import load_base
from headstart.bases.word_files import read_words
from headstart.errors import InputError
from headstart.tokens import WordTokenizer, candidates

WORDS = ["the", "naïve", "ca", "n't", "New", "apples", "##"]
VECTORS = np.random.default_rng(0).normal(size=(len(WORDS), 5)).astype(np.float32)


def _text(header: bool) -> bytes:
    lines = [f"{word} {' '.join(map(repr, vector.tolist()))}" for word, vector in zip(WORDS, VECTORS, strict=True)]
    return "\n".join([f"{len(WORDS)} 5", *lines] if header else lines).encode() + b"\n"


def _binary(end: bytes = b"\n") -> bytes:
    records = (word.encode() + b" " + vector.tobytes() + end for word, vector in zip(WORDS, VECTORS, strict=True))
    return f"{len(WORDS)} 5\n".encode() + b"".join(records)


FORMATS = {
    "glove.txt": _text(header=False),
    "wiki.vec": _text(header=True),
    "news.bin": _binary(),
    "no-newlines.bin": _binary(b""),
    "glove.txt.gz": gzip.compress(_text(header=False)),
    "news.bin.gz": gzip.compress(_binary()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_every_format_gives_the_same_vectors(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name])
    words, vectors = read_words(path, wanted=(), first=100)
    assert words == WORDS
    np.testing.assert_allclose(vectors, VECTORS, rtol=1e-6)
    words, vectors = read_words(path, wanted={"apples", "absent"}, first=2)
    assert words == ["the", "naïve", "apples"]
    np.testing.assert_allclose(vectors, VECTORS[[0, 1, 5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (_binary()[:-30], r"ends after 5 of 7 words"),
        (b"7 5\n" + _text(header=False)[:200], r"ends after \d of 7 words|does not have 5 numbers"),
        (b"just a letter to a friend\n", r"could not convert|is not a word and its numbers"),
        (b"\x00\x01\x02", r"is not a word and its numbers"),
        (b"", r"is not a word and its numbers"),
        ((793712314).to_bytes(4, "little") + b"rest", r"fastText's own binary format; take the \.vec"),
    ],
)
def test_damaged_and_other_files_are_refused(content: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"vectors\.bin is not a file of word vectors.*({what})"):
        read_words(path, wanted=(), first=100)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*absent\.bin\. Expected a file of word vectors"):
        load_base(f"word2vec:{tmp_path}/absent.bin")


def test_the_words_of_the_data_are_read_however_rare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.bases.word_vectors.FREQUENT", 2)
    path = tmp_path / "glove.txt"
    path.write_bytes(FORMATS["glove.txt"])
    without, base = (load_base(f"glove:{path}", texts=texts, cache=tmp_path) for texts in (None, ["Apples can't fly"]))
    assert (without.reader().words, base.reader().words) == (WORDS[:2], ["the", "naïve", "ca", "n't", "apples"])
    assert without.digest != base.digest


def test_words_are_looked_up_as_written_then_in_lower_case_then_in_parts() -> None:
    tokenizer = WordTokenizer(WORDS)
    text = "The naïve New can't; APPLES 47 unknown-apples?"
    ids = tokenizer.decode(text.encode())
    assert [WORDS[i - 1] for i in ids] == ["the", "naïve", "New", "ca", "n't", "apples", "##"]
    assert tokenizer.coverage(text) == (7, 10)
    assert {"Apples", "apples"} <= set(candidates("Apples"))


def test_a_text_without_known_words_has_no_ids_and_a_batch_is_padded() -> None:
    tokenizer = WordTokenizer(WORDS)
    none, two = (tokenizer.decode(text) for text in (b"xyzzy", b"the apples"))
    assert none.tolist() == []
    assert tokenizer.batch([none, two]).tolist() == [[0, 0], [1, 6]]
    assert tokenizer.batch([none]).shape == (1, 1)
