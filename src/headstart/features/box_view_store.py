"""The values that the frozen part of a base gives for views of images with boxes, on disk.

Each image has the view of the decoder itself, with number 0, and random ones. The random views of an image depend on
the seed and on its content alone; so a pass that was killed continues where it was and ends with the same values.
"""

import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from headstart.data.examples import Example
from headstart.data.images import Decoder, upright_size
from headstart.data.parallel import map_ahead
from headstart.features.box_views import View, random_view, view_pixels
from headstart.features.engines import Engine
from headstart.features.store import ArrayStore, Digest, StoredArrays
from headstart.system.progress import Bar, Progress

_COMMIT_INTERVAL_S = 2.0
_LARGEST = float(np.finfo(np.float16).max)


@dataclass(frozen=True)
class BoxViewPlan:
    """Which views of which images.

    Attributes:
        examples: the images; all of them can be used.
        digests: content digest of each.
        views: how many of each, the decoder's own among them.
        decoder: of the base.
        seed: of the random views.
        flips: whether left and right may be exchanged.
    """

    examples: Sequence[Example]
    digests: Sequence[Digest]
    views: Sequence[int]
    decoder: Decoder
    seed: int
    flips: bool = True

    def view(self, digest: Digest, size: tuple[int, int], number: int) -> View:
        """One view.

        Args:
            digest: of the image.
            size: (height, width) of the upright image, in pixels.
            number: of the view; 0 is the decoder's own.
        """
        window = self.decoder.visible_box(size)
        if number == 0:
            return View(window)
        rng = np.random.default_rng([self.seed, number, int.from_bytes(digest[:8], "little")])
        return random_view(window, rng, flips=self.flips)

    @property
    def keys(self) -> list[tuple[Digest, int]]:
        """Of each image all of its views."""
        return [(digest, view) for digest, n in zip(self.digests, self.views, strict=True) for view in range(n)]


def stored_box_views(
    plan: BoxViewPlan,
    engine: Engine,
    folder: Path,
    progress: Progress,
    deadline: float = float("inf"),
) -> StoredArrays:
    """Compute the values of a plan's views, or those of them that are missing.

    Args:
        plan: what to compute.
        engine: runs the frozen part.
        folder: for the values; everything that they depend on, besides the images, names it.
        progress: follows the work.
        deadline: on the monotonic clock.

    Returns:
        float16 (d,) each, in the order of the plan's keys.

    Raises:
        TimeoutError: the deadline is past; what is computed so far stays for the next time.
    """
    with closing(ArrayStore(folder)) as store:
        n_views = max(plan.views, default=0)
        for number in range(n_views):
            store.remove_damaged(
                [digest for digest, n in zip(plan.digests, plan.views, strict=True) if number < n], number
            )
        missing = _missing(plan, store)
        if missing:
            with progress.start("frozen part", sum(len(views) for _, views in missing), "views") as bar:
                _compute(plan, engine, store, missing, deadline, bar)
        return store.read(plan.keys)


def _missing(plan: BoxViewPlan, store: ArrayStore) -> list[tuple[int, list[int]]]:
    """Positions of images, each content once, with the numbers of the views that are not stored."""
    stored = [store.locate(list(set(plan.digests)), number) for number in range(max(plan.views, default=0))]
    first: dict[Digest, tuple[int, int]] = {}
    for i, (digest, n) in enumerate(zip(plan.digests, plan.views, strict=True)):
        if digest not in first or first[digest][1] < n:
            first[digest] = (i, n)
    rows = [(i, [number for number in range(n) if digest not in stored[number]]) for digest, (i, n) in first.items()]
    return [(i, numbers) for i, numbers in rows if numbers]


def _compute(
    plan: BoxViewPlan,
    engine: Engine,
    store: ArrayStore,
    missing: list[tuple[int, list[int]]],
    deadline: float,
    bar: Bar,
) -> None:
    committed = time.monotonic()
    batches = map_ahead(lambda row: (row, _pixels(plan, *row)), missing)
    for (i, numbers), values in engine.stream(batches):
        narrow = np.clip(values, -_LARGEST, _LARGEST).astype(np.float16)
        for number, row in zip(numbers, narrow, strict=True):
            store.append([plan.digests[i]], row[np.newaxis], number)
        bar.advance(len(numbers))
        if time.monotonic() - committed > _COMMIT_INTERVAL_S:
            store.commit()
            committed = time.monotonic()
        if time.monotonic() > deadline:
            store.commit()
            raise TimeoutError
    store.commit()


def _pixels(plan: BoxViewPlan, i: int, numbers: list[int]) -> np.ndarray:
    """The views of one image, uint8 (views, h, w, 3); the first is what the decoder gives, as in prediction."""
    example = plan.examples[i]
    data = example.read()
    pixels = []
    random_numbers = [number for number in numbers if number]
    if 0 in numbers:
        pixels.append(plan.decoder.decode(data, example.suffix)[np.newaxis])
    if random_numbers:
        size = upright_size(data)
        views = [plan.view(plan.digests[i], size, number) for number in random_numbers]
        pixels.append(view_pixels(data, views, plan.decoder.size))
    return np.concatenate(pixels)
