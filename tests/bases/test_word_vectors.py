"""Word vectors from files in all supported formats."""

import gzip
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest

import headstart as hs
from headstart.bases import load_base
from headstart.bases.word_files import read_words
from headstart.data.tokenizers import WordTokenizer, candidates
from headstart.errors import InputError

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
    "tabs.txt": _text(header=False).replace(b" ", b"\t"),
    "tab-after-header.vec": b"\n".join(
        [line.replace(b" ", b"\t", 1) if i else line for i, line in enumerate(_text(header=True).splitlines())]
    ),
    "byte-order-mark.txt": b"\xef\xbb\xbf" + _text(header=False),
    "news.bin.gz": gzip.compress(_binary()),
}


@pytest.mark.parametrize("name", FORMATS)
def test_all_formats_give_the_same_vectors(name: str, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name])
    words, vectors, _ = read_words(path, selected=(), first=100)
    assert words == WORDS
    np.testing.assert_allclose(vectors, VECTORS, rtol=1e-6)
    words, vectors, _ = read_words(path, selected={"apples", "absent"}, first=2)
    assert words == ["the", "naïve", "apples"]
    np.testing.assert_allclose(vectors, VECTORS[[0, 1, 5]], rtol=1e-6)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (_binary()[:-30], r"ends after 5 of 7 words"),
        (b"7 5\n" + _text(header=False)[:200], r"ends after \d of 7 words|does not have 5 numbers"),
        (b"just a letter to a friend\n", r"could not convert|is not a word with its numbers"),
        (b"\x00\x01\x02", r"is not a word with its numbers"),
        (b"", r"is not a word with its numbers"),
        ((793712314).to_bytes(4, "little") + b"rest", r"it has version 1953719666 of fastText's"),
        (b"\x80\x04rest", r"pickle|invalid load key"),
    ],
)
def test_damaged_and_other_files_are_refused(content: bytes, message: str, tmp_path: Path) -> None:
    path = tmp_path / "vectors.bin"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"vectors\.bin is not a file of word vectors.*({message})"):
        read_words(path, selected=(), first=100)


@pytest.mark.parametrize("number", [b"nan", b"-inf"])
def test_vectors_with_undefined_numbers_are_refused(number: bytes, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_bytes(_text(header=False) + b"odd" + (b" " + number) * VECTORS.shape[1] + b"\n")
    with pytest.raises(InputError, match=r"has 1 words with infinite or undefined numbers, such as 'odd'"):
        read_words(tmp_path / "v.txt", selected=(), first=100)


FILES = Path(__file__).parent / "word_files"
EXPECTED = np.load(FILES / "expected.npz")
UNLISTED = ["apple", "café", "日本語", "sweetly!"]


@pytest.mark.parametrize("name", ["fasttext.bin", "classifier.bin", "plain.kv", "divided.kv", "subwords.kv"])
def test_vectors_equal_those_of_fasttext_and_gensim(name: str) -> None:
    words, vectors, infer = read_words(FILES / name, selected=(), first=100)
    assert {"the", "apples", "naïve"} < set(words)
    tolerance = 0.0 if name.endswith(".bin") else 1e-7  # gensim adds in another order
    np.testing.assert_allclose(vectors, EXPECTED[f"{name}.listed"], rtol=0, atol=tolerance)
    if infer is None:
        assert f"{name}.unlisted" not in EXPECTED
    else:
        inferred = [infer(word) for word in UNLISTED]
        np.testing.assert_allclose(np.stack(inferred), EXPECTED[f"{name}.unlisted"], rtol=0, atol=tolerance)
    selected = read_words(FILES / name, selected={"pie", "absent"}, first=1)
    assert selected.words == [words[0], "pie"]
    np.testing.assert_array_equal(selected.vectors[1], vectors[words.index("pie")])


def test_fasttext_infers_vectors_for_unlisted_words_of_the_data(tmp_path: Path) -> None:
    text = "The sweetly! café, apples"
    word2vec, fasttext = (base.reader() for base in (
        load_base(f"{source}:{FILES / name}", texts=[text], cache=tmp_path)
        for source, name in (("word2vec", "plain.kv"), ("fasttext", "fasttext.bin"))
    ))  # fmt: skip
    assert (word2vec.unknown(text), fasttext.unknown(text)) == (["sweetly", "!", "café", ","], [])
    ids = fasttext.decode("café".encode())
    vectors = np.load(Path(load_base(f"fasttext:{FILES}/fasttext.bin", texts=[text], cache=tmp_path).weights_path))
    np.testing.assert_array_equal(vectors[ids - 1], EXPECTED["fasttext.bin.unlisted"][1:2])


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("quantized.ftz", r"it is quantized .* use the original \.bin or \.vec"),
        ("whole.model", r"needs gensim\.models\.fasttext\.FastText, .*model\.wv\.save"),
    ],
)
def test_files_without_vectors_are_refused(name: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        read_words(FILES / name, selected=(), first=100)


@pytest.mark.parametrize("name", ["fasttext.bin", "classifier.bin", "plain.kv", "divided.kv", "subwords.kv"])
def test_a_truncated_file_is_refused(name: str, tmp_path: Path) -> None:
    content = (FILES / name).read_bytes()
    for end in range(1, len(content), 37):
        (tmp_path / name).write_bytes(content[:end])
        with pytest.raises(InputError, match=rf"{name} (is not a file of word vectors, or is damaged|contains no)"):
            read_words(tmp_path / name, selected=(), first=100)


def test_mapped_formats_cannot_be_compressed(tmp_path: Path) -> None:
    path = tmp_path / "fasttext.bin.gz"
    path.write_bytes(gzip.compress((FILES / "fasttext.bin").read_bytes()))
    with pytest.raises(InputError, match=r"bin\.gz is not .*cannot be read compressed: unpack the file"):
        read_words(path, selected=(), first=100)


def test_a_pickle_of_word_vectors_executes_no_code(tmp_path: Path) -> None:
    class MakesFolder:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return os.mkdir, (str(tmp_path / "made_by_pickle"),)

    path = tmp_path / "vectors.kv"
    path.write_bytes(pickle.dumps(MakesFolder()))
    with pytest.raises(InputError, match=r"needs posix\.mkdir|needs nt\.mkdir"):
        read_words(path, selected=(), first=100)
    assert not (tmp_path / "made_by_pickle").exists()


def test_keyed_vectors_include_their_separate_array_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy(FILES / "divided.kv", tmp_path)
    with pytest.raises(InputError, match=r"No such file .*divided\.kv\.vectors\.npy"):
        read_words(tmp_path / "divided.kv", selected=(), first=100)
    hs.fetch([f"word2vec:{FILES}/divided.kv"], to=tmp_path / "bundle")
    assert [path.name for path in (tmp_path / "bundle").glob("*/*.npy")] == ["divided.kv.vectors.npy"]


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"there is no file .*absent\.bin\. Expected a file of word vectors"):
        load_base(f"word2vec:{tmp_path}/absent.bin")


def test_rare_words_of_the_data_are_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("headstart.bases.word_vectors.N_FREQUENT", 2)
    path = tmp_path / "glove.txt"
    path.write_bytes(FORMATS["glove.txt"])
    frequent, base = (load_base(f"glove:{path}", texts=texts, cache=tmp_path) for texts in (None, ["Apples can't fly"]))
    assert (frequent.reader().words, base.reader().words) == (WORDS[:2], ["the", "naïve", "ca", "n't", "apples"])
    assert frequent.digest != base.digest


def test_words_are_looked_up_as_written_then_in_lower_case_then_in_parts() -> None:
    tokenizer = WordTokenizer(WORDS)
    text = "The naïve New can't; APPLES 47 unknown-apples?"
    ids = tokenizer.decode(text.encode())
    assert [WORDS[i - 1] for i in ids] == ["the", "naïve", "New", "ca", "n't", "apples", "##"]
    assert tokenizer.coverage(text) == (7, 10)
    assert {"Apples", "apples"} <= set(candidates("Apples"))


def test_a_text_without_known_words_has_no_ids_and_a_batch_is_padded() -> None:
    tokenizer = WordTokenizer(WORDS)
    no_ids, two_ids = (tokenizer.decode(text) for text in (b"xyzzy", b"the apples"))
    assert no_ids.tolist() == []
    assert tokenizer.batch([no_ids, two_ids]).tolist() == [[0, 0], [1, 6]]
    assert tokenizer.batch([no_ids]).shape == (1, 1)
