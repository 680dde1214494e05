"""Settings as format 1 of ``run.json`` recorded them, before every setting was declared in one place."""

from collections.abc import Mapping
from typing import Any

_NAMES = {"fit": "resize", "cut": "feature_layer", "words_by": "segmenter"}
_FINE_TUNING_NAMES = {"epochs": "fine_tune_epochs", "precision": "fine_tune_precision", "time_limit_s": "time_limit"}
_OVERRULED = ("blocks", "augment")  # by ``fine_tune`` and ``augment``, which stood beside the object for fine-tuning
RESIZE = {"squash": "stretch"}
"""Former name -> name of a way to resize."""


def settings_of_format_1(recorded: Mapping[str, Any]) -> dict[str, Any]:
    """The settings by the names of today.

    Args:
        recorded: the object ``asked`` of a ``run.json``. The place of the data in it is not a setting any more.
    """
    settings = {_NAMES.get(name, name): value for name, value in recorded.items() if name not in ("data", "tuning")}
    resize = settings.get("resize")
    settings["resize"] = RESIZE.get(resize, resize) if isinstance(resize, str) else resize
    fine_tuning = recorded.get("tuning") or {}
    settings |= {
        _FINE_TUNING_NAMES.get(name, name): value for name, value in fine_tuning.items() if name not in _OVERRULED
    }
    return settings
