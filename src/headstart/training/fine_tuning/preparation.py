"""Everything before the first training step: the base, its trainable part, the views, and digests of what is frozen."""

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from headstart.bases import Base, BaseSpec, load_base
from headstart.config import Augmentation, FineTuneConfig
from headstart.data.examples import example_from_json
from headstart.data.modalities import Modality
from headstart.features.augmentation import to_pipeline
from headstart.features.engines import KerasEngine, OpenVINOEngine
from headstart.features.views import Plan, Views, compute_views
from headstart.system.progress import Progress
from headstart.training.fine_tuning.batches import Batches
from headstart.training.fine_tuning.freeze_proof import FrozenWeights
from headstart.training.fine_tuning.job import FineTuneJob
from headstart.training.fine_tuning.trainable_part import TrainablePart


@dataclass(frozen=True)
class Preparation:
    """What both ways of fine-tuning start from.

    Attributes:
        job: what is to be done.
        config: how to fine-tune.
        modality: of the base.
        part: the trainable part of the base.
        frozen: the rest of it.
        view_shape: of one cached view.
        batches: the examples.
        views_s: seconds that the views took.
    """

    job: FineTuneJob
    config: FineTuneConfig
    modality: Modality
    part: TrainablePart
    frozen: FrozenWeights
    view_shape: tuple[int, ...]
    batches: Batches
    views_s: float

    @property
    def folder(self) -> Path:
        """Of the job."""
        return Path(self.job.folder)

    def save_weights(self) -> dict[str, Any]:
        """Check that nothing frozen has changed and write the rest as ``tuned.npz``; gives the digests as a dict.

        Raises:
            IntegrityError: something frozen has changed.
        """
        self.frozen.check(self.job.spec["handle"])
        self.part.save(self.folder / "tuned.npz")
        return self.frozen.to_dict()


def prepare_training(job: FineTuneJob, progress: Progress) -> Preparation:
    """Load the base, compute the views, and unfreeze the upper blocks. In a Keras process.

    Args:
        job: what is to be done.
        progress: follows the computation of the views.

    Raises:
        InputError: low-rank changes are to be trained, and there is no Dense layer.
        TimeoutError: the time limit was over before all views were computed.
    """
    import keras

    config = FineTuneConfig(**job.config)
    keras.utils.set_random_seed(job.seed)
    if keras.backend.backend() == "tensorflow":
        import tensorflow

        tensorflow.config.experimental.enable_op_determinism()  # or a resumed run would end with another model
    base = load_base(BaseSpec.from_json(job.spec), resize=job.resize, progress=progress)
    part = TrainablePart(base, job.trained_blocks)
    started = time.monotonic()
    deadline = started + (config.time_limit or float("inf"))
    views = _compute_views(job, config, base, part, deadline, progress)
    views_s = time.monotonic() - started
    part.unfreeze(config)
    batches = Batches(job, config, views, is_text=not base.modality.has_pixels, is_live=part.boundary is None)
    frozen = FrozenWeights(part.frozen_weights())
    return Preparation(job, config, base.modality, part, frozen, views.shape, batches, views_s)


def _compute_views(
    job: FineTuneJob, config: FineTuneConfig, base: Base, part: TrainablePart, deadline: float, progress: Progress
) -> Views:
    is_text = not base.modality.has_pixels
    train, val = ([*map(example_from_json, examples)] for examples in (job.train, job.val))
    train_digests, val_digests = ([*map(bytes.fromhex, names)] for names in (job.train_digests, job.val_digests))
    is_live = part.boundary is None
    pipelines: list[Augmentation] = [[]] if is_live else [[], *[to_pipeline(config.augment)] * config.views]
    plan = Plan(train, train_digests, val, val_digests, pipelines, job.seed)
    folder, reader = Path(job.folder, "views"), base.reader()
    if part.boundary is None:  # all of the base is trained: nothing can be computed beforehand
        return compute_views(plan, reader, None, job.input_shape, folder, deadline, progress=progress)
    engine = OpenVINOEngine(Path(job.xml), job.precision) if job.xml else KerasEngine(part.frozen_part())
    shape = part.boundary.shape
    shape = (*job.input_shape, *shape[1:]) if is_text else shape
    return compute_views(plan, reader, engine, shape, folder, deadline, progress=progress)
