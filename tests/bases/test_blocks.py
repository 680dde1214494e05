"""Blocks found in the graph: every weight is in exactly one block, and the boundary tensors are sufficient."""

import json

import pytest

from headstart.bases import BaseSpec, load_base
from headstart.bases.blocks import find_blocks
from tests.lazy import Lazy

keras = Lazy("keras")

SMALL = {
    "embedded:efficientnet-lite0": (64, 18, "block15"),
    "keras:MobileNetV2": (64, 19, "block_16"),
    "keras:ResNet50V2": (64, 16, "conv5_block2"),
    "keras:DenseNet121": (64, 62, "conv5_block15"),
    "keras:VGG16": (64, 5, "block4"),
    "keras:ConvNeXtTiny": (64, 22, "stage_3_block_1"),
    "keras:InceptionV3": (96, 15, "mixed8"),
    "keras:EfficientNetB0": (64, 18, "block7a"),
}


@pytest.mark.slow
@pytest.mark.parametrize("handle", SMALL)
def test_every_weight_is_in_exactly_one_block(handle: str) -> None:
    size, count, second_last_name = SMALL[handle]
    network = load_base(BaseSpec(handle, "none", (size, size))).build(False)
    blocks = find_blocks(network)
    assert sum(block.params for block in blocks) == network.count_params()
    names = [name for block in blocks for name in block.layers]
    assert len(names) == len(set(names))
    assert {layer.name for layer in network.layers} <= set(names)
    assert len({block.name for block in blocks}) == len(blocks) == count
    assert blocks[-2].name == second_last_name
    assert blocks[-1].shape == tuple(network.output_shape[1:])


@pytest.mark.slow
def test_the_layers_above_a_boundary_need_only_its_tensor() -> None:
    """Two models, one up to the boundary and one from there on, compute the same as the whole network."""
    import numpy as np

    network = load_base(input_size=64).build(False)
    pixels = np.random.default_rng(0).standard_normal((2, 64, 64, 3), np.float32)
    expected = network.predict(pixels, verbose=0)
    for block in find_blocks(network)[:-1:4]:
        below = keras.Model(network.inputs[0], block.output)
        above = keras.Model(block.output, network.outputs[0])
        features = above.predict(below.predict(pixels, verbose=0), verbose=0)
        np.testing.assert_allclose(features, expected, rtol=1e-4, atol=1e-5)


def test_multiply_adds_equal_the_published_number() -> None:
    """MobileNetV2 at 224 px needs 300 million multiply-adds (Sandler et al., arXiv 1801.04381, table 4)."""
    blocks = find_blocks(load_base(BaseSpec("keras:MobileNetV2", "none")).build(False))
    assert sum(block.multiply_adds for block in blocks) == pytest.approx(300e6, rel=0.01)


@pytest.mark.slow
def test_names_do_not_depend_on_earlier_models_in_the_process() -> None:
    spec = BaseSpec("keras:InceptionV3", "none", (96, 96))
    first, second = ([block.name for block in find_blocks(load_base(spec).build(False))] for _ in range(2))
    assert first == second


@pytest.mark.slow
def test_the_command_lists_blocks(capfd: pytest.CaptureFixture[str]) -> None:
    from headstart.cli.main import _run

    assert _run(["bases", "embedded:efficientnet-lite0", "--blocks", "--json"], debug=False) == 0
    blocks = json.loads(capfd.readouterr().out)
    assert sum(block["params_share"] for block in blocks) == pytest.approx(1)
    assert blocks[0]["name"] == "stem_conv"
    assert blocks[0]["cached_bytes"] == 112 * 112 * 32 * 2
    assert _run(["bases", "--blocks"], debug=False) == 2
    assert "--blocks needs the name of one base" in capfd.readouterr().err
