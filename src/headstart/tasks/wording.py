"""What people read about a kind of label."""

from dataclasses import dataclass

from headstart.errors import counted


@dataclass(frozen=True, kw_only=True)
class Wording:
    """The words for labels in reports, on the page and in messages; the defaults are for one class for each example.

    ``{noun}`` stands for what an example is called, as in the meaning of a :class:`headstart.tasks.Metric`.

    Attributes:
        class_noun: one class.
        class_plural: several.
        labels_of_example: the labels that an example has.
        among: relation of a data set to its classes: "300 images *in* 3 classes".
        membership: relation of several examples to a class: "3 of 5 *are* “cat”".
        cell_form: what a cell of the tables of a run may hold.
        correction_form: what a cell of a table of corrections may hold.
        columns_advice: how to name the columns of a table that holds such labels.
        explained: what the evidence in a wrong answer is for.
        issue_counts: label issues among the examples, with ``{count}`` and ``{examined}``, what was examined.
        no_issues: the same if there are none.
        examined: what is examined for label issues.
        imbalance_advice: what to do about classes of unequal size.
        support: what is counted of a class in the table of the classes in a report.
        class_figures: what the table of the classes in a report needs to be understood; may be empty.
    """

    class_noun: str = "class"
    class_plural: str = "classes"
    labels_of_example: str = "one class for each example"
    among: str = "in"
    membership: str = "are"
    cell_form: str = "one of the classes"
    correction_form: str = "the correct class"
    columns_advice: str = "name one column of labels"
    explained: str = "the prediction"
    issue_counts: str = "{count} of {examined}"
    no_issues: str = "None of {examined}"
    examined: str = "label"
    imbalance_advice: str = "look at balanced accuracy, not at accuracy"
    support: str = "{noun}s"
    class_figures: str = ""

    def label_issues(self, count: int, examined: int, noun: str) -> str:
        """How many label issues there are, such as ``6 of 1,528 labels``.

        Args:
            count: of the label issues.
            examined: number of examples.
            noun: what an example is called.
        """
        return self.issue_counts.format(count=f"{count:,}", examined=self._examined(examined, noun))

    def no_label_issues(self, examined: int, noun: str) -> str:
        """That there are no label issues, such as ``None of 1,528 labels``."""
        return self.no_issues.format(examined=self._examined(examined, noun))

    def _examined(self, n: int, noun: str) -> str:
        return counted(n, self.examined.format(noun=noun))
