"""Values of tables as pandas, pyarrow and Hugging Face's datasets write them."""

import base64
import io
import json
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image

from headstart.data.dataset import load_dataset
from headstart.data.examples import FileExample
from headstart.data.modalities import IMAGE, TEXT
from headstart.errors import InputError


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
    assert [Path(file).suffix for file in dataset.files] == [".png", ".jpg", ".webp", ".bmp"]
    assert Path(dataset.files[1]).name.startswith("row-2-")
    times = [Path(file).stat().st_mtime_ns for file in dataset.files]
    again = load_dataset(tmp_path / "t.parquet")
    assert again.files == dataset.files
    assert [Path(file).stat().st_mtime_ns for file in again.files] == times


@pytest.mark.parametrize("name", ["image", "jpg", "something"])
def test_tables_with_the_bare_content_of_images(tmp_path: Path, name: str) -> None:
    frame = pd.DataFrame({"file_name": list("abcd"), name: IMAGES, "label": LABELS})
    frame.to_parquet(tmp_path / "t.parquet")
    for data in (tmp_path / "t.parquet", frame):
        assert [example.read() for example in load_dataset(data).examples] == IMAGES
    missing = frame.assign(**{name: [*IMAGES[:3], None]})
    assert [item.reason for item in load_dataset(missing).skipped] == ["row 4 of the DataFrame has no path"]


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
        assert [item.reason.split(" has ")[1] for item in dataset.skipped] == ["no text", "no label"]


def test_lists_with_missing_ones(tmp_path: Path) -> None:
    frame = pd.DataFrame({"text": list("abc"), "label": [["x", "y"], None, ["y"]]})
    for data in (frame, frame.astype({"label": pd.ArrowDtype(pa.list_(pa.string()))})):
        dataset = load_dataset(data)
        assert dataset.class_names == ["x, y", "y"]
        assert dataset.skipped[0].reason == "row 2 of the DataFrame has no label"


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
    assert [item.reason.split(" the DataFrame ")[1].startswith(problem) for item in dataset.skipped] == [True]
    with pytest.raises(
        InputError, match=r"no labelled examples: expected rows .*\. 1 row cannot be used, such as row 1"
    ):
        load_dataset(frame[:1])
