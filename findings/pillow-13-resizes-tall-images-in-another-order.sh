#!/bin/sh
# Pillow 13.0.0 against 12.2.0: resizing a tall image gives other pixels, and `resize(box=...)` is no longer the crop of
#   the resized image.
#
# Expected: the two-pass resize goes along the rows first, as in all versions before; the release changes at most a
#   rounding. And to resize a part of an image, `resize(size, box=part)`, gives the pixels of resizing the whole and
#   cropping it, up to 1 of 255: image processors that "resize the shorter side, then crop" are often rewritten in this
#   way, because it is faster.
# Seen: version 13 goes along the columns first for some images that are taller than wide (100x150 to 56x56, but not
#   200x300 to 56x56). Values are rounded and limited to 0..255 between the passes, and sharp filters overshoot
#   elsewhere: in noise by 38 of 255 for a part of an image, with Lanczos, and by 5 for a whole image of 100x200. The
#   order is chosen from the sizes of the image and of the result, so that it may be one for the whole image and the
#   other for its box.
# Why it matters: features of small tall images that were computed under version 12 are not equal to those under 13,
#   which no test with square or large images shows. And a processor rewritten with `box` no longer equals the original.
# Source: python-pillow/Pillow pull request 9549 (the order of the passes).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/resize.py" <<'PYTHON'
import sys

import numpy as np
from PIL import Image

noise = np.random.default_rng(0)
results = {}
for name, (w, h), whole in (("wide", (300, 33), (581, 64)), ("tall", (33, 300), (64, 581)), ("2:1", (100, 200), (40, 56))):
    image = Image.fromarray(noise.integers(0, 256, (h, w, 3), np.uint8))
    results[f"{name} whole"] = np.asarray(image.resize(whole, Image.Resampling.LANCZOS))
    if name != "2:1":
        left, top = (whole[0] - 56) // 2, (whole[1] - 56) // 2
        edges = left * w / whole[0], top * h / whole[1], (left + 56) * w / whole[0], (top + 56) * h / whole[1]
        results[f"{name} box"] = np.asarray(image.resize((56, 56), Image.Resampling.LANCZOS, box=edges))
        results[f"{name} crop"] = results[f"{name} whole"][top : top + 56, left : left + 56]
np.savez(sys.argv[1], **results)
PYTHON
for version in 12.2.0 13.0.0; do
    python3 -m venv "$work/$version"
    "$work/$version/bin/python" -m pip install --quiet "pillow==$version" numpy==2.4.6
    "$work/$version/bin/python" "$work/resize.py" "$work/$version.npz"
done
"$work/13.0.0/bin/python" - "$work" <<'PYTHON'
import sys

import numpy as np

old, new = (np.load(f"{sys.argv[1]}/{version}.npz") for version in ("12.2.0", "13.0.0"))


def difference(a, b):
    return int(np.abs(a.astype(int) - b).max())


for name in old.files:
    print(f"{name}: 12.2 and 13.0 differ by {difference(old[name], new[name])} of 255")
for version, pixels in (("12.2", old), ("13.0", new)):
    for shape in ("wide", "tall"):
        print(f"{version}, {shape}: box and crop differ by {difference(pixels[f'{shape} box'], pixels[f'{shape} crop'])}")
assert difference(old["2:1 whole"], new["2:1 whole"]) > 1, "the order is the same again"
assert difference(old["wide whole"], new["wide whole"]) == 0
assert difference(old["tall box"], old["tall crop"]) <= 1
assert difference(new["wide box"], new["wide crop"]) <= 1
assert difference(new["tall box"], new["tall crop"]) > 5, "the box equals the crop again"
PYTHON
