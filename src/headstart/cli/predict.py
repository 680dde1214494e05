"""``headstart predict``."""

import csv
import sys
from collections.abc import Callable, Iterable, Iterator
from dataclasses import asdict
from functools import partial
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import output
from headstart.cli.data import names
from headstart.data.labels import NO_LABEL, SEPARATOR
from headstart.errors import InputError

if TYPE_CHECKING:
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
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option(
    "--top-k",
    type=click.IntRange(min=1),
    metavar="K",
    help="Show the K most probable classes; of a multi-label run with a * if they reach their threshold.",
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per answer and line.")
@click.option("--csv", "as_csv", is_flag=True, help="A CSV table with one column per class (of the top K).")
@click.option("--tta", is_flag=True, help="Judge each picture together with its mirror image; takes twice as long.")
@click.option(
    "--min-confidence",
    callback=_min_confidence,
    metavar="auto|P",
    help="Answer `unsure` below this probability; auto: below the run's own, see --min-precision of train.",
)
@click.option("--text-column", "--text", callback=names, metavar="A,B,…", help="Of a table of texts.")
@click.option("--strict", is_flag=True, help="Fail if any file cannot be used.")
def predict(
    run: Path,
    files: tuple[str, ...],
    top_k: int | None,
    as_json: bool,
    as_csv: bool,
    tta: bool,
    min_confidence: "MinConfidence",
    text_column: list[str] | None,
    strict: bool,
) -> int:
    """Say what new pictures show or texts say, by a RUN that `headstart train` made.

    FILE is a picture, a folder, a pattern such as 'new/*.jpg', or - for standard input: a picture, or a list of paths.
    For a run on texts it is a text file, a folder of them, a table, the text itself, or - for one text a line.
    A multi-label run says every label whose probability reaches its threshold, or none.
    """
    from headstart.runs.files import read_facts
    from headstart.runs.predictor import Predictor

    facts = read_facts(run)  # a wrong RUN is said first
    if as_json and as_csv:
        raise click.UsageError("--json and --csv exclude each other")
    data = sys.stdin.buffer.read() if "-" in files else b""
    named = [name for name in files if name != "-"]
    if tta and facts.modality == "text":
        raise click.UsageError("--tta is for pictures: a text has no mirror image")
    opened = partial(Predictor, run, tta=tta, min_confidence=min_confidence)
    if facts.modality == "text":
        predictor, answers = _of_texts(opened, named, data, text_column, top_k)
    else:
        predictor, answers = _of_images(opened, named, data, top_k)
    writer = _write_json if as_json else _write_csv if as_csv else _write_lines
    problems = _Problems(answers)
    writer(iter(problems), predictor, top_k)
    return 2 if problems.count and (strict or problems.count == problems.total) else 0


_Answers = Iterable["Answer"]


_Opened = Callable[..., "Predictor"]


def _of_texts(
    opened: _Opened, named: list[str], data: bytes, text_column: list[str] | None, top_k: int | None
) -> tuple["Predictor", _Answers]:
    from headstart.data.dataset import list_texts
    from headstart.data.examples import TextExample

    lines = [line for line in data.decode("utf-8-sig", "surrogateescape").splitlines() if line.strip()]
    texts = [*list_texts(named, text_column), *map(TextExample, lines)]
    predictor = opened(expected=len(texts))
    return predictor, predictor.predict(texts, top_k=top_k)


def _of_images(opened: _Opened, named: list[str], data: bytes, top_k: int | None) -> tuple["Predictor", _Answers]:
    from headstart.data.dataset import list_images

    listed = _paths_in(data)
    images = list_images(named + (listed or []))
    predictor = opened(expected=len(images) + bool(data))
    answers: _Answers = predictor.predict(images, top_k=top_k)
    if data and listed is None:
        answers = chain([predictor.predict_bytes(_STDIN, data, top_k=top_k)], answers)
    return predictor, answers


def _paths_in(data: bytes) -> list[str] | None:
    """The lines of a list of paths; None if this is the content of a picture."""
    if b"\0" in data[:4096]:
        return None
    try:
        return [line.strip() for line in data.decode().splitlines() if line.strip()]
    except UnicodeDecodeError:
        return None


class _Problems:
    """Passes answers on, says on stderr which files have none, and counts."""

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
            raise InputError("there is nothing to predict: standard input named no files.")


def _write_lines(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    from headstart.runs.predictor import Prediction, Problem

    names = [*predictor.classes, *([UNSURE] if predictor.min_confidence else [])]
    width = max(map(len, names)) + (predictor.thresholds is not None and bool(top_k))
    for answer in answers:
        if isinstance(answer, Problem):
            continue
        remarks = ["out-of-distribution"] if answer.out_of_distribution else []
        if isinstance(answer, Prediction):
            is_unsure = answer.unsure and not top_k
            shown = answer.probabilities if top_k else {UNSURE if is_unsure else answer.predicted: answer.probability}
            remarks += [f"{answer.predicted}?"] if is_unsure else [UNSURE] if answer.unsure else []
        elif top_k:  # a star for what reaches its threshold
            shown = {name + "*" * (name in answer.predicted): p for name, p in answer.probabilities.items()}
        else:
            shown = {name: answer.probabilities[name] for name in answer.predicted}
        told = "   ".join(f"{name.ljust(width)} {share:6.1%}" for name, share in shown.items())
        remark = f"   ({', '.join(remarks)})" if remarks else ""
        output.result(f"{told or NO_LABEL.ljust(width + 7)}   {answer.file}{remark}")


def _write_json(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    for answer in answers:
        output.result_json(asdict(answer))


def _write_csv(answers: "Iterator[Answer]", predictor: "Predictor", top_k: int | None) -> None:
    from headstart.runs.predictor import Prediction, Problem

    writer = csv.writer(sys.stdout, lineterminator="\n")
    ranked = [f"{kind}_{rank}" for rank in range(1, (top_k or 0) + 1) for kind in ("class", "probability")]
    said = ["predicted", "probability"] if predictor.thresholds is None else ["predicted"]
    marks = ([UNSURE] if predictor.min_confidence else []) + ([OUT_OF_DISTRIBUTION] if predictor.detector else [])
    writer.writerow(["file", *said, *marks, *(ranked or predictor.classes), "problem"])
    for answer in answers:
        if isinstance(answer, Problem):
            blank = [""] * (len(said) + len(marks) + len(ranked or predictor.classes))
            writer.writerow([answer.file, *blank, answer.reason])
            continue
        shares = {name: f"{share:.6f}" for name, share in answer.probabilities.items()}
        cells = list(chain(*shares.items())) if top_k else [shares[name] for name in predictor.classes]
        if isinstance(answer, Prediction):
            told = [answer.predicted, f"{answer.probability:.6f}"]
        else:
            told = [SEPARATOR.join(answer.predicted)]
        writer.writerow([answer.file, *told, *(str(getattr(answer, mark)).lower() for mark in marks), *cells, ""])
