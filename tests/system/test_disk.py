"""Disks without room: a small file system of its own, where the system allows to make one."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

_UNSHARE = ["unshare", "--user", "--map-root-user", "--mount"]


def _on_small_disk(folder: Path, size: str, *arguments: str, **settings: str) -> subprocess.CompletedProcess[str]:
    """Run headstart while ``folder`` is a disk of this size."""
    folder.mkdir()
    command = 'mount -t tmpfs -o size="$0" none "$1" && shift 1 && exec "$@"'
    return subprocess.run(
        [*_UNSHARE, "sh", "-c", command, size, str(folder), sys.executable, "-m", "headstart", *arguments],
        env={**os.environ, **settings}, capture_output=True, text=True, check=False,
    )  # fmt: skip


@pytest.fixture(scope="module", autouse=True)
def _can_mount(tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("mount")
    try:
        answer = subprocess.run([*_UNSHARE, "mount", "-t", "tmpfs", "none", str(folder)], check=False)
    except FileNotFoundError:
        pytest.skip("there is no unshare")
    if answer.returncode:
        pytest.skip("this system does not let a user mount a disk")


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ("32k", "could not be written: the disk of {disk}"),
        ("300k", "features of 110 images need 0.6 MB in {disk}, and 0.1 MB are free there"),
        ("8m", "the prepared files of embedded:efficientnet-lite0 need 38 MB in {disk}/engines, and"),
    ],
)
def test_a_cache_without_room_is_named_with_sizes(photos: Path, tmp_path: Path, size: str, expected: str) -> None:
    disk = tmp_path / "disk"
    answer = _on_small_disk(
        disk, size, "train", str(photos), "--runs", str(tmp_path / "runs"), HEADSTART_CACHE=str(disk)
    )
    assert answer.returncode == 3, answer.stderr
    assert expected.format(disk=disk) in answer.stderr
    assert "Free disk space" in answer.stderr
    assert "--runs for runs, HEADSTART_CACHE for the cache" in answer.stderr
    assert not list((tmp_path / "runs").glob("[!.]*"))


@pytest.mark.parametrize("data", ["photos", "shapes"])
def test_runs_without_room_are_named_before_the_work(data: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    disk, cache = tmp_path / "disk", tmp_path / "cache"
    folder = request.getfixturevalue(data)
    answer = _on_small_disk(disk, "3m", "train", str(folder), "--runs", str(disk), HEADSTART_CACHE=str(cache))
    assert answer.returncode == 3, answer.stderr
    assert re.search(rf"the files of the run {data} need \d+ MB in {disk}, and 3.1 MB are free there", answer.stderr)
    assert not list(cache.glob("features/*"))
