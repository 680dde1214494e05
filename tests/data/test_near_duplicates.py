from collections.abc import Callable

import numpy as np
import pytest
from PIL import Image, ImageEnhance, ImageFilter
from sklearn.datasets import load_digits, load_sample_images

from headstart.data.fingerprints import SIDE
from headstart.data.near_duplicates import near_images, near_texts
from headstart.data.neighbours import close_pairs, unit


def _print(image: Image.Image) -> bytes:
    return image.convert("RGB").resize((224, 224)).convert("L").resize((SIDE, SIDE), Image.Resampling.BOX).tobytes()


@pytest.fixture(scope="module")
def tiles() -> list[Image.Image]:
    """48 parts of two photographs that do not overlap."""
    images = []
    for photo in load_sample_images().images:
        for y in range(0, 424, 106):
            images += [Image.fromarray(photo[y : y + 106, x : x + 106]) for x in range(0, 636, 106)]
    return images


def test_different_pictures_are_not_near(tiles: list[Image.Image]) -> None:
    assert near_images([_print(tile) for tile in tiles]).tolist() == []


@pytest.mark.parametrize(
    ("change", "least"),
    [
        (lambda image: image.resize((37, 41)), 20),
        (lambda image: ImageEnhance.Brightness(image).enhance(0.6), 20),
        (lambda image: ImageEnhance.Contrast(image).enhance(1.4), 20),
        (lambda image: image.convert("L"), 20),
        (lambda image: image.filter(ImageFilter.GaussianBlur(1)), 20),
        (lambda image: image.transpose(Image.Transpose.FLIP_LEFT_RIGHT), 20),
        (lambda image: image.crop((3, 1, 105, 103)), 16),
    ],
    ids=["smaller", "darker", "contrast", "grey", "blurred", "mirrored", "cropped"],
)
def test_changed_copies_are_found(
    tiles: list[Image.Image], change: Callable[[Image.Image], Image.Image], least: int
) -> None:
    busy = [i for i, tile in enumerate(tiles) if np.asarray(tile).std() > 40][:20]
    expected = [[i, len(tiles) + n] for n, i in enumerate(busy)]
    found = near_images([*map(_print, tiles), *(_print(change(tiles[i])) for i in busy)]).tolist()
    assert [pair for pair in found if pair not in expected] == []
    assert len(found) >= least


def test_digits_resemble_each_other_and_have_to_be_closer() -> None:
    images = [Image.fromarray((image * 15).astype(np.uint8)) for image in load_digits().images[:600]]
    assert len(near_images([_print(image) for image in images])) <= 2
    again = [_print(image) for image in images] + [_print(image.resize((90, 90))) for image in images[:20]]
    assert sum(j >= 600 for _, j in near_images(again).tolist()) >= 20


@pytest.mark.parametrize("n", [0, 1, 2])
def test_few_or_blank_pictures_have_no_pairs(n: int) -> None:
    assert near_images([bytes(SIDE * SIDE)] * n).shape == (0, 2)


def test_texts_that_differ_in_form_or_in_few_words() -> None:
    text = "The film begins slowly, yet by the end of the second hour nobody in the whole theatre wanted to leave."
    others = [
        text.upper(),
        text.replace(" ", "  ").replace(",", " ;"),
        text.replace("nobody", "no one") + " ",
        text.replace("slowly", "quickly"),
        "The film ends slowly and by the start of the first hour everybody had left.",
        "Not a bad film.",
        "A bad film.",
        "🙂", "🙂", "",
    ]  # fmt: skip
    pairs = {tuple(pair) for pair in near_texts([text, *others]).tolist()}
    assert {(0, 1), (0, 2), (0, 3), (0, 4), (8, 9)} <= pairs
    assert not any(5 <= j <= 7 or j == 10 for _, j in pairs)


def test_close_pairs_are_those_of_all_with_all() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((900, 20)) @ rng.standard_normal((20, 200)))
    vectors[500:520] = unit(vectors[:20] + 0.02 * rng.standard_normal((20, 200)))
    pairs, products = close_pairs(len(vectors), lambda i: vectors[i], 0.9)
    everything = np.triu(vectors @ vectors.T, 1)
    assert np.array_equal(pairs, np.argwhere(everything >= 0.9))
    assert products == pytest.approx(everything[everything >= 0.9], abs=1e-5)


def test_close_pairs_of_many_are_nearly_all_found_without_comparing_all() -> None:
    rng = np.random.default_rng(0)
    vectors = unit(rng.standard_normal((20_000, 12)) @ rng.standard_normal((12, 100)))
    near = rng.choice(20_000, (500, 2), replace=False)
    vectors[near[:, 1]] = unit(vectors[near[:, 0]] + 0.01 * rng.standard_normal((500, 100)))
    pairs, _ = close_pairs(len(vectors), lambda i: vectors[i], 0.99)
    found = set(map(tuple, pairs.tolist()))
    assert sum((min(pair), max(pair)) in found for pair in near.tolist()) >= 495
