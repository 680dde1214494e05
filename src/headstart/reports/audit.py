"""An audit as one self-contained page with images; ``templates/audit.md`` explains each check."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart.data.audit import CHECKS, SEVERITIES, find_check
from headstart.data.dataset import Dataset
from headstart.reports.evaluation import labels_in_words
from headstart.reports.examples import show_example
from headstart.reports.page import TEMPLATES, open_template
from headstart.reports.regions import labelled_boxes, labelled_image

_SHOWN = 12  # examples of each finding
_MAX_ITEMS = 6  # images or texts of one example
_TEXT_CHARACTERS = 300


def explanation(code: str) -> str:
    """What the documentation says of a check: its headline, an empty line, and paragraphs.

    Args:
        code: of the check, or its name.

    Raises:
        InputError: there is no such check.
    """
    return explanations()[find_check(code).code]


def explanations() -> dict[str, str]:
    """Code -> what the documentation says of that check, for all that it explains."""
    parts = (TEMPLATES / "audit.md").read_text(encoding="utf-8").split("\n### ")[1:]
    return {part[: part.index(" ")]: part.partition("\n## ")[0].strip() for part in parts}


def write_page(path: Path, facts: Mapping[str, Any], dataset: Dataset, template: Any = None, **more: Any) -> Path:
    """Write the page of an audit.

    Args:
        path: of the HTML file.
        facts: the audit as plain data.
        dataset: the audited data set, for its images and texts.
        template: of the page; None means that of the reports.
        more: further variables of the template.
    """
    findings = [finding for finding in facts["findings"] if finding["state"] == "found"]
    findings.sort(key=lambda finding: SEVERITIES.index(finding["severity"]))
    positions = {file: position for position, file in enumerate(dataset.files)}
    page = (template or open_template("audit.html.j2")).render(
        facts=facts,
        findings=[_finding_content(finding, dataset, positions) for finding in findings],
        other_checks=[finding for finding in facts["findings"] if finding["state"] != "found"],
        counts={severity: sum(finding["severity"] == severity for finding in findings) for severity in SEVERITIES},
        noun=dataset.modality.noun,
        has_boxes=dataset.task.has_boxes,
        checks=len(CHECKS),
        **more,
    )
    path.write_bytes(page.encode("utf-8", errors="replace"))  # a file name may hold bytes that are no text
    return path


def _finding_content(finding: Mapping[str, Any], dataset: Dataset, positions: Mapping[str, int]) -> dict[str, Any]:
    """A finding with the shown examples, and the explanation of its check."""
    shown_examples = []
    for example in finding["examples"][:_SHOWN]:
        doubted_boxes = [tuple(box) for box in example.get("boxes", ())]
        items = [_item(file, dataset, positions.get(file), doubted_boxes) for file in example["files"][:_MAX_ITEMS]]
        shown_examples.append({"items": items, "note": example["note"], "more": len(example["files"]) - len(items)})
    return {
        **finding,
        "shown_examples": shown_examples,
        "has_doubted_boxes": any("boxes" in example for example in finding["examples"][:_SHOWN]),
        "has_images": any(item["image"] for example in shown_examples for item in example["items"]),
        "more": finding["count"] - len(shown_examples),
        "explained": _to_html(explanation(finding["code"])),
    }


def _item(file: str, dataset: Dataset, position: int | None, doubted_boxes: Sequence[Any]) -> dict[str, Any]:
    """A file that a finding names: an example with its label, or a file that is not used."""
    modality = dataset.modality
    if position is None:
        example, label = modality.example_in(dataset.root, file), None
    else:
        example, label = dataset.examples[position], dataset.class_names[position]
        if dataset.task.has_boxes:
            boxes = labelled_boxes(dataset, position)
            label = labels_in_words(name for name, _ in boxes)
            return {
                "file": file,
                "label": label,
                "text": "",
                "image": labelled_image(modality, example, boxes, doubted_boxes),
            }
    return {"file": file, "label": label, **show_example(modality, example, most_characters=_TEXT_CHARACTERS)}


def _to_html(markdown: str) -> Markup:
    """Markdown without its headline as HTML; HTML in the text itself is escaped."""
    from markdown_it import MarkdownIt

    return Markup(MarkdownIt("js-default").render(markdown.partition("\n\n")[2]))
