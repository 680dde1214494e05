"""What comes in by upload, friendly and hostile."""

import asyncio
import io
import stat
import zipfile
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

import headstart as hs
from headstart.ui.root_folder import RootFolder
from headstart.ui.uploads import Upload, clean_name


async def _blocks(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 1000):
        yield content[start : start + 1000]


def _receive(upload: Upload, path: str, content: bytes) -> None:
    asyncio.run(upload.receive(path, _blocks(content)))


def _zip(files: dict[str, bytes], *, link: str | None = None) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(name, content)
        if link:
            entry = zipfile.ZipInfo(link)
            entry.external_attr = (stat.S_IFLNK | 0o777) << 16
            archive.writestr(entry, "/etc/passwd")
    return out.getvalue()


@pytest.fixture
def upload(tmp_path: Path) -> Upload:
    return Upload.begin(RootFolder(tmp_path), "mine", max_mb=1)


def test_a_zip_becomes_a_folder_of_classes(upload: Upload) -> None:
    files = {"set/cat/1.jpg": b"a", "set/dog/1.jpg": b"b", "set/readme.exe": b"no", "__MACOSX/set/cat/._1.jpg": b"no"}
    _receive(upload, "set.zip", _zip(files))
    data = upload.finish()
    assert data == upload.folder / "set"
    assert sorted(path.name for path in upload.folder.rglob("*") if path.is_file()) == ["1.jpg", "1.jpg"]


@pytest.mark.parametrize(
    "content",
    [
        _zip({"../../cat/1.jpg": b"a"}),
        _zip({"/tmp/cat/1.jpg": b"a"}),
        _zip({"..\\cat\\1.jpg": b"a"}),
        _zip({"cat/1.jpg": b"a"}, link="cat/2.jpg"),
        _zip({"cat/1.jpg": bytes(3 << 20)}),  # three MB in three kB
        _zip({"cat/1.jpg": b"a" * 5000})[:-40],
        b"PK\x03\x04 and nothing more",
    ],
    ids=["up", "absolute", "backslashes", "link", "bomb", "cut", "no zip"],
)
def test_a_zip_that_cannot_be_trusted_is_refused(upload: Upload, content: bytes) -> None:
    _receive(upload, "set.zip", content)
    with pytest.raises(hs.InputError, match=r"is outside its folder|too large|cannot be unpacked"):
        upload.finish()
    upload.abandon()
    assert not any(upload.folder.parent.iterdir())


@pytest.mark.parametrize("path", ["../../cat.jpg", "/etc/cat.jpg", "cat/..\\..\\1.jpg", "cat/a:b*.jpg", "cat/\0.jpg"])
def test_whatever_a_file_is_called_it_stays_inside(upload: Upload, path: str) -> None:
    _receive(upload, path, b"a")
    (file,) = upload.folder.rglob("*.jpg")
    assert file.resolve().is_relative_to(upload.folder)
    assert not set(file.name) & set("\\:*\0")


def test_no_file_takes_the_place_of_another(upload: Upload) -> None:
    long = "x" * 150
    names = [f"cat/{long}-{number}.jpg" for number in range(5)]
    names += ["cat/a?.jpg", "cat/a*.jpg", "cat/a-.jpg", "dog?/1.jpg", "dog*/1.jpg"]
    for number, name in enumerate(names):
        _receive(upload, name, f"file {number}".encode())
    _receive(upload, names[0], b"file 0 again")  # the browser sends one again after an error
    inside = {name: f"zip {number}".encode() for number, name in enumerate([*names, "cat/new.jpg"])}
    _receive(upload, "first.zip", _zip(inside))
    _receive(upload, "second.zip", _zip(inside))
    upload.finish()
    files = list(upload.folder.rglob("*.jpg"))
    expected = {b"file 0 again", *(f"file {number}".encode() for number in range(1, len(names)))}
    contents = [path.read_bytes() for path in files]
    assert {content for content in contents if content.startswith(b"file")} == expected
    assert len(files) == len(names) + 2 * len(inside)
    folders = {path.parent.name for path in files}
    assert folders == {"cat", "dog-", "dog--2"}  # archives and files share the folders of classes


def test_other_kinds_and_too_much_are_refused_and_not_kept(upload: Upload) -> None:
    with pytest.raises(hs.InputError, match=r"page\.html: expected an image"):
        _receive(upload, "cat/page.html", b"<script>")
    _receive(upload, "cat/1.jpg", bytes(700_000))
    with pytest.raises(hs.InputError, match=r"2\.jpg is too large: .* 1 MB for an unpacked upload"):
        _receive(upload, "cat/2.jpg", bytes(700_000))
    assert [path.name for path in upload.folder.rglob("*.*") if path.suffix] == ["1.jpg"]


def test_names_are_made_plain() -> None:
    assert clean_name(" Ärger/1?.jpg ") == "Ärger-1-.jpg"
    assert clean_name("..") == ""
    assert clean_name(".hidden") == "hidden"
    assert len(clean_name("x" * 300 + ".jpg")) == 120
    assert len(clean_name("日" * 300 + ".jpg").encode()) <= 120  # file systems count bytes
