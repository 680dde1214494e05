"""How ``headstart predict`` writes answers that give classes of whole examples."""

import csv
import sys
from collections.abc import Iterator
from itertools import chain
from typing import TYPE_CHECKING

import numpy as np

from headstart.cli import output
from headstart.tasks.labels import NO_LABEL

if TYPE_CHECKING:
    from headstart.runs.predictor import Answer, Predictor

UNSURE, OUT_OF_DISTRIBUTION = "unsure", "out_of_distribution"


def write_lines(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    """A line for each example: its classes with their probabilities, and its name."""
    from headstart.runs.predictor import Problem

    mark = "*" if top_k and not predictor.task.predicts_most_probable else ""  # of what is predicted
    names = [*predictor.classes, *([UNSURE] if predictor.min_confidence else [])]
    width = max(map(len, names)) + len(mark)
    for answer in answers:
        if isinstance(answer, Problem):
            continue
        remarks = ["out-of-distribution"] if answer.out_of_distribution else []
        if top_k:
            shares = {name + mark * (name in answer.names): share for name, share in answer.probabilities.items()}
            remarks += [UNSURE] if answer.unsure else []
        else:
            shares = {UNSURE if answer.unsure else name: answer.probabilities[name] for name in answer.names}
            remarks += [f"{answer.label()}?"] if answer.unsure else []
        text = "   ".join(f"{name.ljust(width)} {share:6.1%}" for name, share in shares.items())
        remark = f"   ({', '.join(remarks)})" if remarks else ""
        line = f"{text or NO_LABEL.ljust(width + 7)}   {answer.file}{remark}"
        output.result(" ".join(line.splitlines()))  # names and texts may have line breaks


def write_json(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    """A JSON object on a line for each example."""
    for answer in answers:
        output.result_json(answer.to_dict())


def write_csv(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    """A table with a row for each example, and a column for each class or rank."""
    from headstart.runs.predictor import Problem

    writer = csv.writer(sys.stdout, lineterminator="\n")
    ranked = [f"{kind}_{rank}" for rank in range(1, (top_k or 0) + 1) for kind in ("class", "probability")]
    columns = _answer_columns(predictor)
    flags = ([UNSURE] if predictor.min_confidence else []) + ([OUT_OF_DISTRIBUTION] if predictor.detector else [])
    writer.writerow(["file", *columns, *flags, *(ranked or predictor.classes), "problem"])
    for answer in answers:
        if isinstance(answer, Problem):
            blank = [""] * (len(columns) + len(flags) + len(ranked or predictor.classes))
            writer.writerow([answer.file, *blank, answer.reason])
            continue
        probabilities = {name: f"{share:.6f}" for name, share in answer.probabilities.items()}
        cells = list(chain(*probabilities.items())) if top_k else [probabilities[name] for name in predictor.classes]
        flag_cells = [str(getattr(answer, flag, "")).lower() for flag in flags]
        writer.writerow([answer.file, *answer.cells().values(), *flag_cells, *cells, ""])


def _answer_columns(predictor: "Predictor") -> list[str]:
    """The columns that every answer of a run has, from an answer about nothing."""
    from headstart.runs.predictor import Output

    n = len(predictor.classes)
    return list(predictor.answer("", Output(np.full(n, 1 / n, np.float32), None)).cells())


WRITERS = {"lines": write_lines, "json": write_json, "csv": write_csv}
"""How answers are printed -> what prints them."""
