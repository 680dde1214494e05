"""Examples with their labels as a folder or a table names them: what a data set is made of."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from headstart.data.examples import Example
from headstart.data.modalities import Modality
from headstart.tasks.labels import Label, label_names


class Skipped(NamedTuple):
    """A file that is not used, and the reason."""

    file: str
    reason: str


LEFT_OUT = "left out"


class LabelProblem(NamedTuple):
    """Something wrong with a part of the label of an example, which is used nevertheless.

    Attributes:
        file: the example.
        where: the part, as the file that holds it names it: ``object 3 of Annotations/1.xml``.
        check: name of the check of the audit that reports it.
        reason: what is wrong.
        action: what was done; :data:`LEFT_OUT` if the part is not used.
    """

    file: str
    where: str
    check: str
    reason: str
    action: str

    @property
    def is_left_out(self) -> bool:
        """Whether the part is not used."""
        return self.action == LEFT_OUT


@dataclass
class ExampleRows:
    """Examples in the order of the folder or the table.

    Attributes:
        modality: what the examples are.
        files: names of the examples.
        labels: of each.
        examples: themselves.
        splits: ``train``, ``val`` or ``test`` of each; None where the data have no split.
        groups: of each; None where they have none.
        skipped: files and rows that are no examples.
        empty_classes: class folders without examples.
        label_columns: labels that have a column of their own.
        label_problems: parts of labels that are wrong, such as boxes outside their image.
    """

    modality: Modality
    files: list[str] = field(default_factory=list)
    labels: list[Label] = field(default_factory=list)
    examples: list[Example] = field(default_factory=list)
    splits: list[str] | None = None
    groups: list[str] | None = None
    skipped: list[Skipped] = field(default_factory=list)
    empty_classes: list[str] = field(default_factory=list)
    label_columns: Sequence[str] = ()
    label_problems: Sequence[LabelProblem] = ()

    @property
    def present(self) -> set[str]:
        """All labels that occur, or have a column."""
        return label_names(self.labels) | set(self.label_columns)
