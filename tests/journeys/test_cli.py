"""The installed command as a user types it, in processes of its own."""

import csv
import io
import json
import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

import headstart as hs
from headstart.cli.main import COMMANDS, cli
from tests.conftest import SIZE, Command

HEADSTART = str(Path(sys.executable).with_name("headstart"))
HEAVY = {"tensorflow", "torch", "jax", "keras", "pandas", "sklearn", "openvino", "rich", "scipy", "matplotlib"}


def headstart(
    *arguments: object, stdin: bytes = b"", cwd: Path | None = None, env: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [HEADSTART, *map(str, arguments)], input=stdin, capture_output=True, cwd=cwd, env={**os.environ, **(env or {})}
    )
    return subprocess.CompletedProcess(done.args, done.returncode, done.stdout.decode(), done.stderr.decode())


def test_train_evaluate_and_predict(photos: Path, tmp_path: Path) -> None:
    shutil.copytree(photos, tmp_path / "photos")
    trained = headstart("train", "photos", "--input-size", SIZE, cwd=tmp_path)
    assert trained.returncode == 0, trained.stderr
    assert "test accuracy" in trained.stdout
    assert "runs/photos/report.html" in trained.stdout
    assert "headstart predict runs/photos" in trained.stdout

    evaluated = headstart("evaluate", "runs/photos", "photos", cwd=tmp_path)
    assert evaluated.returncode == 0, evaluated.stderr
    assert re.search(r"without 9\d examples that duplicate training examples, exactly or nearly: acc", evaluated.stdout)
    assert (tmp_path / "runs/photos/evaluations/photos/report.html").is_file()

    predicted = headstart("predict", "runs/photos", "photos/flower/03.jpg", cwd=tmp_path)
    assert predicted.returncode == 0, predicted.stderr
    assert predicted.stdout.split()[0] == "flower"

    explained = headstart("explain", "runs/photos", "photos/flower/03.jpg", cwd=tmp_path)
    assert explained.returncode == 0, explained.stderr
    assert explained.stdout.split()[0] == "flower"
    for said in ("Evidence for flower: ", "similar  flower", "runs/photos/explanations/03/explanation.html"):
        assert said in explained.stdout
    assert (tmp_path / "runs/photos/explanations/03/explanation.html").is_file()


@pytest.mark.slow
def test_explain_as_json_and_where_it_is_told_to(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    (tmp_path / "bad.jpg").write_bytes(b"")
    arguments = (
        "explain",
        run.folder,
        photos / "china/0[12].jpg",
        tmp_path / "bad.jpg",
        "--class-name",
        "flower",
        "--json",
    )
    plain = headstart(*arguments, "--nearest", 0)
    assert plain.returncode == 0
    lines = [json.loads(line) for line in plain.stdout.splitlines()]
    assert [(Path(line["file"]).name, line["class_name"], line["nearest"]) for line in lines] == [
        ("01.jpg", "flower", []),
        ("02.jpg", "flower", []),
    ]
    assert "bad.jpg: empty: 0 bytes" in plain.stderr
    strict = headstart(*arguments, "--out", tmp_path / "why", "--strict")
    assert strict.returncode == 2
    assert {path.name for path in (tmp_path / "why").iterdir()} == {"explanation.html", "01.jpg", "02.jpg"}
    assert not (run.folder / "explanations").exists()


def test_audit_says_what_is_wrong_and_exits_with_2(headstart_here: Command, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    arguments = ("audit", "photos", "--no-features", "--ignore", "HS032")
    fine = headstart_here(*arguments, "--fail-on", "warning", cwd=tmp_path)
    assert (fine.returncode, fine.stderr) == (0, "")
    assert "no findings" in fine.stdout
    shutil.copy(folder / "china/00.jpg", folder / "flower/same.jpg")
    shutil.copy(folder / "china/01.jpg", folder / "china/copy.jpg")
    found = headstart_here(*arguments, "--fix", "clean.csv", "--report", "audit.html", cwd=tmp_path)
    assert found.returncode == 2
    assert "error    HS033 conflicting-labels: 2 images are exact copies with different labels" in found.stdout
    assert "china/00.jpg = flower/same.jpg: china and flower" in found.stdout
    assert "109 examples kept and 3 left out: headstart train clean.csv" in found.stderr
    assert (tmp_path / "audit.html").is_file()
    name = os.fsdecode(b"caf\xe9.jpg")
    (folder / "flower" / name).write_bytes(b"")
    told = headstart_here(*arguments, "--json", "--fail-on", "never", cwd=tmp_path)
    assert told.returncode == 0
    findings = json.loads(told.stdout)["findings"]
    assert findings[0]["examples"] == [{"files": [f"flower/{name}"], "note": "empty: 0 bytes"}]
    states = {one["code"]: one["state"] for one in findings}
    assert len(states) == 41
    assert [states[code] for code in ("HS002", "HS021", "HS031", "HS032", "HS051")] == [
        "clean", "not applicable", "found", "ignored", "skipped"
    ]  # fmt: skip
    assert headstart_here("audit", "--explain", "leaks").stdout.startswith("HS035 leaks\n\nSeverity: error.")


@pytest.mark.slow
def test_predict_takes_files_folders_patterns_and_standard_input(run: hs.Run, photos: Path) -> None:
    one = photos / "china/07.jpg"
    by_file = headstart("predict", run.folder, one, "--json")
    by_bytes = headstart("predict", run.folder, "-", "--json", stdin=one.read_bytes())
    by_list = headstart("predict", run.folder, "-", "--json", stdin=f"{one}\n{one}\n".encode())
    answer = json.loads(by_file.stdout)
    assert answer["predicted"] == max(answer["probabilities"], key=answer["probabilities"].get)
    assert json.loads(by_bytes.stdout)["probabilities"] == answer["probabilities"]
    assert [json.loads(line)["probability"] for line in by_list.stdout.splitlines()] == [answer["probability"]] * 2
    folder = headstart("predict", run.folder, photos / "china", "--csv")
    rows = list(csv.DictReader(io.StringIO(folder.stdout)))
    assert [Path(row["file"]).name for row in rows] == sorted(path.name for path in (photos / "china").iterdir())
    assert all(float(row["china"]) + float(row["flower"]) == pytest.approx(1, abs=1e-5) for row in rows)
    pattern = headstart("predict", run.folder, photos / "*" / "0[12].jpg", "--top-k", 1)
    assert len(pattern.stdout.splitlines()) == 4


def test_predict_says_which_files_it_cannot_use(
    headstart_here: Command, run: hs.Run, photos: Path, tmp_path: Path
) -> None:
    bad = tmp_path / "bad.jpg"
    bad.write_text("no picture")
    some = headstart_here("predict", run.folder, bad, photos / "china/07.jpg", "--json")
    assert some.returncode == 0
    assert "bad.jpg: not an image" in some.stderr
    first, second = map(json.loads, some.stdout.splitlines())
    assert "not an image" in first["reason"]
    assert second["predicted"]
    assert headstart_here("predict", run.folder, bad).returncode == 2
    assert headstart_here("predict", run.folder, bad, photos / "china/07.jpg", "--strict").returncode == 2


def test_predict_loads_no_keras(run: hs.Run, photos: Path) -> None:
    code = (
        "import sys; from headstart.cli.main import cli; "
        f"cli.main(['predict', {str(run.folder)!r}, {str(photos / 'china/07.jpg')!r}], standalone_mode=False); "
        "print(sorted({name.partition('.')[0] for name in sys.modules}))"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    loaded = set(eval(out.splitlines()[-1]))
    assert not loaded & (HEAVY - {"openvino"})


def _to_closed_pipe(*arguments: object) -> subprocess.CompletedProcess[bytes]:
    """Run a command whose output nobody reads any more, as after ``| head -1``."""
    reading_end, writing_end = os.pipe()
    os.close(reading_end)
    try:
        return subprocess.run([HEADSTART, *map(str, arguments)], stdout=writing_end, stderr=subprocess.PIPE)
    finally:
        os.close(writing_end)


@pytest.mark.parametrize("arguments", [["--help"], ["check", "--help"], ["check", "--rules"], ["bases"]])
def test_a_closed_pipe_is_no_error(arguments: list[str]) -> None:
    done = _to_closed_pipe(*arguments)
    assert (done.returncode, done.stderr) == (0, b"")


def test_predictions_to_a_closed_pipe_are_no_error(run: hs.Run, photos: Path) -> None:
    done = _to_closed_pipe("--quiet", "predict", run.folder, *[photos] * 100)  # more than a buffer
    assert (done.returncode, done.stderr) == (0, b"")


@pytest.mark.parametrize("code", ["import headstart", "from headstart.cli.main import cli; cli.get_help"])
def test_importing_is_light_and_silent(code: str) -> None:
    told = (
        f"import os, sys; old = dict(os.environ); {code}; from headstart.system.telemetry import SWITCHES; "
        "assert dict(os.environ) == SWITCHES | old; print(*sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", told], capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert not {name.partition(".")[0] for name in done.stdout.split()} & (HEAVY | {"numpy", "PIL"})


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_an_example(headstart_here: Command, command: str) -> None:
    done = headstart_here(command, "--help")
    assert done.returncode == 0
    assert f"Example: headstart {command}" in done.stdout
    assert COMMANDS[command][1].rstrip(".").split()[0] in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["trian"], 2, "Did you mean 'train'?"),
        (["train"], 2, "Missing argument 'DATA'"),
        (["train", "nowhere"], 2, "no such file or folder: nowhere"),
        (["train", "photos", "--dense", "a"], 2, "expected sizes of at least 1, such as 256"),
        (["train", "photos", "--input-size", "big"], 2, "expected pixels such as 224"),
        (["train", "photos", "--bse", "x"], 2, "--bse"),
        (["train", "photos", "--feature-layer", "x"], 2, "--feature-layer: it is for models in files of your own"),
        (["train", "photos", "--segmenter", "stanza:zh"], 2, "--segmenter: only word vectors use a segmenter"),
        (["train", "photos", "--text-column", "x"], 2, "--text-column: it is for tables, and photos is a folder"),
        (["ui", "--port", "99999"], 2, "--port"),
        (["train", "photos", "--base", "keras:Xcption"], 2, "Did you mean 'Xception'"),
        (["train", "photos", "--base", "keras:Xception"], 3, "xception_weights_tf_dim_ordering_tf_kernels_notop.h5"),
        (["predict", "nowhere", "x.jpg"], 2, "nowhere is not a run"),
        (["evaluate", "nowhere", "photos"], 2, "nowhere is not a run"),
    ],
)
def test_errors_are_one_clear_line(
    headstart_here: Command, photos: Path, arguments: list[str], code: int, message: str
) -> None:
    done = headstart_here(*arguments, cwd=photos.parent)
    assert done.returncode == code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert message in done.stderr
    assert "Traceback" not in done.stderr


def test_a_run_in_place_of_data_and_a_file_in_place_of_a_folder_are_named(
    headstart_here: Command, run: hs.Run, tmp_path: Path
) -> None:
    done = headstart_here("audit", run.folder)
    assert (done.returncode, done.stdout) == (2, "")
    assert "is a run, not data" in done.stderr
    (tmp_path / "file.txt").write_text("")
    for command in (["export", run.folder, "--to", "onnx"], ["explain", run.folder, "x.jpg"]):
        done = headstart_here(*command, "--out", tmp_path / "file.txt")
        assert done.returncode == 2
        assert "'--out'" in done.stderr


def test_without_a_command_the_help_is_shown(headstart_here: Command) -> None:
    done = headstart_here()
    assert done.returncode == 2
    assert done.stdout.startswith("Usage: headstart")
    assert done.stderr == ""


@pytest.mark.skipif(os.name == "nt", reason="needs a pseudo-terminal")
def test_a_terminal_of_80_columns_gets_whole_words_and_no_wide_table() -> None:
    import pty

    parent, child = pty.openpty()
    env = {**os.environ, "COLUMNS": "80"}
    with subprocess.Popen([HEADSTART, "bases", "resnet"], stdout=child, stderr=subprocess.PIPE, env=env) as process:
        os.close(child)
        output = b""
        try:
            while part := os.read(parent, 4096):
                output += part
        except OSError:  # the end of a pseudo-terminal on Linux
            pass
    os.close(parent)
    assert process.returncode == 0
    lines = output.decode().splitlines()
    assert lines[0].split()[-1] == "weights"
    assert max(map(len, lines)) <= 80


def test_a_folder_that_cannot_be_written_is_named(photos: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("in the way")
    done = headstart("train", photos, env={"HEADSTART_CACHE": str(tmp_path / "file" / "cache")})
    assert done.returncode == 3
    assert f"Not a directory: {tmp_path / 'file' / 'cache'}" in done.stderr
    assert "HEADSTART_CACHE" in done.stderr
    if sys.platform == "linux":  # where nobody can write, not even the system's administrator
        done = headstart("train", photos, "--runs", "/sys/new/runs")
        assert done.returncode == 3
        assert re.search(r"(Permission denied|not permitted|Read-only file system): /sys\. Choose", done.stderr)


def test_debug_shows_the_traceback(photos: Path) -> None:
    done = headstart("train", "nowhere", "--debug", cwd=photos.parent)
    assert "Traceback" in done.stderr


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 broken", b"no archive"])
def test_a_changed_run_ends_with_4(
    headstart_here: Command, run: hs.Run, photos: Path, tmp_path: Path, content: bytes
) -> None:
    copy = shutil.copytree(run.folder, tmp_path / "copy")
    (copy / "golden.npz").write_bytes(content)
    done = headstart_here("predict", copy, photos / "china/07.jpg")
    assert done.returncode == 4
    assert "golden.npz: its SHA-256 is not the one in run.json" in done.stderr


@pytest.mark.slow
def test_quiet_keeps_results_only(run: hs.Run, photos: Path, tmp_path: Path) -> None:
    folder = Path(shutil.copytree(photos, tmp_path / "photos"))
    (folder / "china/bad.jpg").write_bytes(b"")
    arguments = ("train", folder, "--input-size", SIZE, "--runs", tmp_path / "runs")
    assert "bad.jpg: empty" in headstart(*arguments).stderr
    quiet = headstart(*arguments, "--quiet")
    assert quiet.stderr == ""
    assert "test accuracy" in quiet.stdout


COMMANDS_WITH_SETTINGS = ("train", "tune", "extend", "compare", "audit", "evaluate")


@pytest.mark.parametrize("name", COMMANDS_WITH_SETTINGS)
def test_settings_have_one_name_in_python_and_on_the_command_line(name: str) -> None:
    import inspect

    from headstart.config import commands

    command = cli.get_command(click.Context(cli), name)
    assert command is not None
    takes = getattr(commands, name.upper())
    options = {option.name: option for option in command.params if isinstance(option, click.Option)}
    assert [options[setting].opts for setting in takes] == [[f"--{s.replace('_', '-')}"] for s in takes]
    arguments = inspect.signature(getattr(hs, name)).parameters
    # The bundle is a matter of the environment; the others are about what is printed, or another function.
    of_the_terminal = {"bundle", "export", "report", "as_json", "fail_on", "limits", "fix", "explain"}
    assert set(options) - set(takes) - of_the_terminal <= set(arguments)


def test_the_help_of_train_shows_groups_and_the_most_used_options_first() -> None:
    text = CliRunner().invoke(cli, ["train", "--help"]).output
    titles = re.findall(r"^(\w.*):$", text, re.MULTILINE)
    assert titles[0] == "Most used"
    assert titles[-1] == "This command"
    assert {"Data", "Split", "Base", "Head", "Fine-tuning"} <= set(titles)
    most_used = text.partition("Most used:")[2].partition("\n\n")[0]
    assert 5 <= len(re.findall("^  --", most_used, re.MULTILINE)) <= 10


def test_wrong_settings_are_all_named_as_options(tmp_path: Path) -> None:
    done = headstart("train", str(tmp_path), "--dropout", "2", "--epochs", "0", "--fine-tune", "last:0")
    assert done.returncode == 2
    for option in ("--dropout", "--epochs", "--fine-tune"):
        assert option in done.stderr


def test_a_recipe_and_an_option_that_disagree_are_refused(tmp_path: Path) -> None:
    (tmp_path / "recipe.toml").write_text("val = 0.2\n[head]\ndense = [8]\n")
    done = headstart("train", str(tmp_path), "--config", str(tmp_path / "recipe.toml"), "--val", "0.3")
    assert done.returncode == 2
    assert "--val: it is 0.3 here and 0.2 in" in done.stderr
