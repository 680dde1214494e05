"""Where the maps of views lie in the cache, by what they depend on: a second training with other settings finds them.

They are large. Those of the last trainings stay, as many as a budget allows; ``headstart cache --clear`` removes them.
"""

import hashlib
import json
import os
import shutil
from pathlib import Path

from headstart.bases.base import ImageBase
from headstart.system.disk import size_on_disk
from headstart.system.locks import is_held, remove_lock
from headstart.training.detection.job import DetectorJob

FOLDER = "box-views"
"""Of the cache."""

_BUDGET_BYTES = 4e9  # of all of them
_BUDGET_SHARE = 0.1  # of what is free on the disk


def views_folder(cache: Path, job: DetectorJob, base: ImageBase) -> Path:
    """The folder of a training's views.

    The images do not name it, because views are found by the content of their images. Their number does: all views of
    an image are computed together, and how many these are may change the last digits.

    Args:
        cache: the cache folder.
        job: of the training.
        base: with maps.
    """
    facts = {
        "base": base.digest, "input": base.input_facts(), "maps": job.maps, "views": job.views, "flips": job.flips,
        "seed": job.seed, "precision": job.precision, "is_compiled": job.xml is not None,
    }  # fmt: skip
    return cache / FOLDER / hashlib.sha256(json.dumps(facts, sort_keys=True).encode()).hexdigest()[:32]


def remove_old_views(cache: Path, *, budget: float | None = None) -> None:
    """Remove the views that were used longest ago, but for those that fit in a budget.

    Args:
        cache: the cache folder.
        budget: in bytes; None means 4 GB, but at most a tenth of what is free.
    """
    if budget is None:
        budget = min(_BUDGET_BYTES, _BUDGET_SHARE * shutil.disk_usage(cache).free)
    folders = [path for path in (cache / FOLDER).glob("*") if path.is_dir()]
    for folder in sorted(folders, key=lambda path: path.stat().st_mtime, reverse=True):
        budget -= size_on_disk(folder)
        lock = Path(f"{folder}.lock")
        if budget < 0 and not is_held(lock):
            shutil.rmtree(folder)
            remove_lock(lock)


def mark_as_used(folder: Path) -> None:
    """Note that views were used now."""
    os.utime(folder)
