"""A base that is given values of another range than in its training is refused, whatever the reason."""

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import headstart as hs
from headstart.errors import InputError
from tests.lazy import Lazy

keras = Lazy("keras")


def test_pictures_that_were_scaled_before_they_were_saved_are_refused(tmp_path: Path) -> None:
    for number, seed in enumerate("ab"):
        masks = np.random.default_rng(number).integers(0, 2, (40, 40, 3), np.uint8)
        Image.fromarray(masks).save(tmp_path / f"{seed}.png")
    with pytest.raises(InputError, match=r"the first 2 images have no pixel above 1, where 255 is white"):
        hs.extract(hs.load_base(input_size=64), sorted(tmp_path.glob("*.png")))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("before", "what"),
    [
        ([], r"layer 'norm' varies \d{2,3} times as much as it did then\. It wants its pixels scaled: put keras"),
        ([1 / 255, 1 / 255], r"layer 'norm' varies 1/\d{2,3} as much .* Its pixels are scaled twice"),
    ],
)
def test_pixels_scaled_never_or_twice_are_refused(before: list[float], what: str, photos: Path, tmp_path: Path) -> None:
    layers = [keras.layers.Conv2D(8, 3, name="conv"), keras.layers.BatchNormalization(name="norm"), keras.layers.ReLU()]
    network = keras.Sequential([keras.Input((32, 32, 3)), *map(keras.layers.Rescaling, before), *layers])
    decoder = hs.load_base(input_size=32).reader()
    scaled = np.stack([decoder.read(path) for path in sorted(photos.rglob("*.jpg"))[::10]]).astype(np.float32) / 255
    values = np.asarray(network.get_layer("conv")(scaled))
    network.get_layer("norm").moving_mean.assign(values.mean((0, 1, 2)))
    network.get_layer("norm").moving_variance.assign(values.var((0, 1, 2)))
    network.save(tmp_path / "own.keras")
    with pytest.raises(InputError, match=what):
        hs.extract(hs.load_base(f"file:{tmp_path / 'own.keras'}"), sorted(photos.rglob("*.jpg"))[:8])
