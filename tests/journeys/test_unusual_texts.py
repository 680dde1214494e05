"""A run on texts of unusual length whose class has an unusual name."""

import pytest
from click.testing import CliRunner

import headstart as hs
from headstart.cli.main import cli
from headstart.exporting.companions import card
from headstart.runs.tables import read_predictions
from tests.conftest import WORDS

NAME = "two\nlines"
LONG = "the cat sat on the mat " * 6100  # 140,300 characters; the limit of csv is 131,072


@pytest.fixture(scope="module")
def unusual(tmp_path_factory: pytest.TempPathFactory) -> hs.Run:
    root = tmp_path_factory.mktemp("unusual")
    for name, words in (("plain", "numbers and tables of data"), (NAME, "cats and dogs on a mat")):
        folder = root / "texts" / name
        folder.mkdir(parents=True)
        for i in range(12):
            (folder / f"{i}.txt").write_text(f"{words} {i}", encoding="utf-8")
    (root / "texts" / NAME / "long.txt").write_text(LONG, encoding="utf-8")
    return hs.train(root / "texts", base=WORDS, fine_tune="none", test=0, runs=root / "runs", progress=False)


def test_a_text_longer_than_cells_of_csv_may_be(unusual: hs.Run) -> None:
    assert any(len(row.text or "") == len(LONG) for row in read_predictions(unusual.folder, unusual.facts))
    assert unusual.predict(LONG).predicted == NAME


def test_a_class_name_with_a_line_break_is_one_line(unusual: hs.Run) -> None:
    assert unusual.classes == ["plain", NAME]
    assert card(unusual.facts)["labels"] == "plain\ntwo lines\n"
    told = CliRunner().invoke(cli, ["predict", str(unusual.folder), "--text", "cats and dogs", "--text", "a\nb"])
    assert told.exit_code == 0
    assert len(told.stdout.splitlines()) == 2
    assert told.stdout.startswith("two lines ")
