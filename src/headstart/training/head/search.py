"""Search for a head: features from several layers, solved heads and small networks, tried by Optuna on cached features.

Networks also learn from augmented images. Their features are computed once for each augmentation, for the examples that
trials use, and for all other training examples with the augmentation of the best head.

Trials use the training examples alone, in cross-validation. The validation examples are not used for the choice, so
they can show whether the best head of the search is better than the default head, or only the luckiest of fifty.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from threadpoolctl import threadpool_limits

from headstart.bases.base import Base, tapped_blocks
from headstart.bases.blocks import Block
from headstart.config import Augmentation, HeadConfig
from headstart.data.split import folds
from headstart.errors import InputError, IntegrityError, counted
from headstart.features.augmentation import PIPELINES
from headstart.features.extraction import FeatureSet
from headstart.system.extras import require
from headstart.system.locks import patient_lock
from headstart.system.progress import NO_PROGRESS, Progress
from headstart.system.settings import cache_folder
from headstart.training.head import networks
from headstart.training.head.head import Head, fit_head, key_of
from headstart.training.head.linear import Axes, CrossValidation, stratified_sample
from headstart.training.training_data import TrainingData

logger = logging.getLogger(__name__)

SEARCH_VERSION = 4
"""Part of every cache key: raise it when the same trial would have another result."""

DEFAULT_FEATURES = "the base's own"
"""Name of the features that are used without a search."""

Augmented = Callable[[np.ndarray, list[Augmentation], Path], np.ndarray]
"""Gives the features at all taps, (k, n, d), of the images at positions, int (n,), augmented by each of k pipelines.

The path is a folder to store them in; a killed pass continues from there.
"""

SETTINGS = {
    "features": "feature layer",
    "layers": "hidden layers",
    "l2": "L2 regularisation",
    "directions": "feature directions",
    "units": "units of a hidden layer",
    "dropout": "dropout",
    "augmentation": "augmentation",
    "noise": "noise on the features",
    "weight_decay": "weight decay",
    "learning_rate": "learning rate",
}
"""What is searched: the name of each setting, and how reports call it."""

_BLOCKS = 4  # the uppermost ones, whose outputs are tried as features
_POOLINGS = {"mean": ("mean",), "max": ("max",), "mean and max": ("mean", "max")}
_MAX_EXAMPLES = 1000  # that trials use
_AUGMENTATIONS = ("light", "standard", "strong")
_VIEWS, _MAX_VIEWS = 1000, 4  # augmented images for one augmentation, at least one of each; at most of one example
_COMPARED, _SAME = 32, 0.03  # examples, and the relative difference up to which features are the same, in bfloat16 too
_FOLDS = 3
_MAX_AXES = 512  # of the features; the rest of their variance is mostly noise
_PATIENCE = 5  # epochs
_PRUNING_INTERVAL = 5  # epochs from one comparison with other trials to the next
_STARTUP = 10  # random trials before Optuna's sampler uses their results
_L2_RANGE = (1e-4, 100.0)
_MIN_TRIALS = 10  # with fewer, the importance of settings is not estimated
_BETTER_SHARE = 0.2
_OF_NETWORKS = ("directions", "units", "dropout", "noise", "weight_decay", "learning_rate")
_SETTINGS_OF = {
    "all heads": ("features", "layers"),
    "solved heads": ("features", "l2"),
    "heads with hidden layers": ("features", "layers", *_OF_NETWORKS),
    "of these, heads that may use augmented images": ("features", "layers", "augmentation", *_OF_NETWORKS),
}


@dataclass(frozen=True)
class FeatureSource:
    """Layers of a base whose outputs can be used as features.

    Attributes:
        name: for reports.
        taps: as for :func:`headstart.bases.derived.with_taps`; None for the base's own features.
        width: number of features that one tap gives.
        same_as: of the base's own features, taps that should give the same; None where there are none.
    """

    name: str
    taps: tuple[str, ...] | None
    width: int = 0
    same_as: tuple[str, ...] | None = None


@dataclass(frozen=True)
class SearchResult:
    """The best head of a search.

    Attributes:
        head: trained on all training examples.
        config: that gives a head of this kind.
        taps: that its features come from; None for the base's own.
        features: of all examples.
        facts: trials, importance of the settings, seconds …
    """

    head: Head
    config: HeadConfig
    taps: tuple[str, ...] | None
    features: FeatureSet
    facts: dict[str, Any]


def check_search_installed() -> None:
    """Check that a search is possible, before anything is computed.

    Raises:
        UnavailableError: Optuna is not installed.
    """
    _optuna()


def feature_sources(base: Base, blocks: Sequence[Block]) -> list[FeatureSource]:
    """The layers of a base that give features: its own come first, then its upper blocks with maps or tokens.

    Args:
        base: the base.
        blocks: its blocks, the lowest one first.
    """
    own, sources = FeatureSource(DEFAULT_FEATURES, None), []
    for block in reversed(blocks[-_BLOCKS:]):
        if len(block.shape) < 2 or max(block.shape[:-1]) < 2:  # a vector: there is nothing to pool
            continue
        for name, poolings in _POOLINGS.items():
            taps = tuple(f"{block.name}:{pooling}" for pooling in poolings)
            if block is blocks[-1] and poolings == (base.input_facts().get("pooling", "mean"),):
                own = FeatureSource(DEFAULT_FEATURES, None, block.shape[-1], same_as=taps)
            else:
                sources.append(FeatureSource(f"{block.name}, {name}", taps, block.shape[-1]))
    return [own, *sources]


def all_taps(sources: Sequence[FeatureSource]) -> tuple[str, ...]:
    """The taps of all sources, each once, ordered by block: the taps of each source are neighbours."""
    used = list(dict.fromkeys(tap for source in sources for tap in source.taps or source.same_as or ()))
    possible_taps = (f"{block}:{pooling}" for block in tapped_blocks(used) for pooling in _POOLINGS["mean and max"])
    return tuple(tap for tap in possible_taps if tap in used)


def search_heads(
    data: TrainingData,
    start: Head,
    config: HeadConfig,
    sources: Sequence[FeatureSource],
    tapped: FeatureSet | None,
    augmented: Augmented | None,
    trials: int,
    cache: Path | None = None,
    progress: Progress = NO_PROGRESS,
) -> SearchResult:
    """Try heads, or continue an earlier search on the same data.

    Args:
        data: the examples, with the base's own features; validation and test examples are not used.
        start: the solved head on these features.
        config: for class weights, the number of epochs and the seed.
        sources: features to try, the base's own first.
        tapped: the features at :func:`all_taps` of the sources, side by side; None where only the base's own are tried.
        augmented: gives features of augmented images; None for texts, and where images are not augmented.
        trials: total number, with those of earlier searches.
        cache: the cache folder; None means the user's.
        progress: follows the work.

    Raises:
        InputError: there are too few examples.
        UnavailableError: Optuna is not installed.
    """
    all_sources = [FeatureSource(DEFAULT_FEATURES, None), *sources]
    about = [
        SEARCH_VERSION,
        key_of(data, config),
        tapped and tapped.key,
        [source.name for source in all_sources],
        bool(augmented),
    ]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
    folder = (cache or cache_folder()) / "searches" / key
    folder.mkdir(parents=True, exist_ok=True)
    search = _Search(data, config, sources, tapped, augmented, folder, progress)
    # BLAS threads wait for each other in busy loops, and the matrices here are too small for several threads.
    with patient_lock(f"{folder}.lock", "searching for the same head"), threadpool_limits(1, user_api="blas"):
        return search.run(trials, start, cache)


class _Search:
    """One search: the heads that it tries, and the examples that it uses."""

    def __init__(
        self,
        data: TrainingData,
        config: HeadConfig,
        sources: Sequence[FeatureSource],
        tapped: FeatureSet | None,
        augmented: Augmented | None,
        folder: Path,
        progress: Progress,
    ) -> None:
        self.data, self.config, self.folder, self.progress = data, config, folder, progress
        self.sources = {source.name: source for source in sources}
        self.tapped, self.augmented = tapped, augmented
        self.taps = all_taps(sources)
        width = {tap: source.width for source in sources for tap in source.taps or source.same_as or ()}
        self.bounds = [0, *accumulate(width[tap] for tap in self.taps)]
        if tapped is not None and tapped.dim != self.bounds[-1]:
            raise IntegrityError(f"the blocks give {tapped.dim} features, not {self.bounds[-1]}: please report this.")
        labels = data.labels[data.train]
        self.sample = data.train[stratified_sample(data.task.strata(labels), len(labels), _MAX_EXAMPLES, config.seed)]
        self.labels = data.labels[self.sample]
        self.fold = folds(data.task, self.labels, data.groups[self.sample], _FOLDS, config.seed)
        if len(np.unique(self.fold)) < _FOLDS:
            raise InputError(
                f"a search needs at least {_FOLDS} different training examples, better hundreds.", field="search"
            )
        class_weights = data.task.class_weights(labels, data.n_classes, config.class_weights)
        self.weights = data.task.example_weights(self.labels, class_weights)
        self.all_weights = data.task.example_weights(labels, class_weights)
        self._by_source: dict[str, _Coordinates] = {}

    def run(self, trials: int, start: Head, cache: Path | None) -> SearchResult:
        optuna = _optuna()
        verbosity = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # interruptions are reported below
        try:
            study = self._study(optuna, start)
            n_finished = len(_finished(study))
            self._try(study, trials, n_finished)
            importance = self._importance(optuna, study)
        finally:
            optuna.logging.set_verbosity(verbosity)
        done, best = _finished(study), study.best_trial
        facts = {
            "trials": len(done),
            "pruned": sum(map(_is_pruned, done)),
            "new": len(done) - n_finished,
            "seconds": round(sum(trial.duration.total_seconds() for trial in done), 2),
            "examples": len(self.sample),
            "folds": _FOLDS,
            "start": {"log_loss": self._coordinates(DEFAULT_FEATURES).linear.log_loss(_in_l2_range(start.l2))},
            "best": {
                "description": describe_trial(best.params),
                "log_loss": best.value,
                **best.params,
                **best.user_attrs,
            },
            "mattered": importance,
            "tried": [
                {"trial": number, "log_loss": trial.value, "pruned": _is_pruned(trial), **trial.params}
                for number, trial in enumerate(done, 1)
            ],
        }
        return self._finish(facts, cache)

    def _study(self, optuna: Any, start: Head) -> Any:
        journal = optuna.storages.journal.JournalFileBackend(str(self.folder / "trials.log"))
        storage = optuna.storages.JournalStorage(journal)
        study = optuna.create_study(storage=storage, study_name="heads", load_if_exists=True)
        if not study.trials:
            for name in self.sources:  # first the solved head on each: it takes almost no time
                study.enqueue_trial({"features": name, "layers": 0, "l2": _in_l2_range(start.l2)})
        study.sampler = optuna.samplers.TPESampler(
            seed=self.config.seed + len(study.trials), n_startup_trials=len(self.sources) + _STARTUP
        )
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=_PRUNING_INTERVAL)
        return study

    def _try(self, study: Any, trials: int, n_finished: int) -> None:
        n_left = trials - n_finished
        if n_left <= 0:
            return
        if n_finished:
            logger.info(f"continuing a search with {counted(n_finished, 'finished trial')}")
        if any(map(self._can_augment, self.sources)):
            _ = self._augmented_sample  # computed now, because it takes longer than a trial
        try:
            with self.progress.start("search", n_left, "trials") as bar:
                study.optimize(self._trial, n_trials=n_left, callbacks=[lambda *_: bar.advance(1)])
        except KeyboardInterrupt:
            done = counted(len(_finished(study)), "trial")
            logger.info(f"{done} of {trials} are done and saved: the same command continues from there")
            raise

    def _trial(self, trial: Any) -> float:
        """The cross-validated log loss of one head."""
        source = trial.suggest_categorical("features", list(self.sources))
        layers = trial.suggest_int("layers", 0, 2)
        if not layers:
            l2 = trial.suggest_float("l2", *_L2_RANGE, log=True)
            return self._coordinates(source).linear.log_loss(l2)
        trial.suggest_int("directions", 16, 256, log=True)
        trial.suggest_int("units", 16, 256, log=True)
        trial.suggest_float("dropout", 0, 0.6)
        if self._can_augment(source):
            trial.suggest_categorical("augmentation", ["none", *_AUGMENTATIONS])
        trial.suggest_float("noise", 0, 0.5)
        trial.suggest_float("weight_decay", 1e-3, 1, log=True)
        trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True)

        def watch(epoch: int, loss: float) -> None:
            if epoch % _PRUNING_INTERVAL == 0:
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise _optuna().TrialPruned

        loss, epochs = networks.cross_validate(
            _network_config(trial.params), self._versions(trial.params), self.labels, self.data.n_classes, self.fold,
            self.weights, task=self.data.task, epochs=self.config.epochs, patience=_PATIENCE, seed=self.config.seed,
            watch=watch,
        )  # fmt: skip
        trial.set_user_attr("epochs", epochs)
        return loss

    def _coordinates(self, features: str) -> "_Coordinates":
        """The sample's features from one of the sources, computed once."""
        if features not in self._by_source:
            source = self._features(features)
            axes = Axes.of(source.rows, self.sample, self.labels, self.data.task, _MAX_AXES)
            rows = axes(source.rows(self.sample))
            linear = CrossValidation(rows, self.labels, self.data.task, self.data.n_classes, self.fold, self.weights)
            self._by_source[features] = _Coordinates(axes, rows, linear)
        return self._by_source[features]

    def _versions(self, settings: dict[str, Any]) -> np.ndarray:
        """The inputs of a network: the sample, then its augmented versions, float32 (versions, n, directions)."""
        coordinates = self._coordinates(settings["features"])
        augmentation = settings.get("augmentation", "none")
        columns = self._columns(settings["features"])
        augmented: Iterable[np.ndarray] = [] if augmentation == "none" else self._augmented_sample[augmentation]
        versions = [coordinates.rows, *(coordinates.axes(rows[:, columns]) for rows in augmented)]
        return np.stack([rows[:, : settings["directions"]] for rows in versions]) / coordinates.scale(settings)

    @cached_property
    def _augmented_sample(self) -> dict[str, np.ndarray]:
        """The features of the sample's augmented images at all taps: (views, n, d) for each augmentation."""
        rows = self._augment(self.sample, _AUGMENTATIONS, "sample")
        return dict(zip(_AUGMENTATIONS, np.split(rows, len(_AUGMENTATIONS)), strict=True))

    def _augment(self, indices: np.ndarray, augmentations: Sequence[str], name: str) -> np.ndarray:
        """Features of several versions of images for each augmentation; more versions where there are fewer images."""
        if self.augmented is None:
            raise IntegrityError("a search needs augmented images where there are none: please report this.")
        views = min(max(_VIEWS // len(self.data.train), 1), _MAX_VIEWS)
        pipelines = [PIPELINES[augmentation] for augmentation in augmentations for _ in range(views)]
        return self.augmented(indices, pipelines, self.folder / name)

    def _can_augment(self, source: str) -> bool:
        """Whether this source has features of augmented images."""
        return self.augmented is not None and (source != DEFAULT_FEATURES or self._own_is_tapped)

    @cached_property
    def _own_is_tapped(self) -> bool:
        """Whether the taps that should give the base's own features do so."""
        if self.tapped is None or self.sources[DEFAULT_FEATURES].same_as is None:
            return False
        sample, columns = self.sample[:_COMPARED], self._columns(DEFAULT_FEATURES)
        own = self.data.features.rows(sample)
        same = self.tapped.columns(columns.start, columns.stop).rows(sample)
        return own.shape == same.shape and bool(np.linalg.norm(own - same) < _SAME * np.linalg.norm(own))

    def _columns(self, name: str) -> slice:
        """The columns of all taps that belong to a source."""
        source = self.sources[name]
        taps = source.taps or source.same_as or ()
        first = self.taps.index(taps[0])
        return slice(self.bounds[first], self.bounds[first + len(taps)])

    def _features(self, name: str) -> FeatureSet:
        """The features of all examples from one of the sources."""
        if self.sources[name].taps is None or self.tapped is None:
            return self.data.features
        columns = self._columns(name)
        return self.tapped.columns(columns.start, columns.stop)

    def _importance(self, optuna: Any, study: Any) -> dict[str, dict[str, float]]:
        """The importance of each setting for a trial to be among the best, in all trials and in those of each kind.

        Shares that add up to 1, by PED-ANOVA, which handles only settings that all trials have.

        Source: Watanabe et al., arXiv 2304.10255.
        """
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BETTER_SHARE)
        shares = {}
        for kind, settings in _SETTINGS_OF.items():
            complete = [trial for trial in study.trials if trial.state.name == "COMPLETE"]
            trials = [trial for trial in complete if set(settings) <= set(trial.params)]
            if len(trials) >= _MIN_TRIALS:
                part = optuna.create_study()
                part.add_trials(trials)
                by_name = optuna.importance.get_param_importances(part, evaluator=evaluator, params=list(settings))
                shares[kind] = {name: round(float(share), 3) for name, share in by_name.items()}
        return shares

    def _finish(self, facts: dict[str, Any], cache: Path | None) -> SearchResult:
        """Train the best head on all training examples."""
        best, data = facts["best"], self.data
        features, source = self._features(best["features"]), self.sources[best["features"]]
        if not best["layers"]:
            config = replace(self.config, head="linear")
            head = fit_head(replace(data, features=features), config, cache)
            return SearchResult(head, config, source.taps, features, facts)
        network_config, coordinates = _network_config(best), self._coordinates(source.name)
        axes, scale = coordinates.axes.first(best["directions"]), coordinates.scale(best)
        versions = [features.rows(data.train), *self._augmented_by(best)]
        (kernel, bias), *later_layers = networks.train(
            network_config, np.stack([axes(rows) for rows in versions]) / scale, data.labels[data.train],
            data.n_classes, self.all_weights, task=data.task, epochs=best["epochs"], seed=self.config.seed,
        )  # fmt: skip
        kernel = (axes.directions @ kernel) / (scale * axes.scale[:, None])
        first = kernel.astype(np.float32), (bias - axes.mean @ kernel).astype(np.float32)
        config = replace(self.config, head="mlp", dense=network_config.units, dropout=network_config.dropout)
        return SearchResult(Head((first, *later_layers), data.task.activation), config, source.taps, features, facts)

    def _augmented_by(self, best: dict[str, Any]) -> list[np.ndarray]:
        """Features of all training images, augmented: (n, d) of each view."""
        augmentation = best.get("augmentation", "none")
        if augmentation == "none":
            return []
        whole = len(self.sample) == len(self.data.train)
        rows = (
            self._augmented_sample[augmentation]
            if whole
            else self._augment(self.data.train, [augmentation], augmentation)
        )
        return [view[:, self._columns(best["features"])] for view in rows]


@dataclass(frozen=True)
class _Coordinates:
    """The features of the sample along the directions in which they vary most.

    Attributes:
        axes: those directions.
        rows: float32 (n, q).
        linear: solved heads on them.
    """

    axes: Axes
    rows: np.ndarray
    linear: CrossValidation

    def scale(self, settings: dict[str, Any]) -> np.float32:
        """The standard deviation of the coordinates that a network uses, over all of them."""
        return self.rows[:, : settings["directions"]].std()


def describe_trial(settings: dict[str, Any]) -> str:
    """The head of a trial, in words."""
    source = settings["features"]
    where = "" if source == DEFAULT_FEATURES else f" on other features: {source}"
    if not settings["layers"]:
        return f"solved head{where}"
    units = " and ".join([str(settings["units"])] * settings["layers"])
    details = ", ".join(f"{name.replace('_', ' ')} {settings[name]:.3g}" for name in _OF_NETWORKS if name != "units")
    if settings.get("augmentation", "none") != "none":
        details = f"{settings['augmentation']} augmentation, {details}"
    return f"hidden layer{'s' if settings['layers'] > 1 else ''} of {units}{where} ({details})"


def _optuna() -> Any:
    return require("optuna", extra="search", purpose="a search for heads")


def _network_config(settings: dict[str, Any]) -> networks.NetworkConfig:
    return networks.NetworkConfig(
        units=(settings["units"],) * settings["layers"],
        **{name: settings[name] for name in ("dropout", "noise", "weight_decay", "learning_rate")},
    )


def _finished(study: Any) -> list[Any]:
    return [trial for trial in study.trials if trial.state.name in ("COMPLETE", "PRUNED")]


def _is_pruned(trial: Any) -> bool:
    return trial.state.name == "PRUNED"


def _in_l2_range(l2: float | None) -> float:
    low, high = _L2_RANGE
    return min(max(l2 or 0.0, low), high)
