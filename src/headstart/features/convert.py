"""Prepare a base: the engine's own form, and the template of ``model.keras``. Runs in a Keras process."""

from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases import Base, BaseSpec, load_base
from headstart.bases.blocks import find_blocks
from headstart.features.input_range import check_input_range
from headstart.model_files.keras_file import make_template

MAX_DIFFERENCE = 1e-3
"""Largest relative L2 difference between engine (float32) and Keras that is still the same function."""


def convert_base(spec: dict[str, Any], out: str, probe: str, template: str | None) -> dict[str, Any]:
    """Write ``out`` (OpenVINO IR) for a base and compare it with Keras on a few examples.

    The graph is exported with channels first where the base can be built so: OpenVINO works in that order, and from a
    channels-last export on Keras's OpenVINO backend it keeps 145 transposes that make it three times slower
    (EfficientNet-Lite0, 2 cores: 52 images a second against 145). The weights are the same either way.

    Args:
        spec: as :meth:`BaseSpec.to_json` gives it.
        out: path of the ``.xml``; the ``.bin`` goes beside it.
        probe: ``.npy`` with uint8 images (n, h, w, 3) to compare on.
        template: path of the template of ``model.keras``, made while Keras is here;
            see :mod:`headstart.model_files.keras_file`.

    Returns:
        ``shape`` of the output of one example; ``difference`` (relative L2, float32); ``optimised``: whether the graph
        is free of transposes, so that no other way of converting it can be faster; and the base's ``blocks``.

    Raises:
        InputError: it is given values of another range than it was trained on.
    """
    import keras

    base = load_base(BaseSpec.from_json(spec))
    pixels = np.load(probe)
    model = base.model()
    reference = np.asarray(model.predict(pixels, verbose=0))
    network = next(layer for layer in model.layers if isinstance(layer, keras.Model))
    if base.modality.has_pixels:
        check_input_range(base, network, pixels)
    facts = {"shape": list(reference.shape[1:]), "blocks": [block.to_json() for block in find_blocks(network)]}
    if template and not Path(template).exists():
        make_template(model, (), 0.0, Path(template), pixels, base.n_token_ids)
    problem: Exception | None = None
    for channels_first in _orders(base):
        try:
            features = _export(base, Path(out), pixels, channels_first=channels_first)
        except Exception as exc:  # noqa: BLE001 - some layers, and users' own models, know one order only
            problem = exc
            continue
        difference = float(np.linalg.norm(features - reference) / max(float(np.linalg.norm(reference)), 1e-12))
        if difference <= MAX_DIFFERENCE:
            optimised = channels_first or not base.modality.has_pixels or keras.backend.backend() != "openvino"
            return {**facts, "difference": difference, "optimised": optimised}
        problem = ValueError(f"the converted base differs from Keras by {difference:.1e}, more than {MAX_DIFFERENCE}")
    raise problem or ValueError("no order of dimensions to try")


def _orders(base: Base) -> tuple[bool, ...]:
    """Whether to try channels first, and then last: TensorFlow's export sinks transposes, and texts have none."""
    import keras

    return (True, False) if keras.backend.backend() == "openvino" and base.modality.has_pixels else (False,)


def _export(base: Base, out: Path, pixels: np.ndarray, *, channels_first: bool) -> np.ndarray:
    """Write the engine's form of a base and give the features that it computes."""
    import openvino

    exported = out.with_name("exported.xml")
    model = base.model(data_format="channels_first" if channels_first else "channels_last")
    model.export(str(exported), format="openvino", verbose=False)
    core = openvino.Core()
    graph = core.read_model(str(exported))
    if channels_first:  # the graph then takes (n, h, w, 3) all the same, like everything else here
        order = openvino.preprocess.PrePostProcessor(graph)
        order.input().tensor().set_layout(openvino.Layout("NHWC"))
        order.input().model().set_layout(openvino.Layout("NCHW"))
        graph = order.build()
    if len(graph.outputs) > 1:  # some of KerasHub's layers leave sizes that they computed among them
        graph = openvino.Model(graph.get_results()[:1], graph.get_parameters(), "base")
    openvino.save_model(graph, str(out), compress_to_fp16=False)
    del graph  # it maps the exported file, which Windows could not delete before
    for suffix in (".xml", ".bin"):
        exported.with_suffix(suffix).unlink()
    return core.compile_model(str(out), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})(pixels)[0]
