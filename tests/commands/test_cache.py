"""The cache can be looked at and emptied, and runs go on without it."""

import json
import os
import time
from pathlib import Path

import pytest
from filelock import FileLock

import headstart as hs
from headstart.cli.main import _run
from headstart.commands.cache import KINDS, clear, items
from headstart.errors import InputError
from tests.conftest import SIZE


@pytest.fixture
def cache(photos: Path, tmp_path: Path) -> Path:
    folder = tmp_path / "cache"
    hs.train(photos, input_size=SIZE, runs=tmp_path / "runs", cache=folder)
    return folder


@pytest.mark.slow
def test_what_a_run_leaves_is_listed_and_removed(cache: Path, photos: Path, tmp_path: Path) -> None:
    found = items(cache)
    assert {item.kind for item in found} == {"features", "image-info", "engines", "heads"}
    assert sum(item.size for item in found if item.kind == "engines") > 10e6
    removed, kept = clear(cache)
    assert (len(removed), kept, items(cache)) == (len(found), [], [])
    again = hs.train(photos, input_size=SIZE, runs=tmp_path / "runs", cache=cache)
    assert again.metrics == hs.load(tmp_path / "runs" / "photos").metrics
    assert again.predict(photos / "china/00.jpg").predicted == "china"


def test_what_is_in_use_or_new_stays(tmp_path: Path) -> None:
    for kind, age_days in (("heads", 3), ("tuning", 40), ("features", 40)):
        entry = tmp_path / kind / "one"
        entry.mkdir(parents=True)
        (entry / "values.npy").write_bytes(bytes(5000))
        long_ago = time.time() - age_days * 86400
        for path in (entry / "values.npy", entry):
            os.utime(path, (long_ago, long_ago))
    with FileLock(tmp_path / "tuning" / "one.lock"):
        removed, kept = clear(tmp_path, older_than=30)
    assert [item.kind for item in removed] == ["features"]
    assert [item.kind for item in kept] == ["tuning"]
    assert (tmp_path / "heads/one/values.npy").exists()
    with pytest.raises(InputError, match="at least 0 days, such as 30, got -1"):
        clear(tmp_path, older_than=-1)


def test_the_command(run: hs.Run, capfd: pytest.CaptureFixture[str]) -> None:
    assert _run(["cache"], debug=False) == 0
    shown = capfd.readouterr().out
    assert all(kind in shown for kind in KINDS)
    assert _run(["cache", "--json"], debug=False) == 0
    assert {item["kind"] for item in json.loads(capfd.readouterr().out)} >= {"features", "engines"}
    assert _run(["cache", "--older-than", "3"], debug=False) == 2
    assert "needs --clear" in capfd.readouterr().err
