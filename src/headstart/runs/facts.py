"""What the stages found out, as the records of ``run.json``."""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from headstart.bases.base import Base
from headstart.config import HeadConfig
from headstart.data.audit import Audit, Finding
from headstart.data.corrections import Corrections
from headstart.data.dataset import Dataset
from headstart.data.split_names import SPLITS
from headstart.evaluation import Calibration, ClassChanges, Forecast, LabelIssues, SelectivePrediction, Verdict
from headstart.evaluation.out_of_distribution import OutOfDistributionDetector
from headstart.features.engines import TOLERANCE, Prepared
from headstart.features.extraction import FeatureSet
from headstart.runs.answers import Answers
from headstart.runs.folder import versions
from headstart.runs.records import decode
from headstart.runs.schema import (
    BaseFacts,
    CalibrationFacts,
    Candidate,
    ChangeFacts,
    ChoiceFacts,
    CorrectionFacts,
    CostFacts,
    CountFacts,
    DataFacts,
    EngineFacts,
    FeatureFacts,
    FindingFacts,
    FineTuningFacts,
    FineTuningProcess,
    HeadFacts,
    HeadSettings,
    LabelIssueFacts,
    LeakFree,
    LearningCurveFacts,
    OutOfDistributionFacts,
    RunFacts,
    SearchFacts,
    SelectivePredictionFacts,
    SplitFacts,
    SplitFigures,
)
from headstart.runs.tables import HistoryRow
from headstart.system.cost import Cost
from headstart.training import CountComparison, FeatureComparison, FineTuneResult, Head, NotTried, TrainingData


@dataclass(frozen=True)
class HeadChoice:
    """The head on the frozen base: the default one, or one that a search found.

    Attributes:
        base: that gives the features.
        task: the examples with these features.
        head: on them.
        head_config: of it.
        facts: of the search; None where there was none.
        verdict: whether the head of the search is kept; None without a search.
        features: the comparison of the base's own features with those of all blocks; None where there was none.
        plain: the head on the base's own features, from which fine-tuning starts; None if it is this one.
        counts: the comparison of this head with the same one with counts of tokens; None where there was none.
    """

    base: Base
    data: TrainingData
    head: Head
    config: HeadConfig
    facts: dict[str, Any] | None = None
    verdict: Verdict | None = None
    features: FeatureComparison | None = None
    plain: "HeadChoice | None" = None
    counts: CountComparison | None = None


@dataclass(frozen=True, kw_only=True)
class Material:
    """What the stages of every training gave.

    Attributes:
        base: the finished base, fine-tuned or not.
        dataset: the examples.
        corrections: of their labels.
        features: of the examples, by the finished base; by the frozen one for a detector.
        audit: of the data.
        findings: of the audit and of what came after it.
        label_issues: labels that look wrong; None where none were examined.
        learning_curve: None if not computed.
        answers: about all examples.
        figures: split -> its figures.
        leak_free: the figures without examples seen in training.
        config: settings of the training, name -> value.
        data_path: where the data are, absolute or a file of the run; None for a DataFrame.
        splits: of every example, empty where it is not used.
        choice: how the base was chosen, as plain data; None where one was named.
        change: of the old classes since the run that this one extends.
    """

    base: Base
    dataset: Dataset
    corrections: Corrections
    features: FeatureSet
    audit: Audit
    findings: list[Finding]
    label_issues: LabelIssues | None
    learning_curve: Forecast | None
    answers: Answers
    figures: dict[str, SplitFigures]
    leak_free: LeakFree | None
    config: dict[str, Any]
    data_path: str | None
    splits: list[str]
    choice: dict[str, Any] | None = None
    change: ClassChanges | None = None

    @property
    def headline(self) -> str:
        """The split whose figures count."""
        return next(split for split in reversed(SPLITS) if split in self.figures)

    @property
    def history(self) -> list[HistoryRow]:
        """Rows for ``history.csv``."""
        return []


@dataclass(frozen=True, kw_only=True)
class HeadMaterial(Material):
    """What the stages of a training of a head gave.

    Attributes:
        head_choice: the head before fine-tuning.
        head: the finished head.
        tuned: what fine-tuning made.
        verdict: whether that is kept.
        calibration: of the probabilities.
        selective_prediction: None where there is no threshold to choose.
        detector: of out-of-distribution examples; None where there are too few examples.
    """

    head_choice: HeadChoice
    head: Head
    tuned: FineTuneResult | NotTried
    verdict: Verdict
    calibration: Calibration
    selective_prediction: SelectivePrediction | None
    detector: OutOfDistributionDetector | None

    @property
    def history(self) -> list[HistoryRow]:
        """Rows for ``history.csv``."""
        trials = self.head_choice.facts["tried"] if self.head_choice.facts else []
        measured: list[Mapping[str, Any]] = [
            *self.head.history,
            *({"phase": "search", "epoch": trial["trial"], "val_loss": trial["log_loss"]} for trial in trials),
            *(self.tuned.history if isinstance(self.tuned, FineTuneResult) else ()),
        ]
        return [HistoryRow(**row) for row in measured]


def run_facts(
    material: HeadMaterial,
    prepared: Prepared,
    name: str,
    base: BaseFacts,
    out_of_distribution: OutOfDistributionFacts | None,
) -> RunFacts:
    """``run.json`` of a training, but for its proofs and its cost.

    Args:
        material: what the stages gave.
        prepared: the engine.
        name: of the run.
        base: see :func:`base_facts`.
        out_of_distribution: see :func:`out_of_distribution_facts`.
    """
    head_config = material.head_choice.config
    return common_facts(
        material,
        name=name,
        base=base,
        engine=engine_facts(
            material.features.precision,
            by_openvino=prepared.xml is not None,
            difference=prepared.facts.get("difference"),
            features_by_keras=material.features.by_keras,
        ),
        seed=head_config.seed,
        head_settings=decode(
            HeadSettings, {**asdict(head_config), "head": head_config.kind, "dense": head_config.units}
        ),
        head=_head_facts(material),
        fine_tuning=_fine_tuning_facts(material),
        calibration=decode(CalibrationFacts, asdict(material.calibration)),
        out_of_distribution=out_of_distribution,
        **_optional_facts(material),
    )


def common_facts(material: Material, **fields: Any) -> RunFacts:
    """``run.json`` of a training: what every one has.

    Args:
        material: what the stages gave.
        fields: of :class:`RunFacts`, beside those.
    """
    issues, curve = material.label_issues, material.learning_curve
    return RunFacts(
        kind="trained",
        headstart=versions()["headstart"],
        created=now(),
        classes=list(material.dataset.classes),
        task=material.dataset.task.name,
        thresholds=thresholds_of(material),
        versions=versions(),
        config=material.config,
        data=_data_facts(material),
        audit=finding_facts(material.findings),
        choice=_choice_facts(material.choice) if material.choice else None,
        change=decode(ChangeFacts, material.change.to_dict()) if material.change else None,
        learning_curve=decode(LearningCurveFacts, asdict(curve)) if curve else None,
        label_issues=LabelIssueFacts(examined=issues.examined, count=len(issues)) if issues is not None else None,
        **fields,
    )


def now() -> str:
    """Date and time as ``run.json`` has them."""
    return datetime.now(UTC).isoformat(timespec="seconds")


def thresholds_of(material: Material) -> dict[str, float] | None:
    """Class -> probability from which it is predicted; None where the most probable class is."""
    thresholds = material.answers.thresholds
    return None if thresholds is None else dict(zip(material.dataset.classes, thresholds.tolist(), strict=True))


def base_facts(base: Base, feature_dim: int, tokenizer: dict[str, Any] | None = None) -> BaseFacts:
    """The base: enough to load it again, and to read an example for it.

    Args:
        base: the base.
        feature_dim: d.
        tokenizer: what saving it gave; None for images.
    """
    inapplicable_fields = ("input_size", "preprocessing", "resize", "resize_rule", "max_length", "pooling")
    return decode(
        BaseFacts,
        {
            **dict.fromkeys(inapplicable_fields),
            "handle": base.handle,
            "spec": base.spec.to_json(),
            "digest": base.digest,
            "weights_sha256": base.weights_sha256,
            "licence": base.licence,
            "modality": base.modality.name,
            **base.input_facts(),
            "feature_dim": feature_dim,
            "tokenizer": tokenizer,
        },
    )


def engine_facts(
    precision: Any, *, by_openvino: bool, difference: float | None, features_by_keras: bool = False
) -> EngineFacts:
    """The engine.

    Args:
        precision: of its arithmetic.
        by_openvino: whether it is OpenVINO, and not Keras.
        difference: largest difference from Keras that was measured; None where Keras is the engine.
        features_by_keras: whether Keras computed the features of the training examples.
    """
    return EngineFacts(
        kind="openvino" if by_openvino else "keras",
        precision=precision,
        tolerance=TOLERANCE[precision],
        difference_from_keras=difference,
        features_by_keras=features_by_keras,
    )


def out_of_distribution_facts(detector: OutOfDistributionDetector, count: int | None) -> OutOfDistributionFacts:
    """The detector, and how many examples it found."""
    return OutOfDistributionFacts(references=len(detector.references), threshold=float(detector.threshold), count=count)


def finding_facts(findings: Sequence[Finding]) -> list[FindingFacts]:
    """Findings with the first of their examples."""
    return [decode(FindingFacts, finding.facts()) for finding in findings]


def cost_facts(cost: Cost, features: FeatureSet | None = None) -> CostFacts:
    """What was spent up to now.

    Args:
        cost: measured.
        features: that were computed.
    """
    spent = {**dict.fromkeys(("examples_computed", "examples_from_cache", "examples_per_s")), **cost.so_far()}
    if features:
        spent |= {
            "examples_computed": features.computed,
            "examples_from_cache": features.from_cache,
            "examples_per_s": round(features.computed / features.seconds, 1) if features.computed else None,
        }
    return decode(CostFacts, spent)


def count_out_of_distribution(material: Material, detector: OutOfDistributionDetector) -> int | None:
    """How many test examples are unlike the training examples; None where there are no test examples."""
    test = material.audit.usable[material.answers.splits == "test"]
    return int(detector.is_out_of_distribution(material.features.rows(test)).sum()) if len(test) else None


def data_digest(dataset: Dataset, digests: Sequence[bytes | None], usable: np.ndarray, splits: np.ndarray) -> str:
    """Identifies what was trained on: hex SHA-256 over classes, splits and contents, independent of file names."""
    whole = hashlib.sha256()
    for i, split in zip(usable.tolist(), splits.tolist(), strict=True):
        digest = digests[i]
        name = dataset.task.to_cell(dataset.labels[i], dataset.classes)
        parts = (name, split, digest.hex() if digest else "")
        whole.update("\0".join(parts).encode("utf-8", "surrogateescape") + b"\n")
    return whole.hexdigest()


def _optional_facts(material: HeadMaterial) -> dict[str, Any]:
    """What not every head has, by the names of its fields."""
    selective = material.selective_prediction
    return {
        "selective_prediction": _selective_prediction_facts(selective) if selective else None,
        "search": _search_facts(material.head_choice),
    }


def _selective_prediction_facts(selective: SelectivePrediction) -> SelectivePredictionFacts:
    return decode(SelectivePredictionFacts, {**asdict(selective), "on_held_out": None})


def _data_facts(material: Material) -> DataFacts:
    dataset, answers, corrections = material.dataset, material.answers, material.corrections.facts
    return DataFacts(
        source=dataset.source,
        root=str(dataset.root),
        path=material.data_path,
        digest=data_digest(dataset, material.features.digests, material.audit.usable, answers.splits),
        examples=len(answers.labels),
        splits={
            split: SplitFacts(
                examples=material.figures[split].examples,
                per_class=dataset.task.class_counts(answers.labels[answers.splits == split], dataset.classes),
            )
            for split in SPLITS
            if split in material.figures
        },
        corrections=_correction_facts(corrections) if corrections else None,
    )


def _correction_facts(plain: Mapping[str, Any]) -> CorrectionFacts:
    return CorrectionFacts(table=plain["from"], changed=plain["changed"], left_out=plain["left_out"])


def _head_facts(material: HeadMaterial) -> HeadFacts:
    head_config, head, weights = material.head_choice.config, material.head, material.head.class_weights
    return HeadFacts(
        kind=head_config.kind,
        l2=head.l2,
        class_weights=dict(zip(material.dataset.classes, map(float, weights), strict=True)) if weights else None,
        units=list(head_config.units),
        epochs=sum(row["phase"] == "head" for row in head.history) or None,
        features=_feature_facts(material.head_choice),
        counts=_count_facts(material.head_choice),
    )


def _feature_facts(choice: HeadChoice) -> FeatureFacts | None:
    compared = choice.features
    if compared is None:
        return None
    start = choice.plain or choice
    return FeatureFacts(
        kind="own" if choice.base is start.base else "blocks",
        own=start.data.features.dim,
        blocks=compared.blocks.layers[0][0].shape[0],
        gain=compared.gain and compared.gain.value,
        standard_error=compared.gain and compared.gain.standard_error,
    )


def _count_facts(choice: HeadChoice) -> CountFacts | None:
    compared = choice.counts
    if compared is None or compared.head.counts is None:
        return None
    return CountFacts(
        kind="tokens" if choice.head is compared.head else "none",
        tokens=compared.head.counts.n_tokens,
        pairs=compared.head.counts.n_pairs,
        gain=compared.gain.value,
        standard_error=compared.gain.standard_error,
    )


def _verdict_facts(verdict: Verdict) -> dict[str, Any]:
    compared = {name: getattr(verdict, name) for name in ("on_folds", "on_val", "on_test")}
    return {
        "outcome": verdict.outcome,
        "reason": verdict.reason,
        **{name: comparison and comparison.to_dict() for name, comparison in compared.items()},
    }


def _fine_tuning_facts(material: HeadMaterial) -> FineTuningFacts:
    process, tuned = None, material.tuned
    if isinstance(tuned, FineTuneResult):
        optional = [name for name in FineTuningProcess.field_types if hasattr(FineTuningProcess, name)]
        process = {**dict.fromkeys(optional), "blocks": list(tuned.blocks), **tuned.facts}
    return decode(FineTuningFacts, {**_verdict_facts(material.verdict), "process": process})


def _search_facts(choice: HeadChoice) -> SearchFacts | None:
    if choice.facts is None or choice.verdict is None:
        return None
    search, best = choice.facts, choice.facts["best"]
    fixed = ("trial", "log_loss", "pruned")
    return decode(
        SearchFacts,
        {
            **_verdict_facts(choice.verdict),
            **{name: search[name] for name in ("trials", "pruned", "new", "seconds", "examples", "folds")},
            "start_log_loss": search["start"]["log_loss"],
            "best": {
                "description": best["description"],
                "log_loss": best["log_loss"],
                "settings": {name: value for name, value in best.items() if name not in ("description", "log_loss")},
            },
            "importance": search["mattered"],
            "tried": [
                {
                    **{name: trial[name] for name in fixed},
                    "settings": {name: value for name, value in trial.items() if name not in fixed},
                }
                for trial in search["tried"]
            ],
        },
    )


def _choice_facts(choice: Mapping[str, Any]) -> ChoiceFacts:
    rows = [{name: row[name] for name in Candidate.field_types} for row in choice["rows"]]
    return decode(
        ChoiceFacts,
        {
            **{name: choice[name] for name in ("metric", "rounds", "best", "verdict", "caveats")},
            "candidates": rows,
            "left_out": choice["reasons"],
        },
    )
