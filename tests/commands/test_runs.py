"""`headstart runs`: what is in a folder of runs, and how it is removed."""

import json
import shutil
from pathlib import Path

import pytest

import headstart as hs
from tests.conftest import Command


@pytest.fixture
def folder(run: hs.Run, tmp_path: Path) -> Path:
    for name in ("first", "second", "damaged"):
        shutil.copytree(run.folder, tmp_path / "runs" / name)
    (tmp_path / "runs/damaged/run.json").write_text("{")
    (tmp_path / "runs/notes").mkdir()
    return tmp_path


def test_runs_are_listed_and_damaged_ones_are_named(headstart_here: Command, folder: Path, run: hs.Run) -> None:
    done = headstart_here("runs", cwd=folder)
    first, second, damaged = done.stdout.splitlines()[2:5]
    figure = f"test accuracy {run.metrics['accuracy']:.1%}"
    assert {first.split()[0], second.split()[0]} == {"first", "second"}
    assert figure in first
    assert damaged.split("  ")[0] == "damaged"
    assert "cannot be opened" in damaged
    assert "runs/damaged" in done.stderr
    assert "3 runs in runs" in done.stdout
    entries = json.loads(headstart_here("runs", "runs", "--json", cwd=folder).stdout)
    assert [entry["metrics"] for entry in entries[:2]] == [run.metrics] * 2
    assert entries[2]["problem"]


def test_a_run_is_shown(headstart_here: Command, folder: Path, run: hs.Run) -> None:
    shown = headstart_here("runs", "runs/first", cwd=folder).stdout
    assert f"test accuracy {run.metrics['accuracy']:.1%} (95 % interval" in shown
    assert "report   runs/first/report.html" in shown


def test_runs_are_removed_all_or_none(headstart_here: Command, folder: Path) -> None:
    refused = headstart_here("runs", "--remove", "--yes", "runs/first", "runs/notes", cwd=folder)
    assert refused.returncode == 2
    assert "runs/notes is no run, so it is not removed" in refused.stderr
    assert (folder / "runs/first").exists()
    assert headstart_here("runs", "--remove", "--yes", "runs/first", "runs/damaged", cwd=folder).returncode == 0
    assert sorted(path.name for path in (folder / "runs").iterdir()) == ["notes", "second"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["nowhere"], "there is no folder nowhere"),
        (["--yes"], "--yes needs --remove"),
        (["--remove"], "--remove needs the runs to remove"),
        (["runs", "runs/first"], "expected one folder of runs, or several runs"),
    ],
)
def test_wrong_arguments_are_named(arguments: list[str], message: str, headstart_here: Command, folder: Path) -> None:
    done = headstart_here("runs", *arguments, cwd=folder)
    assert (done.returncode, message in done.stderr) == (2, True)
