"""Answers about many examples: a list that also becomes a DataFrame."""

from collections.abc import Iterable, Sequence
from typing import Any

from headstart.runs.predictor import Answer, Problem
from headstart.system.extras import require


class AnswerList(list[Answer]):
    """The answers of a run, one for each example, in order; where an example cannot be used, a Problem.

    Args:
        answers: of the run.
        classes: of the run, in order.
    """

    def __init__(self, answers: Iterable[Answer], classes: Sequence[str]) -> None:
        super().__init__(answers)
        self._classes = classes

    def to_frame(self) -> Any:
        """The answers as a pandas DataFrame, one row each.

        Its columns are those of an answer's ``to_dict()``, such as ``file``, ``predicted`` and ``probability``, with
        ``p(CLASS)`` for the probability of each class; and ``problem``, the reason why an example has no answer.

        Raises:
            UnavailableError: pandas is not installed.
        """
        pandas = require("pandas", extra="tables", purpose="a DataFrame of answers")
        rows = [self._row(answer) for answer in self]
        return pandas.DataFrame(rows, columns=list(dict.fromkeys(name for row in rows for name in row)))

    def _repr_html_(self) -> str:
        return str(self.to_frame()._repr_html_())

    def _row(self, answer: Answer) -> dict[str, Any]:
        if isinstance(answer, Problem):
            return {"file": answer.file, "problem": answer.reason}
        values = answer.to_dict()
        probabilities = values.pop("probabilities", {})
        return {**values, **{f"p({name})": probabilities[name] for name in self._classes if name in probabilities}}
