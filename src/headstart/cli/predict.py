"""``headstart predict``."""

import re
import sys
from collections.abc import Callable, Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

import click
from click.core import ParameterSource

from headstart.cli import box_answers, class_answers, output
from headstart.cli.columns import check_inputs, text_column_option, text_option
from headstart.errors import InputError

if TYPE_CHECKING:
    from headstart.data.modalities import Modality
    from headstart.runs.predictor import Answer, MinConfidence, Predictor
    from headstart.tasks import Task

_STDIN = "standard input"


def _min_confidence(ctx: click.Context, parameter: click.Parameter, value: str | None) -> "MinConfidence":
    if value is None or value == "auto":
        return value or 0.0  # type: ignore[return-value]
    try:
        return float(value)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected a probability such as 0.8, or auto.") from exc


def _min_score(
    ctx: click.Context, parameter: click.Parameter, values: tuple[str, ...]
) -> "float | dict[str, float] | None":
    scores: dict[str, float] = {}
    for value in values:
        name, _, score = value.rpartition("=")
        try:
            scores[name] = float(score)
        except ValueError as exc:
            raise click.BadParameter(f"{value!r}: expected a score such as 0.5, or CLASS=0.5.") from exc
    if "" in scores and len(scores) > 1:
        raise click.BadParameter("expected one score for all classes, or CLASS=SCORE for each.")
    return scores.get("", scores) if scores else None


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
@click.option(
    "--csv",
    "as_csv",
    is_flag=True,
    help="Print a CSV table with one column per class (of the top K), or one row per detected object.",
)
@click.option("--tta", is_flag=True, help="Average over each image and its mirror image; takes twice as long.")
@click.option(
    "--min-confidence",
    callback=_min_confidence,
    metavar="auto|P",
    help="Answer `unsure` below this probability; auto: the threshold of the run (--min-precision of train).",
)
@click.option(
    "--min-score",
    multiple=True,
    callback=_min_score,
    metavar="[CLASS=]P",
    help="Detect objects from this score on; may be repeated for classes. Default: the thresholds of the run.",
)
@click.option(
    "--draw",
    type=click.Path(file_okay=False, path_type=Path),
    metavar="FOLDER",
    help="Write the images with detected objects into a new folder.",
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["coco", "yolo", "voc"]),
    help="Write detected objects as labels for annotation tools, into --out.",
)
@click.option("--out", type=click.Path(file_okay=False, path_type=Path), help="New folder for the files of --format.")
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
    min_score: "float | dict[str, float] | None",
    draw: Path | None,
    form: str | None,
    out: Path | None,
    text_column: list[str] | None,
    strict: bool,
) -> int:
    """Predict labels or detect objects with a RUN of `headstart train`.

    FILE is an image, a folder, a pattern such as 'new/*.jpg', or - for standard input: an image, or a list of paths.
    For a run on texts it is a text file, a folder of text files, a table, or - for one text per line; --text takes the
    text itself.
    A multi-label run predicts all labels that reach their threshold, or none. A run that was trained on boxes detects
    objects; x and y are their edges in pixels of the upright image.
    """
    from headstart.runs.files import read_facts
    from headstart.runs.predictor import Predictor
    from headstart.tasks import get_task

    facts = read_facts(run)  # a wrong RUN is reported first
    if as_json and as_csv:
        raise click.UsageError("use either --json or --csv")
    check_inputs(files, texts, facts.modality)
    _check_options(get_task(facts.task), facts.modality)
    if (form is None) != (out is None):
        raise click.UsageError("use --format and --out together")
    data = sys.stdin.buffer.read() if "-" in files else b""
    paths = [name for name in files if name != "-"]

    def open_run(expected: int) -> "Predictor":
        return Predictor(run, expected=expected, tta=tta, min_confidence=min_confidence).at_min_score(min_score)

    if facts.modality.is_in_tables:
        contents = [*texts, *_lines(data)]
        predictor, answers = _predict_contents(open_run, facts.modality, paths, contents, text_column, top_k)
    else:
        predictor, answers = _predict_files(open_run, facts.modality, paths, data, top_k, form)
    problems = _Problems(answers)
    way: box_answers.Way = "json" if as_json else "csv" if as_csv else "lines"
    if predictor.task.has_boxes:
        detections = box_answers.write(iter(problems), way)
        box_answers.write_files(detections, predictor, {_STDIN: data}, draw=draw, form=form, out=out)
    else:
        class_answers.WRITERS[way](iter(problems), predictor, top_k)
    return 2 if problems.count and (strict or problems.count == problems.total) else 0


_OF_CLASSES, _OF_BOXES = ("top_k", "tta", "min_confidence"), ("min_score", "draw", "form", "out")
"""Parameters for runs that predict classes of whole examples, and for runs that detect objects."""


def _check_options(task: "Task", modality: "Modality") -> None:
    """Check that every option that is set has a meaning for the run.

    Raises:
        click.UsageError: one has none; it is named.
    """
    ctx = click.get_current_context()
    for parameter in ctx.command.params:
        if ctx.get_parameter_source(parameter.name or "") is not ParameterSource.COMMANDLINE:
            continue
        option = parameter.opts[0]
        if parameter.name == "tta" and not modality.has_pixels:
            raise click.UsageError(f"{option} is for images only")
        if parameter.name == "text_column" and not modality.is_in_tables:
            raise click.UsageError(f"{option} is for runs on texts, and this run is on {modality.plural}")
        if parameter.name in _OF_CLASSES and task.has_boxes:
            raise click.UsageError(
                f"{option} is for runs that predict classes of whole {modality.plural}, and this run detects objects"
            )
        if parameter.name in _OF_BOXES and not task.has_boxes:
            raise click.UsageError(f"{option} is for runs that detect objects, and this is a {task.name} run")


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
    open_run: _OpenRun, modality: "Modality", files: list[str], data: bytes, top_k: int | None, form: str | None
) -> tuple["Predictor", _Answers]:
    """Answers about files; standard input is one of them, or a list of their paths."""
    paths = _paths_in(data)
    examples = modality.list_examples(files + (paths or []))
    if form:
        box_answers.check_names([example.name for example in examples], form)
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
