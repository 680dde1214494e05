#!/bin/sh
# OpenVINO 2026.4.1: a compiled model gives other values when its .bin file is written over, long after it was loaded.
#
# Versions: openvino 2026.4.1, numpy 2.4.6, on a CPU under Linux.
# Expected: a compiled model is independent of its files, as models of ONNX Runtime and Keras are.
# Seen: weights are mapped from the .bin file, not read (the property ENABLE_MMAP, on by default). Layers that need no
#   other layout of their weights compute with the mapping. If another version is copied over the file, as `cp` and
#   `rsync --inplace` do, the running model at once computes with the new bytes, in the graph of the old version: other
#   answers, without an error. With ENABLE_MMAP off the values stay; loading takes about the same time for 14 MB.
# Why it matters: a server whose model folder is updated by copying serves a mixture of two models until it is restarted,
#   and a checksum that was right at loading does not help. Set ENABLE_MMAP to False for processes that live long, or
#   replace files only by renaming.
# Source: https://docs.openvino.ai/2025/openvino-workflow/running-inference/optimize-inference/optimizing-memory-usage.html
#   names the mapping as the default, for less memory; that results of a compiled model change was measured here.
set -eu
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
python3 -m venv "$work/venv"
"$work/venv/bin/python" -m pip install --quiet openvino==2026.4.1 numpy==2.4.6
cd "$work"
HOME="$work" "$work/venv/bin/python" - <<'PYTHON'
from pathlib import Path

import numpy as np
import openvino
from openvino import opset13 as op


def write(name, value):
    x = op.parameter([-1, 64], np.float32)
    y = op.relu(op.add(op.multiply(x, op.constant(np.full((1, 64), value, np.float32))), op.constant(np.ones((1, 64), np.float32))))
    openvino.save_model(openvino.Model([y], [x]), name, compress_to_fp16=False)


x, changed = np.ones((1, 64), np.float32), {}
for mapped in (True, False):
    write("old.xml", 2.0)
    write("new.xml", 5.0)
    core = openvino.Core()
    core.set_property({"ENABLE_MMAP": mapped})
    model = core.compile_model("old.xml", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    before = float(model(x)[0][0, 0])
    with open("old.bin", "r+b") as file:  # the same file, other bytes, of the same length
        file.write(Path("new.bin").read_bytes())
    after = float(model(x)[0][0, 0])
    changed[mapped] = after != before
    print(f"ENABLE_MMAP {mapped!s:5}: 2 * 1 + 1 = {before:g} before the file is written over, {after:g} after it")
assert changed == {True: True, False: False}, changed
PYTHON
