"""The head of a run, its fine-tuning and what is known of its answers, in ``run.json``."""

from typing import Literal

from headstart.runs.records import Record
from headstart.runs.schema.figures import Triple

Outcome = Literal["kept", "not better", "not tried"]
Setting = str | int | float | bool | None


class HeadSettings(Record):
    """What the head was trained with, see :class:`headstart.training.HeadConfig`."""

    head: Literal["auto", "linear", "mlp"]
    features: Literal["auto", "own", "blocks"]
    counts: Literal["auto", "none", "tokens"]
    dense: list[int]
    dropout: float
    epochs: int
    class_weights: Literal["auto", "balanced", "none"]
    seed: int


class FeatureFacts(Record):
    """The choice between the base's own features and those of all its blocks.

    Attributes:
        kind: what was chosen.
        own: number of the base's own features.
        blocks: number of features of all blocks, with the base's own.
        gain: by how much the cross-validated log loss is lower with blocks; None where there were too few examples.
        standard_error: of the gain.
    """

    kind: Literal["own", "blocks"]
    own: int
    blocks: int
    gain: float | None
    standard_error: float | None


class CountFacts(Record):
    """The choice between a head on features alone and one with counts of tokens.

    Attributes:
        kind: what was chosen.
        tokens: number of tokens that are counted.
        pairs: number of pairs of neighbouring tokens that are counted.
        gain: by how much the cross-validated log loss is lower with counts.
        standard_error: of the gain.
    """

    kind: Literal["none", "tokens"]
    tokens: int
    pairs: int
    gain: float
    standard_error: float


class HeadFacts(Record):
    """The head that was trained.

    Attributes:
        kind: ``linear`` is solved, ``mlp`` has hidden layers.
        l2: regularisation of a solved head; None for others.
        class_weights: class -> its weight; None where all are the same.
        units: sizes of the hidden layers.
        epochs: that it was trained for; None for a solved head.
        features: that it takes; None where there was no choice.
        counts: of tokens, beside the features; None where there was no choice.
    """

    kind: Literal["linear", "mlp"]
    l2: float | None
    class_weights: dict[str, float] | None
    units: list[int]
    epochs: int | None
    features: FeatureFacts | None = None
    counts: CountFacts | None = None


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
