"""Golden samples of models whose data nobody knows: soft patches of colour."""

import io

import numpy as np
from PIL import Image

from headstart.runs.assembly import GOLDEN_SAMPLES


def golden_images(size: tuple[int, int]) -> list[Image.Image]:
    """Golden samples without data: soft patches of colour, by turns wider and higher than the input size."""
    patches = np.random.default_rng(0).integers(0, 256, (GOLDEN_SAMPLES, 6, 6, 3), np.uint8)
    height, width = size
    shapes = [(width * 3 // 2 + 1, height), (width, height * 3 // 2 + 1)]
    return [
        Image.fromarray(patch).resize(shapes[i % 2], Image.Resampling.BICUBIC) for i, patch in enumerate(patches)
    ]  # fmt: skip


def encode_png(image: Image.Image) -> bytes:
    """The content of an image file."""
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()
