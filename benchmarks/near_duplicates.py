"""How long the search for near-duplicates takes, what of planted copies it finds, and what besides.

    python benchmarks/near_duplicates.py 100000
    python benchmarks/near_duplicates.py cats-dogs

Given a number: so many fingerprints with the spectrum of photographs (amplitude falls as 1 / frequency), phases random;
one in twenty is a copy of another, brightened, with noise, every second one in a mirror.

Given a folder: 300 of its pictures, and copies of them, changed in one way at a time. Prints a Markdown table.
"""

import argparse
import io
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from headstart.data.fingerprints import SIDE
from headstart.data.images import Decoder
from headstart.data.modalities import IMAGE
from headstart.data.near_duplicates import near_images
from headstart.data.readers import decode_example
from headstart.errors import BadExample
from headstart.system.cost import Cost
from measure import machine, markdown

_PICTURES = 300
_INPUT = (224, 224)


def fingerprints(n: int, seed: int = 0) -> np.ndarray:
    """Pictures with the spectrum of photographs: uint8 (n, SIDE, SIDE)."""
    rng = np.random.default_rng(seed)
    frequency = np.hypot(*np.meshgrid(np.fft.fftfreq(SIDE), np.fft.rfftfreq(SIDE), indexing="ij"))
    frequency[0, 0] = np.inf
    pixels = np.empty((n, SIDE, SIDE), np.uint8)
    for start in range(0, n, 4096):
        part = pixels[start : start + 4096]
        waves = np.fft.irfft2(np.fft.rfft2(rng.standard_normal(part.shape)) / frequency, s=(SIDE, SIDE))
        part[:] = (127 + 50 * waves / waves.std((1, 2), keepdims=True)).clip(0, 255)
    return pixels


def of_many(n: int) -> list[list[str]]:
    """One row: how long it took, and what was found."""
    pixels = fingerprints(n)
    rng = np.random.default_rng(1)
    chosen = rng.choice(n, (n // 20, 2), replace=False)
    copies = pixels[chosen[:, 0]] * 0.8 + 20 + rng.normal(0, 3, (len(chosen), SIDE, SIDE))
    copies[::2] = copies[::2, :, ::-1]
    pixels[chosen[:, 1]] = copies.clip(0, 255)
    everything = [picture.tobytes() for picture in pixels]
    started, cost = time.perf_counter(), Cost()
    pairs = {tuple(pair) for pair in near_images(everything).tolist()}
    seconds = time.perf_counter() - started
    planted = {(min(pair), max(pair)) for pair in chosen.tolist()}
    found = f"{len(planted & pairs):,} of {len(planted):,}"
    return [[f"{n:,}", f"{seconds:.1f}", f"{cost.so_far()['peak_memory_mb']:,.0f}", found, f"{len(pairs - planted):,}"]]


def changes() -> dict[str, Callable[[Image.Image], Image.Image]]:
    """What may happen to a picture on its way."""
    rng = np.random.default_rng(0)

    def cropped(share: float) -> Callable[[Image.Image], Image.Image]:
        def crop(image: Image.Image) -> Image.Image:
            w, h = image.size
            x, y = rng.uniform(0, share) * w, rng.uniform(0, share) * h
            return image.crop((round(x), round(y), round(x + w * (1 - share)), round(y + h * (1 - share))))

        return crop

    def recompressed(image: Image.Image) -> Image.Image:
        out = io.BytesIO()
        image.save(out, "JPEG", quality=30)
        return Image.open(out)

    return {
        "as they are": lambda image: image,
        "JPEG of quality 30": recompressed,
        "half the size": lambda image: image.resize((max(1, image.width // 2), max(1, image.height // 2))),
        "0.6 times as bright": lambda image: ImageEnhance.Brightness(image).enhance(0.6),
        "1.3 times as bright": lambda image: ImageEnhance.Brightness(image).enhance(1.3),
        "1.4 times the contrast": lambda image: ImageEnhance.Contrast(image).enhance(1.4),
        "grey": lambda image: image.convert("L"),
        "blurred by 2 pixels": lambda image: image.filter(ImageFilter.GaussianBlur(2)),
        "mirrored": lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT),
        "3 % cropped": cropped(0.03),
        "5 % cropped": cropped(0.05),
        "8 % cropped": cropped(0.08),
        "turned by 3 degrees": lambda image: image.rotate(3),
    }


def of_pictures(folder: Path) -> list[list[str]]:
    """A row for each change: how many copies were found, and how many other pairs."""
    decoder = Decoder(_INPUT)
    images = []
    examples = sorted(IMAGE.list_examples([folder]), key=lambda example: example.name)
    for example in examples[:: max(1, len(examples) // _PICTURES)][:_PICTURES]:
        try:
            images.append(Image.fromarray(decode_example(decoder, example)))
        except BadExample:
            continue
    rows = []
    for name, change in changes().items():
        again = [change(image) for image in images] if name != "as they are" else []
        pairs = near_images([_print(image) for image in (*images, *again)]).tolist()
        copies = sum(j == i + len(images) for i, j in pairs)
        rows.append([name, f"{copies} of {len(again)}" if again else "", f"{len(pairs) - copies}"])
    return rows


def _print(image: Image.Image) -> bytes:
    small = image.convert("RGB").resize(_INPUT, Image.Resampling.BICUBIC).convert("L")
    return small.resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", help="how many pictures, or a folder of them")
    what: str = parser.parse_args().what
    if what.isdecimal():
        print(markdown(["pictures", "wall s", "peak MB", "copies found", "other pairs"], of_many(int(what))))
    else:
        print(markdown(["copies", "found", "other pairs"], of_pictures(Path(what))))
    print(f"\n{machine()}")


if __name__ == "__main__":
    main()
