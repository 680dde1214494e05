"""Progress and log records: who gets them, and what is shown of them."""

import logging
import os
import pty
import subprocess
import sys
import termios
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

import headstart as hs
from headstart.cli import output
from headstart.system import progress as progress_module
from headstart.system.events import EventProgress, Relay
from headstart.system.keras_worker import call
from headstart.system.progress import Bar, LogProgress, Pace, Progress
from tests.conftest import SIZE, prepared_cache


class Recorder:
    """A Progress that keeps what it is told, as a user would write one."""

    def __init__(self) -> None:
        self.told: list[Any] = []

    @contextmanager
    def start(self, label: str, total: int, unit: str) -> Iterator[Bar]:
        self.told.append((label, total, unit))
        yield self
        self.told.append(("end", label))

    def advance(self, n: int = 1) -> None:
        self.told.append(n)

    def stage(self, name: str) -> None:
        self.told.append(name)

    def epoch(self, row: Mapping[str, Any], seconds_left: float) -> None:
        self.told.append((dict(row), seconds_left))


def _python(code: str, *arguments: object) -> subprocess.CompletedProcess:
    return subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)], capture_output=True, text=True, check=True
    )


# --- a Progress of the user's own -----------------------------------------------------------------------------------


def test_own_progress_follows_a_training(photos: Path, tmp_path: Path) -> None:
    follower = Recorder()
    hs.train(
        photos, input_size=SIZE, fine_tune="none", runs=tmp_path, cache=prepared_cache(tmp_path), progress=follower
    )
    stages = [told for told in follower.told if isinstance(told, str)]
    assert stages == [
        "data", "base", "features", "audit and split", "head", "fine-tuning", "evaluation", "run"
    ]  # fmt: skip
    start, end = follower.told.index(("features", 110, "images")), follower.told.index(("end", "features"))
    assert sum(follower.told[start + 1 : end]) == 110


def test_own_progress_follows_an_extraction(photos: Path, tmp_path: Path) -> None:
    follower = Recorder()
    files = sorted(photos.rglob("*.jpg"))[:20]
    hs.extract(hs.load_base(input_size=SIZE), files, cache=prepared_cache(tmp_path), progress=follower)
    assert follower.told == [("features", 20, "images"), *follower.told[1:-1], ("end", "features")]
    assert sum(follower.told[1:-1]) == 20


def test_own_progress_follows_the_reading_of_word_vectors(tmp_path: Path) -> None:
    path = tmp_path / "vectors.txt"
    path.write_text("".join(f"word{i} {i} {i}.5\n" for i in range(50_000)))
    follower = Recorder()
    hs.load_base(f"glove:{path}", progress=follower)
    assert follower.told[0] == ("word vectors", path.stat().st_size >> 20, "MB")
    assert follower.told[-1] == ("end", "word vectors")


# --- Python users -----------------------------------------------------------------------------------------------------

_TRAIN = """
import sys
import headstart as hs
data, runs, progress, size = sys.argv[1:]
run = hs.train(data, input_size=int(size), fine_tune="none", runs=runs, progress=progress == "True")
"""

_WARN = """
import logging, sys
import headstart as hs
from headstart.system.display import show_progress
with show_progress(sys.argv[1] == "True"):
    logging.getLogger("headstart.data").info("a note")
    logging.getLogger("headstart.data").warning("a warning")
"""


def test_without_progress_nothing_is_printed(photos: Path, tmp_path: Path) -> None:
    done = _python(_TRAIN, photos, tmp_path, False, SIZE)
    assert (done.stdout, done.stderr) == ("", "")
    assert _on_terminal(_TRAIN, photos, tmp_path, False, SIZE) == ""


@pytest.mark.slow
def test_a_terminal_shows_notes_and_bars(photos: Path, tmp_path: Path) -> None:
    shown = _on_terminal(_TRAIN, photos, tmp_path, True, SIZE, cache=tmp_path / "cache")
    assert "preparing embedded:efficientnet-lite0 for this machine …" in shown
    assert "0/110" in shown
    assert "features" in shown


def test_warnings_are_shown_in_each_case() -> None:
    assert _python(_WARN, True).stderr == _python(_WARN, False).stderr == "a warning\n"
    assert _on_terminal(_WARN, False) == "a warning\r\n"
    assert _on_terminal(_WARN, True) == "a note\r\nwarning: a warning\r\n"


def _on_terminal(code: str, *arguments: object, cache: Path | None = None) -> str:
    """What a program writes to a terminal that is its stderr."""
    terminal, end = pty.openpty()
    termios.tcsetwinsize(end, (24, 80))
    environment = os.environ | ({"HEADSTART_CACHE": str(cache)} if cache else {})
    command = [sys.executable, "-c", code, *map(str, arguments)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=end, env=environment) as process:
        os.close(end)
        pieces = []
        while True:
            try:
                piece = os.read(terminal, 1 << 16)
            except OSError:  # Linux's way to say that the other end is closed
                break
            if not piece:
                break
            pieces.append(piece)
    os.close(terminal)
    assert process.returncode == 0
    return b"".join(pieces).decode()


def test_logging_decides_where_it_is_configured(capsys: pytest.CaptureFixture[str]) -> None:
    with output.logging_to_stderr(quiet=False):
        logging.getLogger("headstart.data").info("a note")
        logging.getLogger("headstart.data").warning("a warning")
    with output.logging_to_stderr(quiet=True):
        logging.getLogger("headstart.data").warning("a quiet one")
    logging.getLogger("headstart.data").info("no more")
    assert capsys.readouterr().err == "a note\nwarning: a warning\n"


# --- the Keras process ------------------------------------------------------------------------------------------------


def work(numbers: list[int], progress: Progress) -> int:
    """Runs in the Keras process of the test below."""
    logger = logging.getLogger("headstart.training")
    logger.info("a note with 100 %")
    logger.warning("a warning")
    progress.stage("a stage")
    with progress.start("adding", len(numbers), "numbers") as bar:
        for _ in numbers:
            bar.advance()
    progress.epoch({"epoch": 1, "loss": 0.5}, 12.5)
    return sum(numbers)


def test_what_a_keras_process_tells_arrives(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(Path(__file__).parent), *sys.path]))
    follower = Recorder()
    function = f"{Path(__file__).stem}:work"
    assert call(function, {"numbers": [1, 2, 3]}, progress=follower) == 6
    assert caplog.record_tuples == [
        ("headstart.training", logging.INFO, "a note with 100 %"),
        ("headstart.training", logging.WARNING, "a warning"),
    ]
    first, *counts = follower.told
    assert first == "a stage"
    assert counts[0] == ("adding", 3, "numbers")
    assert sum(counts[1:-2]) == 3
    assert counts[-2:] == [("end", "adding"), ({"epoch": 1, "loss": 0.5}, 12.5)]


def test_events_end_with_the_work_that_fails() -> None:
    sent: list[dict[str, Any]] = []

    def fail() -> None:
        with EventProgress(sent.append).start("adding", 3, "numbers") as bar:
            bar.advance()
            raise OSError("broken")

    with pytest.raises(OSError, match="broken"):
        fail()
    assert sent == [{"start": ["adding", 3, "numbers"]}, {"done": 1}, {"finish": True}]
    follower = Recorder()
    relay = Relay(follower)
    for event in sent:
        relay(event)
    relay.close()
    assert follower.told == [("adding", 3, "numbers"), 1, ("end", "adding")]


# --- counting ---------------------------------------------------------------------------------------------------------


def test_the_rate_is_counted_from_the_first_units_on() -> None:
    pace = Pace(100)
    assert (pace.rate, pace.seconds_left) == (None, None)
    pace.count(10, 1000.0)
    assert (pace.rate, pace.seconds_left) == (None, None)
    pace.count(30, 1010.0)
    assert (pace.rate, pace.seconds_left) == (2.0, 35.0)


def test_lines_of_a_log(monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    now = iter([0.0, 50.0, 50.0, 55.0, 55.0, 60.5, 60.5, 90.0, 90.0])
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: next(now))
    with LogProgress().start("features", 1200, "images") as bar:
        for n in (100, 500, 505, 95):
            bar.advance(n)
    assert caplog.messages == [
        "features: 1,105 of 1,200 images, 96 images/s, 0:01 left",
        "features: 1,200 of 1,200 images, 28 images/s, 0:00 left",
    ]
