"""Texts, from a table or a folder to answers: the same way as pictures go."""

import csv
import html
import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import headstart as hs
from headstart.errors import InputError, IntegrityError
from tests.conftest import WITHOUT_HEADSTART, WORDS, Command

pytestmark = pytest.mark.slow  # the first run of a base converts it

_OPEN_ELSEWHERE = (
    WITHOUT_HEADSTART
    + """
import keras, numpy as np
with np.load(sys.argv[2]) as golden:
    found = keras.models.load_model(sys.argv[1]).predict(golden["inputs"], verbose=0)
    print(float(abs(found - golden["probabilities"]).max()))
"""
)


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write(path: Path, header: list[str], rows: list[list[str]]) -> Path:
    with open(path, "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([header, *rows])
    return path


def _headstart(*arguments: object, stdin: str) -> subprocess.CompletedProcess[str]:
    command = [str(Path(sys.executable).with_name("headstart")), *map(str, arguments)]
    return subprocess.run(command, input=stdin, capture_output=True, text=True)


def test_a_table_of_texts_becomes_a_run_that_tells_them_apart(text_run: hs.Run) -> None:
    assert text_run.facts.base.handle == "embedded:glove-6b-50d"
    assert text_run.facts.base.modality == "text"
    assert text_run.metrics["accuracy"] > 0.8
    rows = _rows(text_run.folder / "predictions.csv")
    assert len({row["text"] for row in rows}) == len(rows) == 220
    assert rows[0]["file"].startswith("row ")
    answer = text_run.predict("The classifier was trained on measurements of flowers.")
    assert answer.predicted == "data"
    assert sum(answer.probabilities.values()) == pytest.approx(1, abs=1e-5)
    assert text_run.predict("The statement raises an exception when the name is not bound.").predicted == "python"


def test_plain_keras_opens_the_model_without_headstart(text_run: hs.Run) -> None:
    command = [sys.executable, "-c", _OPEN_ELSEWHERE, text_run.folder / "model.keras", text_run.folder / "golden.npz"]
    done = subprocess.run([str(part) for part in command], check=True, capture_output=True, text=True)
    assert float(done.stdout) < 1e-5


def test_words_that_no_training_text_has_still_count(text_run: hs.Run) -> None:
    texts = " ".join(row["text"].lower() for row in _rows(text_run.folder / "predictions.csv"))
    assert "giraffe" not in texts
    unknown, giraffe = text_run.predict(["qwxzqwxz", "giraffe"])
    assert giraffe.probability != unknown.probability


def test_what_was_seen_in_training_is_found_when_it_is_evaluated(text_run: hs.Run, sentences: Path) -> None:
    evaluation = hs.evaluate(text_run.folder, sentences, name="again")
    trained_on = sum(row["split"] in ("train", "val") for row in _rows(text_run.folder / "predictions.csv"))
    assert evaluation.figures.leak_free.removed == trained_on
    assert "texts" in (evaluation.folder / "report.html").read_text(encoding="utf-8")


def test_the_report_shows_the_texts_it_was_wrong_about(text_run: hs.Run) -> None:
    wrong = [
        row
        for row in _rows(text_run.folder / "predictions.csv")
        if row["split"] == text_run.figures.headline and row["label"] != row["predicted"]
    ]
    page = text_run.report().read_text(encoding="utf-8")
    assert wrong
    for row in wrong:
        words = [word for word in row["text"].split() if word.isalpha()]
        assert " ".join(words[:1]) in page
    assert "<blockquote" in page
    weights = json.loads((text_run.folder / "words.json").read_text(encoding="utf-8"))
    assert set(weights) <= {row["file"] for row in wrong}
    row = next(row for row in wrong if row["file"] in weights)
    assert "".join(word for word, _ in weights[row["file"]]) == row["text"]
    (word, weight), *_ = sorted(weights[row["file"]], key=lambda pair: -pair[1])
    word = word.strip()
    without = text_run.predict(" ".join(part for part in row["text"].split() if part != word))
    assert weight > 0
    assert without.probabilities[row["predicted"]] < float(row["probability"])
    assert f">{html.escape(word)}</mark>" in page
    assert "photo" not in page


def test_the_command_takes_texts_files_tables_and_lines(
    headstart_here: Command, text_run: hs.Run, sentences: Path, tmp_path: Path
) -> None:
    text = "The dataset has thirteen attributes of wines."
    (tmp_path / "one.txt").write_text(text, encoding="utf-8")
    table = _write(tmp_path / "new.csv", ["id", "text"], [["7", text], ["8", "Raised when an import fails."]])
    answers = [
        json.loads(done.stdout.splitlines()[0])
        for done in (
            headstart_here("predict", text_run.folder, "--text", text, "--json"),
            headstart_here("predict", text_run.folder, tmp_path / "one.txt", "--json"),
            headstart_here("predict", text_run.folder, table, "--json"),
            _headstart("predict", text_run.folder, "-", "--json", stdin=f"{text}\n\nsecond\n"),
        )
    ]
    assert len({answer["probability"] for answer in answers}) == 1
    assert [answer["file"] for answer in answers] == [text, str(tmp_path / "one.txt"), f"row 2 of {table}", text]
    empty = headstart_here("predict", text_run.folder, "--text", " ")
    assert empty.returncode == 2
    assert "it has no text" in empty.stderr
    mistyped = headstart_here("predict", text_run.folder, tmp_path / "ones.txt")
    assert mistyped.returncode == 2
    assert "no such file, folder or pattern" in mistyped.stderr
    assert "use --text" in mistyped.stderr
    nothing = headstart_here("explain", text_run.folder)
    assert nothing.returncode == 2
    assert "name a FILE, or use --text TEXT" in nothing.stderr


def test_text_files_in_class_folders(sentences: Path, tmp_path: Path) -> None:
    for number, row in enumerate(_rows(sentences)):
        folder = tmp_path / "books" / row["label"]
        folder.mkdir(parents=True, exist_ok=True)
        (folder / f"{number:03}.txt").write_text(row["text"], encoding="utf-8")
    (tmp_path / "books/data/latin.txt").write_bytes("Ein Satz über Bücher.".encode("latin-1"))
    (tmp_path / "books/data/empty.txt").write_text("\n")
    (tmp_path / "books/data/notes.pdf").write_bytes(b"%PDF")
    run = hs.train(tmp_path / "books", base=WORDS, fine_tune="none", runs=tmp_path / "runs")
    reasons = {row["file"]: row["reason"] for row in _rows(run.folder / "skipped.csv")}
    assert reasons == {
        "data/latin.txt": "it is not UTF-8: byte 0xfc at position 10; save it as UTF-8",
        "data/empty.txt": "it has no text",
        "data/notes.pdf": "its extension .pdf is that of a document: save its text as a .txt file",
    }
    assert {Path(row["file"]).suffix for row in _rows(run.folder / "predictions.csv")} == {".txt"}
    assert run.predict(tmp_path / "books/python/150.txt").predicted in run.classes
    with pytest.raises(InputError, match="is not UTF-8"):
        run.predict(tmp_path / "books/data/latin.txt")


def test_rows_that_cannot_be_used_are_named(sentences: Path, tmp_path: Path) -> None:
    table = tmp_path / "reviews.csv"
    shutil.copy(sentences, table)
    with open(table, "ab") as file:
        file.write("caf\xe9 and more of it,data\n,python\nNo label here,\n".encode("latin-1"))
    run = hs.train(table, base=WORDS, fine_tune="none", runs=tmp_path / "runs")
    reasons = {row["file"]: row["reason"] for row in _rows(run.folder / "skipped.csv")}
    assert reasons["row 222"] == "it is not UTF-8: byte 0xe9 at position 4; save it as UTF-8"
    assert reasons[f"row 223 of {table}"] == "has no text"
    assert reasons[f"row 224 of {table}"] == "has no label"


def test_several_columns_are_joined(sentences: Path, tmp_path: Path) -> None:
    rows = [[row["text"][:20], row["text"][20:], row["label"]] for row in _rows(sentences)]
    table = _write(tmp_path / "news.csv", ["title", "description", "stars"], rows)
    data = hs.load_dataset(table, text_column=["title", "description"], label_column="stars")
    assert data.texts
    assert data.texts[0] == f"{rows[0][0].strip()}\n{rows[0][1].strip()}"
    assert hs.load_dataset(table, label_column="stars").texts == data.texts  # found by their usual names
    with pytest.raises(InputError, match=r"no column 'titel' for the text: .* Did you mean 'title'\?"):
        hs.load_dataset(table, text_column="titel", label_column="stars")


def test_bases_and_data_of_different_kinds_are_refused(sentences: Path, photos: Path, tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"efficientnet-lite0 is a base for images, and .* holds texts. Choose another"
    ):
        hs.train(sentences, base="embedded:efficientnet-lite0", runs=tmp_path)
    with pytest.raises(InputError, match=r"glove-6b-50d is a base for texts, and .* holds images"):
        hs.train(photos, base="embedded:glove-6b-50d", runs=tmp_path)


@pytest.mark.parametrize("options", [{"resize": "pad"}, {"input_size": 64}])
def test_what_is_for_images_is_refused_for_texts(options: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=f"{next(iter(options))} applies to images only, and embedded:glove"):
        hs.load_base(WORDS, **options)


def test_a_damaged_tokenizer_is_noticed(text_run: hs.Run, tmp_path: Path) -> None:
    copy = Path(shutil.copytree(text_run.folder, tmp_path / "copy"))
    words = copy / "tokenizer/words.txt"
    words.unlink()
    with pytest.raises(IntegrityError, match="tokenizer"):
        hs.load(copy).predict("a text")
    shutil.copy(text_run.folder / "tokenizer/words.txt", words)
    lines = words.read_text(encoding="utf-8").splitlines()
    words.write_text("\n".join(lines[1:] + lines[:1]) + "\n", encoding="utf-8")
    with pytest.raises(IntegrityError, match=r"words\.txt: its SHA-256 is not the one"):
        hs.load(copy).predict("a text")


def test_the_embedding_can_be_fine_tuned(sentences: Path, tmp_path: Path) -> None:
    ways = hs.FineTuneConfig(fine_tune_epochs=2, keep="fine-tuned")
    run = hs.train(sentences, base=WORDS, fine_tune="all", config=ways, runs=tmp_path)
    assert run.facts.fine_tuning.outcome == "kept"
    assert run.facts.freeze_proof.trained == 1
    losses = [float(row["val_loss"]) for row in _rows(run.folder / "history.csv") if row["phase"] == "fine-tuning"]
    assert losses[-1] < losses[0]
    assert np.isfinite(losses).all()
    assert run.predict("The statement raises an exception.").predicted == "python"


def test_a_few_shots_go_the_whole_way(sentences: Path, tmp_path: Path) -> None:
    run = hs.train(sentences, base=WORDS, shots=20, runs=tmp_path)
    splits = run.facts.data.splits
    assert splits["train"].per_class == {"data": 20, "python": 20}
    assert "val" not in splits
    assert run.figures.headline == "test"
    assert run.facts.fine_tuning.outcome == "not tried"
    cost = run.facts.cost
    assert cost.examples_computed + cost.examples_from_cache == run.facts.data.examples < 220
    assert run.predict("The statement raises an exception.").predicted in run.classes
