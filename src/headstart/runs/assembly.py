"""Puts a run together: the finished model in both its forms, its golden samples, its figures and its tables."""

import os
from collections.abc import Callable
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from headstart.bases.base import Base, file_sha256
from headstart.bases.text import TextBase
from headstart.config import HeadConfig
from headstart.data.audit import Audit, Finding
from headstart.data.corrections import Corrections
from headstart.data.dataset import SPLITS, Dataset, count_classes
from headstart.data.readers import decode_examples
from headstart.data.run_examples import EXAMPLES, write_examples
from headstart.evaluation import Calibration, Change, Forecast, LabelIssues, SelectivePrediction, Verdict
from headstart.evaluation.out_of_distribution import OutOfDistributionDetector
from headstart.features.engines import TOLERANCE, Prepared, prepare
from headstart.features.extraction import FeatureSet
from headstart.model_files.keras_file import Frozen, fill_template
from headstart.model_files.openvino_file import write_engine
from headstart.runs.answers import Answers, figures
from headstart.runs.folder import versions, write_folder, write_json
from headstart.runs.predictor import Predictor, check_golden
from headstart.runs.tables import data_digest, write_suspects, write_tables
from headstart.system import keras_worker
from headstart.system.cost import Cost
from headstart.system.settings import cache_folder
from headstart.training import FineTuneResult, Head, NotTried, TrainingData

GOLDEN_SAMPLES = 4


@dataclass(frozen=True)
class Searched:
    """The head alone and what it stands on: the usual one, or one that was searched for.

    Attributes:
        base: that gives the features.
        task: the examples with these features.
        head: on them.
        recipe: of it.
        facts: of the search; None where there was none.
        verdict: likewise, whether this is what it found.
    """

    base: Base
    task: TrainingData
    head: Head
    recipe: HeadConfig
    facts: dict[str, Any] | None = None
    verdict: Verdict | None = None


@dataclass(frozen=True)
class Material:
    """Everything the stages gave."""

    base: Base
    dataset: Dataset
    corrections: Corrections
    features: FeatureSet
    audit: Audit
    findings: list[Finding]
    searched: Searched
    head: Head
    suspects: LabelIssues | None
    outlook: Forecast | None
    tuned: FineTuneResult | NotTried
    verdict: Verdict
    calibration: Calibration
    rejection: SelectivePrediction | None
    familiarity: OutOfDistributionDetector | None
    answers: Answers
    metrics: dict[str, dict[str, Any]]
    leak_free: dict[str, Any] | None
    config: dict[str, Any]
    data_path: str | None
    sides: list[str]
    choice: dict[str, Any] | None = None
    change: Change | None = None

    @property
    def history(self) -> list[dict[str, Any]]:
        """Rows for ``history.csv``."""
        tried = self.searched.facts["tried"] if self.searched.facts else []
        return [
            *self.head.history,
            *({"phase": "search", "epoch": one["trial"], "val_loss": one["log_loss"]} for one in tried),
            *(self.tuned.history if isinstance(self.tuned, FineTuneResult) else ()),
        ]


@dataclass(frozen=True)
class Pages:
    """What later stages write into the folder of a run.

    Attributes:
        explain: explains the mistakes of a split: called with the finished run, its name and the folder.
        report: writes the report of a folder that is otherwise complete.
    """

    explain: Callable[[Predictor, str, Path], None]
    report: Callable[[Path], object]


def write_run(runs: Path, name: str, material: Material, cost: Cost, cache: Path | None, pages: Pages) -> Path:
    """Write the run folder, open it as a user would, and check that it computes what was measured.

    Args:
        runs: folder that it goes into.
        name: of the run, if it is free.
        material: what the stages gave.
        cost: of the run so far.
        cache: the cache folder; None means the user's.
        pages: what is written by later stages.

    Returns:
        The folder.

    Raises:
        IntegrityError: a frozen tensor has changed, or the finished model gives other probabilities.
    """
    golden = _golden_indices(material)
    chosen = material.audit.usable[golden].tolist()
    examples = [material.dataset.examples[i] for i in chosen]
    inputs = decode_examples(material.base.reader(), examples)
    expected = material.answers.probabilities[golden]
    prepared = prepare(material.base, cache or cache_folder(), inputs)
    headline = next(side for side in reversed(SPLITS) if side in material.metrics)

    def fill(folder: Path, final_name: str) -> None:
        facts = _facts(material, prepared, final_name)
        if isinstance(material.base, TextBase):
            facts["base"]["tokenizer"] = material.base.tokenizer.save(folder / "tokenizer")
        proof = fill_template(
            template_for(material.base, material.searched.recipe, prepared, inputs),
            material.head,
            inside(facts),
            folder / "model.keras",
            frozen=_frozen(material),
        )
        if prepared.xml:
            (folder / "engine").mkdir(exist_ok=True)
            write_engine(prepared.xml, material.head, folder / "engine" / "model.xml")
            if material.familiarity:
                material.familiarity.save(folder)
                facts["familiarity"] = _familiarity(material, material.familiarity)
        all_texts = material.dataset.texts
        texts: dict[str, Any] = {"texts": np.array([all_texts[i] for i in chosen])} if all_texts is not None else {}
        np.savez(folder / "golden.npz", inputs=inputs, probabilities=expected, **texts)
        facts["freeze_proof"] = asdict(proof)
        facts["golden"] = {"count": len(golden), "sha256": file_sha256(folder / "golden.npz")}
        write_json(folder / "run.json", facts)
        finished = Predictor(folder, expected=1)  # replays the golden samples through the finished model
        difference = check_golden(folder, finished.probabilities(inputs), expected, facts["engine"]["precision"])
        facts["golden"]["difference"] = difference
        write_tables(folder, material.dataset.classes, material.answers, material.audit.skipped, material.history)
        if material.data_path == EXAMPLES:
            write_examples(folder, material.dataset, material.sides)
        if material.suspects is not None:
            write_suspects(folder, material.dataset, material.answers, material.audit.usable, material.suspects)
        write_json(folder / "metrics.json", figures(material.metrics, headline, material.leak_free))
        pages.explain(finished, headline, folder)
        facts["cost"] = _cost(material, cost)
        write_json(folder / "run.json", facts)
        pages.report(folder)

    return write_folder(runs, name, fill)


def template_for(base: Base, recipe: HeadConfig, prepared: Prepared, inputs: np.ndarray) -> Path:
    """The template of ``model.keras`` for a head as the recipe gives it; made where there is none yet."""
    if recipe.kind == "linear":
        return prepared.template
    path = prepared.folder / f"dense-{'-'.join(map(str, recipe.units))}-dropout-{recipe.dropout:g}.keras"
    if not path.exists():
        probe = prepared.folder / f"probe-{os.getpid()}.npy"
        np.save(probe, inputs)
        arguments = {
            "spec": base.spec.to_json(),
            "units": list(recipe.units),
            "dropout": recipe.dropout,
            "out": str(path),
            "probe": str(probe),
        }
        try:
            keras_worker.call("headstart.model_files.keras_file:make_template_for", arguments, backend=base.backends[0])
        finally:
            probe.unlink()
    return path


def _golden_indices(material: Material) -> np.ndarray:
    """Positions of a few examples, spread over the data."""
    n = len(material.audit.usable)
    return np.unique(np.linspace(0, n - 1, min(n, GOLDEN_SAMPLES)).astype(int))


def base_facts(base: Base, feature_dim: int) -> dict[str, Any]:
    """What ``run.json`` says of the base: enough to load it again, and to read an example for it."""
    return {
        "handle": base.handle,
        "spec": base.spec.to_json(),
        "digest": base.digest,
        "weights_sha256": base.weights_sha256,
        "licence": base.licence,
        "modality": base.modality,
        **base.input_facts(),
        "feature_dim": feature_dim,
    }


def engine_facts(prepared: Prepared, precision: str) -> dict[str, Any]:
    """What ``run.json`` says of the engine."""
    return {
        "kind": "openvino" if prepared.xml else "keras",
        "precision": precision,
        "tolerance": TOLERANCE[precision],
        "difference_from_keras": prepared.facts.get("difference"),
    }


def inside(facts: dict[str, Any]) -> dict[str, Any]:
    """What travels inside ``model.keras``: enough to use the file alone."""
    return {key: facts[key] for key in ("headstart", "name", "classes", "thresholds", "base") if key in facts}


def _facts(material: Material, prepared: Prepared, name: str) -> dict[str, Any]:
    base, dataset, recipe, head = material.base, material.dataset, material.searched.recipe, material.head
    thresholds = material.answers.thresholds
    return {
        "headstart": versions()["headstart"],
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "name": name,
        "classes": dataset.classes,
        **({} if thresholds is None else {"thresholds": dict(zip(dataset.classes, thresholds.tolist(), strict=True))}),
        "base": base_facts(base, material.features.dim),
        **({} if material.choice is None else {"choice": material.choice}),
        **({} if material.change is None else {"change": material.change.facts()}),
        "data": _data(material),
        "audit": [finding.facts() for finding in material.findings],
        "recipe": {**asdict(recipe), "head": recipe.kind, "dense": list(recipe.units)},
        "head": {
            "kind": recipe.kind,
            "l2": head.l2,
            "class_weights": head.class_weights and dict(zip(dataset.classes, head.class_weights, strict=True)),
            "units": list(recipe.units),
            "epochs": sum(row["phase"] == "head" for row in head.history) or None,
        },
        **_label_errors(material.suspects),
        "learning_curve": asdict(material.outlook) if material.outlook else None,
        **_search(material.searched),
        "fine_tuning": _fine_tuning(material),
        "calibration": asdict(material.calibration),
        "rejection": asdict(material.rejection) if material.rejection else None,
        "engine": {
            **engine_facts(prepared, material.features.precision),
            "features_by_keras": material.features.by_keras,
        },
        "config": material.config,
        "versions": versions(),
        "seed": recipe.seed,
    }


def _frozen(material: Material) -> Frozen | None:
    """What was frozen in fine-tuning; None where all of the base was."""
    is_kept = material.verdict.outcome == "kept"
    return material.tuned.frozen if is_kept and isinstance(material.tuned, FineTuneResult) else None


def _fine_tuning(material: Material) -> dict[str, Any]:
    facts = asdict(material.verdict)
    if isinstance(material.tuned, FineTuneResult):
        facts |= {"blocks": list(material.tuned.blocks), **material.tuned.facts}
    return facts


def _search(searched: Searched) -> dict[str, Any]:
    if searched.facts is None or searched.verdict is None:
        return {}
    return {"search": {**asdict(searched.verdict), **searched.facts}}


def _familiarity(material: Material, familiarity: OutOfDistributionDetector) -> dict[str, Any]:
    test = material.audit.usable[material.answers.splits == "test"]
    strange = familiarity.is_out_of_distribution(material.features.rows(test)) if len(test) else None
    return {
        "references": len(familiarity.references),
        "threshold": familiarity.threshold,
        "unfamiliar_in_test": None if strange is None else int(strange.sum()),
    }


def _label_errors(suspects: LabelIssues | None) -> dict[str, Any]:
    if suspects is None:
        return {}
    return {"label_errors": {"examined": suspects.examined, "suspected": len(suspects)}}


def _data(material: Material) -> dict[str, Any]:
    dataset, answers = material.dataset, material.answers
    return {
        "source": dataset.source,
        "root": str(dataset.root),
        "path": material.data_path,
        "digest": data_digest(dataset, material.features.digests, material.audit.usable, answers.splits),
        "examples": len(answers.labels),
        **({"corrections": material.corrections.facts} if material.corrections.facts else {}),
        "splits": {
            side: {
                "examples": material.metrics[side]["examples"],
                "per_class": count_classes(answers.labels[answers.splits == side], dataset.classes),
            }
            for side in SPLITS
            if side in material.metrics
        },
    }


def _cost(material: Material, cost: Cost) -> dict[str, Any]:
    features = material.features
    return {
        **cost.so_far(),
        "examples_computed": features.computed,
        "examples_from_cache": features.found,
        "examples_per_s": round(features.computed / features.seconds, 1) if features.computed else None,
    }
