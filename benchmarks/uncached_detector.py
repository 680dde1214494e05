"""The trainer of detectors without the cache of views: the frozen base computes each view again in each epoch.

``detection.py`` puts it in the place of headstart's own trainer. Everything else is the same: engine, views, order,
neck, head and losses. So the result is the same model, and only the cost differs.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from headstart.data.images import upright_size
from headstart.data.parallel import map_ahead
from headstart.features.box_view_store import BoxViewPlan
from headstart.features.box_views import view_pixels
from headstart.features.engines import Engine
from headstart.features.store import StoredArrays
from headstart.system.progress import Progress
from headstart.training.detection import trainer


class _ComputedViews(StoredArrays):
    """Computes the arrays that the cache would hold."""

    def __init__(self, plan: BoxViewPlan, engine: Engine) -> None:
        self._plan, self._engine = plan, engine
        self._views = [(i, view) for i, n in enumerate(plan.views) for view in range(n)]

    def take(self, indices: Sequence[int] | np.ndarray, columns: slice = slice(None)) -> np.ndarray:
        values = self._engine(np.concatenate(list(map_ahead(self._pixels, list(indices)))))
        return values[:, columns].astype(np.float16)

    def _pixels(self, number: int) -> np.ndarray:
        i, view = self._views[number]
        plan, example = self._plan, self._plan.examples[i]
        data = example.read()
        if not view:
            return plan.decoder.decode(data, example.suffix)[np.newaxis]
        return view_pixels(data, [plan.view(plan.digests[i], upright_size(data), view)], plan.decoder.size)


def train(progress: Progress, **job: Any) -> dict[str, Any]:
    """As :func:`headstart.training.detection.trainer.train`."""

    def compute(
        plan: BoxViewPlan, engine: Engine, folder: Path, progress: Progress, deadline: float = float("inf")
    ) -> StoredArrays:
        return _ComputedViews(plan, engine)

    trainer.stored_box_views = compute
    return trainer.train(progress, **job)
