"""What a person says about a label issue on the page, as the table of corrections holds it."""

from types import SimpleNamespace

import pytest

from headstart.runs.tables import LabelIssue
from headstart.tasks import get_task
from headstart.ui.run_pages import _verdict

BOXES, SUGGESTED = "80x60; dog 1 1 30 30", "80x60; dog 1 1 30 30; cat 5 5 9 9"


@pytest.mark.parametrize(
    ("task", "cells", "choice", "ticked", "expected"),
    [
        ("detection", (BOXES, SUGGESTED), "accepted", [], SUGGESTED),
        ("detection", (BOXES, SUGGESTED), "", [], BOXES),
        ("detection", (BOXES, SUGGESTED), "drop", [], "drop"),
        ("single-label", ("cat", "dog"), "dog", [], "dog"),
        ("single-label", ("cat", "dog"), "", [], "cat"),
        ("single-label", ("cat", "dog"), "accepted", [], "cat"),
        ("multi-label", ("cat;dog", "dog"), "ticked", ["dog"], "dog"),
        ("multi-label", ("cat;dog", "dog"), "ticked", [], ""),
    ],
)
def test_a_verdict_is_a_cell(task: str, cells: tuple[str, str], choice: str, ticked: list[str], expected: str) -> None:
    issue = LabelIssue(
        split="train", file="a.jpg", labels=(), suggested=(), label_cell=cells[0], suggested_cell=cells[1],
        probability=0.9, label_probability=0.1, sha256="", text="",
    )  # fmt: skip
    run = SimpleNamespace(classes=["cat", "dog"])
    assert _verdict(issue, choice, ticked, run, get_task(task)) == expected
