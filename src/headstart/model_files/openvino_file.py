"""``engine/model.xml`` of a run: the converted base with the head of the run on top, built without Keras."""

from pathlib import Path

import numpy as np

from headstart.model_files.head_layers import HeadLayers
from headstart.model_files.token_counts import count_logits_in_openvino

FEATURES = "headstart_features"
"""Name of the tensor in the finished graph that is the input of the head."""


def write_engine(base_xml: Path, head: HeadLayers, out: Path) -> None:
    """Write a finished model for OpenVINO: uint8 pixels (n, h, w, 3) or token ids in, probabilities (n, classes) out.

    A second output is the features (n, d) of the base: they are computed anyway, and show whether an example is
    out-of-distribution.

    Args:
        base_xml: the converted base; see :func:`headstart.features.engines.prepare`.
        head: the trained head.
        out: the ``.xml`` to write; its ``.bin`` goes beside it.
    """
    import openvino
    from openvino import opset13 as op

    graph = openvino.Core().read_model(str(base_xml))
    features = x = graph.output(0).get_node().input_value(0)
    for number, (kernel, bias) in enumerate(head.layers, 1):
        x = op.add(op.matmul(x, op.constant(kernel), False, False), op.constant(bias[np.newaxis]))
        if number < len(head.layers):
            x = op.relu(x)
    if head.counts:
        x = op.add(x, count_logits_in_openvino(graph.get_parameters()[0], head.counts))
    probabilities = op.softmax(x, axis=1) if head.activation == "softmax" else op.sigmoid(x)
    probabilities.output(0).get_tensor().set_names({"probabilities"})
    features.get_tensor().add_names({FEATURES})
    whole = openvino.Model([op.result(probabilities), op.result(features)], graph.get_parameters(), "headstart")
    openvino.save_model(whole, str(out), compress_to_fp16=False)
