"""Arguments that name a wrong place are answered with the name of the option, and before the work."""

import sys
from pathlib import Path

import pytest

import headstart as hs
from headstart.cli.main import _run, spell_option
from headstart.commands.adopt import adopt
from headstart.commands.cache import clear
from headstart.data.corrections import read_corrections
from headstart.errors import InputError
from headstart.system.scratch import make_folder, scratch_folder
from headstart.system.settings import check_place


@pytest.fixture
def table(tmp_path: Path) -> Path:
    path = tmp_path / "t.csv"
    path.write_text("text,label\n" + "".join(f"a text {i},{'ab'[i % 2]}\n" for i in range(40)))
    return path


def _message(error: pytest.ExceptionInfo[InputError]) -> str:
    return error.value.render(spell_option)


@pytest.mark.parametrize("place", ["file/x", "file", pytest.param("/proc/x", marks=pytest.mark.skipif(
    sys.platform != "linux", reason="a file system without new files"))])  # fmt: skip
def test_a_place_for_runs_that_cannot_be_made_is_named_before_training(tmp_path: Path, table: Path, place: str) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError) as error:
        hs.train(table, base="file:nothing.keras", runs=tmp_path / place)  # the base would be loaded next
    assert _message(error).startswith(f"--runs: no folder can be made at {tmp_path / place} (")
    with pytest.raises(InputError, match="no folder can be made at"), scratch_folder(tmp_path / place, "x"):
        pass


def test_no_folder_is_made_before_it_is_needed(tmp_path: Path, table: Path) -> None:
    with pytest.raises(InputError, match=r"nothing\.keras"):
        hs.train(table, base="file:nothing.keras", runs=tmp_path / "new" / "runs")
    assert not (tmp_path / "new").exists()
    make_folder(tmp_path / "new" / "runs")
    assert not list((tmp_path / "new/runs").iterdir())


@pytest.mark.parametrize(
    ("path", "reason"),
    [
        ("x.txt", "expected the name of a .csv file"),
        ("no/x.csv", "there is no folder"),
        ("there.csv", "is there already"),
        ("file/x.csv", "there is no folder"),
        pytest.param("/proc/x.csv", "cannot be written", marks=pytest.mark.skipif(sys.platform != "linux", reason="")),
    ],
)
def test_files_that_cannot_be_written_are_named_before_the_checks(
    tmp_path: Path, table: Path, capsys: pytest.CaptureFixture[str], path: str, reason: str
) -> None:
    (tmp_path / "file").write_text("")
    (tmp_path / "there.csv").write_text("")
    assert _run(["audit", str(table), "--no-features", "--fix", str(tmp_path / path)], debug=False) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith(f"error: --fix: {tmp_path / path}")
    assert reason in err


def test_a_folder_in_place_of_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "x.html").mkdir()
    with pytest.raises(InputError, match=r"x\.html cannot be written \(Is a directory\)"):
        check_place(tmp_path / "x.html", ".html", replaced=True)
    assert list(tmp_path.iterdir()) == [tmp_path / "x.html"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        ("text,label\nx,a\n", "row 2 of .* has no column 'file': it has 'text', 'label'"),
        ("file,label\nrow 99,a\n", "row 2 of .* names 'row 99', which .* does not have"),
        ("file,label\nrow 2,c\n", "row 2 of .* has the label 'c'"),
        ("", "is empty"),
    ],
)
def test_corrections_that_cannot_be_used_name_their_option(
    tmp_path: Path, table: Path, content: str, reason: str
) -> None:
    fixes = tmp_path / "fixes.csv"
    fixes.write_text(content)
    with pytest.raises(InputError, match=reason) as error:
        read_corrections(fixes, hs.load_dataset(table))
    assert _message(error).startswith("--relabel: ")
    assert _message(error).count("--relabel") == 1


def test_a_correction_of_a_file_that_is_gone_is_an_error_of_the_input(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("path,label\n1.jpg,a\n2.jpg,b\n")
    (tmp_path / "fixes.csv").write_text("file,label,sha256\n1.jpg,b,0123\n")
    with pytest.raises(InputError, match=r"row 2 of .*fixes\.csv: 1\.jpg cannot be read"):
        read_corrections(tmp_path / "fixes.csv", hs.load_dataset(tmp_path / "t.csv"))


@pytest.mark.parametrize(
    ("export", "reason"),
    [("no", "there is no such file or folder"), (".", "it has no keras_model.h5"), ("t.csv", "it is no model file")],
)
def test_what_is_no_export_is_named_with_what_is_expected(
    tmp_path: Path, table: Path, export: str, reason: str
) -> None:
    with pytest.raises(
        InputError, match=f"not an export of Teachable Machine: {reason}.*keras_model.h5 and labels.txt"
    ):
        adopt(tmp_path / export)


def test_a_file_in_place_of_a_run_is_named(table: Path) -> None:
    with pytest.raises(InputError, match=r"t\.csv is not a run: it is a file"):
        hs.tune(table)


def test_a_negative_age_names_its_option() -> None:
    with pytest.raises(InputError) as error:
        clear(older_than=-1)
    assert _message(error) == "--older-than: expected at least 0 days, such as 30, got -1."


def test_fetch_takes_the_same_sizes_as_train(capsys: pytest.CaptureFixture[str]) -> None:
    assert _run(["fetch", "embedded:efficientnet-lite0", "--input-size", "64x96"], debug=False) == 0
    assert _run(["fetch", "embedded:efficientnet-lite0", "--input-size", "big"], debug=False) == 2
    assert "--input-size: expected pixels such as 224 or 192x256, got 'big'" in capsys.readouterr().err
