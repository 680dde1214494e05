import hashlib
from pathlib import Path

import pytest

import headstart as hs
from headstart.data.corrections import read_corrections
from headstart.data.examples import FileExample
from headstart.data.modalities import get_modality
from headstart.errors import InputError
from headstart.tasks import get_task


@pytest.fixture
def data(tmp_path: Path) -> hs.Dataset:
    table = tmp_path / "texts.csv"
    table.write_text("text,label\nfine,good\nbad,poor\nhorrid,good\nlovely,good\nawful,poor\n")
    return hs.load_dataset(table)


def _read(data: hs.Dataset, folder: Path, text: str):
    table = folder / "fixes.csv"
    table.write_text(text)
    return read_corrections(table, data)


def test_labels_are_changed_and_examples_left_out(data: hs.Dataset, tmp_path: Path) -> None:
    digest = hashlib.sha256(b"horrid").hexdigest()
    fixes = f"split,file,label,sha256\ntrain,row 4,poor,{digest}\nval,row 2,drop,\ntrain,row 3,,\ntrain,row 5,good,\n"
    found = _read(data, tmp_path, fixes)
    assert [data.classes[label] for label in found.labels] == ["good", "poor", "poor", "good", "poor"]
    assert found.kept_mask.tolist() == [False, False, True, True, True]
    assert found.facts == {"from": str(tmp_path / "fixes.csv"), "changed": 1, "left_out": 2}
    assert (data.labels != found.labels).sum() == 1  # the data set itself is left as it was


def test_without_a_table_nothing_changes(data: hs.Dataset) -> None:
    found = read_corrections(None, data)
    assert found.kept_mask.all()
    assert (found.labels == data.labels).all()


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("file,label\nrow 9,poor\n", "names 'row 9'"),
        ("file,label\nrow 2,god\n", "has the label 'god'.*Did you mean 'good'"),
        ("file,verdict\nrow 2,good\n", "has no column 'label'"),
        ("file,label,sha256\nrow 2,poor,abc\n", "the content of row 2 has changed"),
    ],
)
def test_what_cannot_be_meant_is_named(data: hs.Dataset, tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        _read(data, tmp_path, text)


def test_a_table_that_is_not_there(data: hs.Dataset, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file"):
        read_corrections(tmp_path / "none.csv", data)


def test_of_several_labels_all_that_are_right_are_given(tmp_path: Path) -> None:
    table = tmp_path / "many.csv"
    table.write_text("text,label\na,x;y\nb,x\nc,y\nd,\n")
    many = hs.load_dataset(table, label_separator=";")
    found = _read(many, tmp_path, "file,label\nrow 2,x\nrow 3,\nrow 4,drop\nrow 5,y;x\n")
    assert found.labels[found.kept_mask].tolist() == [[1, 0], [0, 0], [1, 1]]
    assert found.kept_mask.tolist() == [True, True, False, True]
    assert found.facts == {"from": str(tmp_path / "fixes.csv"), "changed": 3, "left_out": 1}
    with pytest.raises(InputError, match="has the label 'z': expected one of the classes or several separated by ';'"):
        _read(many, tmp_path, "file,label\nrow 2,x;z\n")


def test_boxes_are_corrected_and_the_size_of_the_image_stays(tmp_path: Path) -> None:
    names, cells = ["a.jpg", "b.jpg", "c.jpg", "d.jpg"], ["640x480; cat 1 2 30 40", "64x48; dog 5 5 9 9", "9x9", "8x8"]
    task, classes = get_task("detection"), ["cat", "dog"]
    for name in names:
        (tmp_path / name).write_bytes(name.encode())
    dataset = hs.Dataset(
        str(tmp_path), tmp_path, names, classes, task.encode([*map(task.from_cell, cells)], classes), task,
        modality=get_modality("image"), examples=[FileExample(str(tmp_path / name)) for name in names],
    )  # fmt: skip
    fixes = "file,label\na.jpg,cat 1 2 30 44; dog 0 0 5 5.5\nb.jpg,\nc.jpg,drop\nd.jpg,8x8\n"
    found = _read(dataset, tmp_path, fixes)
    corrected = [task.to_cell(label, dataset.classes) for label in found.labels]
    assert corrected == ["640x480; cat 1 2 30 44; dog 0 0 5 5.5", "64x48", "9x9", "8x8"]
    assert found.kept_mask.tolist() == [True, True, False, True]
    assert found.facts == {"from": str(tmp_path / "fixes.csv"), "changed": 2, "left_out": 1}
    with pytest.raises(InputError, match=r"row 2 of .* has the label 'cat 1 2 3': expected a class and four edges"):
        _read(dataset, tmp_path, "file,label\na.jpg,cat 1 2 3\n")
    with pytest.raises(InputError, match=r"has the label 'cta': expected the size of the image .* Did you mean 'cat'"):
        _read(dataset, tmp_path, "file,label\na.jpg,cta 1 2 3 4\n")
