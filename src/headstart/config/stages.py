"""The settings of each stage, declared once."""

from dataclasses import dataclass
from typing import Literal

from headstart.config.setting import Stage, setting
from headstart.config.values import (
    Augmentation,
    AugmentName,
    ClassWeights,
    CountKind,
    EngineName,
    FeatureKind,
    HeadKind,
    Keep,
    Precision,
    Resize,
    parse_augment,
    parse_blocks,
    parse_input_size,
    parse_layer_sizes,
    parse_names,
    parse_path,
    parse_sample_range,
    parse_seconds,
)

AUTO = "auto"
"""The value of ``base`` that compares several bases on the data."""

BASES_HERE, BASES_ALL = "here", "all"
"""Values of ``bases``: those with a name that need no network, or all of them."""


@dataclass(frozen=True, kw_only=True)
class DataConfig(Stage):
    """Data."""

    text_column: tuple[str, ...] | None = setting(
        None, "Column of texts in a table; several are joined.", label="Text", form="A,B,…",
        example="a name or several", parse=parse_names,
        common=True,
    )  # fmt: skip
    label_column: tuple[str, ...] | None = setting(
        None, "Column of labels in a table; several columns of 0 and 1 make the data multi-label.", label="Label",
        form="A,B,…", example="a name or several", parse=parse_names, common=True,
    )  # fmt: skip
    path_column: str | None = setting(None, "Column of image paths in a table.", label="Path of an image", form="NAME")
    split_column: str | None = setting(
        None, "Column of a table that says train, val or test.", label="Train, val or test", form="NAME"
    )
    label_separator: str | None = setting(
        None, "Text between several labels in one cell, which makes the data multi-label.", label="Between labels",
        form="TEXT",
    )  # fmt: skip
    task: str | None = setting(
        None, "Kind of labels: single-label, multi-label, or one that another package registers. Default: by the data.",
        label="Task", form="NAME",
    )  # fmt: skip
    group_by: str | None = setting(
        None, "What must stay in one split (patient, video, scene): a column; for folders `folder`, or a regular "
        "expression on the file name.", label="Keep together", form="COLUMN|folder|REGEX",
    )  # fmt: skip
    annotations: str | None = setting(
        None, "File or folder with the boxes of a folder of images: Pascal VOC, COCO, YOLO, KITTI, CVAT, LabelMe, "
        "Label Studio or a table. Default: found in the folder.", label="Boxes of objects", form="PATH",
        example="a path", parse=parse_path,
    )  # fmt: skip
    classes: tuple[str, ...] | None = setting(
        None, "Use only these classes.", label="Classes", form="A,B,…", example="a name or several", parse=parse_names
    )
    relabel: str | None = setting(
        None, "Table of corrected labels: a suspects.csv of an earlier run, with the right label or `drop`.",
        label="Corrected labels", form="CSV", example="a path", parse=parse_path,
    )  # fmt: skip
    strict: bool = setting(False, "Stop if a file cannot be used, instead of leaving it out.", label="Strict")


@dataclass(frozen=True, kw_only=True)
class SplitConfig(Stage):
    """Split."""

    val: float = setting(
        0.15, "Fraction of the examples for validation.", label="Validation fraction", low=0, below=1, common=True
    )
    test: float = setting(
        0.15, "Fraction of the examples held out for the final figures.", label="Test fraction", low=0, below=1,
        common=True,
    )  # fmt: skip
    shots: int | None = setting(
        None, "Train on N examples of each class only, without validation.", label="Examples of each class", low=1,
        form="N",
    )  # fmt: skip
    seed: int = setting(0, "Seed of the split and of everything random.", label="Seed", low=0)


@dataclass(frozen=True, kw_only=True)
class BaseConfig(Stage):
    """Base."""

    base: str | None = setting(
        None, "Pretrained base, see `headstart bases`; auto compares several. Default: the best one that needs no "
        "network.", label="Base", form="HANDLE", common=True,
    )  # fmt: skip
    weights: str = setting(
        "imagenet", "Weights of the base: published, a file, or none (random).", label="Weights",
        form="imagenet|PATH|none", example="imagenet, none or a path", parse=parse_path,
    )  # fmt: skip
    feature_layer: str | None = setting(
        None, "Layer whose output are the features, for a base from a file.", label="Feature layer", form="LAYER"
    )
    segmenter: str | None = setting(
        None, "What divides texts into words, for word vectors of languages without spaces.", label="Segmenter",
        form="stanza:LANG",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class InputConfig(Stage):
    """Image size."""

    input_size: tuple[int, int] | None = setting(
        None, "Size of the images in pixels: 224, or HEIGHTxWIDTH. Default: that of the base.", label="Image size",
        form="PIXELS", example="pixels such as 224 or 192x256", parse=parse_input_size, common=True,
    )  # fmt: skip
    resize: Resize | None = setting(
        None, "How images of another shape become this size. Default: as the base was trained.", label="Resize"
    )
    sample_range: tuple[float, float] | None = setting(
        None, "Values that are black and white in images with more than 8 bits. Default: those that the files say, or "
        "measured on the data.", label="Range of values", form="LOW:HIGH", example="two numbers such as 0:4095",
        parse=parse_sample_range,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ChoiceConfig(Stage):
    """Choice of a base, for `base` auto."""

    bases: tuple[str, ...] | str = setting(
        BASES_HERE, "Bases to compare: here (no network needed), all, or handles.", label="Bases to compare",
        form="here|all|HANDLE,…", example="here, all or handles", parse=lambda value: value if isinstance(value,
        str) else parse_names(value),
    )  # fmt: skip
    max_mb: float | None = setting(
        None, "Largest size of the weights of a base, in MB.", label="Largest size in MB", form="MB", above=0
    )
    max_ms: float | None = setting(
        None, "Longest time for one example on this machine, in milliseconds.", label="Longest time in ms", form="MS",
        above=0,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class HeadConfig(Stage):
    """Head.

    Attributes:
        seed: of everything random in its training.
    """

    head: HeadKind = setting(
        AUTO, "linear is solved exactly, mlp has hidden layers; auto is mlp if dense sizes are set.", label="Head",
        common=True,
    )  # fmt: skip
    features: FeatureKind = setting(
        AUTO, "own are those of the base, blocks adds the outputs of all its blocks; auto takes what cross-validation "
        "prefers, and own for an mlp.", label="Features",
    )  # fmt: skip
    counts: CountKind = setting(
        AUTO, "tokens adds counts of tokens, and of pairs of them, to a linear head on texts; auto takes what "
        "cross-validation prefers.", label="Counts",
    )  # fmt: skip
    dense: tuple[int, ...] = setting(
        (),
        "Sizes of the hidden layers of an mlp.",
        label="Hidden layers",
        form="SIZES",
        example="sizes of at least 1, such as 256,128",
        parse=parse_layer_sizes,
    )
    dropout: float = setting(0.2, "Dropout rate before each layer of an mlp.", label="Dropout", low=0, below=1)
    epochs: int = setting(100, "Most epochs of an mlp; training stops early.", label="Epochs of the head", low=1)
    class_weights: ClassWeights = setting(
        AUTO, "balanced gives every class the same weight; auto does so from an imbalance of 3 to 1.",
        label="Class weights",
    )  # fmt: skip
    seed: int = 0

    @property
    def kind(self) -> Literal["linear", "mlp"]:
        """The kind of head that these settings give."""
        return "mlp" if self.head == "mlp" or self.dense else "linear"

    @property
    def units(self) -> tuple[int, ...]:
        """Sizes of the hidden layers."""
        return (self.dense or (256,)) if self.kind == "mlp" else ()


@dataclass(frozen=True, kw_only=True)
class SearchConfig(Stage):
    """Search for a head."""

    search: int | None = setting(
        None, "Try N heads on features of several layers; keep the best if validation proves a gain.",
        label="Heads to try", form="N", low=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class FineTuneConfig(Stage):
    """Fine-tuning."""

    fine_tune: str = setting(
        AUTO, "Blocks of the base to train after the head; `headstart bases NAME --blocks` lists them.",
        label="Fine-tuning", form="auto|none|all|last:N|from:BLOCK",
        example="auto, none, all, last:N or from:NAME, such as last:2", parse=parse_blocks, common=True,
    )  # fmt: skip
    keep: Keep = setting(
        "better", "better keeps the fine-tuned model only if validation (or cross-validation, with few texts) proves "
        "a gain.", label="Model to keep",
    )  # fmt: skip
    fine_tune_epochs: int | None = setting(
        None, "Most epochs of fine-tuning; it stops early. Default: 6 or 3, by base; 12 with few texts.",
        label="Epochs of fine-tuning", form="N", low=1,
    )  # fmt: skip
    learning_rate: float | None = setting(
        None, "Highest learning rate of fine-tuning, for the head. Default: by base.", label="Learning rate",
        form="RATE", above=0, below=1,
    )  # fmt: skip
    rate_decay: float = setting(
        0.9, "Factor of the learning rate from the head to the uppermost block, and from block to block.",
        label="Decay of the rate by block", above=0, high=1,
    )  # fmt: skip
    batch_size: int = setting(32, "Examples in a step of fine-tuning.", label="Batch size", low=1)
    weight_decay: float = setting(0.01, "Weight decay of AdamW.", label="Weight decay", low=0)
    label_smoothing: float = setting(
        0.1, "Label smoothing of fine-tuning; not for multi-label data.", label="Label smoothing", low=0, below=1
    )
    train_batch_norm: bool = setting(
        False, "Train BatchNormalization in the trained blocks, and update its statistics; for large batches only.",
        label="Train BatchNormalization",
    )  # fmt: skip
    lora: int | None = setting(
        None, "Train low-rank changes of Dense layers only (LoRA), of this rank; for transformers, about 8.",
        label="LoRA rank", form="RANK", low=1,
    )  # fmt: skip
    gradual: bool = setting(False, "Start to train the blocks one after the other.", label="Gradual unfreezing")
    patience: int = setting(
        4, "Epochs without a lower validation loss before fine-tuning stops.", label="Patience", low=1
    )
    augment: AugmentName | Augmentation = setting(
        "standard", "Random changes of the training images, for fine-tuning and search.", label="Augmentation",
        form="none|light|standard|strong", example="none, light, standard or strong, or a Keras pipeline",
        parse=parse_augment,
    )  # fmt: skip
    views: int = setting(3, "Augmented views of each training image to cache.", label="Views", low=0)
    time_limit: float | None = setting(
        None, "Longest time for fine-tuning, such as 90s, 10m or 1h. Default: 15m for auto, else none.",
        label="Time limit", form="TIME", example="a time such as 90s, 10m or 1h", parse=parse_seconds, common=True,
    )  # fmt: skip
    fine_tune_precision: Precision = setting(
        AUTO, "Arithmetic of fine-tuning; auto takes bfloat16 where a few steps show it to be faster.",
        label="Precision of fine-tuning",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class DetectorConfig(Stage):
    """Detector, for data with boxes."""

    detector_epochs: int | None = setting(
        None, "Epochs of a detector. Default: by the number of images, about 460 steps.", label="Epochs of a detector",
        form="N", low=1,
    )  # fmt: skip
    detector_views: int | None = setting(
        None, "Views of each training image for a detector, the image itself among them. Default: 6, less with more "
        "than 1,000 images.", label="Views for a detector", form="N", low=1,
    )  # fmt: skip
    no_mirror: bool = setting(
        False, "Do not mirror images: for objects that look different then, such as text.", label="No mirroring"
    )
    check_train_labels: bool = setting(
        False, "Also examine the boxes of the training images, by three short trainings on two thirds of them each. It "
        "takes most of the time of the training again.", label="Check the labels of training images",
    )  # fmt: skip
    learning_curve: bool = setting(
        False, "Also estimate how much more training images would help, by trainings on a quarter and on half of them. "
        "It takes a little longer than the training itself.", label="Learning curve",
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Stage):
    """Evaluation."""

    min_precision: float = setting(
        0.95, "Lowest precision of `predict --min-confidence auto`.",
        label="Precision of sure answers",
        above=0, below=1,
    )  # fmt: skip


@dataclass(frozen=True, kw_only=True)
class ComputeConfig(Stage):
    """Computation."""

    engine: EngineName = setting(
        AUTO, "What runs the frozen base; auto takes Keras on a GPU if that is faster, else OpenVINO.", label="Engine"
    )
    precision: Precision = setting(
        AUTO, "Arithmetic of the frozen base; auto takes bfloat16 if the CPU has it, float32 on a GPU.",
        label="Precision",
    )  # fmt: skip
