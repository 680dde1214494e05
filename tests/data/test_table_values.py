"""Values of tables as pandas, pyarrow and Hugging Face's datasets write them."""

import base64
import io
import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headstart.data.audit.cleaning import write_manifest
from headstart.data.corrections import read_corrections
from headstart.data.dataset import load_dataset
from headstart.data.examples import FileExample, example_from_json
from headstart.data.missing_files import check_files
from headstart.data.modalities import IMAGE, TEXT
from headstart.errors import BadExample, InputError


def _image(colour: int, kind: str = "PNG") -> bytes:
    out = io.BytesIO()
    Image.new("RGB", (8, 8), (colour, 0, 0)).save(out, kind)
    return out.getvalue()


IMAGES = [_image(1), _image(2, "JPEG"), _image(3, "WEBP"), _image(4, "BMP")]
LABELS = ["cat", "dog", "cat", "dog"]


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / "cache"))


def test_parquet_with_images_in_structs(tmp_path: Path) -> None:
    structs = [{"bytes": image, "path": f"{i}.png"} for i, image in enumerate(IMAGES)]
    pq.write_table(pa.table({"image": structs, "label": LABELS, "text": list("abcd")}), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet")
    assert dataset.modality is IMAGE
    assert [example.read() for example in dataset.examples] == IMAGES
    assert dataset.files == [f"t.parquet#row={row}" for row in (1, 2, 3, 4)]


def _cached(tmp_path: Path) -> dict[Path, int]:
    return {path: path.stat().st_mtime_ns for path in (tmp_path / "cache").rglob("row-*")}


def test_images_of_a_table_are_written_once_and_again_if_they_are_lost_or_damaged(tmp_path: Path) -> None:
    pd.DataFrame({"image": IMAGES, "label": LABELS}).to_parquet(tmp_path / "t.parquet")
    load_dataset(tmp_path / "t.parquet")
    files = _cached(tmp_path)
    dataset = load_dataset(tmp_path / "t.parquet")
    assert len(files) == 4
    assert _cached(tmp_path) == files
    first, second, *_ = sorted(files)
    first.write_bytes(bytes(first.stat().st_size))
    second.unlink()
    assert [example.read() for example in dataset.examples] == IMAGES
    shutil.rmtree(tmp_path / "cache")
    others = [IMAGE.example_in(tmp_path, file) for file in dataset.files]  # as a run names them
    assert [example.read() for example in others] == IMAGES
    assert [example_from_json(example.to_json()).read() for example in others] == IMAGES


def test_names_of_images_in_a_table_do_not_depend_on_the_cache(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    frame = pd.DataFrame({"mask": IMAGES[::-1], "image": IMAGES, "label": LABELS})
    frame.to_parquet(tmp_path / "t.parquet")
    names = {}
    for cache in ("one", "two"):
        monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path / cache))
        sets = [
            load_dataset(data, path_column=column)
            for data in (tmp_path / "t.parquet", frame)
            for column in (None, "image")
        ]
        names[cache] = [dataset.files for dataset in sets]
        contents = [[example.read() for example in dataset.examples] for dataset in sets]
        assert contents == [IMAGES[::-1], IMAGES] * 2
        again = [IMAGE.example_in(dataset.root, file).read() for dataset in sets for file in dataset.files]
        assert again == [content for images in contents for content in images]
    assert names["one"] == names["two"]
    (tmp_path / "fixes.csv").write_text(f"file,label\n{names['one'][0][1]},cat\n{names['one'][0][2]},drop\n")
    fixed = read_corrections(tmp_path / "fixes.csv", load_dataset(tmp_path / "t.parquet"))
    assert fixed.labels.tolist() == [0, 0, 0, 1]
    assert fixed.kept_mask.tolist() == [True, True, False, True]


def test_a_cleaned_table_names_the_rows_of_another_table(tmp_path: Path) -> None:
    pd.DataFrame({"image": IMAGES, "label": LABELS}).to_parquet(tmp_path / "t.parquet")
    write_manifest(tmp_path / "clean.csv", load_dataset(tmp_path / "t.parquet"), [0, 1, 3])
    assert (tmp_path / "clean.csv").read_text().splitlines()[1] == "t.parquet#row=1,cat"
    clean = load_dataset(tmp_path / "clean.csv")
    check_files(clean)
    assert [example.read() for example in clean.examples] == [IMAGES[i] for i in (0, 1, 3)]


def test_an_image_whose_table_or_row_is_gone_is_named(tmp_path: Path) -> None:
    frame = pd.DataFrame({"image": IMAGES, "label": LABELS})
    frame.to_parquet(tmp_path / "t.parquet")
    dataset, of_frame = load_dataset(tmp_path / "t.parquet"), load_dataset(frame)
    frame[:2].to_parquet(tmp_path / "t.parquet")
    assert dataset.examples[1].read() == IMAGES[1]
    with pytest.raises(BadExample, match=r"row 4 of .*t\.parquet holds no image"):
        dataset.examples[3].read()
    shutil.rmtree(tmp_path / "cache")
    (tmp_path / "t.parquet").unlink()
    for example, reason in ((dataset.examples[0], "No such file"), (of_frame.examples[0], "no longer in the cache")):
        assert example.version() is None
        with pytest.raises(BadExample, match=reason):
            example.read()


def test_the_images_of_a_table_and_its_rows_are_listed_for_predictions(tmp_path: Path) -> None:
    pd.DataFrame({"image": IMAGES, "label": LABELS}).to_parquet(tmp_path / "t.parquet")
    (tmp_path / "1.png").write_bytes(IMAGES[0])
    (tmp_path / "files.csv").write_text("path\n1.png\n\n2.png\n")
    listed = IMAGE.list_examples([tmp_path / "t.parquet", f"{tmp_path}/t.parquet#row=2", tmp_path / "files.csv"])
    assert [example.read() for example in listed[:6]] == [*IMAGES, IMAGES[1], IMAGES[0]]
    assert [Path(example.name).name for example in listed[3:]] == [
        "t.parquet#row=4", "t.parquet#row=2", "1.png", "2.png"
    ]  # fmt: skip
    with pytest.raises(InputError, match="no such file, folder or pattern"):
        IMAGE.list_examples([f"{tmp_path}/u.parquet#row=2"])


@pytest.mark.parametrize("name", ["image", "jpg", "something"])
def test_tables_with_the_bare_content_of_images(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"file_name": list("abcd"), name: IMAGES, "label": LABELS})
    frame.to_parquet(tmp_path / "t.parquet")
    for data in (tmp_path / "t.parquet", frame):
        assert [example.read() for example in load_dataset(data).examples] == IMAGES
    missing = frame.assign(**{name: [*IMAGES[:3], None]})
    assert load_dataset(missing).skipped == [("row 4 of the DataFrame", "has no path")]


def test_structs_without_bytes_and_bytes_that_are_paths(tmp_path: Path) -> None:
    structs = [{"bytes": None, "path": f"{i}.png"} for i in range(2)]
    pq.write_table(pa.table({"image": structs, "label": ["a", "b"]}), tmp_path / "t.parquet")
    assert load_dataset(tmp_path / "t.parquet").examples[1] == FileExample(str(tmp_path / "1.png"))
    pq.write_table(pa.table({"image": [b"0.png", b"1.png"], "label": [b"a", b"b"]}), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet")
    assert dataset.files == ["0.png", "1.png"]
    assert dataset.classes == ["a", "b"]


def test_images_of_a_table_may_be_read_on_the_page(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pd.DataFrame({"image": IMAGES, "label": LABELS}).to_parquet(tmp_path / "t.parquet")
    monkeypatch.setenv("HEADSTART_CACHE", str(tmp_path.parent / "elsewhere"))
    monkeypatch.setenv("HEADSTART_ROOT", str(tmp_path))
    assert load_dataset(tmp_path / "t.parquet").examples[0].read() == IMAGES[0]


def test_class_names_that_datasets_record_in_parquet(tmp_path: Path) -> None:
    feature = {"names": ["bad", "good"], "_type": "ClassLabel"}
    table = pa.table({"text": ["x", "y", "z"], "label": [0, 1, -1]})
    info = {"info": {"features": {"text": {"dtype": "string", "_type": "Value"}, "label": feature}}}
    pq.write_table(table.replace_schema_metadata({"huggingface": json.dumps(info)}), tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet")
    assert dataset.class_names == ["bad", "good"]
    assert dataset.skipped[0].reason.endswith("has no label")


FRAME = pd.DataFrame({"text": ["one", "two", None, "four", "five"], "label": [1, 2, 1, None, 2]})


@pytest.mark.parametrize(
    "frame",
    [
        FRAME,
        FRAME.convert_dtypes(),
        FRAME.convert_dtypes(dtype_backend="pyarrow"),
        FRAME.astype({"text": "string", "label": "Int64"}),
        FRAME.astype({"label": "category"}),
        FRAME.astype({"label": "float32"}),
        FRAME.astype({"text": pd.ArrowDtype(pa.large_string()), "label": pd.ArrowDtype(pa.int8())}),
        FRAME.astype(object).assign(label=[1, 2, 1, np.nan, np.float32(2)]),
    ],
    ids=["plain", "nullable", "pyarrow", "string and Int64", "category", "float32", "large_string", "object"],
)
def test_missing_values_of_every_kind_are_named(frame: pd.DataFrame, tmp_path: Path) -> None:
    frame.to_parquet(tmp_path / "t.parquet") if "object" not in str(frame.dtypes.iloc[1]) else None
    for data in (frame, tmp_path / "t.parquet"):
        if isinstance(data, Path) and not data.exists():
            continue
        dataset = load_dataset(data)
        assert dataset.classes == ["1", "2"]
        assert dataset.texts == ["one", "two", "five"]
        assert [item.reason for item in dataset.skipped] == ["has no text", "has no label"]


def test_lists_with_missing_ones(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": list("abc"), "label": [["x", "y"], None, ["y"]]})
    for data in (frame, frame.astype({"label": pd.ArrowDtype(pa.list_(pa.string()))})):
        dataset = load_dataset(data)
        assert dataset.class_names == ["x, y", "y"]
        assert dataset.skipped == [("row 2 of the DataFrame", "has no label")]


def test_columns_of_bytes_are_decoded(tmp_path: Path) -> None:
    table = pa.table({"text": ["schön".encode(), b"bad"], "label": [b"good", b"bad"]})
    pq.write_table(table, tmp_path / "t.parquet")
    dataset = load_dataset(tmp_path / "t.parquet")
    assert dataset.texts == ["schön", "bad"]
    assert dataset.classes == ["bad", "good"]


@pytest.mark.parametrize("files", [("a.txt", "b.txt"), ("17", "18"), ("a.jpg", "b.jpg")])
def test_texts_beside_file_names(tmp_path: Path, files: tuple[str, str], caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "a.txt").write_text("there")
    table = tmp_path / "t.csv"
    table.write_text(f"filename,text,label\n{files[0]},one,x\n{files[1]},two,y\n")
    dataset = load_dataset(table)
    assert dataset.modality is TEXT
    assert dataset.texts == ["one", "two"]
    assert "the examples are texts; the column 'filename' is not used" in caplog.text
    assert load_dataset(table, path_column="filename").files == list(files)


def test_images_that_are_there_are_taken_beside_texts(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "b.jpg").write_bytes(IMAGES[1])
    table = tmp_path / "t.csv"
    table.write_text("filename,text,label\na.jpg,one,x\nb.jpg,two,y\n")
    assert load_dataset(table).modality is IMAGE
    assert "the examples are images; the column 'text' is not used" in caplog.text
    table.write_text("path,comment,label\na.jpg,one,x\nb.jpg,two,y\n")
    assert load_dataset(table).modality is IMAGE


def test_json_that_is_nested_too_deeply_is_named_by_line(tmp_path: Path) -> None:
    (tmp_path / "t.jsonl").write_text('{"text": "x", "label": "a"}\n{"text": ' + "[" * 100_000 + "]" * 100_000 + "}\n")
    with pytest.raises(InputError, match=r"line 2 of .*t\.jsonl is nested too deeply"):
        load_dataset(tmp_path / "t.jsonl")


@pytest.mark.parametrize(
    "write",
    [
        lambda image: base64.urlsafe_b64encode(image).decode(),
        lambda image: image.hex(),
        lambda image: f"\\x{image.hex()}",
        lambda image: [*image],
        lambda image: np.frombuffer(image, np.uint8),
        lambda image: [{"bytes": image, "path": None}],
        lambda image: {"bytes": base64.b64encode(image).decode()},
    ],
    ids=["base64 of URLs", "hexadecimal", "PostgreSQL", "numbers", "array", "list of one", "base64 in a struct"],
)
def test_images_in_other_forms(write: Callable[[bytes], object]) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    out = io.BytesIO()
    Image.fromarray(noise).save(out, "JPEG", quality=95)  # its base64 has + and /
    images = [*IMAGES[:3], out.getvalue()]
    frame = pd.DataFrame({"image": pd.Series([write(image) for image in images], dtype=object), "label": LABELS})
    assert [example.read() for example in load_dataset(frame).examples] == images


def test_images_after_many_rows_without_any_are_found() -> None:
    frame = pd.DataFrame({"image": [None] * 30 + IMAGES, "label": ["cat"] * 30 + LABELS})
    dataset = load_dataset(frame)
    assert [example.read() for example in dataset.examples] == IMAGES
    assert len(dataset.skipped) == 30


def test_words_in_lists_are_a_text_and_structs_are_no_labels(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text('{"text": ["a", "small", "dog"], "label": "x"}\n{"text": ["b"], "label": "y"}\n')
    assert load_dataset(table).texts == ["a small dog", "b"]
    table.write_text('{"text": "a", "label": {"name": "x"}}\n')
    with pytest.raises(InputError, match=r"row 1 of .* has the label \{'name': 'x'\}: expected a name"):
        load_dataset(table)


def test_json_lines_may_be_one_array(tmp_path: Path) -> None:
    table = tmp_path / "t.jsonl"
    table.write_text(json.dumps([{"text": "a", "label": "x"}, {"text": "b", "label": "y"}], indent=1))
    assert load_dataset(table).texts == ["a", "b"]
    table.write_text("[1, 2]")
    with pytest.raises(InputError, match=r"line 1 of .* is not a JSON object"):
        load_dataset(table)


@pytest.mark.parametrize(
    ("content", "kind"),
    [
        (b"\x28\xb5\x2f\xfd" + bytes(60), "compressed with zstd: unpack it"),
        (b"<table border=1><tr><td>text", "a web page: save the table as CSV"),
        (b"__label__pos a good film\n", "a list for fastText"),
        (b"PK\3\4" + bytes(60), "an Excel file or a zip archive"),
        (b"PAR1" + bytes(60), "a Parquet file: rename it to .parquet"),
        (b"\n<!DOCTYPE html>\n<html></html>", "a web page"),
    ],
)
def test_files_of_another_kind_are_named(tmp_path: Path, content: bytes, kind: str) -> None:
    (tmp_path / "t.csv").write_bytes(content)
    with pytest.raises(InputError, match=f"cannot read the table .*: it is {kind}"):
        load_dataset(tmp_path / "t.csv")
    (tmp_path / "t.csv").write_text("PAR1,text,label\n1,x,a\n2,y,b\n")
    assert load_dataset(tmp_path / "t.csv").texts == ["x", "y"]


@pytest.mark.parametrize("kind", ["plain", "lines", "data URI"])
def test_images_in_base64(tmp_path: Path, kind: str) -> None:
    images = [_image(1), _image(2, "JPEG"), _image(3, "WEBP"), _image(4, "GIF"), _image(5, "TIFF")]
    encode = base64.encodebytes if kind == "lines" else base64.b64encode
    start = "data:image/png;base64," if kind == "data URI" else ""
    rows = [{"image": start + encode(image).decode(), "label": f"{i % 2}"} for i, image in enumerate(images)]
    (tmp_path / "t.jsonl").write_text("\n".join(map(json.dumps, rows)))
    for data in (tmp_path / "t.jsonl", pd.DataFrame(rows)):
        assert [example.read() for example in load_dataset(data).examples] == images


@pytest.mark.parametrize(
    ("value", "problem"),
    [
        ([1, 2, 3], "holds a value of type list, not a path"),
        (Image.new("L", (8, 8)), "holds a value of type Image, not a path"),
        (np.zeros((8, 8)), "holds a value of type ndarray, not a path"),
        ({"width": 3}, "holds a value of type dict, not a path"),
        (bytes(range(64)), "holds bytes that are no image"),
        (b"\xaf\xbc\xc7" * 99, "holds bytes that are no image"),
        ("x" * 9999, "holds a text that is no path"),
        ("a\0.png", "holds a text that is no path"),
    ],
    ids=["list", "Pillow", "array", "struct", "pixels", "high bytes", "long", "zero"],
)
def test_cells_that_are_no_path_are_named(value: object, problem: str) -> None:
    frame = pd.DataFrame({"image": pd.Series([value, "b.png", "c.png"], dtype=object), "label": list("aab")})
    dataset = load_dataset(frame)
    assert dataset.files == ["b.png", "c.png"]
    assert [item.reason.startswith(problem) for item in dataset.skipped] == [True]
    with pytest.raises(
        InputError,
        match=r"no labelled examples: expected rows .*\. 1 row cannot be used, such as row 1 of the DataFrame \(h",
    ):
        load_dataset(frame[:1])
