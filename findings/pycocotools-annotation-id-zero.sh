#!/bin/sh
# pycocotools 2.0.11: a detector that finds the object with the annotation id 0 exactly is scored as if it had missed it
#   and had detected something where nothing is.
#
# Expected: ids only name annotations, so the average precision (AP) does not depend on where counting begins; perfect
#   detections have an AP of 1. COCO's format asks for an integer, not for one above 0.
# Seen: matches are stored as the id of the matched annotation in an array in which 0 means "no match". One perfect
#   detection of an annotation with the id 0 has an AP of 0, ten of ten objects one of .81, and 100 of 100 one of .98;
#   with ids from 1 all have 1. No message is given.
# Why it matters: converters that enumerate write ids from 0. Small validation sets and unit tests then give wrong
#   figures, and models are compared on figures that one object distorts. Count from 1, or renumber before evaluation.
# Source: https://github.com/cocodataset/cocoapi/issues/664; pycocotools/cocoeval.py, evaluateImg (gtMatches, dtMatches)
#   and accumulate.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet pycocotools==2.0.11 numpy==2.3.5
cd "$work"
HOME="$work" "$work/venv/bin/python" - <<'PYTHON'
import contextlib
import io

from pycocotools.coco import COCO
from pycocotools.cocoeval import COCOeval


def average_precision(n: int, first_id: int) -> float:
    """Of n objects in one image each, every one detected exactly."""
    boxes = [[10.0, 10.0, 30.0, 30.0]] * n
    truth = COCO()
    truth.dataset = {
        "info": {},
        "images": [{"id": i + 1} for i in range(n)],
        "categories": [{"id": 1}],
        "annotations": [
            {"id": first_id + i, "image_id": i + 1, "category_id": 1, "bbox": box, "area": 900.0, "iscrowd": 0}
            for i, box in enumerate(boxes)
        ],
    }
    found = [{"image_id": i + 1, "category_id": 1, "bbox": box, "score": 1 - i / n} for i, box in enumerate(boxes)]
    with contextlib.redirect_stdout(io.StringIO()):
        truth.createIndex()
        evaluation = COCOeval(truth, truth.loadRes(found), "bbox")
        evaluation.evaluate()
        evaluation.accumulate()
        evaluation.summarize()
    return float(evaluation.stats[0])


for n in (1, 10, 100):
    from_zero, from_one = average_precision(n, 0), average_precision(n, 1)
    print(f"{n:3} objects, all detected exactly: AP {from_zero:.3f} with ids from 0, {from_one:.3f} with ids from 1")
    assert from_one > 0.999
    assert from_zero < {1: 0.001, 10: 0.82, 100: 0.991}[n]
PYTHON
