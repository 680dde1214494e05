"""The search for a better head, as a stage of a training."""

from dataclasses import replace
from pathlib import Path

import numpy as np

from headstart.bases.base import Base
from headstart.bases.derived import with_taps
from headstart.commands.data_preparation import Extract
from headstart.config import Augmentation, TrainConfig
from headstart.data.dataset import Dataset
from headstart.data.readers import decode_examples
from headstart.errors import InputError
from headstart.evaluation import judge_search
from headstart.features import FeatureSet
from headstart.features.augmentation import to_pipeline
from headstart.features.augmented import augmented_features
from headstart.features.engines import prepare
from headstart.runs.facts import HeadChoice
from headstart.system.keras_worker import can_train
from headstart.system.progress import Progress
from headstart.system.settings import cache_folder
from headstart.training import feature_sources, search_heads
from headstart.training.head.search import Augmented, all_taps


def search_for_head(
    default: HeadChoice,
    config: TrainConfig,
    dataset: Dataset,
    extract: Extract,
    trials: int,
    cache: Path | None,
    progress: Progress,
) -> HeadChoice:
    """The default head, or one that a search finds and the validation examples prove to be better.

    Raises:
        InputError: there are no validation examples.
    """
    plain, folder = default.plain or default, cache or cache_folder()
    base, data = plain.base, plain.data
    if not len(data.val):
        raise InputError("it is judged on validation examples, and there are none.", field="search")
    probe = decode_examples(base.reader(), [dataset.examples[i] for i in data.train[:4].tolist()])
    sources = feature_sources(base, prepare(base, folder, probe).blocks)
    tapped_base, tapped_features, augmented = with_taps(base, all_taps(sources) or None), None, None
    if tapped_base is not base:
        tapped_features = extract(tapped_base, [*data.train, *data.val, *data.test])
        if to_pipeline(config.fine_tuning.augment) and can_train():
            augmented = _augmented(tapped_base, tapped_features, dataset, default.config.seed, folder, progress)
    result = search_heads(
        data, plain.head, default.config, sources, tapped_features, augmented, trials, cache, progress
    )
    verdict = judge_search(default.data, default.head, result, seed=default.config.seed)
    if verdict.outcome != "kept":
        return replace(default, facts=result.facts, verdict=verdict)
    data = replace(data, features=result.features)
    return HeadChoice(
        with_taps(base, result.taps), data, result.head, result.config, result.facts, verdict, default.features
    )


def _augmented(
    base: Base, features: FeatureSet, dataset: Dataset, seed: int, cache: Path, progress: Progress
) -> Augmented | None:
    """Computes the features of augmented images for a search; None where the examples are not images."""
    if not base.modality.has_pixels:
        return None

    def augmented(indices: np.ndarray, pipelines: list[Augmentation], folder: Path) -> np.ndarray:
        examples = [dataset.examples[i] for i in indices.tolist()]
        digests = [features.digests[i] or b"" for i in indices.tolist()]
        return augmented_features(
            base, features, examples, digests, pipelines, folder, seed=seed, cache=cache, progress=progress
        )

    return augmented
