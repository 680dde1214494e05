#!/bin/sh
# Pillow 12.2.0 and 13.0.0, TIFF with colours of 16 bits whose channels lie one after another (PlanarConfiguration 2),
#   written by tifffile 2026.3.3.
#
# Expected: either an error, or what Pillow does for interleaved 16-bit colours: an RGB image with the upper 8 bits of
#   each value.
# Seen: without compression the two bytes of each value are taken for two pixels of 8 bits. The image opens as RGB of
#   the right size, with no error and no warning, and shows the upper half of each plane stretched to double width, in
#   which every second column is noise. The same pixels with zlib compression, or interleaved, are read as expected.
# Why it matters: such files are what array libraries write for arrays of (channel, row, column), as microscopes and
#   satellites give them. A classifier trains on garbage and only its accuracy shows it; a test with a compressed file
#   or with 8 bits passes.
# Source: PlanarConfiguration in the TIFF 6.0 specification, page 38; seen here.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cat > "$work/planes.py" <<'PYTHON'
import io

import numpy as np
import PIL
import tifffile
from PIL import Image

ramp = np.linspace(0, 65535, 64 * 48).reshape(48, 64).astype(np.uint16)
colours = np.stack([ramp, ramp[::-1], ramp[:, ::-1]], axis=-1)
upper = (colours >> 8).astype(np.uint8)


def difference(compression, planes):
    out = io.BytesIO()
    values = colours if planes == "contig" else colours.transpose(2, 0, 1)
    tifffile.imwrite(out, values, photometric="rgb", planarconfig=planes, compression=compression)
    assert (tifffile.imread(io.BytesIO(out.getvalue())) == values).all()
    image = Image.open(io.BytesIO(out.getvalue()))
    assert (image.mode, image.size) == ("RGB", (64, 48))
    return int(np.abs(np.asarray(image).astype(int) - upper).max())


seen = {f"{planes} {compression}": difference(compression, planes) for planes in ("contig", "separate") for compression in (None, "zlib")}
print(f"Pillow {PIL.__version__}: largest difference to the upper 8 bits: {seen}")
assert seen["contig None"] == seen["contig zlib"] == seen["separate zlib"] == 0
assert seen["separate None"] > 100, "planes without compression are read rightly now"
PYTHON
python3 -m venv "$work/venv"
for version in 12.2.0 13.0.0; do
    "$work/venv/bin/python" -m pip install --quiet "pillow==$version" numpy==2.4.6 tifffile==2026.3.3
    "$work/venv/bin/python" "$work/planes.py"
done
