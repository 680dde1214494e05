"""The files beside an exported model: labels, metadata, tokenizer, and a script that uses the model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, NamedTuple

from headstart.data import bit_depth, words
from headstart.data.resizing import ResizeRule
from headstart.data.tokenizers import MAX_CHARACTERS
from headstart.data.words import MAX_WORDS
from headstart.exporting.decisions import decision_rule
from headstart.exporting.formats import Format, needs_kerashub
from headstart.runs.files import write_json
from headstart.runs.schema import RunFacts

METADATA, LABELS, SCRIPT = "export.json", "labels.txt", "predict.py"


class _Reading(NamedTuple):
    """How the script reads an example.

    Attributes:
        name: of the template ``read_NAME.py.j2`` with the code.
        packages: that the code needs, each with a space behind it.
        imports: lines that import them.
        module: of headstart, which the code imports as a file beside the script.
    """

    name: str
    packages: str = ""
    imports: str = ""
    module: ModuleType | None = None


_PIXELS = _Reading(
    "pixels",
    "pillow ",
    "from bit_depth import exceeds_8_bits, to_8_bits\nfrom PIL import Image, ImageOps",
    bit_depth,
)
_TOKENS = {
    reading.name: reading
    for reading in (
        _Reading("subwords", "tokenizers ", "from tokenizers import Tokenizer"),
        _Reading("words", imports="from words import look_up, split", module=words),
        _Reading("characters"),
    )
}
"""Kind of a tokenizer -> how it reads a text."""


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
    base = facts.base
    reading = _TOKENS[base.tokenizer.kind] if base.tokenizer else _PIXELS
    if base.tokenizer is not None:
        shutil.copytree(run / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
    if reading.module is not None:
        source = Path(str(reading.module.__file__))
        shutil.copyfile(source, folder / source.name)
    h, w = base.input_size or (None, None)
    packages = target.install + (" keras-hub" if target.kind == "keras" and needs_kerashub(run / "model.keras") else "")
    resizing = ResizeRule.from_json(base.resize_rule.to_json() if base.resize_rule else None)
    script = _template().render(
        reading=reading, target=target, packages=packages, facts=facts, base=base, rule=decision_rule(facts),
        resizing=resizing, kept_fraction=resizing.kept_part(base.resize) if base.resize else 1.0,
        height=h, width=w, max_words=MAX_WORDS, max_characters=MAX_CHARACTERS,
    )  # fmt: skip
    (folder / SCRIPT).write_text(script, encoding="utf-8")


def _template() -> Any:
    import jinja2

    loader = jinja2.FileSystemLoader(Path(__file__).parent)
    environment = jinja2.Environment(loader=loader, trim_blocks=True, lstrip_blocks=True, keep_trailing_newline=True)
    return environment.get_template("predict.py.j2")


def _metadata(facts: RunFacts) -> dict[str, Any]:
    """The entries of ``run.json`` that describe the model."""
    plain = facts.to_json()
    base = ("handle", "licence", "modality", "input_size", "resize", "resize_rule", "max_length", "tokenizer")
    return {
        **{name: plain[name] for name in ("headstart", "name", "created", "classes", "task", "thresholds")},
        "min_confidence": facts.min_confidence,
        "base": {**{name: plain["base"][name] for name in base}, "sample_range": plain["base"]["spec"]["sample_range"]},
    }
