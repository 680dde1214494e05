#!/bin/sh
# globox 2.9.0: converting YOLO labels of an image that is stored rotated gives boxes that are wrong in every reading.
#
# Expected: shares of width and height become pixels of the image as people and training tools see it (EXIF orientation
#   applied), or pixels of the stored image with the box turned, too.
# Seen: from_yolo_v5 takes width and height of the stored image and does not turn the box. So the COCO file names a box
#   that covers the object neither in the upright image nor in the stored one. Images without an EXIF orientation are
#   right. No message is given.
# Why it matters: phones store upright pictures rotated. Of a data set that people took with them, the converted boxes of
#   some images are wrong, often without overlap, and the others are right: it looks like bad labels. Turn the images
#   upright and remove the tag before labels are converted, or compute sizes with the orientation applied.
# Source: https://github.com/laclouis5/globox, globox/image_utils.py (get_image_size) and globox/annotation.py
#   (from_yolo_v5); CIPA DC-008 (Exif), tag Orientation.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet globox==2.9.0 pillow==12.0.0 numpy==2.3.5
cd "$work"
HOME="$work" "$work/venv/bin/python" - <<'PYTHON'
import json
from pathlib import Path

import numpy as np
from globox import AnnotationSet
from PIL import Image, ImageOps

# A white object at x 40..50, y 10..30 of an upright image of 60 x 100 pixels.
upright = np.zeros((100, 60), np.uint8)
upright[10:30, 40:50] = 255
for name in ("images", "labels"):
    Path(name).mkdir()
exif = Image.Exif()
exif[0x0112] = 6  # to be turned by 90 degrees clockwise
Image.fromarray(upright).rotate(90, expand=True).save("images/turned.png", exif=exif)
Image.fromarray(upright).save("images/plain.png")
for name in ("turned", "plain"):
    Path(f"labels/{name}.txt").write_text(f"0 {45 / 60} {20 / 100} {10 / 60} {20 / 100}\n")

AnnotationSet.from_yolo_v5(Path("labels"), image_folder=Path("images"), image_extension=".png").save_coco(
    Path("coco.json"), auto_ids=True
)
coco = json.loads(Path("coco.json").read_text())
covered = {}
for image in coco["images"]:
    (annotation,) = (a for a in coco["annotations"] if a["image_id"] == image["id"])
    x, y, w, h = (round(value) for value in annotation["bbox"])
    with Image.open(Path("images") / image["file_name"]) as file:
        readings = {"stored": np.asarray(file), "upright": np.asarray(ImageOps.exif_transpose(file))}
    for reading, pixels in readings.items():
        covered[Path(image["file_name"]).stem, reading] = share = (pixels[y : y + h, x : x + w] == 255).sum() / 200
        print(f"{image['file_name']:10} as {reading:7}: the box covers {share:.0%} of the object")
assert covered["plain", "upright"] == 1
assert covered["turned", "upright"] == covered["turned", "stored"] == 0
PYTHON
