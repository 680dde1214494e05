#!/bin/sh
# Pillow 13.0.0 (libwebp): a whole WebP file can end in zero bytes for most of its length, and one whose end was replaced
#   by zeros opens without an error.
#
# Expected: a long run of zeros at the end of a compressed image is the mark of an aborted download with its size
#   reserved, because compressed data look random; and decoding such a file fails.
# Seen: neither. An image whose lower half has one colour, saved by the fastest lossless setting (method=0, quality=0),
#   ends in zeros for 98 % of the file. A lossy one of the fastest setting (method=0) ends in some ten thousand. And an
#   image with detail everywhere and zeros in place of the last half of its file is decoded in full size: the lower part
#   is smeared, and no error is raised.
# Why it matters: a check of downloads by zeros at the end, which is right for JPEG, PNG and GIF because these have a
#   marker at their end, rejects good WebP files; a check by decoding accepts damaged ones. Both errors stay unnoticed
#   in a data set. What tells them apart is how much of the decoded image is flat: zeros of a whole file stand for a flat
#   area, and those of a damaged file are far more than the flat area at its end takes.
# Source: RFC 9649, sections 2.6 and 3.7 (neither kind of bitstream has an end marker).
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet pillow==13.0.0 numpy==2.4.6
"$work/venv/bin/python" - <<'PYTHON'
import io

import numpy as np
from PIL import Image

draw = np.random.default_rng(0)
w, h = 1000, 800


def encode(pixels, **options):
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "WEBP", **options)
    return out.getvalue()


def zeros(data):
    return len(data) - len(data.rstrip(b"\0"))


flat_below = np.full((h, w, 3), 200, np.uint8)
flat_below[: h // 2] = draw.integers(0, 256, (h // 2, 1, 3))
exact = encode(flat_below, lossless=True, quality=0, method=0)
print(f"whole, without loss: {zeros(exact):,} of {len(exact):,} bytes are zeros at the end")
assert np.array_equal(np.asarray(Image.open(io.BytesIO(exact))), flat_below)
assert zeros(exact) > 0.9 * len(exact)

flat_below[: h // 2] = draw.integers(0, 256, (h // 2, w, 3))
lossy = encode(flat_below, method=0)
print(f"whole, lossy: {zeros(lossy):,} of {len(lossy):,} bytes are zeros at the end")
assert zeros(lossy) > 5000

coarse = Image.fromarray(draw.integers(0, 256, (h // 20, w // 20, 3), np.uint8)).resize((w, h))
detailed = np.clip(np.asarray(coarse) + draw.integers(-20, 21, (h, w, 3)), 0, 255).astype(np.uint8)
for name, options in {"lossy": {"quality": 85}, "without loss": {"lossless": True}}.items():
    whole = encode(detailed, **options)
    cut = len(whole) // 2
    image = Image.open(io.BytesIO(whole[:cut] + bytes(len(whole) - cut)))
    image.load()  # no error
    wrong = np.abs(np.asarray(image).astype(int) - np.asarray(Image.open(io.BytesIO(whole)))).max((1, 2)) > 50
    print(f"last half zeros, {name}: decoded to {image.size}, {wrong.mean():.0%} of the rows are wrong, no error")
    assert image.size == (w, h)
    assert wrong.mean() > 0.3
PYTHON
