"""The source ``stanza:`` with models that Stanza's own code trains and saves, compared with Stanza's results."""

import csv
import logging
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError, IntegrityError, UnavailableError
from headstart.explanation.word_weights import weigh_words
from headstart.runs.predictor import Predictor
from tests.lazy import needs

pytestmark = [pytest.mark.slow, needs("stanza")]

TEXTS = ["A short text, of a few words.", "Another\n one,  with odd spaces and a § that no one knows", "word"]


@pytest.fixture(scope="session")
def home(sentences: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Stanza's folder of models, with a forward and a backward model of a language ``en``, trained for seconds."""
    from stanza.models import charlm

    logging.getLogger("stanza").setLevel(logging.ERROR)
    folder = tmp_path_factory.mktemp("stanza")
    with open(sentences, newline="", encoding="utf-8") as file:
        text = "\n".join(row["text"] for row in csv.DictReader(file))
    (folder / "text.txt").write_text(text[:8000], encoding="utf-8")
    for direction in ("forward", "backward"):
        save_dir = folder / "en" / f"{direction}_charlm"
        sizes = "--epochs 1 --char_hidden_dim 24 --char_emb_dim 8 --cutoff 1 --batch_size 20 --eval_steps -1"
        files = ["--train_file", folder / "text.txt", "--eval_file", folder / "text.txt", "--save_dir", save_dir]
        charlm.main(
            [
                *map(str, files),
                *sizes.split(),
                "--no_checkpoint",
                "--shorthand",
                "en_test",
                "--direction",
                direction,
                "--cpu",
            ]
        )
        (save_dir / "en_test_vocab.pt").unlink()
    return folder


def _features_by_stanza(path: Path) -> np.ndarray:
    from stanza.models.common.char_model import CharacterLanguageModel

    model: Any = CharacterLanguageModel.load(str(path), finetune=False)
    return np.stack([rows.mean(0).numpy() for rows in model.build_char_representation([t.split() for t in TEXTS])])


def test_features_equal_those_of_stanza(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(home))
    base = hs.load_base("stanza:en")
    features = hs.extract(base, TEXTS, precision="float32").rows(range(len(TEXTS)))
    files = [next((home / "en" / f"{direction}_charlm").glob("*.pt")) for direction in ("forward", "backward")]
    expected = np.concatenate([_features_by_stanza(file) for file in files], axis=1)
    np.testing.assert_allclose(features, expected, atol=1e-5)
    assert base.feature_dim == 48
    one_file, by_name = (hs.load_base(f"stanza:{name}") for name in (files[1], "en:backward"))
    assert (one_file.feature_dim, one_file.weights_sha256) == (24, by_name.weights_sha256)


def test_a_run_needs_neither_stanza_nor_the_models(
    home: Path, sentences: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(home))
    run = hs.train(sentences, base="stanza:en:forward", fine_tune="none", runs=tmp_path)
    hs.fetch(["stanza:en"], to=tmp_path / "bundle")
    digest = hs.load_base("stanza:en").digest
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(tmp_path))
    monkeypatch.setenv("HEADSTART_BUNDLE", str(tmp_path / "bundle"))
    assert hs.load_base("stanza:en").digest == digest
    assert hs.load(run.folder).predict("Some text.").predicted in run.classes
    assert run.facts.base.tokenizer.kind == "characters"


def test_word_vectors_of_stanza(tmp_path: Path) -> None:
    from stanza.models.common.pretrain import Pretrain

    vectors = tmp_path / "vectors.txt"
    vectors.write_text("the 1 2 3\nof 4 5 6\nNew\xa0York 7 8 9\n", encoding="utf-8")
    Pretrain(str(tmp_path / "vectors.pt"), str(vectors)).load()
    base = hs.load_base(f"stanza:{tmp_path}/vectors.pt", texts=["the end of it"])
    assert base.reader().words == ["the", "of", "New York"]
    features = hs.extract(base, ["the end of it"], precision="float32").rows([0])
    np.testing.assert_allclose(features, [[2.5, 3.5, 4.5]], atol=1e-6)
    torch = pytest.importorskip("torch")
    saved = torch.load(tmp_path / "vectors.pt", weights_only=True)
    older = {**saved, "emb": saved["emb"].numpy()}  # as Stanza wrote it up to version 1.8
    torch.save(older, tmp_path / "older.pt", _use_new_zipfile_serialization=False)
    base = hs.load_base(f"stanza:{tmp_path}/older.pt", texts=["the end of it"])
    np.testing.assert_allclose(hs.extract(base, ["the end of it"], precision="float32").rows([0]), features, atol=1e-6)


OPINIONS = {"good": "喜欢 好看 美丽 非常", "bad": "无聊 糟糕 不 难看"}
TOPICS = "我们 苹果 这 部 电影 很 他们 故事 演员 音乐 今天 天气"


@pytest.fixture(scope="module")
def chinese(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with ``texts.csv`` (texts without spaces), ``vectors.vec`` and ``tokenizer.pt``."""
    folder = tmp_path_factory.mktemp("chinese")
    rng = np.random.default_rng(0)
    words = [*TOPICS.split(), *" ".join(OPINIONS.values()).split(), "。"]
    lines = [f"{word} {' '.join(map(str, rng.normal(size=24).round(3)))}" for word in words]
    (folder / "vectors.vec").write_text("\n".join([f"{len(words)} 24", *lines, ""]), encoding="utf-8")
    with open(folder / "texts.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for i in range(120):
            label = sorted(OPINIONS)[i % 2]
            sentence = [*rng.choice(TOPICS.split(), 4), *rng.choice(OPINIONS[label].split(), 2)]
            writer.writerow(["".join(rng.permutation(sentence)) + "。", label])
    shutil.copy(Path(__file__).parent / "word_files/tokenizer.pt", folder)
    return folder


def test_texts_without_spaces_are_split_into_words(
    chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(chinese)
    run = hs.train(
        "texts.csv", base="fasttext:vectors.vec", segmenter="stanza:tokenizer.pt", fine_tune="none", runs=tmp_path
    )  # fmt: skip
    assert run.metrics["accuracy"] > 0.9
    unknown_words = next(finding for finding in run.facts.audit if finding.check == "unknown-words")
    assert unknown_words.state == "clean", unknown_words
    for file in chinese.glob("*.*"):
        file.rename(tmp_path / file.name)  # from here on, only the run is needed
    assert [run.predict(text).predicted for text in ("这部电影很好看。", "故事很无聊。")] == ["good", "bad"]
    weights = weigh_words(Predictor(run.folder), "这部电影很好看。", "good")
    assert [word for word, _ in weights] == ["这", "部", "电影", "很", "好看", "。"]
    assert max(weights, key=lambda pair: pair[1])[0] == "好看"
    again = hs.load(shutil.copytree(run.folder, tmp_path / "copy"))
    assert again.predict("今天天气糟糕。").predicted == "bad"
    (again.folder / "tokenizer/segmenter.pt").write_bytes(b"another")
    with pytest.raises(IntegrityError, match=r"segmenter\.pt: its SHA-256 is not the one"):
        hs.load(again.folder).predict("今天天气糟糕。")
    for file in tmp_path.glob("*.*"):
        file.rename(chinese / file.name)


def test_words_equal_those_of_stanza(chinese: Path) -> None:
    import stanza

    vectors = f"fasttext:{chinese}/vectors.vec"
    base = hs.load_base(vectors, texts=["我们喜欢苹果"], segmenter=f"stanza:{chinese}/tokenizer.pt")
    (chinese / "resources.json").write_text("{}")
    pipeline = stanza.Pipeline(
        "zh", dir=str(chinese), processors="tokenize", package=None, tokenize_model_path=str(chinese / "tokenizer.pt"),
        download_method=None, allow_unknown_language=True, use_gpu=False, verbose=False,
    )  # fmt: skip
    for text in ("我们喜欢苹果。他们不喜欢电影。", "故事 ABC 12 😀\n音乐非常美丽", "非" * 3000):
        assert list(base.reader().segmenter.words(text)) == [t.text for s in pipeline(text).sentences for t in s.tokens]
    assert base.reader().coverage("我们喜欢苹果。") == (4, 4)
    assert hs.load_base(vectors, texts=["我们喜欢苹果"]).reader().coverage("我们喜欢苹果。") == (1, 2)


def test_invalid_segmenters_are_refused(chinese: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(tmp_path))
    (tmp_path / "other.pt").write_bytes(b"no tokenizer")
    vectors = f"fasttext:{chinese}/vectors.vec"
    with pytest.raises(InputError, match=r"segmenter: expected stanza:LANG, .* got 'jieba'"):
        hs.load_base(vectors, segmenter="jieba")
    with pytest.raises(UnavailableError, match=r"tokenizer of stanza:zh is not on this machine .*zh-hans/tokenize"):
        hs.load_base(vectors, segmenter="stanza:zh")
    with pytest.raises(InputError, match=r"Stanza cannot use .*other\.pt as a tokenizer"):
        hs.load_base(vectors, texts=["我们"], segmenter=f"stanza:{tmp_path}/other.pt")
    with pytest.raises(InputError, match=r"segmenter: only word vectors use a segmenter, and embedded:all-mi"):
        hs.load_base("embedded:all-minilm-l6-v2", segmenter=f"stanza:{tmp_path}/other.pt")


def test_errors_for_missing_models(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("STANZA_RESOURCES_DIR", str(tmp_path))
    with pytest.raises(UnavailableError, match=r"stanza:de is not on this machine .*copy its \.pt file into .*de/forw"):
        hs.load_base("stanza:de")
    with pytest.raises(InputError, match=r"unknown part 'tagger': expected one of charlm, forward"):
        hs.load_base("stanza:de:tagger")
    with pytest.raises(InputError, match=r"there is no file .*absent\.pt"):
        hs.load_base("stanza:absent.pt")
