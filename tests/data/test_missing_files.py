from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
from PIL import Image

import headstart as hs
from headstart.data.dataset import load_dataset
from headstart.data.missing_files import check_files
from headstart.errors import InputError

NAMES = [f"{i}.jpg" for i in range(3)]


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """A folder ``sets`` with ``images/cats/0.jpg`` and more."""
    folder = tmp_path / "sets" / "images" / "cats"
    folder.mkdir(parents=True)
    for name in NAMES:
        Image.new("RGB", (8, 8)).save(folder / name)
        Image.new("RGB", (8, 8)).save(folder / f"id.{name}")
    Image.new("RGB", (8, 8)).save(tmp_path / "sets" / "0.x.jpg")
    return tmp_path / "sets"


def _table(folder: Path, name: Callable[[str], str]) -> Path:
    folder.mkdir(exist_ok=True)
    pd.DataFrame({"path": [name(file) for file in NAMES], "label": list("aba")}).to_csv(folder / "t.csv", index=False)
    return folder / "t.csv"


@pytest.mark.parametrize(
    ("where", "name", "message"),
    [
        (".", lambda file: f"cats/{file}", r"images/cats/0\.jpg is there: correct the paths, or move the table"),
        (".", lambda file: f"data/images/cats/{file}", r"sets/images/cats/0\.jpg is there"),
        ("lists", lambda file: f"images/cats/{file}", r"sets/images/cats/0\.jpg is there"),
        (".", lambda file: file, r"sets/images/cats/0\.jpg is there"),
        (".", lambda file: f"images\\cats\\{file}", r"It has backslashes, .*: write slashes\."),
        (".", lambda file: f"C:\\mine\\{file}", r"a path of a Windows machine\. .*cats/0\.jpg is there"),
        (".", lambda file: f"/kaggle/input/cats/{file}", r"kaggle/input/cats/0\.jpg\. .*cats/0\.jpg is there"),
        (".", lambda file: f"images/cats/{Path(file).stem}", r"no extension\. .*as 0\.jpg: .*cats/0\.jpg is there"),
        (".", lambda file: f"id{Path(file).stem}", r"no extension\. Write names of files, such as id0\.jpg\."),
        (".", lambda file: f"images/cats/{Path(file).stem}.png", r"Its extension differs: .*cats/0\.jpg is there"),
        (".", lambda file: Path(file).stem + ".x", r"as 0\.x\.jpg: .*0\.x\.jpg is there"),
        ("images", lambda file: f"id.{Path(file).stem}", r"cats/id\.0\.jpg is there: correct the paths"),
        (".", lambda file: f"images/cats/{file.upper()}", r"Upper and lower case differ: .*cats/0\.jpg is there"),
        (".", lambda file: f"www.example.org/{file}", r"looks like a web address: write it with https://"),
    ],
    ids=[
        "one level down", "one level up", "beside", "elsewhere", "backslashes", "drive", "other machine",
        "no extension", "ids", "other extension", "dot in id", "dot in id, elsewhere", "case", "web",
    ],
)  # fmt: skip
def test_no_file_is_there(images: Path, where: str, name: Callable[[str], str], message: str) -> None:
    table = _table(images / where, name)
    with pytest.raises(InputError, match=r"none of 3 files is there\. The first, .* was looked for as /.*" + message):
        check_files(load_dataset(table))


@pytest.mark.parametrize("verb", [hs.train, hs.audit, hs.compare], ids=["train", "audit", "compare"])
def test_commands_say_it_before_any_work(images: Path, verb: Callable[..., object]) -> None:
    table = _table(images, lambda file: f"cats/{file}")
    with pytest.raises(InputError, match=r"none of 3 files is there"):
        verb(table, base="file:never-opened.keras", progress=False) if verb is not hs.compare else verb(
            table, bases=["file:never-opened.keras"], progress=False
        )


def test_paths_of_a_frame_start_from_the_current_folder(images: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(images)
    frame = pd.read_csv(_table(images, lambda file: f"cats/{file}"))
    with pytest.raises(InputError, match=r"start from the current folder\..*images/cats/0\.jpg is there"):
        check_files(load_dataset(frame))


def test_one_file_that_is_there_is_enough(images: Path) -> None:
    check_files(load_dataset(_table(images, lambda file: f"images/cats/{file}" if file == "2.jpg" else file)))


POINTER = "version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


@pytest.mark.parametrize("name", ["1.jpg", "1.txt"])
def test_pointers_of_git_lfs_are_named(tmp_path: Path, name: str) -> None:
    for label in ("a", "b"):
        (tmp_path / label).mkdir()
        (tmp_path / label / name).write_text(POINTER)
    found = hs.audit(tmp_path, features=False, progress=False)["unreadable"]
    assert [occurrence.note for occurrence in found.examples] == [
        "a Git LFS pointer instead of the file: run `git lfs pull` in its repository"
    ] * 2
    with pytest.raises(InputError, match=r"no example that can be used: a Git LFS pointer .* \(2 files, such as a"):
        hs.train(tmp_path, progress=False, runs=tmp_path / "runs", cache=tmp_path / "cache")


@pytest.mark.parametrize("name", ["t.csv", "t.parquet"])
def test_a_table_may_be_a_pointer(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_text(POINTER)
    with pytest.raises(InputError, match=r"cannot read the table .*: it is a Git LFS pointer"):
        load_dataset(tmp_path / name)
