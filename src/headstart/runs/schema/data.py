"""The data of a run, in ``run.json``."""

from typing import Literal

from headstart.data.split import FEW_TRAIN
from headstart.runs.records import Record


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

    @property
    def few_trained(self) -> dict[str, int]:
        """The classes with too few training examples to be learned -> their number; none are known of an evaluation."""
        train = self.splits.get("train")
        return {name: n for name, n in train.per_class.items() if n < FEW_TRAIN} if train else {}


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
