import csv
import random
from pathlib import Path

import pytest

from headstart.data.audit.cleaning import write_manifest
from headstart.data.corrections import read_corrections
from headstart.data.dataset import Dataset, load_dataset
from headstart.data.examples import UnusableExample
from headstart.data.modalities import TEXT
from headstart.errors import InputError

WORDS = ("the", "quick", "fox", "was", "not", "over", "lazy", "dogs", "and", "it", "came", "back", "again", "to", "us")


def _texts(n: int, seed: int = 0) -> list[tuple[str, str]]:
    draw = random.Random(seed)
    return [(" ".join(draw.choices(WORDS, k=8)) + f" {i}", ("good", "bad")[i % 2]) for i in range(n)]


def _load(tmp_path: Path, name: str, lines: list[str]) -> Dataset:
    (tmp_path / name).write_text("\n".join(lines) + "\n", encoding="utf-8", newline="")
    return load_dataset(tmp_path / name)


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("ending", ["", '"'], ids=["at the start", "also one at an end"])
def test_a_double_quote_that_is_not_closed_swallows_no_rows(
    tmp_path: Path, seed: int, ending: str, caplog: pytest.LogCaptureFixture
) -> None:
    rows = _texts(400, seed)
    for i in random.Random(seed).sample(range(400), 8):
        rows[i] = (f'"{rows[i][0]}', rows[i][1])
    rows[399] = (rows[399][0] + ending, rows[399][1])
    dataset = _load(tmp_path, "t.tsv", ["text\tlabel", *map("\t".join, rows)])
    assert dataset.texts == [text for text, _ in rows]
    assert dataset.class_counts == {"bad": 200, "good": 200}
    assert "8 rows (" in caplog.text
    assert "with a double quote that is not closed" in caplog.text


def test_a_pair_of_lone_quotes_in_different_rows_is_no_cell(tmp_path: Path) -> None:
    rows = [*_texts(50), ('"an opening one', "good"), *_texts(5), ('a closing one"', "bad"), *_texts(50)]
    dataset = _load(tmp_path, "t.tsv", ["text\tlabel", *map("\t".join, rows)])
    assert dataset.texts == [text for text, _ in rows]


def test_quoted_texts_of_several_lines_stay_one(tmp_path: Path) -> None:
    texts = [(f'first, {i}\nsecond "line"\n\nlast', label) for i, (_, label) in enumerate(_texts(60))]
    with open(tmp_path / "t.csv", "w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *texts])
    assert load_dataset(tmp_path / "t.csv").texts == [text for text, _ in texts]
    with open(tmp_path / "t.csv", "a", encoding="utf-8") as file:  # beside one that is not closed
        file.write('"alone,good\nplain,bad\n')
    assert load_dataset(tmp_path / "t.csv").texts == [*(text for text, _ in texts), '"alone', "plain"]


def test_quotes_escaped_by_a_backslash(tmp_path: Path) -> None:
    rows = [(f'He said \\"{text}, no\\"', label) for text, label in _texts(40)]
    lines = ["text,label", *(f'"{text}",{label}' for text, label in rows), r"C:\new\table,bad"]
    dataset = _load(tmp_path, "t.csv", lines)
    assert dataset.texts == [*(text.replace("\\", "") for text, _ in rows), r"C:\new\table"]
    assert dataset.classes == ["bad", "good"]


def test_spaces_after_the_delimiter(tmp_path: Path) -> None:
    lines = ["label, text", *(f'{label}, "{text}, yes"' for text, label in _texts(20))]
    dataset = _load(tmp_path, "t.csv", lines)
    assert dataset.texts == [f"{text}, yes" for text, _ in _texts(20)]


def test_a_few_rows_with_too_many_cells_are_named(tmp_path: Path) -> None:
    rows = _texts(100)
    rows[10], rows[20] = ("one, two", "good"), ("three, four, five", "bad")
    dataset = _load(tmp_path, "t.csv", ["text,label", *map(",".join, rows)])
    assert len(dataset) == 98
    assert dataset.classes == ["bad", "good"]
    assert [f"{item.file.split(' of ')[0]} {item.reason}" for item in dataset.skipped] == [
        "row 12 has 3 cells, and the header has 2", "row 22 has 4 cells, and the header has 2",
    ]  # fmt: skip


@pytest.mark.parametrize("n", [8, 200])
def test_many_rows_with_too_many_cells_are_an_error(tmp_path: Path, n: int) -> None:
    rows = [
        (f"{text}, and so on" if i % 8 == 3 or n < 10 else text, label) for i, (text, label) in enumerate(_texts(n))
    ]
    message = r"t\.csv: \d+ rows \(.*\) of \d+ rows with more cells than the header, which has 2.*enclosed in double"
    with pytest.raises(InputError, match=message):
        _load(tmp_path, "t.csv", ["text,label", *map(",".join, rows)])


def test_missing_and_empty_cells_at_the_end_are_fine(tmp_path: Path) -> None:
    dataset = _load(tmp_path, "t.csv", ["path,label,note", "1.jpg,a", "2.jpg,b,new,,", "3.jpg,a,"])
    assert dataset.files == ["1.jpg", "2.jpg", "3.jpg"]
    assert not dataset.skipped


@pytest.mark.parametrize(
    "lines",
    [
        ["sep=;", "text;label", "one, two;good", "three;bad"],
        ['"text, as written";label', "one, two;good", "three;bad"],
        ["text\tlabel, short", "one, two, four\tgood", "three\tbad"],
        ["label|text", "good|one, two", "bad|three"],
    ],
    ids=["marked by Excel", "comma in the header", "comma in a TSV", "bars"],
)
def test_delimiters(tmp_path: Path, lines: list[str]) -> None:
    (tmp_path / "t.csv").write_text("\n".join(lines))
    dataset = load_dataset(
        tmp_path / "t.csv",
        text_column="text, as written" if "written" in lines[0] else None,
        label_column="label, short" if "short" in lines[0] else None,
    )
    assert dataset.texts[0].startswith("one, two")
    assert dataset.classes == ["bad", "good"]


def test_reading_stays_fast(tmp_path: Path) -> None:
    rows = _texts(60_000)
    (tmp_path / "t.tsv").write_text("\n".join(["text\tlabel", *map("\t".join, rows[:-1]), '"' + "\t".join(rows[-1])]))
    assert len(load_dataset(tmp_path / "t.tsv")) == 60_000


@pytest.mark.parametrize("separator", [",", "\t", ";"])
@pytest.mark.parametrize("again", ["text{}label", "Text{}LABEL", "\ufefftext{}label"], ids=["same", "case", "BOM"])
def test_the_header_of_a_joined_file_is_no_row(tmp_path: Path, again: str, separator: str) -> None:
    lines = [separator.join(row) for row in _texts(40)]
    header = f"text{separator}label"
    dataset = _load(tmp_path, "t.csv", [header, *lines[:20], again.format(separator), *lines[20:], header])
    assert dataset.texts == [text for text, _ in _texts(40)]
    assert dataset.classes == ["bad", "good"]
    assert [f"{item.file.split(' of ')[0]} {item.reason}" for item in dataset.skipped] == [
        "row 22 repeats the header", "row 43 repeats the header"
    ]  # fmt: skip
    listed = TEXT.list_examples([tmp_path / "t.csv"])
    assert [example.text for example in listed if not isinstance(example, UnusableExample)] == dataset.texts
    assert len(listed) == 42


def test_a_joined_file_with_other_columns_is_refused(tmp_path: Path) -> None:
    rows = _texts(10)
    lines = ["text,label", *map(",".join, rows[:5]), "label,text", *(f"{label},{text}" for text, label in rows[5:])]
    with pytest.raises(
        InputError, match=r"row 7 of .*t\.csv has the names of the columns in another order.*'label', 'text'"
    ):
        _load(tmp_path, "t.csv", lines)
    more = ["text,label", *map(",".join, rows[:5]), "text,label,x", *(f"{text},{label},1" for text, label in rows[5:])]
    with pytest.raises(InputError, match=r"6 rows .* with more cells than the header"):
        _load(tmp_path, "t.csv", more)


def test_values_that_are_names_of_columns_are_rows(tmp_path: Path) -> None:
    dataset = _load(tmp_path, "t.csv", ["text,label", "text,good", "label,bad", "label,text label", '"text","good"'])
    assert len(dataset) == 4
    (tmp_path / "p.csv").write_text("1.jpg,cat\n2.jpg,dog\n1.jpg,cat\n")  # without a header
    assert load_dataset(tmp_path / "p.csv").files == ["1.jpg", "2.jpg", "1.jpg"]


def test_lines_that_programs_add_are_no_rows(tmp_path: Path) -> None:
    dataset = _load(tmp_path, "psql.csv", ["text,label", "----,-----", "x,a", "- -,b", "(2 rows)"])
    assert (dataset.texts, dataset.classes) == (["x", "- -"], ["a", "b"])
    assert [f"{item.file.split(' of ')[0]} {item.reason}" for item in dataset.skipped] == [
        "row 2 is a line below the header, without values", "row 5 has no label"
    ]  # fmt: skip
    above = ["# exported by a program", "", "#version 3", "text;label", "x;a", "#y;b"]
    dataset = _load(tmp_path, "above.csv", above)
    assert (dataset.texts, dataset.classes) == (["x", "#y"], ["a", "b"])
    assert load_dataset(tmp_path / "above.csv", added=True).files == ["row 5", "row 6"]
    assert _load(tmp_path, "hash.csv", ["#id,text,label", "1,x,a", "2,y,b"]).texts == ["x", "y"]


NULLS = ["\\N", "NULL", "null", "(null)", "<null>", "NaN", "nan", "<NA>", "NaT", "#N/A", ""]


@pytest.mark.parametrize("null", NULLS)
@pytest.mark.parametrize("escaped", [False, True], ids=["standard", "backslashes"])
def test_missing_values_without_quotes_are_no_classes_and_no_texts(tmp_path: Path, null: str, escaped: bool) -> None:
    rows = [(f'He said \\"{i}\\"' if escaped else f"He said {i}", ("good", "bad")[i % 2]) for i in range(20)]
    lines = [f'"{text}",{label}' for text, label in rows]
    dataset = _load(tmp_path, "t.csv", ["text,label", *lines, f'"no label",{null}', f"{null},good"])
    assert dataset.classes == ["bad", "good"]
    assert dataset.texts == [text.replace("\\", "") for text, _ in rows]
    remark = f": {null} is a missing value" if null else ""
    assert [item.reason for item in dataset.skipped] == [f"has no label{remark}", f"has no text{remark}"]


def test_missing_values_in_quotes_and_in_other_formats_are_text(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = _load(tmp_path, "t.csv", ["text,label", '"null","NULL"', '"nan",good', "NULL and void,NA", "none,None"])
    assert dataset.texts == ["null", "nan", "NULL and void", "none"]
    assert dataset.classes == ["NA", "NULL", "None", "good"]
    (tmp_path / "t.jsonl").write_text('{"text": "null", "label": "nan"}\n{"text": "x", "label": "good"}\n')
    assert load_dataset(tmp_path / "t.jsonl").classes == ["good", "nan"]
    for name in ("NULL", "NA", "None", "nan"):
        assert f"the label {name!r} of 1 example may stand for a missing value" in caplog.text


def test_missing_splits_groups_and_labels_in_columns_of_their_own(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,a,b,group\nx,1,NULL,g\ny,\\N,1,NULL\nz,0,1,\n")
    dataset = load_dataset(tmp_path / "t.csv", label_column=["a", "b"], group_by="group")
    assert dataset.labels.tolist() == [[1, 0], [0, 1], [0, 1]]
    assert dataset.groups == ["g", "", ""]


def test_corrections_and_cleaned_tables_may_name_a_class_like_a_missing_value(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x", "label": "null"}\n{"text": "nan", "label": "good"}\n')
    dataset = load_dataset(tmp_path / "t.jsonl")
    (tmp_path / "fixes.csv").write_text("file,label\nrow 2,null\nfile,label\n")
    fixed = read_corrections(tmp_path / "fixes.csv", dataset)
    assert fixed.labels.tolist() == [1, 1]
    assert fixed.kept_mask.all()
    write_manifest(tmp_path / "clean.csv", dataset, [0, 1])
    again = load_dataset(tmp_path / "clean.csv")
    assert (again.texts, again.class_names) == (["x", "nan"], ["null", "good"])
