"""The page of an audit of boxes: each finding with the labelled boxes, and those that look wrong from nearby."""

import re
from pathlib import Path

import numpy as np
from PIL import Image

from headstart.data.audit.boxes import check_boxes
from headstart.data.dataset import load_dataset
from headstart.reports.audit import write_page


def test_findings_are_drawn(tmp_path: Path) -> None:
    data = tmp_path / "data"
    data.mkdir()
    for name in ("a", "b"):
        Image.fromarray(np.full((100, 200, 3), 90, np.uint8)).save(data / f"{name}.png")
    (data / "boxes.csv").write_text(
        "path,x1,y1,x2,y2,label\na.png,10,10,60,60,cat\na.png,10,10,60,61,cat\na.png,100,50,150,90,<i>\n"
        "b.png,10,10,11,60,cat\nb.png,20,20,20,20,cat\n",
        encoding="utf-8",
    )
    dataset = load_dataset(str(data / "boxes.csv"))
    findings = check_boxes(dataset)
    plain = [finding.all_facts() for finding in findings]
    facts = {"source": "boxes", "usable": 2, "examples": 2, "per_class": dataset.class_counts, "findings": plain}
    page = write_page(tmp_path / "audit.html", facts, dataset).read_text(encoding="utf-8")
    twice, tiny = (re.search(rf'<section id="{code}">.*?</section>', page, re.DOTALL)[0] for code in ("HS065", "HS063"))
    assert twice.count('<rect class="mark-wrong"') == 2
    assert twice.count("<title>&lt;i&gt;</title>") == 1
    x1, y1, width, height = map(float, re.search(r'<svg viewBox="(.*?)"', twice)[1].split())
    assert (x1, y1) == (0, 0)
    assert 100 <= width < 130
    assert height == 100  # from nearby
    assert tiny.count('<rect class="mark-wrong"') == 1  # the other one has no area: it is left out
    assert "has no area" in tiny
