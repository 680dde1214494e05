"""``run.json`` as a whole."""

from collections.abc import Iterator
from typing import Any, Literal

from headstart.data.modalities import Modality, get_modality
from headstart.runs.records import FieldError, Record
from headstart.runs.schema.base import BaseFacts, ChoiceFacts, EngineFacts
from headstart.runs.schema.data import DataFacts, FindingFacts
from headstart.runs.schema.format import FORMAT_VERSION
from headstart.runs.schema.proofs import AdoptionFacts, CostFacts, DetectorFacts, FreezeProofFacts, GoldenFacts
from headstart.runs.schema.training import (
    CalibrationFacts,
    ChangeFacts,
    FineTuningFacts,
    HeadFacts,
    HeadSettings,
    LabelIssueFacts,
    LearningCurveFacts,
    OutOfDistributionFacts,
    SearchFacts,
    SelectivePredictionFacts,
)

Kind = Literal["trained", "evaluation", "adopted"]


class RunFacts(Record):
    """``run.json``.

    Attributes:
        format_version: of the file that this was read from.
        kind: ``trained``, ``evaluation`` (of a run on other data) or ``adopted`` (trained elsewhere).
        headstart: version that wrote it.
        created: date and time, ISO 8601.
        name: of the run.
        classes: in the order of the model's outputs.
        task: name of the task, see :mod:`headstart.tasks`.
        thresholds: class -> probability from which it is predicted; None where the most probable class is.
        base: the pretrained base.
        engine: what computes the answers.
        seed: of everything random.
        versions: package -> its version.
        config: what it takes to train the same way again, name -> value; None unless trained.
        data: the examples; None for an adopted run, which does not know them.
        audit: findings of the audit.
        choice: how the base was chosen; None where one was named.
        head_settings: what the head was trained with; None unless trained, like the next two.
        head: the head that was trained.
        label_issues: None where no labels were examined.
        learning_curve: None if not computed.
        search: None where no head was searched for.
        fine_tuning: None unless trained, like the next.
        calibration: of the probabilities.
        selective_prediction: None for multi-label data, and where nothing was held out.
        out_of_distribution: None where there are too few examples to tell.
        change: None unless an earlier run was extended.
        detector: neck and head of a detector; None for others. A detector has no head settings, head, fine-tuning and
            calibration.
        freeze_proof: None unless trained.
        golden: None for an evaluation.
        cost: None for an adopted run.
        adopted: None unless adopted.
        evaluation_of: folder of the run; None unless it is an evaluation.
        tta: whether the evaluation used test-time augmentation.
        files: name of a file in the folder -> its SHA-256, hex; of those only that headstart alone writes.
    """

    format_version: Literal[1, 2, 3, 4, 5] = FORMAT_VERSION
    kind: Kind
    headstart: str
    created: str
    name: str
    classes: list[str]
    task: str
    thresholds: dict[str, float] | None = None
    base: BaseFacts
    engine: EngineFacts
    seed: int
    versions: dict[str, str]
    config: dict[str, Any] | None = None
    data: DataFacts | None = None
    audit: list[FindingFacts]
    choice: ChoiceFacts | None = None
    head_settings: HeadSettings | None = None
    head: HeadFacts | None = None
    label_issues: LabelIssueFacts | None = None
    learning_curve: LearningCurveFacts | None = None
    search: SearchFacts | None = None
    fine_tuning: FineTuningFacts | None = None
    calibration: CalibrationFacts | None = None
    selective_prediction: SelectivePredictionFacts | None = None
    out_of_distribution: OutOfDistributionFacts | None = None
    change: ChangeFacts | None = None
    detector: DetectorFacts | None = None
    freeze_proof: FreezeProofFacts | None = None
    golden: GoldenFacts | None = None
    cost: CostFacts | None = None
    adopted: AdoptionFacts | None = None
    evaluation_of: str | None = None
    tta: bool = False
    files: dict[str, str] = {}  # noqa: RUF012 - records are frozen

    @property
    def modality(self) -> Modality:
        """What the run reads."""
        return get_modality(self.base.modality)

    @property
    def data_root(self) -> str:
        """Folder that the names of files start from; empty where the data are not known."""
        return self.data.root if self.data else ""

    @property
    def min_confidence(self) -> float | None:
        """The run's own confidence threshold; None where it has none."""
        return self.selective_prediction.threshold if self.selective_prediction else None

    def faults(self) -> Iterator[FieldError]:
        """Fields that are missing for this kind of run, or that contradict each other."""
        of_head = _NEEDED_OF_HEADS if self.kind == "trained" and self.detector is None else ()
        for name in (*_NEEDED_BY_KIND[self.kind], *of_head):
            if getattr(self, name) is None:
                yield FieldError(name, f"expected an object: the run is of the kind {self.kind}, got null")
        modality = self.modality
        for name in modality.base_fields:
            if getattr(self.base, name) is None:
                yield FieldError(f"base.{name}", f"expected a value: the base reads {modality.plural}, got null")
        if not self.classes or len(set(self.classes)) != len(self.classes):
            yield FieldError("classes", "expected at least one name, each of them once")
        if self.thresholds is not None and set(self.thresholds) != set(self.classes):
            yield FieldError("thresholds", "these are not the classes of the run")


_NEEDED_BY_KIND: dict[str, tuple[str, ...]] = {
    "trained": ("config", "data", "freeze_proof", "golden", "cost"),
    "evaluation": ("evaluation_of", "data", "cost"),
    "adopted": ("adopted", "golden"),
}
_NEEDED_OF_HEADS = ("head_settings", "head", "fine_tuning", "calibration")
