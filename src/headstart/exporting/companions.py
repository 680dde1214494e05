"""The files beside an exported model: labels, metadata, tokenizer, and a script that uses the model."""

import json
import re
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from headstart.data import bit_depth, colours, resizing, words
from headstart.data.tokenizers import MAX_CHARACTERS
from headstart.data.words import MAX_WORDS
from headstart.exporting import box_forms
from headstart.exporting.decisions import decision_rule
from headstart.exporting.formats import Format, needs_kerashub
from headstart.runs.files import write_json
from headstart.runs.schema import RunFacts
from headstart.tasks import get_task
from headstart.tasks.detection import boxes, decoding, nms
from headstart.tasks.detection.thresholds import DEFAULT_THRESHOLD

METADATA, LABELS, SCRIPT = "export.json", "labels.txt", "predict.py"


class _Reading(NamedTuple):
    """How the script reads an example.

    Attributes:
        name: of the template ``read_NAME.py.j2`` with the code.
        packages: that the code needs, each with a space behind it.
        imports: lines that import them.
        modules: of headstart, which the code imports as files beside the script.
    """

    name: str
    packages: str = ""
    imports: str = ""
    modules: tuple[ModuleType, ...] = ()


_PIXELS = _Reading(
    "pixels",
    "pillow ",
    "from bit_depth import exceeds_8_bits, to_8_bits\n"
    "from colours import to_rgb\n"
    "from PIL import Image, ImageOps\n"
    "from resizing import ResizeRule, resize_image",
    (bit_depth, colours, resizing),
)
_PIXELS_WITH_BOXES = _PIXELS._replace(
    imports="from bit_depth import exceeds_8_bits, to_8_bits\n"
    "from colours import to_rgb\n"
    "from decoding import decode\n"
    "from PIL import Image, ImageOps\n"
    "from resizing import ResizeRule, resize_image, visible_box",
    modules=(*_PIXELS.modules, boxes, decoding, nms),
)
_BOX_FORMS = {"litert": "from_location", "openvino": "from_yolo", "onnx:nms": "from_suppressed"}
"""Format or kind -> what undoes its form of boxes."""
_TOKENS = {
    reading.name: reading
    for reading in (
        _Reading("subwords", "tokenizers ", "from tokenizers import Tokenizer"),
        _Reading("words", imports="from words import look_up, split", modules=(words,)),
        _Reading("characters"),
    )
}
"""Kind of a tokenizer -> how it reads a text."""

_OWN_IMPORT = re.compile(r"^from headstart\.[\w.]*?(\w+) import", re.M)


def card(facts: RunFacts) -> dict[str, str]:
    """Metadata for a model file: its name, its labels (one per line), and the other metadata as JSON.

    Args:
        facts: the run's ``run.json``.
    """
    return {
        "name": facts.name,
        "labels": "".join(f"{' '.join(name.splitlines())}\n" for name in facts.classes),  # a line each
        "headstart": json.dumps(_metadata(facts), ensure_ascii=False),
    }


def write_companions(folder: Path, run: Path, facts: RunFacts, target: Format, replay: Mapping[str, Any]) -> None:
    """Write everything but the model itself.

    Args:
        folder: folder of the export.
        run: folder of the run.
        facts: the run's ``run.json``.
        target: the format.
        replay: results of the verification.
    """
    (folder / LABELS).write_text(card(facts)["labels"], encoding="utf-8")
    write_json(
        folder / METADATA, {**_metadata(facts), "format": target.name, "file": target.file, "replay": dict(replay)}
    )
    reading = _reading(facts, target)
    if facts.base.tokenizer is not None:
        shutil.copytree(run / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    for module in reading.modules:
        source = Path(str(module.__file__))
        own = _OWN_IMPORT.sub(r"from \1 import", source.read_text(encoding="utf-8"))
        (folder / source.name).write_text(own, encoding="utf-8")
    packages = target.install + (" keras-hub" if target.kind == "keras" and needs_kerashub(run / "model.keras") else "")
    script = _template().render(
        reading=reading, target=target, packages=packages, facts=facts, base=facts.base, rule=decision_rule(facts),
        max_words=MAX_WORDS, max_characters=MAX_CHARACTERS,
    )  # fmt: skip
    (folder / SCRIPT).write_text(script, encoding="utf-8")


def _reading(facts: RunFacts, target: Format) -> _Reading:
    if facts.base.tokenizer is not None:
        return _TOKENS[facts.base.tokenizer.kind]
    if not get_task(facts.task).has_boxes:
        return _PIXELS
    reading = _PIXELS_WITH_BOXES
    function = _BOX_FORMS.get(target.name) or _BOX_FORMS.get(target.kind)
    if function is None:
        return reading
    imports = reading.imports.replace("from decoding", f"from box_forms import {function}\nfrom decoding")
    return reading._replace(imports=imports, modules=(*reading.modules, box_forms))


def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.get_template("predict.py.j2")


def _metadata(facts: RunFacts) -> dict[str, Any]:
    """The entries of ``run.json`` that describe the model."""
    plain = facts.to_json()
    base = ("handle", "licence", "modality", "input_size", "resize", "resize_rule", "max_length", "tokenizer")
    has_boxes = get_task(facts.task).has_boxes
    return {
        **{name: plain[name] for name in ("headstart", "name", "created", "classes", "task", "thresholds")},
        **(_decoding(facts) if has_boxes else {}),
        "min_confidence": facts.min_confidence,
        "base": {**{name: plain["base"][name] for name in base}, "sample_range": plain["base"]["spec"]["sample_range"]},
    }


def _decoding(facts: RunFacts) -> dict[str, Any]:
    """Which boxes of a detector are objects: scores from the threshold of their class on, and how overlaps count."""
    return {
        "thresholds": facts.thresholds or dict.fromkeys(facts.classes, DEFAULT_THRESHOLD),
        "min_score": decoding.MIN_SCORE,
        "max_iou": nms.MAX_IOU,
        "max_detections": decoding.MAX_DETECTIONS,
    }
