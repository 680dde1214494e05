"""The base of a run, in ``run.json``."""

from typing import Literal

from headstart.runs.records import Record
from headstart.runs.schema.figures import Interval, Triple


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
    feature_dim: int | None
    evidence: float | None
    examples: int
    figure: Interval
    log_loss: float | None
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
