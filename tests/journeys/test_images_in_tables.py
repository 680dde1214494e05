"""A run on images that are in a table: it names them by table and row, and needs no file of the cache."""

import csv
import io
import shutil
from pathlib import Path

import pandas as pd
import pytest
from click.testing import CliRunner
from PIL import Image, ImageOps

import headstart as hs
from headstart.cli.main import cli
from headstart.errors import InputError
from headstart.system.settings import table_images_folder
from tests.conftest import SIZE

pytestmark = pytest.mark.slow


def _rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="", encoding="utf-8") as file:
        return list(csv.DictReader(file))


def _write_table(table: Path, images: list[bytes], labels: list[str]) -> Path:
    pd.DataFrame({"image": images, "label": labels}).to_parquet(table)
    return table


def _inverted(file: Path) -> bytes:
    out = io.BytesIO()
    ImageOps.invert(Image.open(file)).save(out, "PNG")
    return out.getvalue()


def _lose_cache() -> None:
    shutil.rmtree(table_images_folder())


def _command(*arguments: object) -> str:
    result = CliRunner().invoke(cli, [str(argument) for argument in arguments], catch_exceptions=False)
    assert result.return_value == 0 or result.exit_code == 0, result.output
    return result.output


def test_everything_works_with_its_examples_after_the_cache_is_lost(photos: Path, tmp_path: Path) -> None:
    files = sorted(photos.glob("*/*.jpg"))
    labels = ["flower" if i in (7, 27, 47) else file.parent.name for i, file in enumerate(files)]
    table = _write_table(tmp_path / "t.parquet", [file.read_bytes() for file in files], labels)
    settings = {"input_size": SIZE, "fine_tune": "none", "runs": tmp_path / "runs"}
    run = hs.train(table, **settings)
    names = {f"t.parquet#row={row}" for row in range(1, 111)}
    assert {row["file"] for row in _rows(run.folder / "predictions.csv")} == names
    for path in run.folder.glob("*.[chj]*"):  # every table, facts and report
        assert str(table_images_folder()) not in path.read_text(encoding="utf-8"), path

    fixes = [
        {"file": row["file"], "label": "china", "sha256": row["sha256"]}
        for row in _rows(run.folder / "predictions.csv")
        if row["file"] in {"t.parquet#row=8", "t.parquet#row=28", "t.parquet#row=48"}
    ]
    with open(tmp_path / "fixes.csv", "w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, fixes[0])
        writer.writeheader()
        writer.writerows(fixes)
    _lose_cache()
    fixed = hs.train(table, relabel=tmp_path / "fixes.csv", **settings)
    assert fixed.facts.data.corrections.changed == len(fixes) == 3

    _lose_cache()
    file = fixes[0]["file"]
    _command("explain", fixed.folder, tmp_path / file, "--out", tmp_path / "explained")
    assert (tmp_path / "explained" / f"t-row-{file.rpartition('=')[2]}.jpg").is_file()
    page = (tmp_path / "explained/explanation.html").read_text(encoding="utf-8")
    assert page.count("data:image/jpeg;base64") == 2 + 6  # with its heat map, and its neighbours
    assert file in page
    _lose_cache()
    assert hs.evaluate(fixed.folder, table).figures.leak_free.removed == 93  # all but the 17 that it was tested on
    assert _command("predict", fixed.folder, table).count("t.parquet#row=") == 110

    _lose_cache()
    images = [files[0].read_bytes(), *map(_inverted, files[:30])]
    more = _write_table(tmp_path / "more.parquet", images, ["china", *["inverted"] * 30])
    extended = hs.extend(fixed.folder, more)
    added = {Path(row["file"]).name for row in _rows(extended.folder / "predictions.csv")}
    assert added == {*names, *(f"more.parquet#row={row}" for row in range(2, 32))}
    table.unlink()
    with pytest.raises(InputError, match=r"110 of 110 images .* no longer what they were.*\n.*#row=\d+: is not there"):
        hs.extend(fixed.folder, more)
