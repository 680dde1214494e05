import os
import sys
from pathlib import Path

import pytest

from headstart.data.dataset import Dataset, load_dataset
from headstart.data.modalities import IMAGE
from headstart.data.split_names import is_unlabelled, split_of, splits_of
from headstart.errors import InputError
from tests.data.trees import make_tree


def _splits(dataset: Dataset) -> dict[str, str]:
    return dict(zip(dataset.files, dataset.given_splits or [], strict=True))


@pytest.mark.parametrize(
    ("names", "split"),
    [
        ("train Training training_set TrainSet seg_train train_data trainImages train-images train2017 TRN", "train"),
        ("val valid VALIDATION validation_set val_data dev eval Dev_Set valid-images", "val"),
        ("test Testing test_set seg_test testset test1 holdout hold-out held_out Hold Out Test Images", "test"),
        ("bullet_train test_tube trains contest latest invalid protest a 1 train_test dog", ""),
    ],
)
def test_names_of_splits(names: str, split: str) -> None:
    names = names.replace("Hold Out", "Hold~Out").replace("Test Images", "Test~Images")
    assert {split_of(name.replace("~", " ")) for name in names.split()} == {split}


def test_other_words_in_names_of_splits_are_fine_where_they_agree() -> None:
    names = ["asl_train", "asl_test", "bullet_train", "bus", "seg_pred"]
    assert splits_of(names) == {"asl_train": "train", "asl_test": "test"}
    assert [name for name in names if is_unlabelled(name)] == ["seg_pred"]


@pytest.mark.parametrize(
    "names",
    [
        ("training_set", "validation_set", "test_set"),
        ("seg_train", "seg_val", "seg_test"),
        ("train_data", "val_data", "test_data"),
        ("training", "dev", "testing"),
        ("Train", "Valid", "Holdout"),
        ("xray_train", "xray_val", "xray_test"),
    ],
)
def test_split_folders_under_many_names(tmp_path: Path, names: tuple[str, str, str]) -> None:
    root = make_tree(tmp_path, *(f"{name}/{animal}/1.jpg" for name in names for animal in ("cat", "dog")))
    dataset = load_dataset(root)
    assert dataset.classes == ["cat", "dog"]
    assert _splits(dataset) == {
        f"{name}/{animal}/1.jpg": split
        for name, split in zip(names, ("train", "val", "test"), strict=True)
        for animal in ("cat", "dog")
    }


def test_split_folders_may_be_wrapped(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "seg_train/seg_train/a/1.jpg", "seg_train/seg_train/b/1.jpg", "seg_test/images/a/2.jpg")
    assert set(_splits(load_dataset(root)).values()) == {"train", "test"}
    assert load_dataset(root).classes == ["a", "b"]


@pytest.mark.parametrize(
    "held_out", ["test/9.jpg", "test/unknown/9.jpg", "seg_pred/9.jpg", "test/test/9.jpg", "unlabeled/9.jpg"]
)
def test_a_folder_without_labels_is_for_predicting(
    tmp_path: Path, held_out: str, caplog: pytest.LogCaptureFixture
) -> None:
    dataset = load_dataset(make_tree(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", held_out))
    assert _splits(dataset) == {"train/cat/1.jpg": "train", "train/dog/1.jpg": "train"}
    assert f"{held_out.split('/')[0]}" in caplog.text
    assert "has no class folders: 1 image without labels, neither trained nor evaluated on" in caplog.text


def test_reviews_without_labels_beside_those_to_train_on_are_no_class(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """As in the reviews of IMDb. A class of such a name is in the held-out folder, too."""
    names = ["train/neg/1.txt", "train/pos/1.txt", "train/unsup/1.txt", "test/neg/1.txt", "test/pos/1.txt"]
    assert load_dataset(make_tree(tmp_path / "imdb", *names)).classes == ["neg", "pos"]
    assert f"train{os.sep}unsup has no class folders: 1 text without labels" in caplog.text
    words = make_tree(tmp_path / "words", *(f"{split}/{c}/1.jpg" for split in ("train", "test") for c in "abc"))
    make_tree(words, "train/unlabelled/1.jpg", "test/unlabelled/1.jpg")
    assert load_dataset(words).classes == ["a", "b", "c", "unlabelled"]


def test_a_class_with_the_name_of_a_split_is_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    assert len(load_dataset(make_tree(tmp_path / "a", "cat/1.jpg", "dog/1.jpg", "test_data/1.jpg")).classes) == 3
    assert "test_data is read as a class, like cat, dog. If its images are for testing" in caplog.text
    caplog.clear()
    load_dataset(make_tree(tmp_path / "b", "control/1.jpg", "test/1.jpg"))
    assert not caplog.records


def test_a_folder_without_images_beside_split_folders_is_no_class(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "test/cat/2.jpg", "annotations/1.xml")
    dataset = load_dataset(root)
    assert dataset.classes == ["cat", "dog"]
    assert [item.file for item in dataset.skipped] == [f"annotations{os.sep}"]


def test_classes_named_like_splits_are_classes(tmp_path: Path) -> None:
    assert load_dataset(make_tree(tmp_path, "valid/a/1.jpg", "invalid/b/1.jpg")).classes == ["invalid", "valid"]


def test_split_folders_in_each_class_folder(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "cat/train/1.jpg", "cat/test/2.jpg", "dog/train/1.jpg", "dog/test/x/2.jpg")
    assert sorted(_splits(load_dataset(root)).values()) == ["test", "test", "train", "train"]
    plain = make_tree(tmp_path / "plain", "cat/old/1.jpg", "dog/new/1.jpg")
    assert load_dataset(plain).given_splits is None


def test_folders_that_look_like_splits_are_named(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_tree(tmp_path, "part1/cat/1.jpg", "part1/dog/1.jpg", "part2/cat/2.jpg", "part2/dog/2.jpg")
    assert load_dataset(root).classes == ["part1", "part2"]
    assert "part1, part2 are read as classes, but all of them have the same folders in them (cat, dog)" in caplog.text
    caplog.clear()
    load_dataset(make_tree(tmp_path / "fine", "cat/a/1.jpg", "cat/2.jpg", "dog/a/1.jpg", "dog/2.jpg"))
    assert not caplog.records


def test_a_class_that_only_val_has_is_named(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "train/cat/1.jpg", "train/dog/1.jpg", "val/cat/2.jpg", "val/bird/3.jpg")
    with pytest.raises(
        InputError, match=r"no examples to train on of 'bird' \(in val\): expected every class in train"
    ):
        load_dataset(root)
    assert load_dataset(root, classes=["cat", "dog"]).classes == ["cat", "dog"]
    table = tmp_path / "table.csv"
    table.write_text("path,label,split\n1.jpg,cat,Train\n2.jpg,dog,train\n3.jpg,Dog,test set\n")
    with pytest.raises(InputError, match=r"of 'Dog' \(in test\).* Did you mean 'dog'"):
        load_dataset(table)


def test_the_folder_above_the_classes_is_recognised(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "photos/cat/1.jpg", "photos/dog/1.jpg")
    with pytest.raises(InputError, match=r"one class only \('photos', .* Did you mean .*photos, which has .*cat, dog"):
        load_dataset(root)


@pytest.fixture
def linked(tmp_path: Path) -> Path:
    """A data set whose folders and files are partly links, some of them in a circle."""
    away = make_tree(tmp_path / "away", "cat/1.jpg", "cat/deep/2.jpg", "more/3.jpg", "5.jpg")
    root = make_tree(tmp_path / "data", "dog/4.jpg")
    (root / "cat").symlink_to(away / "cat", target_is_directory=True)
    (root / "dog" / "more").symlink_to(away / "more", target_is_directory=True)
    (root / "dog" / "5.jpg").symlink_to(away / "5.jpg")
    (root / "dog" / "up").symlink_to(root, target_is_directory=True)
    (root / "dog" / "more again").symlink_to(away / "more", target_is_directory=True)
    (root / "dog" / "self.png").symlink_to("self.png")
    (root / "parent").symlink_to(tmp_path, target_is_directory=True)
    (root / "gone").symlink_to(tmp_path / "nowhere", target_is_directory=True)
    return root


def test_links_are_followed_and_circles_named(linked: Path) -> None:
    dataset = load_dataset(linked)
    assert sorted(dataset.files) == [
        "cat/1.jpg", "cat/deep/2.jpg", "dog/4.jpg", "dog/5.jpg", "dog/more/3.jpg", "dog/self.png",
    ]  # fmt: skip
    assert {item.file: item.reason for item in dataset.skipped} == {
        "dog/up": "a symbolic link to a folder that it lies in: not followed",
        "dog/more again": "a symbolic link to a folder that is read already: not followed",
        "parent": "a symbolic link to a folder that it lies in: not followed",
        "gone": "a symbolic link to nothing",
    }


def test_prediction_follows_links(linked: Path, caplog: pytest.LogCaptureFixture) -> None:
    names = [Path(example.name).relative_to(linked).as_posix() for example in IMAGE.list_examples([linked / "dog"])]
    assert names == ["dog/4.jpg", "dog/5.jpg", "dog/self.png", "dog/more/3.jpg"]
    assert "up is not read: a symbolic link to a folder that it lies in" in caplog.text


def test_split_folders_may_be_links(tmp_path: Path) -> None:
    away = make_tree(tmp_path / "away", "a/1.jpg", "b/1.jpg")
    root = make_tree(tmp_path / "data", "test/a/2.jpg")
    (root / "train").symlink_to(away, target_is_directory=True)
    assert sorted(_splits(load_dataset(root)).items()) == [
        ("test/a/2.jpg", "test"), ("train/a/1.jpg", "train"), ("train/b/1.jpg", "train"),
    ]  # fmt: skip


def test_on_the_page_links_that_lead_elsewhere_are_not_followed(linked: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_ROOT", str(linked))
    dataset = load_dataset(linked, added=True)
    assert "dog/more/3.jpg" not in dataset.files
    reasons = {item.file: item.reason for item in dataset.skipped}
    assert "only files inside it may be read" in reasons["dog/more"]


def test_what_is_no_file_is_named(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/1.jpg", "b/1.jpg")
    os.mkfifo(root / "a" / "pipe.jpg")
    assert [(item.file, item.reason) for item in load_dataset(root).skipped] == [
        ("a/pipe.jpg", "neither a file nor a folder")
    ]


def test_files_that_are_no_examples_are_named_by_what_they_are(tmp_path: Path) -> None:
    root = make_tree(tmp_path, "a/1.jpg", "b/1.jpg", "a/2.HEIC", "a/3.pdf", "a/README")
    (root / "a/loop").symlink_to("loop")
    (root / "a/gone").symlink_to("nowhere")
    (root / "link").symlink_to("link")
    reasons = {item.file: item.reason for item in load_dataset(root).skipped}
    assert reasons == {
        "a/2.HEIC": "its extension .HEIC is that of an image in a format that is not read: convert it to JPEG or PNG",
        "a/3.pdf": "its extension .pdf is not that of an image",
        "a/README": "it has no extension",
        "a/gone": "a symbolic link to nothing",
        "a/loop": "a symbolic link that leads to itself",
        "link": "a symbolic link that leads to itself",
    }
    only = make_tree(tmp_path / "only", "a/1.heic", "b/1.heic")
    with pytest.raises(InputError, match=r"a/1\.heic \(its extension \.heic is that of an image in a format"):
        load_dataset(only)


def test_an_empty_held_out_folder_is_named_as_empty(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    root = make_tree(tmp_path, "train/a/1.jpg", "train/b/1.jpg")
    (root / "test").mkdir()
    assert load_dataset(root).skipped == [("test/", "it holds no images")]
    assert "without labels" not in caplog.text


@pytest.mark.skipif(sys.platform != "linux", reason="other systems have no such names")
def test_a_class_folder_whose_name_is_not_utf8_is_named(tmp_path: Path) -> None:
    make_tree(tmp_path, "cat/1.jpg", "dog/1.jpg")
    os.rename(tmp_path / "dog", os.fsencode(tmp_path) + b"/caf\xe9")
    with pytest.raises(InputError, match=r"the name of the class folder .* is not UTF-8: rename it"):
        load_dataset(tmp_path)
