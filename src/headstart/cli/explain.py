"""``headstart explain``."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from headstart.cli import output
from headstart.cli.columns import check_inputs, text_column_option, text_option
from headstart.cli.progress import current_progress
from headstart.tasks.labels import NO_LABEL

if TYPE_CHECKING:
    from headstart.explanation.explain import Explanation, Method

_WORDS = 5  # words per line of the summary


@click.command(epilog="Example: headstart explain runs/photos new/img.jpg")
@click.argument("run", type=click.Path(path_type=Path))
@click.argument("files", nargs=-1, metavar="[FILE…]")
@text_option
@click.option("--class-name", metavar="NAME", help="Class to explain; default: the most probable one.")
@click.option(
    "--box",
    type=click.IntRange(min=1),
    default=1,
    show_default=True,
    metavar="N",
    help="Explain the object with the N-th highest score (of the class), for a run that detects objects.",
)
@click.option(
    "--method",
    type=click.Choice(["auto", "grad-cam", "occlusion"]),
    default="auto",
    show_default=True,
    help="For images; auto is grad-cam if the base ends in a feature map.",
)
@click.option(
    "--nearest", type=click.IntRange(min=0), default=6, show_default=True, help="Number of similar training examples."
)
@text_column_option
@click.option(
    "--out",
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for the page; default: a new folder in RUN/explanations/.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per line; write a page only with --out.")
@click.option("--strict", is_flag=True, help="Exit with an error if any file cannot be used.")
def explain(
    run: Path,
    files: tuple[str, ...],
    texts: tuple[str, ...],
    class_name: str | None,
    box: int,
    method: "Method",
    nearest: int,
    text_column: list[str] | None,
    out: Path | None,
    as_json: bool,
    strict: bool,
) -> int:
    """Explain predictions of a RUN: areas of an image or words of a text, and similar training examples.

    FILE is an image, a folder of images or a pattern such as 'new/*.jpg'. For a run on texts it is a text file, a
    folder of text files, or a table; --text takes the text itself. Writes a page, and for each image a file with its
    heat map.
    """
    from headstart.data.examples import TextExample
    from headstart.explanation.explain import Explainer
    from headstart.reports.explanation import write_explanations
    from headstart.runs.files import read_facts
    from headstart.runs.predictor import Problem

    modality = read_facts(run).modality  # a wrong RUN or FILE is reported before the computation
    check_inputs(files, texts, modality)
    examples = [*modality.list_examples(files, text_column), *map(TextExample, texts)]
    explainer = Explainer(
        run, class_name=class_name, box=box, method=method, nearest=nearest, progress=current_progress()
    )
    explanations: list[Explanation] = []
    for result in explainer.explain(examples):
        if isinstance(result, Problem):
            output.warn(f"{result.file}: {result.reason}")
            continue
        explanations.append(result)
        if as_json:
            output.result_json(result.to_json())
        else:
            _print_summary(result)
    if note := explainer.note():
        output.note(note)
    if explanations and (out or not as_json):
        parent, name = (
            (out.absolute().parent, out.name) if out else (run / "explanations", _folder_name(explanations[0]))
        )
        page = write_explanations(explainer, explanations, parent, name)
        (output.note if as_json else output.result)(f"page      {page}")
    problems = len(examples) - len(explanations)
    return 2 if problems and (strict or not explanations) else 0


def _folder_name(first: "Explanation") -> str:
    return first.file_stem if first.heat_map is not None else "texts"


def _print_summary(explanation: "Explanation") -> None:
    from headstart.reports.explanation import summarize

    answer, class_name = explanation.answer, explanation.class_name
    remark = "" if class_name in answer.names else f"   (predicted: {answer.label()})"
    if explanation.box is not None:
        remark = f"   ({explanation.box.place})"
    output.result(f"{class_name.ljust(8)}  {explanation.probability:6.1%}   {explanation.file}{remark}")
    if answer.out_of_distribution:
        output.result("          out-of-distribution: unlike the training examples, so the prediction may mean nothing")
    if explanation.heat_map is not None:
        output.result(f"          {summarize(explanation.heat_map, class_name)}")
    for direction, sign in (("for", 1), ("against", -1)):
        words = sorted((word for word in explanation.words or () if sign * word[1] > 0), key=lambda word: -abs(word[1]))
        if words:
            word_list = ", ".join(f"{text.rstrip()} {weight:+.2f}" for text, weight in words[:_WORDS])
            output.result(f"          {direction.ljust(8)} {word_list}")
    if explanation.nearest:
        similar = ", ".join(
            f"{'; '.join(item.labels) or NO_LABEL} {item.similarity:.2f}" for item in explanation.nearest
        )
        output.result(f"          similar  {similar}")
