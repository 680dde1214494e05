"""What crosses from the main process to the Keras process that fine-tunes, as plain data."""

from dataclasses import dataclass
from typing import Any

from headstart.data.resizing import Resize


@dataclass(frozen=True)
class FineTuneJob:
    """One fine-tuning, as plain data.

    Attributes:
        spec: of the base.
        resize: how images are resized to its input size; None for texts.
        input_shape: shape of one example as the reader gives it; of texts that of the longest one.
        trained_blocks: number of blocks to train, counted from the features down.
        xml: the frozen part as an engine runs it; None to run it with Keras, or where nothing is frozen.
        precision: of the engine.
        task: name of the task.
        train: examples to train on, as :meth:`~headstart.data.examples.Example.to_json` gives them.
        train_digests: content digest of each, hex.
        train_labels: of these, as the task encodes them.
        val: examples to validate on, as ``train``.
        val_digests: content digest of each, hex.
        val_labels: as ``train_labels``.
        class_weights: weight of one example of each class.
        config: fields of :class:`headstart.config.FineTuneConfig`.
        learning_rate: highest learning rate of the head; the blocks below it get lower ones.
        epochs: maximum number of epochs.
        head: ``.npz`` with the head to start from.
        dropout: rate before each layer of the head.
        seed: of everything random.
        folder: for views, checkpoints and results; no other job uses it.
    """

    spec: dict[str, Any]
    resize: Resize | None
    input_shape: list[int]
    trained_blocks: int
    xml: str | None
    precision: str
    task: str
    train: list[dict[str, str]]
    train_digests: list[str]
    train_labels: list[Any]
    val: list[dict[str, str]]
    val_digests: list[str]
    val_labels: list[Any]
    class_weights: list[float]
    config: dict[str, Any]
    learning_rate: float
    epochs: int
    head: str
    dropout: float
    seed: int
    folder: str


def no_result(reason: str) -> dict[str, Any]:
    """The answer of a job without a result.

    Args:
        reason: a sentence for the user.
    """
    return {"no_result": reason}


def diverged(learning_rate: float) -> dict[str, Any]:
    """The answer of a job whose losses became infinite or undefined."""
    return no_result(f"Training at a learning rate of {learning_rate:.2g} diverged: try a lower learning rate.")
