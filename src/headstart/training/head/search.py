"""Searching heads: features from several places, solved heads and small networks, tried by Optuna on cached features.

Networks also learn from augmented pictures, whose features are computed for this: once, of each strength, for the
examples that trials look at, and of the strength that was found best for all others.

Trials look at the training examples alone, in cross-validation. So the validation examples, which have no part in the
choice, can tell whether its winner is better than the head that everyone gets, or only the luckiest of fifty.
"""

import hashlib
import json
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import Any

import numpy as np
from filelock import FileLock
from threadpoolctl import threadpool_limits

from headstart.bases.base import Base, tapped_blocks
from headstart.bases.blocks import Block
from headstart.data.split import folds
from headstart.errors import InputError, IntegrityError, counted
from headstart.features.augmentation import PIPELINES, Pipeline
from headstart.features.extraction import FeatureSet
from headstart.system import console
from headstart.system.extras import require
from headstart.system.settings import cache_folder
from headstart.training.head import networks
from headstart.training.head.head import Head, fit_head, key_of, weights_of_classes
from headstart.training.head.linear import Axes, CrossValidation, stratified_sample
from headstart.training.outputs import activation_of, weights_of_examples
from headstart.training.training_data import HeadConfig, TrainingData

logger = logging.getLogger(__name__)

SEARCH_VERSION = 3
"""Part of every cache key: raise it when the same trial would have another result."""

OWN = "the base's own"
"""Name of the features that need no search."""

Augmented = Callable[[np.ndarray, list[Pipeline], Path], np.ndarray]
"""Gives the features at all taps, (k, n, d), of pictures, int (n,), changed by each of k pipelines.

The path is a folder to keep them in, and to go on from after a killed pass.
"""

SETTINGS = {
    "features": "where features come from",
    "layers": "hidden layers",
    "strength": "regularisation of solved heads",
    "directions": "directions of the features",
    "units": "units of a hidden layer",
    "dropout": "dropout",
    "augmentation": "augmentation",
    "noise": "noise on the features",
    "weight_decay": "weight decay",
    "learning_rate": "learning rate",
}
"""What is searched, and how people call it."""

_BLOCKS = 4  # from the uppermost one down, whose outputs are tried as features
_POOLINGS = {"mean": ("mean",), "max": ("max",), "mean and max": ("mean", "max")}
_MOST_EXAMPLES = 1000  # that trials look at
_AUGMENTATIONS = ("light", "standard", "strong")
_VIEWS, _MOST_VIEWS = 1000, 4  # augmented pictures of one strength, as long as there is one of each, and of an example
_COMPARED, _SAME = 32, 0.03  # examples, and the relative difference up to which features are the same, in bfloat16 too
_FOLDS = 3
_MOST_AXES = 512  # of the features; the rest of their variance is noise, or nearly so
_PATIENCE = 5  # epochs
_REPORTED = 5  # epochs from one look at other trials to the next
_STARTUP = 10  # trials at random before Optuna's sampler trusts what it has seen
_STRENGTHS = (1e-4, 100.0)
_FEWEST_IMPORTANT = 10  # trials that say anything about what mattered
_BETTER_SHARE = 0.2
_OF_NETWORKS = ("directions", "units", "dropout", "noise", "weight_decay", "learning_rate")
_SETTINGS_OF = {
    "all heads": ("features", "layers"),
    "solved heads": ("features", "strength"),
    "heads with hidden layers": ("features", "layers", *_OF_NETWORKS),
    "of these, those that may learn from augmented pictures": ("features", "layers", "augmentation", *_OF_NETWORKS),
}


@dataclass(frozen=True)
class Place:
    """Where features can be had.

    Attributes:
        name: for people.
        taps: as for :func:`headstart.bases.derived.tapped`; None for the base's own features.
        width: of what one tap gives.
        same_as: taps that should give the same as the base's own features; None where none do, and elsewhere.
    """

    name: str
    taps: tuple[str, ...] | None
    width: int = 0
    same_as: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Found:
    """The best head of a search.

    Attributes:
        head: trained on all training examples.
        recipe: that gives a head of this form.
        taps: that its features come from; None for the base's own.
        features: of all examples.
        facts: trials, what mattered, how long it took …
    """

    head: Head
    recipe: HeadConfig
    taps: tuple[str, ...] | None
    features: FeatureSet
    facts: dict[str, Any]


def check_search(trials: int, recipe: HeadConfig, shots: int | None) -> None:
    """See that a search can be had, before anything is computed.

    Raises:
        InputError: it contradicts other options.
        UnavailableError: Optuna is not installed.
    """
    if trials < 1:
        raise InputError(f"--search {trials}: expected a number of trials of at least 1, such as 50.")
    if replace(recipe, epochs=100, class_weights="auto", seed=0) != HeadConfig():
        raise InputError("--search chooses the head itself: leave out --head, --dense and --dropout, or --search.")
    if shots is not None:
        raise InputError(
            f"--search is judged by validation examples, and --shots {shots} leaves none: leave out one of the two."
        )
    _optuna()


def places_of(base: Base, blocks: Sequence[Block]) -> list[Place]:
    """Where a base offers features: its own come first, then the upper blocks that give maps or tokens.

    Args:
        base: the base.
        blocks: its blocks, from the pixels on.
    """
    own, places = Place(OWN, None), []
    for block in reversed(blocks[-_BLOCKS:]):
        if len(block.shape) < 2 or max(block.shape[:-1]) < 2:  # a vector: there is nothing to pool
            continue
        for name, poolings in _POOLINGS.items():
            taps = tuple(f"{block.name}:{pooling}" for pooling in poolings)
            if block is blocks[-1] and poolings == (base.input_facts().get("pooling", "mean"),):
                own = Place(OWN, None, block.shape[-1], same_as=taps)
            else:
                places.append(Place(f"{block.name}, {name}", taps, block.shape[-1]))
    return [own, *places]


def all_taps(places: Sequence[Place]) -> tuple[str, ...]:
    """Everything that some places are made of, once: block by block, so that each place is a stretch of it."""
    used = list(dict.fromkeys(tap for place in places for tap in place.taps or place.same_as or ()))
    every = (f"{block}:{pooling}" for block in tapped_blocks(used) for pooling in _POOLINGS["mean and max"])
    return tuple(tap for tap in every if tap in used)


def search_heads(
    task: TrainingData,
    start: Head,
    recipe: HeadConfig,
    places: Sequence[Place],
    tapped: FeatureSet | None,
    augmented: Augmented | None,
    trials: int,
    cache: Path | None = None,
) -> Found:
    """Try heads, or go on with it where an earlier search with the same data was ended.

    Args:
        task: the examples, with the base's own features; validation and test examples are not looked at.
        start: the solved head on these features.
        recipe: for class weights, the number of epochs and the seed.
        places: features to try, the base's own first.
        tapped: all of these, as :func:`all_taps` gives them, side by side; None where there is none but the base's own.
        augmented: gives features of augmented pictures; None where pictures are not to be changed, and for texts.
        trials: in all, those of earlier searches included.
        cache: the cache folder; None means the user's.

    Raises:
        InputError: there are too few examples.
        UnavailableError: Optuna is not installed.
    """
    every = [Place(OWN, None), *places]
    about = [
        SEARCH_VERSION,
        key_of(task, recipe),
        tapped and tapped.key,
        [place.name for place in every],
        bool(augmented),
    ]
    key = hashlib.sha256(json.dumps(about).encode()).hexdigest()[:32]
    folder = (cache or cache_folder()) / "searches" / key
    folder.mkdir(parents=True, exist_ok=True)
    search = _Search(task, recipe, places, tapped, augmented, folder)
    # BLAS threads wait for each other in busy loops, and what is multiplied here is too small for several.
    with FileLock(f"{folder}.lock"), threadpool_limits(1, user_api="blas"):
        return search.run(trials, start, cache)


class _Search:
    """One search: what it tries, and on which examples."""

    def __init__(
        self,
        task: TrainingData,
        recipe: HeadConfig,
        places: Sequence[Place],
        tapped: FeatureSet | None,
        augmented: Augmented | None,
        folder: Path,
    ) -> None:
        self.task, self.recipe, self.folder = task, recipe, folder
        self.places = {place.name: place for place in places}
        self.tapped, self.augmented = tapped, augmented
        self.taps = all_taps(places)
        width = {tap: place.width for place in places for tap in place.taps or place.same_as or ()}
        self.bounds = [0, *accumulate(width[tap] for tap in self.taps)]
        if tapped is not None and tapped.dim != self.bounds[-1]:
            raise IntegrityError(f"the blocks give {tapped.dim} features, not {self.bounds[-1]}: please report this.")
        labels = task.labels[task.train]
        self.sample = task.train[stratified_sample(labels, _MOST_EXAMPLES, recipe.seed)]
        self.labels = task.labels[self.sample]
        self.fold = folds(self.labels, task.groups[self.sample], _FOLDS, recipe.seed)
        if len(np.unique(self.fold)) < _FOLDS:
            raise InputError(f"--search takes {_FOLDS} different training examples at the least, and better hundreds.")
        class_weights = weights_of_classes(labels, task.n_classes, recipe.class_weights)
        self.weights = weights_of_examples(self.labels, class_weights)
        self.all_weights = weights_of_examples(labels, class_weights)
        self._seen: dict[str, _Coordinates] = {}

    def run(self, trials: int, start: Head, cache: Path | None) -> Found:
        optuna = _optuna()
        before_us = optuna.logging.get_verbosity()
        optuna.logging.set_verbosity(optuna.logging.ERROR)  # what is interrupted is told of by us
        try:
            study = self._study(optuna, start)
            known = len(_finished(study))
            self._try(study, trials, known)
            mattered = self._mattered(optuna, study)
        finally:
            optuna.logging.set_verbosity(before_us)
        done, best = _finished(study), study.best_trial
        facts = {
            "trials": len(done),
            "pruned": sum(map(_is_pruned, done)),
            "new": len(done) - known,
            "seconds": round(sum(one.duration.total_seconds() for one in done), 2),
            "examples": len(self.sample),
            "folds": _FOLDS,
            "start": {"log_loss": self._coordinates(OWN).linear.log_loss(_within(start.strength))},
            "best": {"told": told(best.params), "log_loss": best.value, **best.params, **best.user_attrs},
            "mattered": mattered,
            "tried": [
                {"trial": number, "log_loss": one.value, "pruned": _is_pruned(one), **one.params}
                for number, one in enumerate(done, 1)
            ],
        }
        return self._finish(facts, cache)

    def _study(self, optuna: Any, start: Head) -> Any:
        journal = optuna.storages.journal.JournalFileBackend(str(self.folder / "trials.log"))
        storage = optuna.storages.JournalStorage(journal)
        study = optuna.create_study(storage=storage, study_name="heads", load_if_exists=True)
        if not study.trials:
            for name in self.places:  # the solved head everywhere first: it takes next to no time
                study.enqueue_trial({"features": name, "layers": 0, "strength": _within(start.strength)})
        study.sampler = optuna.samplers.TPESampler(
            seed=self.recipe.seed + len(study.trials), n_startup_trials=len(self.places) + _STARTUP
        )
        study.pruner = optuna.pruners.MedianPruner(n_startup_trials=5, n_warmup_steps=_REPORTED)
        return study

    def _try(self, study: Any, trials: int, known: int) -> None:
        left = trials - known
        if left <= 0:
            return
        if known:
            logger.info(f"going on with a search that has made {counted(known, 'trial')}")
        if any(map(self._can_augment, self.places)):
            _ = self._of_each_strength  # now, as it takes longer than a trial
        try:
            with console.progress("search", left, "trials") as bar:
                study.optimize(self._trial, n_trials=left, callbacks=[lambda *_: bar.advance(1)])
        except KeyboardInterrupt:
            kept = counted(len(_finished(study)), "trial")
            logger.info(f"{kept} of {trials} made and kept: the same command goes on from there")
            raise

    def _trial(self, trial: Any) -> float:
        """The cross-validated log loss of one head."""
        place = trial.suggest_categorical("features", list(self.places))
        layers = trial.suggest_int("layers", 0, 2)
        if not layers:
            strength = trial.suggest_float("strength", *_STRENGTHS, log=True)
            return self._coordinates(place).linear.log_loss(strength)
        trial.suggest_int("directions", 16, 256, log=True)
        trial.suggest_int("units", 16, 256, log=True)
        trial.suggest_float("dropout", 0, 0.6)
        if self._can_augment(place):
            trial.suggest_categorical("augmentation", ["none", *_AUGMENTATIONS])
        trial.suggest_float("noise", 0, 0.5)
        trial.suggest_float("weight_decay", 1e-3, 1, log=True)
        trial.suggest_float("learning_rate", 3e-4, 5e-3, log=True)

        def watch(epoch: int, loss: float) -> None:
            if epoch % _REPORTED == 0:
                trial.report(loss, epoch)
                if trial.should_prune():
                    raise _optuna().TrialPruned

        loss, epochs = networks.cross_validate(
            _form(trial.params), self._versions(trial.params), self.labels, self.task.n_classes, self.fold,
            self.weights, epochs=self.recipe.epochs, patience=_PATIENCE, seed=self.recipe.seed, watch=watch,
        )  # fmt: skip
        trial.set_user_attr("epochs", epochs)
        return loss

    def _coordinates(self, features: str) -> "_Coordinates":
        """The sample's features from one of the places, found once."""
        if features not in self._seen:
            source = self._features(features)
            axes = Axes.of(source.rows, self.sample, self.labels, _MOST_AXES)
            rows = axes(source.rows(self.sample))
            linear = CrossValidation(rows, self.labels, self.task.n_classes, self.fold, self.weights)
            self._seen[features] = _Coordinates(axes, rows, linear)
        return self._seen[features]

    def _versions(self, settings: dict[str, Any]) -> np.ndarray:
        """The sample as a network sees it, and as it sees it augmented: float32 (versions, n, directions)."""
        seen = self._coordinates(settings["features"])
        strength = settings.get("augmentation", "none")
        stretch = self._stretch(settings["features"])
        others = (
            [] if strength == "none" else [seen.axes(rows[:, stretch]) for rows in self._of_each_strength[strength]]
        )
        return np.stack([rows[:, : settings["directions"]] for rows in (seen.rows, *others)]) / seen.scale(settings)

    @cached_property
    def _of_each_strength(self) -> dict[str, np.ndarray]:
        """All taps of the sample's pictures, augmented: (views, n, d) of each strength."""
        rows = self._augment(self.sample, _AUGMENTATIONS, "sample")
        return dict(zip(_AUGMENTATIONS, np.split(rows, len(_AUGMENTATIONS)), strict=True))

    def _augment(self, indices: np.ndarray, strengths: Sequence[str], name: str) -> np.ndarray:
        """Features of pictures in several versions of each strength, the more the fewer pictures there are."""
        if self.augmented is None:
            raise IntegrityError("a search asked for augmented pictures where there are none: please report this.")
        views = min(max(_VIEWS // len(self.task.train), 1), _MOST_VIEWS)
        pipelines = [PIPELINES[strength] for strength in strengths for _ in range(views)]
        return self.augmented(indices, pipelines, self.folder / name)

    def _can_augment(self, place: str) -> bool:
        """Whether there are features of augmented pictures from there."""
        return self.augmented is not None and (place != OWN or self._own_is_tapped)

    @cached_property
    def _own_is_tapped(self) -> bool:
        """Whether what should be the same as the base's own features is that."""
        if self.tapped is None or self.places[OWN].same_as is None:
            return False
        few, stretch = self.sample[:_COMPARED], self._stretch(OWN)
        own = self.task.features.rows(few)
        same = self.tapped.columns(stretch.start, stretch.stop).rows(few)
        return own.shape == same.shape and bool(np.linalg.norm(own - same) < _SAME * np.linalg.norm(own))

    def _stretch(self, name: str) -> slice:
        """Where in all taps those of a place are."""
        place = self.places[name]
        taps = place.taps or place.same_as or ()
        first = self.taps.index(taps[0])
        return slice(self.bounds[first], self.bounds[first + len(taps)])

    def _features(self, name: str) -> FeatureSet:
        """The features of all examples from one of the places."""
        if self.places[name].taps is None or self.tapped is None:
            return self.task.features
        stretch = self._stretch(name)
        return self.tapped.columns(stretch.start, stretch.stop)

    def _mattered(self, optuna: Any, study: Any) -> dict[str, dict[str, float]]:
        """The share of each setting in whether a trial is among the better ones, in all trials and in those of a kind.

        PED-ANOVA (Watanabe et al., arXiv 2304.10255), which takes no more than settings that all trials have.
        """
        evaluator = optuna.importance.PedAnovaImportanceEvaluator(target_quantile=_BETTER_SHARE)
        shares = {}
        for kind, settings in _SETTINGS_OF.items():
            judged = [one for one in study.trials if one.state.name == "COMPLETE" and set(settings) <= set(one.params)]
            if len(judged) >= _FEWEST_IMPORTANT:
                of_kind = optuna.create_study()
                of_kind.add_trials(judged)
                found = optuna.importance.get_param_importances(of_kind, evaluator=evaluator, params=list(settings))
                shares[kind] = {name: round(float(share), 3) for name, share in found.items()}
        return shares

    def _finish(self, facts: dict[str, Any], cache: Path | None) -> Found:
        """Train the best head on all training examples."""
        best, task = facts["best"], self.task
        features, place = self._features(best["features"]), self.places[best["features"]]
        if not best["layers"]:
            recipe = replace(self.recipe, head="linear")
            head = fit_head(replace(task, features=features), recipe, cache)
            return Found(head, recipe, place.taps, features, facts)
        form, seen = _form(best), self._coordinates(place.name)
        axes, scale = seen.axes.first(best["directions"]), seen.scale(best)
        versions = [features.rows(task.train), *self._augmented_by(best)]
        (kernel, bias), *others = networks.train(
            form, np.stack([axes(rows) for rows in versions]) / scale, task.labels[task.train], task.n_classes,
            self.all_weights, epochs=best["epochs"], seed=self.recipe.seed,
        )  # fmt: skip
        kernel = (axes.directions @ kernel) / (scale * axes.scale[:, None])
        first = kernel.astype(np.float32), (bias - axes.mean @ kernel).astype(np.float32)
        recipe = replace(self.recipe, head="mlp", dense=form.units, dropout=form.dropout)
        return Found(Head((first, *others), activation_of(task.labels)), recipe, place.taps, features, facts)

    def _augmented_by(self, best: dict[str, Any]) -> list[np.ndarray]:
        """Features of all training pictures, augmented: (n, d) of each view."""
        strength = best.get("augmentation", "none")
        if strength == "none":
            return []
        whole = len(self.sample) == len(self.task.train)
        rows = self._of_each_strength[strength] if whole else self._augment(self.task.train, [strength], strength)
        return [view[:, self._stretch(best["features"])] for view in rows]


@dataclass(frozen=True)
class _Coordinates:
    """Features of the sample in the directions in which they vary most.

    Attributes:
        axes: those directions.
        rows: float32 (n, q).
        linear: solved heads on them.
    """

    axes: Axes
    rows: np.ndarray
    linear: CrossValidation

    def scale(self, settings: dict[str, Any]) -> np.float32:
        """The deviation of the coordinates that a network sees, all taken together."""
        return self.rows[:, : settings["directions"]].std()


def told(settings: dict[str, Any]) -> str:
    """A head that was tried, in words."""
    place = settings["features"]
    where = "" if place == OWN else f" on other features: {place}"
    if not settings["layers"]:
        return f"solved head{where}"
    units = " and ".join([str(settings["units"])] * settings["layers"])
    more = ", ".join(f"{name.replace('_', ' ')} {settings[name]:.3g}" for name in _OF_NETWORKS if name != "units")
    if settings.get("augmentation", "none") != "none":
        more = f"{settings['augmentation']} augmentation, {more}"
    return f"hidden layer{'s' if settings['layers'] > 1 else ''} of {units}{where} ({more})"


def _optuna() -> Any:
    return require("optuna", extra="search", purpose="--search")


def _form(settings: dict[str, Any]) -> networks.Form:
    return networks.Form(
        units=(settings["units"],) * settings["layers"],
        **{name: settings[name] for name in ("dropout", "noise", "weight_decay", "learning_rate")},
    )


def _finished(study: Any) -> list[Any]:
    return [one for one in study.trials if one.state.name in ("COMPLETE", "PRUNED")]


def _is_pruned(trial: Any) -> bool:
    return trial.state.name == "PRUNED"


def _within(strength: float | None) -> float:
    low, high = _STRENGTHS
    return min(max(strength or 0.0, low), high)
