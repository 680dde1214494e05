"""``headstart explain``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import output
from headstart.cli.data import names
from headstart.cli.progress import current_progress
from headstart.data.labels import NO_LABEL
from headstart.data.readers import NOUNS

if TYPE_CHECKING:
    from headstart.explanation.explain import Explanation, Method

_WORDS = 5  # of a text that are shown on the terminal


@click.command(epilog="Example: headstart explain runs/photos new/img.jpg")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, required=True, metavar="FILE…")
@click.option("--class", "class_name", metavar="NAME", help="Explain this class; default: the most probable of each.")
@click.option(
    "--method",
    type=click.Choice(["auto", "grad-cam", "occlusion"]),
    default="auto",
    show_default=True,
    help="For pictures: auto is grad-cam where the base ends in a feature map.",
)
@click.option("--nearest", type=click.IntRange(min=0), default=6, show_default=True, help="Training examples to show.")
@click.option("--text-column", "--text", callback=names, metavar="A,B,…", help="Of a table of texts.")
@click.option(
    "--out", type=click.Path(path_type=Path), help="Folder to write; default: a new one in RUN/explanations/."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object per file and line; no page, unless with --out.")
@click.option("--strict", is_flag=True, help="Fail if any file cannot be used.")
def explain(
    run: Path,
    files: tuple[str, ...],
    class_name: str | None,
    method: "Method",
    nearest: int,
    text_column: list[str] | None,
    out: Path | None,
    as_json: bool,
    strict: bool,
) -> int:
    """Say why a RUN answers as it does: where in a picture, or which words of a text, and what it learned that from.

    FILE is a picture, a folder or a pattern such as 'new/*.jpg'. For a run on texts it is a text file, a folder of
    them, a table, or the text itself. Writes a page, and each heat map over its picture as a file.
    """
    from headstart.data.dataset import list_images, list_texts
    from headstart.explanation.explain import Explainer
    from headstart.reports.explanation import write_explanations
    from headstart.runs.files import read_facts
    from headstart.runs.predictor import Problem

    modality = read_facts(run).modality  # a wrong RUN or FILE is said before anything is computed
    examples = list_texts(files, text_column) if modality == "text" else list_images(files)
    explainer = Explainer(run, class_name=class_name, method=method, nearest=nearest, progress=current_progress())
    explained: list[Explanation] = []
    for one in explainer.explain(examples):
        if isinstance(one, Problem):
            output.warn(f"{one.file}: {one.reason}")
            continue
        explained.append(one)
        if as_json:
            output.result_json(one.to_json())
        else:
            _tell(one)
    if explainer.training and (note := explainer.training.note(NOUNS[modality])):
        output.note(note)
    if explained and (out or not as_json):
        parent, name = (out.absolute().parent, out.name) if out else (run / "explanations", _name(explained[0]))
        page = write_explanations(explainer, explained, parent, name)
        (output.note if as_json else output.result)(f"page      {page}")
    problems = len(examples) - len(explained)
    return 2 if problems and (strict or not explained) else 0


def _name(first: "Explanation") -> str:
    return Path(first.file).stem if first.heat_map is not None else "texts"


def _tell(one: "Explanation") -> None:
    """An explanation in a few lines."""
    from headstart.reports.explanation import where

    predicted = one.answer.predicted if isinstance(one.answer.predicted, list) else [one.answer.predicted]
    said = "" if one.class_name in predicted else f"   (it says {', '.join(predicted) or NO_LABEL})"
    output.result(f"{one.class_name.ljust(8)}  {one.probability:6.1%}   {one.file}{said}")
    if one.answer.out_of_distribution:
        output.result("          out-of-distribution: unlike the training examples, so the answer may mean nothing")
    if one.heat_map is not None:
        output.result(f"          {where(one.heat_map, one.class_name)}")
    for sign, marked in (("for", 1), ("against", -1)):
        words = sorted((word for word in one.words or () if marked * word[1] > 0), key=lambda word: -abs(word[1]))
        if words:
            shown = ", ".join(f"{text.rstrip()} {weight:+.2f}" for text, weight in words[:_WORDS])
            output.result(f"          {sign.ljust(8)} {shown}")
    if one.nearest:
        alike = ", ".join(f"{'; '.join(other.labels) or NO_LABEL} {other.similarity:.2f}" for other in one.nearest)
        output.result(f"          most like {alike}")
