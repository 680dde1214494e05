"""Real pictures and texts with everything wrong that may be: all of it is found, and nothing in the clean ones."""

import csv
import io
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.datasets import load_digits, load_sample_images

import headstart as hs
from headstart.data.audit import CHECKS
from headstart.errors import InputError
from headstart.features.outliers import outliers
from headstart.reports.audit import explanations
from tests.conftest import SIZE, WORDS

Plants = dict[str, str]
"""Name of a planted file -> code of the check that has to name it."""


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """40 parts each of two photographs, which do not overlap, divided into train and test."""
    folder = tmp_path_factory.mktemp("audited") / "clean"
    for name, photo in zip(("china", "flower"), load_sample_images().images, strict=True):
        corners = [(y, x) for y in range(0, 400, 80) for x in range(0, 640, 80)]
        for number, (y, x) in enumerate(corners):
            place = folder / ("test" if number % 8 == 7 else "train") / name / f"{number:02}.png"
            place.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(photo[y : y + 80, x : x + 80]).save(place)
    return folder


def _opened(path: Path) -> Image.Image:
    with Image.open(path) as image:
        return image.copy()


def _bytes(image: Image.Image, kind: str, **options: object) -> bytes:
    out = io.BytesIO()
    image.save(out, kind, **options)
    return out.getvalue()


def _unusable(photo: Image.Image) -> Iterator[tuple[str, str, bytes]]:
    """Name, code and content of files that cannot be used."""
    jpeg, png, gif, webp = (_bytes(photo, kind) for kind in ("JPEG", "PNG", "GIF", "WEBP"))
    bomb = _bytes(Image.new("1", (12_000, 9_000)), "PNG")
    yield from (("empty.jpg", "HS001", b""), ("words.jpg", "HS001", b"no picture at all"))
    yield from (("page.png", "HS001", b"<!DOCTYPE html><p>not found"), ("drawing.png", "HS001", b"<svg></svg>"))
    yield from (("zeros.bmp", "HS001", bytes(4000)), ("bomb.png", "HS001", bomb))
    yield from (("cut.jpg", "HS002", jpeg[: len(jpeg) // 2]), ("cut.png", "HS002", png[: len(png) // 2]))
    yield from (("cut.gif", "HS002", gif[: len(gif) // 2]), ("cut.webp", "HS002", webp[: len(webp) // 2]))
    yield ("scrambled.png", "HS002", png[:200] + bytes(reversed(png[200:])))
    yield from (("is-png.jpg", "HS003", png), ("is-jpeg.png", "HS003", jpeg), ("is-webp.jpg", "HS003", webp))
    yield from (("is-gif.tif", "HS003", gif), ("notes.txt", "HS004", b"by me"), ("photo", "HS004", jpeg))
    yield ("phone.heic", "HS004", b"ftypheic")


def _odd(photos: list[Image.Image]) -> Iterator[tuple[str, str, bytes]]:
    """Likewise of pictures that can be used; each is of a photo of its own."""
    following = iter(photos)
    alpha, palette = next(following).convert("RGBA"), next(following).convert("P")
    alpha.putalpha(128)
    yield ("cmyk.jpg", "HS011", _bytes(next(following).convert("CMYK"), "JPEG"))
    deep = np.asarray(next(following).convert("L"), np.uint16) * 257
    yield ("deep.png", "HS011", _bytes(Image.fromarray(deep), "PNG"))
    yield from (("alpha.png", "HS011", _bytes(alpha, "PNG")),)
    yield ("palette.png", "HS011", _bytes(palette, "PNG", transparency=0))
    yield ("two-colours.png", "HS011", _bytes(next(following).convert("1"), "PNG"))
    yield ("grey-alpha.png", "HS011", _bytes(next(following).convert("LA"), "PNG"))
    for orientation in (3, 6):
        exif = Image.Exif()
        exif[0x0112] = orientation
        yield (f"turned-{orientation}.jpg", "HS012", _bytes(next(following), "JPEG", exif=exif))
    yield ("icon.png", "HS013", _bytes(next(following).resize((5, 5)), "PNG"))
    yield ("huge.jpg", "HS014", _bytes(next(following).resize((7000, 6000), 0), "JPEG", quality=50))
    yield ("long.png", "HS015", _bytes(next(following).resize((600, 60)), "PNG"))
    yield ("tall.jpg", "HS015", _bytes(next(following).resize((60, 600)), "JPEG"))
    yield ("white.png", "HS016", _bytes(Image.new("RGB", (90, 90), "white"), "PNG"))
    yield ("black.jpg", "HS016", _bytes(Image.new("RGB", (90, 90)), "JPEG"))


def _again(photos: list[Image.Image]) -> Iterator[tuple[str, Image.Image, dict[str, object]]]:
    """Changed copies of photos, each of another one."""
    noise = np.random.default_rng(0).normal(0, 12, (80, 80, 3))
    changes = {
        "recompressed.jpg": lambda image: image,
        "smaller.png": lambda image: image.resize((43, 40)),
        "larger.jpg": lambda image: image.resize((300, 310)),
        "darker.png": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
        "brighter.jpg": lambda image: ImageEnhance.Brightness(image).enhance(1.25),
        "contrast.png": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
        "mirrored.png": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "cropped.png": lambda image: image.crop((1, 2, 78, 79)),
        "grey.png": lambda image: image.convert("L"),
        "blurred.png": lambda image: image.filter(ImageFilter.GaussianBlur(1.5)),
        "noisy.png": lambda image: Image.fromarray((np.asarray(image) + noise).clip(0, 255).astype(np.uint8)),
    }
    for (name, change), photo in zip(changes.items(), photos[: len(changes)], strict=True):
        yield name, change(photo), {"quality": 25} if name.startswith("recompressed") else {}


@pytest.fixture(scope="module")
def planted(clean: Path) -> tuple[Path, Plants]:
    folder = Path(shutil.copytree(clean, clean.parent / "planted"))
    plants: Plants = {}
    flowers, houses = (sorted((folder / "train" / name).glob("*.png")) for name in ("flower", "china"))
    houses, varied = (
        [path for path in some if _opened(path).convert("L").entropy() > 5.5] for some in (houses, flowers[14:])
    )
    photos = [_opened(path) for path in flowers[:14]]
    for path in flowers[:14]:  # something else is made of these, so that nothing repeats them
        path.unlink()
    for name, code, content in [*_unusable(photos[0]), *_odd(photos)]:
        (folder / "train/flower" / name).write_bytes(content)
        plants[f"train/flower/{name}"] = code
    for name, image, options in _again([_opened(path) for path in varied]):
        image.save(folder / "train/flower" / name, **options)
        plants[f"train/flower/{name}"] = "HS032"
    for source, place, code in (
        (houses[0], "train/china/copy.png", "HS031"),
        (houses[1], "train/flower/other label.png", "HS033"),
        (houses[2], "test/china/leak.png", "HS035"),
        (houses[3], "train/flower/nearly other label.jpg", "HS034"),
        (varied[-1], "test/flower/near leak.jpg", "HS036"),
    ):
        if place.endswith("jpg"):
            _opened(source).save(folder / place)
        else:
            shutil.copy(source, folder / place)
        plants[place] = code
    (folder / "train/nothing").mkdir()
    plants["train/nothing/"] = "HS004"
    (folder / "test/stray.jpg").write_bytes(b"")
    plants["test/stray.jpg"] = "HS004"
    return folder, plants


@pytest.fixture(scope="module")
def audited(planted: tuple[Path, Plants]) -> hs.DataAudit:
    return hs.audit(planted[0], features=False)


def test_nothing_is_found_where_nothing_is_wrong(clean: Path) -> None:
    assert hs.audit(clean, features=False).problems() == []


def test_everything_planted_among_pictures_is_found(planted: tuple[Path, Plants], audited: hs.DataAudit) -> None:
    _, plants = planted
    assert len(plants) >= 45
    named = {code: {file for one in audited[code].examples for file in one.files} for code in set(plants.values())}
    assert [name for name, code in plants.items() if name not in named[code]] == []
    kept = {check.code for check in CHECKS.values() if audited[check.code].state == "found"}
    assert kept <= {*plants.values(), "HS041"}  # so much was left out that a class is small


def test_a_cleaned_table_has_nothing_wrong_left(planted: tuple[Path, Plants], audited: hs.DataAudit) -> None:
    folder, plants = planted
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*")}
    left_out = {item.file for item in audited.fix(folder.parent / "clean.csv")}
    assert {path: path.stat().st_mtime_ns for path in folder.rglob("*")} == before
    again = hs.audit(folder.parent / "clean.csv", features=False)
    assert {finding.code for finding in again.problems("warning")} <= {"HS013", "HS015", "HS041"}
    assert {"planted/test/china/leak.png", "planted/test/flower/near leak.jpg"} <= set(again.dataset.files)
    assert {"train/china/copy.png", "train/flower/other label.png", "train/flower/white.png"} <= left_out
    ignoring = hs.audit(folder, features=False, ignore=["HS032", "blank"])
    assert ignoring["HS032"].state == "ignored"
    kept = left_out - {item.file for item in ignoring.fix(folder.parent / "other.csv")}
    assert kept >= {name for name, code in plants.items() if code in ("HS032", "HS016")} & left_out


def test_the_page_shows_pictures_and_what_each_finding_means(audited: hs.DataAudit, tmp_path: Path) -> None:
    page = audited.report(tmp_path / "audit.html").read_text(encoding="utf-8")
    assert page.count("<section") == len(audited.problems()) + 1
    assert page.count("data:image/jpeg") > 40
    assert "PNG content under the extension .jpg; rename it to .png" in page
    assert "http" not in re.sub("http-equiv", "", page)
    for finding in audited.findings:
        assert finding.code in page


def test_everything_planted_among_texts_is_found(sentences: Path, tmp_path: Path) -> None:
    with open(sentences, newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))[1:]
    sides = {row[0]: "test" if i % 7 == 0 else "train" for i, row in enumerate(rows)}
    one, other = sorted({label for _, label in rows})
    mine = sorted((row for row in rows if row[1] == one and sides[row[0]] == "train"), key=lambda row: -len(row[0]))
    text = [row[0] for row in mine]
    plants: list[tuple[bytes | str, str, str, str]] = [
        (text[0], one, "train", "HS031"),
        (text[1].upper(), one, "train", "HS032"),
        (text[2].replace(" ", "   "), one, "train", "HS032"),
        (text[3].replace(",", "").replace(".", " !"), one, "train", "HS032"),
        (text[4] + " Indeed.", one, "train", "HS032"),
        (text[5], other, "train", "HS033"),
        (text[6].lower() + "!!", other, "train", "HS034"),
        (text[7], one, "test", "HS035"),
        (text[8] + " Indeed.", one, "test", "HS036"),
        ("", one, "train", "HS006"),
        ("   ", one, "train", "HS006"),
        ("No label here, and nobody knows why.", "", "train", "HS004"),
        (b"bad bytes: caf\xe9", one, "train", "HS005"),
        ("The cafÃ© at the corner", one, "train", "HS021"),
        ("Itâ€™s a nice place to be", one, "train", "HS021"),
        ("Something was lost \ufffd here", one, "train", "HS021"),
        ("A word with a bell \x07 in it", one, "train", "HS021"),
    ]
    table = tmp_path / "planted.csv"
    lines = [(text.encode(), label, sides[text]) for text, label in rows]
    lines += [(text if isinstance(text, bytes) else text.encode(), label, side) for text, label, side, _ in plants]
    quoted = [b'"%s",%s,%s' % (text.replace(b'"', b'""'), label.encode(), side.encode()) for text, label, side in lines]
    table.write_bytes(b"\n".join([b"text,label,split", *quoted]))
    first = len(rows) + 2
    found = hs.audit(table, features=False)
    missed = []
    for number, (_, _, _, code) in enumerate(plants, first):
        told = [file for example in found[code].examples for file in (*example.files, example.note)]
        if not any(re.search(rf"\brow {number}\b", name) for name in told):
            missed.append((number, code))
    assert missed == []
    found.fix(tmp_path / "clean.csv")
    again = hs.audit(tmp_path / "clean.csv", features=False)
    assert {finding.code for finding in again.problems()} == {"HS021"}


def test_every_check_is_explained(audited: hs.DataAudit) -> None:
    explained = explanations()
    assert list(explained) == [check.code for check in CHECKS.values()]
    for check in CHECKS.values():
        headline, _, rest = explained[check.code].partition("\n\n")
        assert headline == f"{check.code} {check.name}"
        assert rest.startswith(f"Severity: {check.severity}. ")


def test_labels_and_groups_are_in_the_cleaned_table(tmp_path: Path) -> None:
    table = tmp_path / "many.jsonl"
    table.write_text(
        "".join(
            f'{{"text": "text number {i} of many", "labels": {["a", "b"][: i % 3]!r}, "who": "p{i % 5}"}}\n'.replace(
                "'", '"'
            )
            for i in range(9)
        )
    )
    found = hs.audit(table, features=False, group_by="who")
    found.fix(tmp_path / "clean.csv")
    again = hs.load_dataset(tmp_path / "clean.csv", label_separator=";", group_by="group")
    kept = [found.dataset.texts.index(text) for text in again.texts]
    assert again.groups == [found.dataset.groups[i] for i in kept]  # type: ignore[index]
    assert np.array_equal(again.labels, found.dataset.labels[kept])


def test_what_cannot_be_asked_for_is_said(clean: Path) -> None:
    with pytest.raises(InputError, match="no check 'HS999'"):
        hs.audit(clean, ignore=["HS999"])
    with pytest.raises(InputError, match="no such file or folder"):
        hs.audit(clean / "nowhere")


def test_no_file_of_the_user_is_replaced(audited: hs.DataAudit, tmp_path: Path) -> None:
    mine = tmp_path / "mine.csv"
    mine.write_text("mine")
    with pytest.raises(InputError, match=r"mine\.csv is there already"):
        audited.fix(mine)
    with pytest.raises(InputError, match=r"photo\.jpg: expected the name of a \.html file"):
        audited.report(tmp_path / "photo.jpg")
    with pytest.raises(InputError, match="there is no folder"):
        audited.report(tmp_path / "nowhere" / "audit.html")
    assert mine.read_text() == "mine"


@pytest.mark.slow
def test_with_a_base_outliers_and_coverage_are_told_too(sentences: Path, tmp_path: Path) -> None:
    table = tmp_path / "texts.csv"
    shutil.copy(sentences, table)
    with open(table, "a", encoding="utf-8") as file:
        file.write("zxqv qqqw wwxz zzxv,data\n")
    found = hs.audit(table, base=WORDS)
    assert [example.files for example in found["unknown-words"].examples] == [("row 222",)]
    assert found["outliers"].examples[0].files == ("row 222",)
    assert found["HS022"].state == "not applicable"


@pytest.mark.slow
def test_what_does_not_belong_among_pictures_is_an_outlier(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    for digit in (3, 8):
        (tmp_path / f"{digit}").mkdir()
        for number, image in enumerate(load_digits().images[load_digits().target == digit][:30]):
            Image.fromarray((image * 15).astype(np.uint8)).resize((64, 64)).save(tmp_path / f"{digit}/{number}.png")
    shutil.copy(photos / "flower/20.jpg", tmp_path / "8")
    dataset = hs.load_dataset(tmp_path)
    features = hs.extract(hs.load_base(run.facts.base.handle, input_size=SIZE), dataset.examples)
    finding = outliers(dataset, features, np.arange(len(dataset)))
    assert finding.examples[0].files == ("8/20.jpg",)
    assert len(finding.examples) <= 6
