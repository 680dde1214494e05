"""Views in the cache: trainings with other settings share them, and a budget limits them."""

import os
from dataclasses import replace
from pathlib import Path

import pytest
from filelock import FileLock

import headstart as hs
from headstart.commands.cache import clear, items
from headstart.training.detection.job import DetectorJob
from headstart.training.detection.view_folders import remove_old_views, views_folder

JOB = DetectorJob(
    spec={}, resize="stretch", input_size=(64, 64), maps=[{"block": "block4", "shape": [8, 8, 40], "stride": 8}],
    xml="model.xml", precision="float32", n_classes=2, examples=[], digests=[], n_train=0, boxes="", views=6,
    flips=True, epochs=6, batch_size=16, learning_rate=4e-3, weight_decay=0.02, seed=0, time_limit=None, folder="",
    views_folder="",
)  # fmt: skip


def test_views_are_shared_by_what_does_not_change_them(tmp_path: Path) -> None:
    base = hs.load_base(input_size=64).for_images()
    folder = views_folder(tmp_path, JOB, base)
    for job in (replace(JOB, epochs=3), replace(JOB, n_classes=5), replace(JOB, time_limit=60.0, learning_rate=1e-3)):
        assert views_folder(tmp_path, job, base) == folder
    others = [
        replace(JOB, seed=1),
        replace(JOB, views=3),
        replace(JOB, flips=False),
        replace(JOB, precision="bfloat16"),
    ]
    larger = hs.load_base(input_size=96).for_images()
    folders = {folder, *(views_folder(tmp_path, job, base) for job in others), views_folder(tmp_path, JOB, larger)}
    assert len(folders) == 6


@pytest.fixture
def three_views(tmp_path: Path) -> Path:
    """Folders of 100 kB: ``old``, ``middle`` and ``new``."""
    for day, name in enumerate(("old", "middle", "new"), 1):
        folder = tmp_path / "box-views" / name
        folder.mkdir(parents=True)
        (folder / "shard-0.npy").write_bytes(bytes(range(250)) * 400)
        os.utime(folder, (day * 86400, day * 86400))
    return tmp_path


def test_the_views_that_were_used_longest_ago_are_removed(three_views: Path) -> None:
    remove_old_views(three_views, budget=250e3)
    assert sorted(path.name for path in (three_views / "box-views").iterdir()) == ["middle", "new"]
    remove_old_views(three_views)  # within the budget of this machine
    with FileLock(three_views / "box-views/middle.lock"):
        remove_old_views(three_views, budget=0)
        assert [path.name for path in (three_views / "box-views").iterdir() if path.is_dir()] == ["middle"]


def test_the_command_that_clears_the_cache_knows_them(three_views: Path) -> None:
    assert {(item.kind, item.path.name) for item in items(three_views)} == {
        ("box-views", "old"), ("box-views", "middle"), ("box-views", "new"),
    }  # fmt: skip
    assert len(clear(three_views)[0]) == 3
