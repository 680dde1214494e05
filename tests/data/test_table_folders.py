"""Folders whose examples are in tables, as Hugging Face's datasets and competitions lay them out."""

import io
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

from headstart.data.corrections import read_corrections
from headstart.data.dataset import load_dataset
from headstart.data.missing_files import check_files
from headstart.data.modalities import IMAGE
from headstart.errors import InputError
from tests.data.trees import make_tree


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def _image(colour: int) -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(out, "PNG")
    return out.getvalue()


def _write(table: Path, frame: pd.DataFrame) -> None:
    table.parent.mkdir(parents=True, exist_ok=True)
    frame.to_parquet(table) if table.suffix == ".parquet" else frame.to_csv(table, index=False)


def _texts(table: Path, labels: str = "abab") -> None:
    _write(table, pd.DataFrame({"text": [f"{table.stem} {i}" for i in range(len(labels))], "label": list(labels)}))


def test_shards_with_images_are_one_data_set_with_its_splits(tmp_path: Path) -> None:
    root = tmp_path / "set"
    for n, name in enumerate(("train-00000-of-00002", "train-00001-of-00002", "validation-00000-of-00001")):
        images = [{"bytes": _image(10 * n + i), "path": f"{i}.png"} for i in range(4)]
        _write(root / f"data/{name}.parquet", pd.DataFrame({"image": images, "label": list("abab")}))
    (root / "README.md").write_text("# A data set")
    dataset = load_dataset(root)
    assert (len(dataset), dataset.classes) == (12, ["a", "b"])
    assert dataset.given_splits == ["train"] * 8 + ["val"] * 4
    assert dataset.files[5] == "data/train-00001-of-00002.parquet#row=2"
    assert [example.read() for example in dataset.examples[4:8]] == [_image(10 + i) for i in range(4)]
    assert IMAGE.example_in(dataset.root, dataset.files[11]).read() == _image(23)
    check_files(dataset)
    (tmp_path / "fixes.csv").write_text(f"file,label\n{dataset.files[5]},a\n")
    assert read_corrections(tmp_path / "fixes.csv", dataset).labels[5] == 0


@pytest.mark.parametrize(
    ("files", "splits"),
    [
        (("default/train/0000.parquet", "default/test/0000.parquet"), {"test": 4, "train": 4}),
        (("train.csv", "dev.csv", "test.csv"), {"train": 4, "val": 4, "test": 4}),
        (("part-0.parquet", "part-1.parquet"), {}),
        (("en/train-0.parquet", "en/test-0.parquet"), {"train": 4, "test": 4}),
        (("train.parquet", "test.parquet", "train.csv"), {"train": 4, "test": 4}),
        (("only.csv",), {}),
    ],
)
def test_layouts_of_tables(tmp_path: Path, files: tuple[str, ...], splits: dict[str, int]) -> None:
    for file in files:
        _texts(tmp_path / "set" / file)
    dataset = load_dataset(tmp_path / "set")
    given_splits = dataset.given_splits or []
    assert {split: given_splits.count(split) for split in given_splits} == splits
    assert len(set(dataset.files)) == len(dataset) == (sum(splits.values()) or 4 * len(files))
    assert all("#row=" in file for file in dataset.files)


def test_tables_without_labels_are_named_and_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    _texts(tmp_path / "a/train.csv")
    (tmp_path / "a/test.csv").write_text("text\nx\n")
    (tmp_path / "a/sample_submission.csv").write_text("id,label\n1,a\n")
    assert len(load_dataset(tmp_path / "a")) == 4
    assert "sample_submission.csv is not used" in caplog.text
    assert "test.csv is not used. It has no column of labels." in caplog.text
    _texts(tmp_path / "b/train-0.parquet")
    _write(tmp_path / "b/test-0.parquet", pd.DataFrame({"text": ["x", "y"], "label": [None, None]}))
    _texts(tmp_path / "b/unsupervised-0.parquet")
    dataset = load_dataset(tmp_path / "b")
    assert set(dataset.given_splits or []) == {"train"}
    assert [(Path(item.file).name, item.reason) for item in dataset.skipped] == [
        ("test-0.parquet", "none of its 2 rows has a label")
    ]


def test_labels_of_all_tables_are_read_alike(tmp_path: Path) -> None:
    _write(tmp_path / "train.csv", pd.DataFrame({"text": list("wxyz"), "label": [1, 2, 1, 2]}))
    _write(tmp_path / "test.csv", pd.DataFrame({"text": list("xyz"), "label": [1.0, 2.0, None]}))
    assert load_dataset(tmp_path).classes == ["1", "2"]


def test_columns_may_be_named_for_a_folder_of_tables(tmp_path: Path) -> None:
    frame = pd.DataFrame({"words": ["a b", "c d"], "kind": list("xy"), "who": list("pq"), "part": ["train", "test"]})
    _write(tmp_path / "0.csv", frame)
    _write(tmp_path / "1.csv", frame)
    settings = {"text_column": "words", "label_column": "kind", "split_column": "part", "group_by": "who"}
    dataset = load_dataset(tmp_path, **settings, added=True)
    assert (dataset.classes, dataset.given_splits, dataset.groups) == (["x", "y"], ["train", "test"] * 2, list("pqpq"))


@pytest.mark.parametrize("layout", ["beside the images", "in split folders"])
def test_metadata_beside_images(tmp_path: Path, layout: str) -> None:
    folders = ["."] if layout == "beside the images" else ["train", "test"]
    for folder in folders:
        make_tree(tmp_path, *(f"{folder}/{i}.png" for i in range(4)))
        _write(tmp_path / folder / "metadata.csv", pd.DataFrame({"file_name": ["0.png", "3.png"], "label": list("ab")}))
    dataset = load_dataset(tmp_path)
    assert dataset.class_names == ["a", "b"] * len(folders)
    if layout == "in split folders":
        assert dataset.files == ["test/0.png", "test/3.png", "train/0.png", "train/3.png"]
        assert dataset.given_splits == ["test", "test", "train", "train"]
    check_files(dataset)


def test_metadata_without_labels_leave_class_folders_as_they_are(tmp_path: Path) -> None:
    make_tree(tmp_path, "cat/1.jpg", "dog/1.jpg")
    _write(tmp_path / "metadata.csv", pd.DataFrame({"file_name": ["cat/1.jpg"], "caption": ["x"]}))
    assert load_dataset(tmp_path).classes == ["cat", "dog"]


def test_several_sets_of_tables_are_named(tmp_path: Path) -> None:
    _texts(tmp_path / "en/train-0.parquet")
    _texts(tmp_path / "de/train-0.parquet")
    with pytest.raises(
        InputError, match=r"has several sets of tables: de, en\. Name one of these folders; or, if each"
    ):
        load_dataset(tmp_path)


def test_columns_in_the_names_of_folders_are_named(tmp_path: Path) -> None:
    """Hive's layout, as Spark and pyarrow write partitions: one folder alone would have one class."""
    frame = pd.DataFrame(
        {"text": list("abcd"), "label": ["pos", "neg"] * 2, "split": ["train", "train", "test", "test"]}
    )
    frame.to_parquet(tmp_path / "t", partition_cols=["split", "label"])
    with pytest.raises(
        InputError, match=r"A name such as label=neg is the value neg in a column label, which .* Write"
    ):
        load_dataset(tmp_path / "t")
    pd.read_parquet(tmp_path / "t").to_csv(tmp_path / "t.csv", index=False)  # as the message says
    assert sorted(load_dataset(tmp_path / "t.csv").class_names) == ["neg", "neg", "pos", "pos"]


def test_split_folders_without_class_folders_are_no_classes(tmp_path: Path) -> None:
    """As in competitions, whose labels are in a table or in the names of the files."""
    make_tree(tmp_path, "train/cat.0.jpg", "train/dog.0.jpg", "test/1.jpg")
    with pytest.raises(InputError, match=r"split folders test, train without class folders .* not known: expected"):
        load_dataset(tmp_path)
    (tmp_path / "labels.csv").write_text("path,label\ntrain/cat.0.jpg,cat\ntrain/dog.0.jpg,dog\n")
    with pytest.raises(InputError, match=r"Did you mean the table .*labels\.csv\?"):
        load_dataset(tmp_path)
    make_tree(tmp_path / "one", "images/1.jpg", "images/2.jpg", "labels.csv")
    with pytest.raises(InputError, match=r"one class only \('images', .*Did you mean the table .*labels\.csv\?"):
        load_dataset(tmp_path / "one")


def test_a_table_of_texts_that_names_images_has_a_hint(tmp_path: Path) -> None:
    lines = [f"{i}.jpg,a small dog {i},{'ab'[i % 2]}" for i in range(4)]
    (tmp_path / "t.csv").write_text("\n".join(["image,remark,label", *lines]))
    with pytest.raises(InputError, match=r"none of 4 files is there.*in the column 'remark', set text_column='remark'"):
        check_files(load_dataset(tmp_path / "t.csv"))
