import json
from pathlib import Path

import pandas as pd
import pytest

from headstart.data.dataset import load_dataset
from headstart.data.examples import FileExample
from headstart.data.modalities import IMAGE
from headstart.errors import InputError
from tests.data.trees import make_tree


def _examples(data: object, **options: object) -> list[tuple[str, str]]:
    dataset = load_dataset(data, **options)
    return sorted((Path(file).as_posix(), name) for file, name in zip(dataset.files, dataset.class_names, strict=True))


def test_class_folders(tmp_path: Path) -> None:
    root = make_tree(
        tmp_path, "dog/1.jpg", "dog/deep/er/2.PNG", "cat/1.webp", "cat/.hidden.jpg", ".git/x.jpg", "cat/Thumbs.db"
    )
    assert _examples(root) == [("cat/1.webp", "cat"), ("dog/1.jpg", "dog"), ("dog/deep/er/2.PNG", "dog")]
    dataset = load_dataset(root)
    assert dataset.classes == ["cat", "dog"]
    assert dataset.examples[0] == FileExample(str(root / dataset.files[0]))
    assert dataset.given_splits is None
    assert dataset.skipped == []


def test_what_is_no_example_is_listed(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/1.jpg", "a/notes.txt", "a/README", "b/1.jpg", "stray.jpg")
    (root / "empty").mkdir()
    reasons = {item.file: item.reason for item in load_dataset(root).skipped}
    assert reasons == {
        "a/notes.txt": "its extension .txt is not that of an image",
        "a/README": "it has no extension",
        "stray.jpg": "lies outside the class folders",
        "empty/": "an empty class folder",
    }


def test_numbers_as_class_names_are_in_their_order(tmp_path: Path) -> None:
    assert load_dataset(make_tree(tmp_path, "10/a.jpg", "9/a.jpg", "-1/a.jpg")).classes == ["-1", "9", "10"]


def test_split_folders_under_their_many_names(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "Train/a/1.jpg", "Train/b/1.jpg", "valid/a/2.jpg", "testing/b/3.jpg")
    dataset = load_dataset(root)
    assert dict(zip(dataset.files, dataset.given_splits, strict=True)) == {
        "Train/a/1.jpg": "train", "Train/b/1.jpg": "train", "valid/a/2.jpg": "val", "testing/b/3.jpg": "test",
    }  # fmt: skip


def test_a_class_called_train_is_a_class(tmp_path: Path) -> None:
    assert load_dataset(make_tree(tmp_path, "train/1.jpg", "bus/1.jpg")).classes == ["bus", "train"]


@pytest.mark.parametrize(
    ("files", "message"),
    [
        (["train/a/1.jpg", "train/b/1.jpg", "more/1.jpg"], r"split folders \(train\) and others \(more\)"),
        (["val/a/1.jpg", "test/b/1.jpg"], "none to train on"),
        (["a/1.jpg", "a/2.jpg"], r"one class only \('a', 2 examples\)"),
        (["1.jpg", "2.jpg"], "no labelled examples.* such as 1.jpg"),
        (["a/1.pdf"], "no labelled examples"),
        ([], "no labelled examples"),
    ],
)
def test_folders_that_cannot_be_used(tmp_path: Path, files: list[str], message: str) -> None:
    with pytest.raises(InputError, match=message):
        load_dataset(make_tree(tmp_path, *files))


def test_what_does_not_exist(tmp_path: Path) -> None:
    make_tree(tmp_path, "photos/a/1.jpg")
    with pytest.raises(InputError, match=r"no such file or folder: .*fotos.* Did you mean 'photos'"):
        load_dataset(tmp_path / "fotos")
    (tmp_path / "data.xyz").write_text("?")
    with pytest.raises(InputError, match=r"cannot read .*data\.xyz as data: expected a folder"):
        load_dataset(tmp_path / "data.xyz")


TABLES = {
    "plain.csv": "path,label\n1.jpg,cat\nsub/2.jpg,dog\n",
    "bare.csv": "1.jpg,cat\nsub/2.jpg,dog\n",
    "semicolons.csv": "Label;File\ncat;1.jpg\ndog;sub/2.jpg\n",
    "marked.csv": "\ufefffilename,class\n1.jpg,cat\nsub/2.jpg,dog\n",
    "tabs.tsv": "image\tcategory\n1.jpg\tcat\nsub/2.jpg\tdog\n",
    "lines.jsonl": '{"path": "1.jpg", "label": "cat"}\n\n{"label": "dog", "path": "sub/2.jpg"}\n',
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(TABLES[name], encoding="utf-8")
    assert _examples(tmp_path / name) == [("1.jpg", "cat"), ("sub/2.jpg", "dog")]
    assert load_dataset(tmp_path / name).examples[0] == FileExample(str(tmp_path / "1.jpg"))


def test_parquet_and_data_frames(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frame = pd.DataFrame({"path": ["1.jpg", "2.jpg", None, "4.jpg"], "label": [3.0, 10.0, 3.0, float("nan")]})
    frame.to_parquet(tmp_path / "table.parquet")
    monkeypatch.chdir(tmp_path)
    for data in (tmp_path / "table.parquet", frame):
        dataset = load_dataset(data)
        assert dataset.classes == ["3", "10"]
        assert dataset.examples[1] == FileExample(str(tmp_path / "2.jpg"))
        assert [item.reason.rpartition("has ")[2] for item in dataset.skipped] == ["no path", "no label"]


def test_columns_by_name_and_splits(tmp_path: Path) -> None:
    table = tmp_path / "table.csv"
    table.write_text("where,what,part,who\n1.jpg,a,training,p1\n2.jpg,b,training,p2\n3.jpg,a,test,p1\n")
    columns = {"path_column": "where", "label_column": "what", "split_column": "part"}
    dataset = load_dataset(table, **columns, group_by="who")
    assert dataset.given_splits == ["train", "train", "test"]
    assert dataset.groups == ["p1", "p2", "p1"]
    with pytest.raises(InputError, match=r"no column 'waht'.*'where', 'what', 'part', 'who'.* Did you mean 'what'"):
        load_dataset(table, **{**columns, "label_column": "waht"})
    with pytest.raises(InputError, match=r"which column of .* holds the examples.*Set text_column .* path_column"):
        load_dataset(table)
    table.write_text("path,label,split\n1.jpg,a,train\n2.jpg,b,fold 3\n")
    with pytest.raises(InputError, match=r"row 3 of .* has the split 'fold 3'"):
        load_dataset(table)


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("t.csv", b"", "is empty"),
        ("t.jsonl", b'{"path": 1}\n[2]\n', "line 2 of .* is not a JSON object"),
        ("t.jsonl", b"{path}\n", "line 1 of .* is not JSON"),
        ("t.parquet", b"nothing", "cannot read the table"),
    ],
)
def test_tables_that_cannot_be_read(tmp_path: Path, name: str, content: bytes, message: str) -> None:
    (tmp_path / name).write_bytes(content)
    with pytest.raises(InputError, match=message):
        load_dataset(tmp_path / name)


def test_some_classes_only(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/1.jpg", "b/1.jpg", "c/1.jpg")
    assert load_dataset(root, classes=["c", "a"]).classes == ["c", "a"]
    assert _examples(root, classes=["c", "a"]) == [("a/1.jpg", "a"), ("c/1.jpg", "c")]


def test_groups_of_folders(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/p1/1.jpg", "a/p2/1.jpg", "b/p1/2.jpg")
    assert load_dataset(root, group_by="folder").groups == ["a/p1", "a/p2", "b/p1"]
    assert load_dataset(root, group_by=r"(p\d)/").groups == ["p1", "p2", "p1"]
    assert load_dataset(root, group_by=r"\d\.jpg").groups == ["1.jpg", "1.jpg", "2.jpg"]
    with pytest.raises(InputError, match=r"'p1' does not match the file name 'a/p2/1\.jpg'"):
        load_dataset(root, group_by="p1")
    with pytest.raises(InputError, match=r"group_by: expected 'folder' or a regular expression, got '\('"):
        load_dataset(root, group_by="(")


def test_list_images(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "b.jpg", "a.jpg", "sub/c.png", "sub/notes.txt", "none/x.txt")

    def names(*given: Path) -> list[str]:
        return [Path(found.name).relative_to(root).as_posix() for found in IMAGE.list_examples(given)]

    assert names(root) == ["a.jpg", "b.jpg", "sub/c.png"]
    assert names(root / "b.jpg", root / "*.jpg") == ["b.jpg", "a.jpg", "b.jpg"]
    assert names(root / "**" / "*.png") == ["sub/c.png"]
    for bad in ("missing.jpg", "*.gif"):
        with pytest.raises(InputError, match="no such file, folder or pattern"):
            IMAGE.list_examples([root / bad])
    with pytest.raises(InputError, match="none holds no images"):
        IMAGE.list_examples([root / "none"])


def test_rows_of_json_lines_may_differ(tmp_path: Path) -> None:
    rows = [{"path": "1.jpg", "label": "a"}, {"label": "b", "extra": 1, "path": "2.jpg"}, {"path": "3.jpg"}]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    dataset = load_dataset(tmp_path / "t.jsonl")
    assert dataset.files == ["1.jpg", "2.jpg"]
    assert dataset.skipped[0].file == "3.jpg"
