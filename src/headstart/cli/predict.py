"""``headstart predict``."""

import csv
import re
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
import numpy as np

from headstart.cli import output
from headstart.cli.columns import check_inputs, text_column_option, text_option
from headstart.errors import InputError
from headstart.tasks.labels import NO_LABEL

if TYPE_CHECKING:
    from headstart.data.modalities import Modality
    from headstart.runs.predictor import Answer, MinConfidence, Predictor

_STDIN = "standard input"
UNSURE, OUT_OF_DISTRIBUTION = "unsure", "out_of_distribution"


def _min_confidence(ctx: click.Context, parameter: click.Parameter, value: str | None) -> "MinConfidence":
    if value is None or value == "auto":
        return value or 0.0  # type: ignore[return-value]
    try:
        return float(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected a probability such as 0.8, or auto.") from exc


@click.command(epilog="Example: headstart predict runs/photos new/*.jpg --top-k 3")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, metavar="[FILE…]")
@text_option
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    metavar="K",
    help="Show the K most probable classes; in multi-label runs * marks predicted labels.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line.")
@click.option("--csv", "as_csv", is_flag=True, help="Print a CSV table with one column per class (of the top K).")
@click.option("--tta", is_flag=True, help="Average over each image and its mirror image; takes twice as long.")
@click.option(
    "--min-confidence",
    callback=_min_confidence,
    metavar="auto|P",
    help="Answer `unsure` below this probability; auto: the threshold of the run (--min-precision of train).",
)
@text_column_option
@click.option("--strict", is_flag=True, help="Exit with an error if any file cannot be used.")
def predict(
    run: Path,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    top_k: int | None,
    as_json: bool,
    as_csv: bool,
    tta: bool,
    min_confidence: "MinConfidence",
    text_column: list[str] | None,
    strict: bool,
) -> int:
    """Predict labels for new images or texts with a RUN of `headstart train`.

    FILE is an image, a folder, a pattern such as 'new/*.jpg', or - for standard input: an image, or a list of paths.
    For a run on texts it is a text file, a folder of text files, a table, or - for one text per line; --text takes the
    text itself.
    A multi-label run predicts all labels that reach their threshold, or none.
    """
    from headstart.runs.files import read_facts
    from headstart.runs.predictor import Predictor

    facts = read_facts(run)  # a wrong RUN is reported first
    if as_json and as_csv:
        raise click.UsageError("use either --json or --csv")
    check_inputs(files, texts, facts.modality)
    data = sys.stdin.buffer.read() if "-" in files else b""
    paths = [name for name in files if name != "-"]
    if tta and not facts.modality.has_pixels:
        raise click.UsageError("--tta is for images only")
    open_run = partial(Predictor, run, tta=tta, min_confidence=min_confidence)
    if facts.modality.is_in_tables:
        contents = [*texts, *_lines(data)]
        predictor, answers = _predict_contents(open_run, facts.modality, paths, contents, text_column, top_k)
    else:
        predictor, answers = _predict_files(open_run, facts.modality, paths, data, top_k)
    writer = _write_json if as_json else _write_csv if as_csv else _write_lines
    problems = _Problems(answers)
    writer(iter(problems), predictor, top_k)
    return 2 if problems.count and (strict or problems.count == problems.total) else 0


_Answers = Iterable["Answer"]


_OpenRun = Callable[..., "Predictor"]


def _predict_contents(
    open_run: _OpenRun,
    modality: "Modality",
    files: list[str],
    contents: list[str],
    text_column: list[str] | None,
    top_k: int | None,
) -> tuple["Predictor", _Answers]:
    """Answers about files that hold contents, and about contents themselves."""
    from headstart.data.examples import TextExample

    texts = [*modality.list_examples(files, text_column), *map(TextExample, contents)]
    predictor = open_run(expected=len(texts))
    return predictor, predictor.predict(texts, top_k=top_k)


def _lines(data: bytes) -> list[str]:
    """The lines of standard input that are not empty."""
    text = data.decode("utf-8-sig", "surrogateescape")
    return [line for line in re.split(r"\r\n|\n|\r", text) if line.strip()]


def _predict_files(
    open_run: _OpenRun, modality: "Modality", files: list[str], data: bytes, top_k: int | None
) -> tuple["Predictor", _Answers]:
    """Answers about files; standard input is one of them, or a list of their paths."""
    paths = _paths_in(data)
    examples = modality.list_examples(files + (paths or []))
    predictor = open_run(expected=len(examples) + bool(data))
    answers: _Answers = predictor.predict(examples, top_k=top_k)
    if data and paths is None:
        answers = chain([predictor.predict_bytes(_STDIN, data, top_k=top_k)], answers)
    return predictor, answers


def _paths_in(data: bytes) -> list[str] | None:
    """The lines of a list of paths; None if the data are an image."""
    if b"\0" in data[:4096]:
        return None
    try:
        return [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        return None


class _Problems:
    """Iterates over answers, warns about examples that cannot be used, and counts them."""

    def __init__(self, answers: "_Answers") -> None:
        self._answers, self.count, self.total = answers, 0, 0

    def __iter__(self) -> "Iterator[Answer]":
        from headstart.runs.predictor import Problem

        for answer in self._answers:
            self.total += 1
            if isinstance(answer, Problem):
                self.count += 1
                output.warn(f"{answer.file}: {answer.reason}")
            yield answer
        if not self.total:
            raise InputError("there is nothing to predict: standard input has no file names.")


def _write_lines(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
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


def _write_json(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    for answer in answers:
        output.result_json(answer.to_dict())


def _write_csv(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
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
