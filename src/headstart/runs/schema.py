"""What stands in ``run.json`` and ``metrics.json``: every field with its type. This page is the format.

:mod:`headstart.runs.run` reads and writes both files. All fields of a record are always there; what does not apply is
``null``. Any change of a field is a new :data:`FORMAT_VERSION` and a step in :mod:`headstart.runs.migrations`.

The records stand apart from the classes of the stages: a stage may change its own without changing files on disk.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

from headstart.data.modalities import Modality, get_modality
from headstart.runs.records import FieldError, Record
from headstart.tasks import Task

FORMAT_VERSION: Literal[4] = 4
PER_CLASS = "per_class"

Kind = Literal["trained", "evaluation", "adopted"]
Outcome = Literal["kept", "not better", "not tried"]
Setting = str | int | float | bool | None
Triple = tuple[float, float, float]
"""A value with its 95 % interval: (value, low, high)."""


# --- metrics.json --------------------------------------------------------------------------------------------------


class Interval(Record):
    """A figure with its interval; None where it is not defined.

    Attributes:
        value: of the figure.
        low: lower bound; ``high``: upper bound.
    """

    value: float | None
    low: float | None
    high: float | None


class ClassFigures(Record):
    """One class, or one label of multi-label data.

    Attributes:
        support: examples of it, or objects.
        precision: of the predictions; also ``recall`` and ``f1``.
        threshold: probability or score from which it is predicted; None where each example has one class.
        average_precision: of the label, or of the objects of the class; None where each example has one class.
    """

    support: int
    precision: Interval
    recall: Interval
    f1: Interval
    threshold: float | None = None
    average_precision: Interval | None = None


class ReliabilityBin(Record):
    """Answers whose confidence lies between two bounds.

    Attributes:
        low: lower bound of the confidence; ``high``: upper bound.
        count: how many answers.
        confidence: their mean; None where there are no answers.
        accuracy: share of correct predictions; None in an empty bin.
    """

    low: float
    high: float
    count: int
    confidence: float | None
    accuracy: float | None


class LabelCounts(Record):
    """Counts over all labels of all examples.

    Attributes:
        predicted: labels that the model predicted.
        true: labels that the examples have.
        correct: labels that are both.
        all_correct: examples with exactly the right labels.
    """

    predicted: int
    true: int
    correct: int
    all_correct: int


class SplitFigures(Record):
    """The figures of one split.

    Attributes:
        examples: how many there are.
        resamples: how many the intervals are made of.
        metrics: metric -> its value and interval.
        per_class: class -> its figures.
        confusion_matrix: counts, rows are true classes; None for multi-label data.
        reliability: confidence against accuracy, by bins.
        label_counts: counts of labels; None where each example has one class.
        details: other figures of the task, which its sections of the report show; those of classes as ``per_class``.
    """

    examples: int
    resamples: int
    metrics: dict[str, Interval]
    per_class: dict[str, ClassFigures]
    confusion_matrix: list[list[int]] | None = None
    reliability: list[ReliabilityBin] | None = None
    label_counts: LabelCounts | None = None
    details: dict[str, Any]

    def of_task(self) -> dict[str, Any]:
        """The figures as :meth:`headstart.tasks.Task.evaluate` gives them."""
        plain = self.to_json()
        details = plain.pop("details")
        for name, figures in details.pop(PER_CLASS, {}).items():
            plain[PER_CLASS][name] |= figures
        return {**plain, **plain.pop("metrics"), **details}


class IntervalMethod(Record):
    """How the intervals were computed.

    Attributes:
        level: .95 for 95 % intervals.
        method: in words.
        resamples: of the headline split.
    """

    level: float
    method: str
    resamples: int


class LeakFree(Record):
    """The figures without examples that are, exactly or nearly, among those that were trained on.

    Attributes:
        examples: how many are left.
        removed: how many were removed.
        metrics: of the rest; None where nothing is left.
    """

    examples: int
    removed: int
    metrics: SplitFigures | None


class Figures(Record):
    """``metrics.json``.

    Attributes:
        format_version: of the file that this was read from.
        headline: the split whose figures count; None in an adopted run, which has none.
        metrics: names of the metrics, the most important first.
        interval: how their intervals were computed.
        splits: split -> its figures.
        leak_free: without examples that were trained on; None where there are none of these.
    """

    format_version: Literal[1, 2, 3, 4] = FORMAT_VERSION
    headline: str | None
    metrics: list[str]
    interval: IntervalMethod | None
    splits: dict[str, SplitFigures]
    leak_free: LeakFree | None

    @property
    def headline_figures(self) -> SplitFigures | None:
        """The figures that count; None in an adopted run."""
        return None if self.headline is None else self.splits[self.headline]

    def faults(self, classes: list[str], task: Task) -> Iterator[FieldError]:
        """Fields that contradict each other or the run.

        Args:
            classes: of the run.
            task: of the run.
        """
        if self.headline is not None and self.headline not in self.splits:
            yield FieldError("headline", f'there are no figures of a split "{self.headline}" in splits')
        places = [(f"splits.{name}", split) for name, split in self.splits.items()]
        if self.leak_free and self.leak_free.metrics:
            places.append(("leak_free.metrics", self.leak_free.metrics))
        for place, split in places:
            for name in self.metrics:
                if name not in split.metrics:
                    yield FieldError(f"{place}.metrics.{name}", "missing")
            if list(split.per_class) != classes:
                yield FieldError(f"{place}.per_class", "these are not the classes of the run")
            plain = split.of_task()
            yield from _missing(plain, place, task.split_figures)
            for name, figures in plain[PER_CLASS].items():
                yield from _missing(figures, f"{place}.{PER_CLASS}.{name}", task.class_figures)
            matrix = split.confusion_matrix
            if matrix is not None and [len(row) for row in matrix] != [len(classes)] * len(classes):
                yield FieldError(f"{place}.confusion_matrix", f"expected {len(classes)} rows of {len(classes)} counts")


def _missing(figures: Mapping[str, Any], place: str, names: Sequence[str]) -> Iterator[FieldError]:
    for name in names:
        if figures.get(name) is None:
            yield FieldError(f"{place}.{name}", "expected a value for labels of this kind, got null")


# --- run.json: the base --------------------------------------------------------------------------------------------


class SpecFacts(Record):
    """How the base is loaded again: what :class:`headstart.bases.BaseSpec` holds."""

    handle: str
    weights: str
    input_size: tuple[int, int] | None
    feature_layer: str | None
    tuned_weights: str | None
    last_block: str | None
    words_folder: str | None
    segmenter: str | None
    folder: str | None
    taps: list[str] | None
    sample_range: tuple[float, float] | None
    maps: list[str] | None


class PreprocessingFacts(Record):
    """From raw pixels to what the base takes, see :class:`headstart.bases.base.Preprocessing`."""

    name: str
    scale: float | Triple
    offset: float | Triple
    bgr: bool


class ResizeRuleFacts(Record):
    """The details of a resize, see :class:`headstart.data.resizing.ResizeRule`."""

    kept_fraction: float | None
    edges: Literal["source", "resized", "none"]
    interpolation: Literal["nearest", "bilinear", "bicubic", "lanczos", "box", "hamming"]
    antialias: bool
    bars: int
    fast: bool


class WordTokenizerFacts(Record):
    """A tokenizer with a list of words.

    Attributes:
        kind: ``words``.
        segmenter: SHA-256 of the file that divides texts into words; None where spaces do.
    """

    kind: Literal["words"]
    segmenter: str | None


class SubwordTokenizerFacts(Record):
    """A transformer's own tokenizer.

    Attributes:
        kind: ``subwords``.
        max_length: longer texts are cut.
        pad: id of the padding token.
    """

    kind: Literal["subwords"]
    max_length: int
    pad: int


class CharacterTokenizerFacts(Record):
    """A tokenizer with a list of characters.

    Attributes:
        kind: ``characters``.
    """

    kind: Literal["characters"]


class BaseFacts(Record):
    """The pretrained base, and how it reads an example.

    Attributes:
        handle: of it.
        spec: how to load it again.
        digest: of everything that its features depend on.
        weights_sha256: of its file; the word ``random`` for random weights.
        licence: of the weights; None where unknown.
        modality: what it reads.
        feature_dim: values in a feature vector.
        input_size: (height, width) in pixels; of images only, like the next three.
        preprocessing: of the pixels.
        resize: how other shapes become that size.
        resize_rule: the details of it; None means headstart's own way.
        max_length: tokens of a text at most, None for no limit; of texts only, like the next two.
        pooling: over all tokens.
        tokenizer: its kind; its files lie in ``tokenizer/``.
    """

    handle: str
    spec: SpecFacts
    digest: str
    weights_sha256: str | None
    licence: str | None
    modality: str
    feature_dim: int
    input_size: tuple[int, int] | None = None
    preprocessing: PreprocessingFacts | None = None
    resize: Literal["stretch", "crop", "pad"] | None = None
    resize_rule: ResizeRuleFacts | None = None
    max_length: int | None = None
    pooling: str | None = None
    tokenizer: WordTokenizerFacts | SubwordTokenizerFacts | CharacterTokenizerFacts | None = None


class EngineFacts(Record):
    """What computes the answers.

    Attributes:
        kind: of the engine.
        precision: of its arithmetic.
        tolerance: largest difference of a probability that the golden samples allow.
        difference_from_keras: largest difference that was measured; None where Keras is the engine.
        features_by_keras: whether Keras computed the features of the training examples.
    """

    kind: Literal["openvino", "keras"]
    precision: Literal["float32", "bfloat16"]
    tolerance: float
    difference_from_keras: float | None
    features_by_keras: bool


class Candidate(Record):
    """One base of a comparison, see :class:`headstart.commands.base_comparison.Row`."""

    handle: str
    size_mb: float
    ms: float
    feature_dim: int
    evidence: float
    examples: int
    figure: Interval
    log_loss: float
    finished: bool
    on_front: bool
    status: str
    difference: str


class ChoiceFacts(Record):
    """How the base was chosen, where several were compared.

    Attributes:
        metric: by which.
        rounds: how many examples each round was held on.
        candidates: the bases that were tried, the best first.
        left_out: reason -> bases that were not tried.
        best: handle of the chosen one.
        verdict: in a sentence.
        caveats: what chance leaves open, a sentence each.
    """

    metric: str
    rounds: list[int]
    candidates: list[Candidate]
    left_out: dict[str, list[str]]
    best: str
    verdict: str
    caveats: list[str]


# --- run.json: the data --------------------------------------------------------------------------------------------


class SplitFacts(Record):
    """One split.

    Attributes:
        examples: in it.
        per_class: class -> examples of it.
    """

    examples: int
    per_class: dict[str, int]


class CorrectionFacts(Record):
    """Labels that the user corrected.

    Attributes:
        table: where the corrections stand.
        changed: labels that were changed.
        left_out: examples that were left out.
    """

    table: str
    changed: int
    left_out: int


class DataFacts(Record):
    """The examples of a run or of an evaluation.

    Attributes:
        source: as the user named it.
        root: folder that the names of files start from.
        path: where they are read from, absolute or a file of the run; None for a DataFrame and for an evaluation.
        examples: how many there are.
        digest: over classes, splits and contents; None for an evaluation.
        splits: split -> what is in it.
        corrections: of labels; None where there are none.
    """

    source: str
    root: str
    path: str | None = None
    examples: int
    digest: str | None = None
    splits: dict[str, SplitFacts]
    corrections: CorrectionFacts | None = None


class FindingExample(Record):
    """Files that a finding is about, and a note."""

    files: list[str]
    note: str


class FindingFacts(Record):
    """What one check of the audit found, see :class:`headstart.data.audit.Finding`."""

    code: str
    check: str
    severity: Literal["error", "warning", "info"]
    state: Literal["found", "clean", "not applicable", "skipped", "ignored"]
    summary: str
    count: int
    examples: list[FindingExample]


# --- run.json: the head and its judgement --------------------------------------------------------------------------


class HeadSettings(Record):
    """What the head was trained with, see :class:`headstart.training.HeadConfig`."""

    head: Literal["auto", "linear", "mlp"]
    dense: list[int]
    dropout: float
    epochs: int
    class_weights: Literal["auto", "balanced", "none"]
    seed: int


class HeadFacts(Record):
    """The head that was trained.

    Attributes:
        kind: ``linear`` is solved, ``mlp`` has hidden layers.
        l2: regularisation of a solved head; None for others.
        class_weights: class -> its weight; None where all are the same.
        units: sizes of the hidden layers.
        epochs: that it was trained for; None for a solved head.
    """

    kind: Literal["linear", "mlp"]
    l2: float | None
    class_weights: dict[str, float] | None
    units: list[int]
    epochs: int | None


class LabelIssueFacts(Record):
    """Labels that look wrong; ``suspects.csv`` names them.

    Attributes:
        examined: labels that were examined.
        count: those that look wrong.
    """

    examined: int
    count: int


class LearningCurveFacts(Record):
    """What more data would bring, see :class:`headstart.evaluation.Forecast`."""

    points: list[tuple[float, float, float, float]]
    extrapolated: list[tuple[float, float, float, float]]
    n_train: int
    more_per_class: int
    gain: Triple
    class_gains: dict[str, Triple]


class ComparisonFacts(Record):
    """Two models on the same examples, see :class:`headstart.tasks.comparison.Comparison`."""

    examples: int
    metric: str
    value: tuple[float, float]
    value_gain: tuple[float, float]
    log_loss: tuple[float, float] | None
    loss_gain: tuple[float, float] | None
    fixed: int | None
    regressed: int | None
    p_value: float | None


class VerdictFacts(Record):
    """Whether a second model replaced the first, see :class:`headstart.evaluation.Verdict`.

    Attributes:
        outcome: whether it did.
        reason: in a sentence or two; empty where it was not wanted.
        on_folds: both in cross-validation; where there is one, it decides.
        on_val: both on the validation examples, which decide otherwise.
        on_test: both on the test examples, which are not used for the decision.
    """

    outcome: Outcome
    reason: str
    on_folds: ComparisonFacts | None
    on_val: ComparisonFacts | None
    on_test: ComparisonFacts | None


class FineTuningProcess(Record):
    """How the upper blocks of the base were trained.

    Attributes:
        blocks: that were trained, from the lowest one up.
        learning_rate: of the last attempt.
        precision: of the arithmetic.
        seconds: of training.
        views_s: seconds until the views of the examples were made.
        views: of each example, beside itself.
        cached_mb: size of these views.
        backend: of Keras.
        epochs: that were trained; None for contrastive fine-tuning, like the next five.
        best_epoch: whose weights were kept.
        slowed: how often training restarted with a lower rate.
        stopped: why it ended.
        first_step_s: seconds until the first step was done.
        examples_per_s: views trained on in a second; None where that was not measured.
        folds: of the cross-validation of contrastive fine-tuning; None for other fine-tuning.
        steps: of contrastive fine-tuning on all examples; None for other fine-tuning.
    """

    blocks: list[str]
    learning_rate: float
    precision: str
    seconds: float
    views_s: float
    views: int
    cached_mb: float
    backend: str
    epochs: int | None = None
    best_epoch: int | None = None
    slowed: int | None = None
    stopped: str | None = None
    first_step_s: float | None = None
    examples_per_s: float | None = None
    folds: int | None = None
    steps: int | None = None


class FineTuningFacts(VerdictFacts):
    """Fine-tuning: the verdict, and how it was done; None where it was not tried."""

    process: FineTuningProcess | None


class BestHead(Record):
    """The best head of a search.

    Attributes:
        description: in words.
        log_loss: in cross-validation.
        settings: name -> value of everything that was searched.
    """

    description: str
    log_loss: float
    settings: dict[str, Setting]


class Trial(Record):
    """One head that a search tried.

    Attributes:
        trial: its number, from 1 on.
        log_loss: in cross-validation.
        pruned: whether it was given up early.
        settings: name -> value.
    """

    trial: int
    log_loss: float
    pruned: bool
    settings: dict[str, Setting]


class SearchFacts(VerdictFacts):
    """A search for a better head.

    Attributes:
        trials: heads that were tried.
        pruned: those given up early.
        new: those that were not known from an earlier search.
        seconds: of all trials.
        examples: that they were judged on.
        folds: of the cross-validation.
        start_log_loss: of the default head.
        best: the best head.
        importance: kind of head -> setting -> its share in what made trials good.
        tried: all trials, in their order.
    """

    trials: int
    pruned: int
    new: int
    seconds: float
    examples: int
    folds: int
    start_log_loss: float
    best: BestHead
    importance: dict[str, dict[str, float]]
    tried: list[Trial]


class CalibrationEffect(Record):
    """Probabilities before and after temperature scaling, see :class:`headstart.evaluation.calibration.Effect`."""

    examples: int
    log_loss: tuple[float, float]
    loss_gain: tuple[float, float]
    ece: tuple[Triple, Triple]


class CalibrationFacts(Record):
    """Temperature scaling, see :class:`headstart.evaluation.Calibration`."""

    temperature: float
    outcome: Outcome
    reason: str
    chosen_on: str | None
    fitted: float | None
    on_chosen: CalibrationEffect | None
    on_test: CalibrationEffect | None


class Coverage(Record):
    """What is answered with enough confidence, see :class:`headstart.evaluation.selective_prediction.Coverage`."""

    examples: int
    answered: int
    right: int
    coverage: float
    precision: float | None
    low: float | None
    high: float | None


class SelectivePredictionFacts(Record):
    """From which confidence on an answer counts.

    Attributes:
        min_precision: share of the answers that has to be right.
        threshold: the confidence; 0 where all answers count, None where no threshold can be proved.
        reason: in a sentence.
        chosen_on: which examples it was chosen on.
        on_chosen: coverage of these.
        on_test: coverage of the test examples, which are not used for the choice.
        on_held_out: coverage of the examples of an evaluation.
    """

    min_precision: float
    threshold: float | None
    reason: str
    chosen_on: str | None = None
    on_chosen: Coverage | None = None
    on_test: Coverage | None = None
    on_held_out: Coverage | None = None


class OutOfDistributionFacts(Record):
    """Examples that are unlike those that the run was trained on.

    Attributes:
        references: training examples that new ones are compared with; None in an evaluation made by format 1.
        threshold: of the distance.
        count: test examples, or those of an evaluation, beyond it; None where there are none to count.
    """

    references: int | None
    threshold: float | None
    count: int | None


class ClassChangeFacts(Record):
    """One class before and after a run was extended, see :class:`headstart.evaluation.class_changes.ClassChange`."""

    name: str
    examples: int
    before: Triple | None
    after: Triple | None
    fixed: int
    regressed: int
    p_value: float
    confused_with: str | None
    n_confused: int
    outcome: Literal["better", "worse", ""]


class ChangeFacts(Record):
    """A run before and after it was extended, see :class:`headstart.evaluation.ClassChanges`."""

    run: str
    split: Literal["test", "val"]
    overall: ComparisonFacts
    classes: list[ClassChangeFacts]
    added_classes: list[str]
    n_confused_with_added: int
    verdict: str


# --- run.json: proofs and cost -------------------------------------------------------------------------------------


class MapFacts(Record):
    """A feature map of the base, see :class:`headstart.bases.maps.FeatureMap`."""

    block: str
    shape: tuple[int, int, int]
    stride: int


class DetectorFacts(Record):
    """Neck and head of a detector, and how they were trained.

    Attributes:
        maps: of the base, the finest first.
        points: at which boxes are predicted.
        parameters: trained weights.
        views: of each training image, the image itself among them.
        epochs: that were trained.
        batch_size: views in a step.
        learning_rate: the highest one.
        seconds: of training.
        views_s: seconds until the views were made.
        examples_per_s: views trained on in a second.
        cached_mb: size of the views in the cache, while it was trained.
        backend: of Keras.
        stopped: why training ended.
    """

    maps: list[MapFacts]
    points: int
    parameters: int
    views: int
    epochs: int
    batch_size: int
    learning_rate: float
    seconds: float
    views_s: float
    examples_per_s: float
    cached_mb: float
    backend: str
    stopped: str


class FreezeProofFacts(Record):
    """Proof that the base did not change, see :class:`headstart.model_files.keras_file.FreezeProof`."""

    tensors: int
    statistics: int
    changed: int
    trained: int
    sha256: str


class GoldenFacts(Record):
    """Golden samples: inputs and probabilities in ``golden.npz``, computed again whenever the run is opened.

    Attributes:
        count: how many.
        difference: largest difference of a probability when the run was made; None in an adopted run.
    """

    count: int
    difference: float | None = None


class StageCost(Record):
    """Seconds of one stage."""

    stage: str
    seconds: float


class CostFacts(Record):
    """What the run cost, see :class:`headstart.system.cost.Cost`.

    Attributes:
        wall_s: seconds from start to end.
        cpu_s: seconds of processor time.
        peak_memory_mb: of the largest process; None where unknown.
        stages: in their order.
        examples_computed: by the base; None for an evaluation, like the next two.
        examples_from_cache: examples whose features were cached.
        examples_per_s: computed in a second; None where nothing was.
    """

    wall_s: float
    cpu_s: float
    peak_memory_mb: float | None
    stages: list[StageCost]
    examples_computed: int | None = None
    examples_from_cache: int | None = None
    examples_per_s: float | None = None


class AdoptionFacts(Record):
    """A classifier that was trained elsewhere.

    Attributes:
        path: of its file.
        sha256: of its file.
    """

    path: str
    sha256: str


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

    format_version: Literal[1, 2, 3, 4] = FORMAT_VERSION
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
