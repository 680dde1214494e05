"""Bases compared by short trainings of a detector on them.

Each base runs over training images and their views, and neck and head are trained on its maps for a few steps. What
counts is the mean average precision in images that were not trained on: the validation images, or a third of the
training images where there are too few of these. The views are those of the training, which finds those of the chosen
base in the cache.
"""

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from headstart.bases import Base
from headstart.commands.base_comparison import Row
from headstart.commands.successive_halving import Contender, SuccessiveHalving
from headstart.data.parallel import map_ahead
from headstart.data.readers import decode_example
from headstart.data.split import folds
from headstart.errors import BadExample, counted
from headstart.training.detection import LabelledImages, base_with_maps, detect_after_trial
from headstart.training.detection.plan import views_of_image

_STEPS = 120  # of a trial in the last round
_EARLIER_STEPS = 60
_MOST_JUDGED = 200
_FEWEST_JUDGED = 10  # validation images; with fewer, training images are held out
_HELD_OUT = 3  # one part of so many


class DetectorComparison(SuccessiveHalving):
    """See :class:`headstart.commands.successive_halving.SuccessiveHalving`."""

    rounds = ((0.2, 10), (1.0, 10))

    @property
    def method(self) -> str:
        """What the figures are, in a sentence."""
        return (
            f"{self.dataset.task.deciding.title} after a short training of neck and head ({_STEPS} steps) on the maps "
            f"of the frozen base, on {counted(len(self.judged), 'image')} that it was not trained on; a whole training "
            "reaches more. Test images were not used."
        )

    def draw(self) -> None:
        """Find out which images are trained on, in which order, and in which the detectors are judged."""
        super().draw()
        val = self.split.index("val")
        val = val[np.random.default_rng(self.seed).permutation(len(val))[:_MOST_JUDGED]]
        if len(val) < _FEWEST_JUDGED or not any(len(boxes) for boxes in self.dataset.labels[val]):
            groups = np.unique(self.split.groups[self.order], return_inverse=True)[1]
            labels = self.dataset.labels[self.order]
            held_out = folds(self.dataset.task, labels, groups, _HELD_OUT, self.seed) == 0
            val, self.order = self.order[held_out], self.order[~held_out]
        self.judged = self._readable(val)
        self.labels, self.n_judged = self.dataset.labels[self.judged], len(self.judged)

    def choose(self, rows: Sequence[Row]) -> Row:
        """The fastest of those within one standard error of the best."""
        return min((row for row in rows if row.finished and row.is_within_error), key=lambda row: row.ms)

    def _timed_base(self, contender: Contender, probe: np.ndarray) -> Base:
        return base_with_maps(contender.base.for_images(), self.cache, probe)[0]

    def _try_all(self, size: int, *, is_last: bool) -> None:
        """Train in short on each base, and detect in the judged images."""
        trained = self._readable(self.order[:size])
        for contender in [*self.running]:
            with self.surviving(contender.base.handle, contender):
                self._try(contender, trained, is_last=is_last)

    def _try(self, contender: Contender, trained: np.ndarray, *, is_last: bool) -> None:
        views = views_of_image(self.config.detector, len(self.split.index("train")))
        contender.outputs = detect_after_trial(
            contender.base.for_images(),
            self._images(trained),
            self._images(self.judged),
            len(self.dataset.classes),
            replace(self.config.detector, detector_views=views),
            _STEPS if is_last else _EARLIER_STEPS,
            seed=self.seed,
            cache=self.cache,
            progress=self.progress,
        )
        contender.row = Row(
            handle=contender.base.handle, size_mb=contender.size_mb or 0.0, ms=contender.ms,
            examples=len(trained), figure=self.figure_of(contender.outputs), finished=is_last,
        )  # fmt: skip

    def _ranked(self, *, is_first: bool) -> list[Contender]:
        metric = self.dataset.task.deciding
        return sorted(self.running, key=lambda contender: contender.row.score(metric), reverse=True)

    def _images(self, indices: np.ndarray) -> LabelledImages:
        return LabelledImages(
            [self.examples[i] for i in indices.tolist()],
            [self.digests[i] or b"" for i in indices.tolist()],
            [self.dataset.labels[i] for i in indices.tolist()],
        )

    def _readable(self, indices: np.ndarray) -> np.ndarray:
        """Those of some images that can be decoded; the audit of a training names the others."""
        reader = self.running[0].base.reader()

        def is_readable(index: int) -> bool:
            with suppress(BadExample):
                decode_example(reader, self.examples[index])
                return True
            return False

        return indices[np.fromiter(map_ahead(is_readable, indices.tolist()), bool, len(indices))]
