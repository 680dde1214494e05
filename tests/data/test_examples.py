"""Examples: files by address, local or remote, and texts in memory."""

import hashlib
import os
import subprocess
import sys
from pathlib import Path

import fsspec
import pytest
from PIL import Image

import headstart as hs
from headstart.data.dataset import load_dataset
from headstart.data.examples import FileExample, TextExample, example_from_json, file_in
from headstart.data.modalities import IMAGE, TEXT
from headstart.errors import BadExample, InputError, UnavailableError
from tests.conftest import SIZE


@pytest.fixture
def remote(photos: Path) -> str:
    """A bucket in memory with the photos, as an object store shows them."""
    memory = fsspec.filesystem("memory")
    for path in photos.rglob("*.jpg"):
        memory.pipe_file(f"/bucket/{path.relative_to(photos).as_posix()}", path.read_bytes())
    return "memory://bucket"


def test_a_file_is_read_by_its_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "cat.jpg").write_bytes(b"pixels")
    monkeypatch.chdir(tmp_path)
    example = FileExample("cat.jpg")
    assert (example.read(), example.name, example.suffix, example.length) == (b"pixels", "cat.jpg", ".jpg", 0)
    assert example.location == str(tmp_path / "cat.jpg")
    assert example.digest() == hashlib.sha256(b"pixels").digest()
    version = example.version()
    (tmp_path / "cat.jpg").write_bytes(b"others!")
    assert None is not version != example.version()
    assert FileExample("dog.jpg").version() is None
    with pytest.raises(BadExample, match=r"cannot be read: No such file"):
        FileExample("dog.jpg").read()


def test_a_text_is_its_own_content() -> None:
    long = "word " * 1_000_000
    example = TextExample(long, name="row 3")
    assert (example.read(), example.name, example.length) == (long.encode(), "row 3", len(long))
    assert example.suffix is example.location is example.version() is None
    assert TextExample("good").name == "good"


@pytest.mark.parametrize("example", [FileExample("a/b.jpg"), TextExample("good"), TextExample("good", name="row 1")])
def test_an_example_travels_to_another_process(example: FileExample | TextExample) -> None:
    assert example_from_json(example.to_json()) == example


def test_paths_and_strings_are_understood_as_before(tmp_path: Path) -> None:
    assert IMAGE.as_examples(["a.jpg", tmp_path / "b.jpg"]) == [
        FileExample("a.jpg"),
        FileExample(str(tmp_path / "b.jpg")),
    ]
    assert TEXT.as_examples(["a.jpg", Path("b.txt")]) == [TextExample("a.jpg"), FileExample("b.txt")]
    assert IMAGE.example_in(tmp_path, "a.jpg") == file_in(tmp_path, "a.jpg") == FileExample(str(tmp_path / "a.jpg"))
    assert IMAGE.example_in(tmp_path, "s3://bucket/a.jpg") == FileExample("s3://bucket/a.jpg")
    assert TEXT.example_in(tmp_path, "row 1", "good") == TextExample("good", name="row 1")


@pytest.mark.parametrize(
    "argument",
    ["revews.txt", "revews", "data/new reviews", "a text", "x" * 100_000, "~nobody", "a\0b", "  ", "*.md"],
)
def test_what_names_no_file_is_never_a_text(tmp_path: Path, argument: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    Path("reviews.txt").write_text("from a file", encoding="utf-8")
    with pytest.raises(InputError, match="no such file, folder or pattern") as error:
        TEXT.list_examples(["reviews.txt", argument])
    assert "For a text itself, use text." in str(error.value)
    assert len(str(error.value)) < 200
    assert TEXT.list_examples(["rev*.txt"]) == [TextExample("from a file", name="reviews.txt")]


def test_an_empty_name_is_not_the_current_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Image.new("RGB", (8, 8)).save(tmp_path / "a.png")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(InputError, match="got an empty name"):
        IMAGE.list_examples([""])


def test_links_to_nothing_are_named(tmp_path: Path) -> None:
    (tmp_path / "a.jpg").symlink_to(tmp_path / "gone.jpg")
    (tmp_path / "a.txt").symlink_to(tmp_path / "gone.txt")
    (example,) = IMAGE.list_examples([tmp_path / "a.jpg"])
    with pytest.raises(BadExample, match="cannot be read: No such file"):
        example.read()
    with pytest.raises(InputError, match=r"no such file, folder or pattern: .*a\.txt"):
        TEXT.list_examples([tmp_path / "a.txt"])


def test_a_url_is_read_through_fsspec(remote: str, photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    example = FileExample(f"{remote}/china/00.jpg")
    assert example.read() == (photos / "china/00.jpg").read_bytes()
    assert (example.location, example.suffix) == (f"{remote}/china/00.jpg", ".jpg")
    version = example.version()
    fsspec.filesystem("memory").pipe_file("/bucket/china/00.jpg", b"others")
    assert None is not version != example.version()
    with pytest.raises(BadExample, match=r"cannot be read: .*gone.jpg"):
        FileExample(f"{remote}/gone.jpg").read()
    monkeypatch.setenv("HEADSTART_OFFLINE", "0")
    with pytest.raises(BadExample, match=r"cannot be read: .*nothing"):
        FileExample("nothing://gone.jpg").read()
    assert IMAGE.list_examples([f"{remote}/china/01.jpg"]) == [FileExample(f"{remote}/china/01.jpg")]


def test_features_of_remote_files_are_those_of_local_ones(remote: str, photos: Path, tmp_path: Path) -> None:
    names = [f"{label}/{number:02}.jpg" for label in ("china", "flower") for number in range(4)]
    table = tmp_path / "table.csv"
    table.write_text("path,label\n" + "".join(f"{remote}/{name},{name.split('/')[0]}\n" for name in names))
    dataset = load_dataset(table)
    assert dataset.examples[0] == FileExample(f"{remote}/china/00.jpg")
    base = hs.load_base(input_size=SIZE)
    far = hs.extract(base, dataset.examples)
    near = hs.extract(base, [photos / name for name in names])
    assert near.computed + far.computed <= len(names)
    assert (far.rows(range(8)) == near.rows(range(8))).all()


def test_no_url_is_read_where_only_one_folder_may_be(
    remote: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HEADSTART_ROOT", str(tmp_path))
    monkeypatch.chdir(tmp_path)
    (tmp_path / "cat.jpg").write_bytes(b"pixels")
    assert FileExample("cat.jpg").read() == b"pixels"
    for url in (f"{remote}/china/00.jpg", f"file://{os.path.abspath(__file__)}", "http://127.0.0.1/cat.jpg"):
        with pytest.raises(BadExample, match="outside"):
            FileExample(url).read()


def test_what_a_url_needs_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_OFFLINE", "1")
    with pytest.raises(UnavailableError, match=r"s3://bucket/cat.jpg cannot be read offline"):
        FileExample("s3://bucket/cat.jpg").read()
    code = (
        "import sys; sys.modules['fsspec'] = None\n"
        "from headstart.data.examples import FileExample\n"
        "FileExample('s3://bucket/cat.jpg').read()"
    )
    monkeypatch.delenv("HEADSTART_OFFLINE")
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert "UnavailableError: reading s3://bucket/cat.jpg needs the Python package 'fsspec'" in found.stderr
    assert "pip install 'headstart[remote]'" in found.stderr
