"""Proofs, golden samples and cost of a run, in ``run.json``."""

from headstart.runs.records import Record


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
