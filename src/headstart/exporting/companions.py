"""The files beside an exported model: labels, metadata, tokenizer, and a script that uses the model."""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from headstart.data import bit_depth, words
from headstart.data.resizing import ResizeRule
from headstart.data.tokenizers import MAX_CHARACTERS
from headstart.data.words import MAX_WORDS
from headstart.exporting.decisions import decision_rule
from headstart.exporting.formats import Format, needs_kerashub
from headstart.runs.files import write_json
from headstart.runs.schema import RunFacts

METADATA, LABELS, SCRIPT = "export.json", "labels.txt", "predict.py"


def card(facts: RunFacts) -> dict[str, str]:
    """Metadata for a model file: its name, its labels (one per line), and the other metadata as JSON.

    Args:
        facts: the run's ``run.json``.
    """
    return {
        "name": facts.name,
        "labels": "".join(f"{name}\n" for name in facts.classes),
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
    if base.tokenizer is not None:
        shutil.copytree(run / "tokenizer", folder / "tokenizer", dirs_exist_ok=True)
        if base.tokenizer.kind == "words":
            shutil.copyfile(words.__file__, folder / "words.py")
    if base.resize is not None:
        shutil.copyfile(bit_depth.__file__, folder / "bit_depth.py")
    h, w = base.input_size or (None, None)
    packages = target.install + (" keras-hub" if target.kind == "keras" and needs_kerashub(run / "model.keras") else "")
    resizing = ResizeRule.from_json(base.resize_rule.to_json() if base.resize_rule else None)
    script = _template().render(
        target=target, packages=packages, facts=facts, base=base, rule=decision_rule(facts), resizing=resizing,
        kept=resizing.kept_part(base.resize) if base.resize else 1.0,
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
