"""How ``headstart predict`` writes the objects that a run detects."""

import csv
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from headstart.cli import output

if TYPE_CHECKING:
    from headstart.runs.predictor import Answer, Predictor
    from headstart.tasks.detection import DetectionPrediction

Way = Literal["lines", "csv", "json"]

_SHOWN = 20  # objects of an image on the terminal
_COLUMNS = ("label", "score", "x1", "y1", "x2", "y2")


def check_names(names: Sequence[str], form: str) -> None:
    """Check that images can have label files in a form.

    Raises:
        InputError: two would have the same one.
    """
    from headstart.data.boxes.writing import check_label_files

    check_label_files(names, form)


def write(answers: "Iterator[Answer]", way: Way) -> "list[DetectionPrediction]":
    """Print answers as they come.

    Args:
        answers: of a run that detects objects.
        way: how.

    Returns:
        Those about images that can be used.
    """
    from headstart.runs.predictor import Problem

    if way == "csv":
        _write_csv_row(["file", *_COLUMNS, "problem"])
    write_one = {"lines": _write_lines, "csv": _write_csv, "json": _write_json}[way]
    detections: list[DetectionPrediction] = []
    for answer in answers:
        if isinstance(answer, Problem):
            if way == "json":
                output.result_json(answer.to_dict())
            elif way == "csv":
                _write_csv_row([answer.file, *[""] * len(_COLUMNS), answer.reason])
            continue
        detections.append(cast("DetectionPrediction", answer))
        write_one(detections[-1])
    return detections


def write_files(
    answers: "Sequence[DetectionPrediction]",
    predictor: "Predictor",
    contents: Mapping[str, bytes],
    *,
    draw: Path | None,
    form: str | None,
    out: Path | None,
) -> None:
    """Write new folders with labels and with drawn images, and say where.

    Args:
        answers: about the images.
        predictor: of the run.
        contents: name -> content of an image that is in no file.
        draw: folder for images; None for none.
        form: of the labels.
        out: folder for labels; None for none.
    """
    if out and form:
        output.note(f"labels in {_in_new_folder(out, partial(_fill_with_labels, answers, predictor, form))}")
    if draw:
        output.note(f"images in {_in_new_folder(draw, partial(_fill_with_drawings, answers, predictor, contents))}")


def _fill_with_labels(
    answers: "Sequence[DetectionPrediction]", predictor: "Predictor", form: str, folder: Path, name: str
) -> None:
    from headstart.data.boxes.writing import DetectedImage, write_detections

    images = [DetectedImage(answer.file, answer.size, answer.to_detections()) for answer in answers]
    write_detections(folder, form, images, predictor.classes)


def _fill_with_drawings(
    answers: "Sequence[DetectionPrediction]",
    predictor: "Predictor",
    contents: Mapping[str, bytes],
    folder: Path,
    name: str,
) -> None:
    from headstart.data.boxes.drawing import DrawnImage, write_drawings

    def read(file: str) -> bytes:
        return contents[file] if file in contents else predictor.modality.example_in(Path(), file).read()

    images = [DrawnImage(answer.file, partial(read, answer.file), answer.boxes) for answer in answers]
    for problem in write_drawings(folder, images, predictor.classes):
        output.warn(str(problem))


def _in_new_folder(folder: Path, fill: Callable[[Path, str], None]) -> Path:
    from headstart.runs.folder import write_folder

    path = folder.expanduser()
    return write_folder(path.parent, path.name, fill)


def _write_lines(answer: "DetectionPrediction") -> None:
    """A line for the image with the number of objects of each class, and one for each object."""
    output.result(" ".join(f"{answer.file}: {answer.label()}".splitlines()))
    shown_boxes = answer.boxes[:_SHOWN]
    width = max((len(box.label) for box in shown_boxes), default=0)
    for box in shown_boxes:
        output.result(f"  {box.label.ljust(width)}  {box.score:.2f}  {box.place}")
    if len(answer.boxes) > _SHOWN:
        output.result(f"  and {len(answer.boxes) - _SHOWN:,} more: use --csv or --json for all")


def _write_json(answer: "DetectionPrediction") -> None:
    output.result_json(answer.to_dict())


def _write_csv(answer: "DetectionPrediction") -> None:
    """A row for each object; one without an object for an image that has none."""
    if not answer.boxes:
        _write_csv_row([answer.file, *[""] * len(_COLUMNS), ""])
    for box in answer.boxes:
        _write_csv_row([answer.file, box.label, f"{box.score:.6f}", *box.edges, ""])


def _write_csv_row(cells: Sequence[Any]) -> None:
    csv.writer(sys.stdout, lineterminator="\n").writerow(cells)
