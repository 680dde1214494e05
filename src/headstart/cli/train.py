"""``headstart train``."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.export import tell as tell_exports
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.cli.settings import SettingCommand, setting_options
from headstart.cli.tracking import tracking_options
from headstart.config.commands import TRAIN
from headstart.data.readers import NOUNS
from headstart.errors import counted
from headstart.exporting.formats import check_base, check_installed, parse

_OUTCOMES = {
    "kept": "fine-tuned model kept",
    "not better": "fine-tuned model not kept, the head alone was",
    "not tried": "fine-tuning not tried",
}


@click.command(cls=SettingCommand, epilog="Example: headstart train photos/ --base keras:Xception --test 0.2")
@click.argument("data", type=click.Path(path_type=str))
@setting_options(TRAIN)
@bundle_option
@click.option("--name", help="Name of the run. Default: that of the data.")
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for runs.",
)
@click.option("--export", metavar="A,B,…", help="Export the run as well, such as to litert; see `headstart export`.")
@tracking_options
def train(export: str | None, **options: Any) -> None:
    """Train a classifier on your images or texts.

    DATA is a folder with one folder of images or text files per class, or with train, val and test folders of those,
    or a table (.csv, .tsv, .jsonl, .parquet) of paths or texts, and labels.

    An example may have any number of labels: several columns of 0 and 1 (--label-column toxic,insult), a column of
    lists, or one column with a separator (--label-column tags --label-separator ';').
    """
    from headstart.commands.train import train

    if export:  # what is impossible is reported before hours of training
        formats = parse(export)
        check_installed(formats)
        options["check_base"] = partial(check_base, formats)
    run = train(options.pop("data"), **options, progress=current_progress())
    tell(run)
    if export:
        from headstart.exporting.export import export as export_run

        tell_exports(export_run(run, export, progress=current_progress()))


def tell(run: Any) -> None:
    """Say what became of a training, and what to do next."""
    output.result(summary(run))
    output.result(f"report   {run.folder / 'report.html'}")
    what = "FILE …" if run.facts["base"]["modality"] == "image" else '"some text"'
    output.result(f"predict  headstart predict {run.folder} {what}")


def told(figures: dict[str, Any], name: str) -> str:
    """A figure with its interval."""
    one, form = figures[name], ".1%" if name == "accuracy" else ".3f"
    interval = "" if one["low"] is None else f" (95 % interval {one['low']:{form}} to {one['high']:{form}})"
    value = "undefined" if one["value"] is None else f"{one['value']:{form}}"
    return f"{name.replace('_f1', ' F1')} {value}{interval}"


def _sureness(run: Any) -> list[str]:
    """What is answered, and how often rightly, if only the sure answers count."""
    rejection = run.facts.get("rejection")
    if not rejection:
        return []
    if rejection["threshold"] is None:
        return [rejection["reason"]]
    told = next(rejection[key] for key in ("on_held_out", "on_test", "on_chosen") if rejection.get(key))
    if not rejection["threshold"] or not told["answered"]:
        return []
    return [
        f"sure from a confidence of {rejection['threshold']:.1%} on (--min-precision {rejection['min_precision']:g}): "
        f"{told['coverage']:.1%} are answered, {told['precision']:.1%} of them rightly "
        f"(95 % interval {told['low']:.1%} to {told['high']:.1%})"
    ]


def _label_errors(run: Any) -> list[str]:
    found = run.facts.get("label_errors")
    if not found or not found["suspected"]:
        return []
    several = "thresholds" in run.facts  # labels to an example
    doubted = f"{'labels of ' if several else ''}{found['suspected']:,} of "
    doubted += counted(found["examined"], "example" if several else "label")
    return [
        f"{doubted} are in doubt: {run.folder / 'suspects.csv'} names them, the likeliest errors first; --relabel "
        "takes your verdicts"
    ]


def _thresholds(run: Any) -> list[str]:
    """Which labels have no threshold of their own, and why."""
    from headstart.evaluation.multi_label import DEFAULT_THRESHOLD, FEWEST_POSITIVES

    kept = [name for name, threshold in run.facts["thresholds"].items() if threshold == DEFAULT_THRESHOLD]
    if not kept:
        return []
    named = "all labels" if len(kept) == len(run.classes) else ", ".join(kept[:10]) + (", …" if len(kept) > 10 else "")
    return [
        f"given from a probability of {DEFAULT_THRESHOLD} on: {named}; a threshold of its own takes {FEWEST_POSITIVES} "
        "validation examples with the label and as many without"
    ]


def _leak_free(run: Any) -> list[str]:
    """The figures without what the run has seen in training, exactly or nearly."""
    leak_free = run.figures.get("leak_free")
    if not leak_free:
        return []
    removed = f"the {counted(leak_free['removed'], 'example')} that it has seen in training, exactly or nearly"
    if leak_free["metrics"] is None:
        return [f"without {removed}, nothing is left to judge it by"]
    return [f"without {removed}: {told(leak_free['metrics'], run.figures['metrics'][0])} on {leak_free['examples']:,}"]


def _search(run: Any) -> list[str]:
    """The best of the heads that were tried, and what mattered."""
    search = run.facts.get("search")
    if not search:
        return []
    best, mattered = search["best"], search["mattered"].get("all heads")
    lines = [
        f"{counted(search['trials'], 'head')} tried in {search['seconds']:.1f} s; the best: {best['told']}; "
        f"cross-validated log loss {search['start']['log_loss']:.3f} for the usual one, {best['log_loss']:.3f} for "
        "this one, flattered by the choice",
        f"{'found head kept' if search['outcome'] == 'kept' else 'found head not kept'}: {search['reason']}",
    ]
    if mattered:
        from headstart.training.head.search import SETTINGS

        shares = ", ".join(f"{SETTINGS[name]} {share:.0%}" for name, share in mattered.items())
        lines.append(f"what mattered in the search: {shares}")
    return lines


def summary(run: Any) -> str:
    """A few lines that say how good a run is, for the terminal."""
    headline = run.figures["headline"]
    figures = run.figures["splits"][headline]
    source = {"val": "validation", "train": "training"}.get(headline, headline)
    examples = counted(figures["examples"], NOUNS[run.facts["base"]["modality"]])
    if "thresholds" in run.facts:
        lines = [f"{source} {told(figures, 'micro_f1')}, {told(figures, 'macro_f1')}, on {examples}"]
        lines += _thresholds(run)
    else:
        lines = [f"{source} {told(figures, 'accuracy')} on {examples} of {len(run.classes)} classes"]
        lines += _sureness(run)
    lines += _leak_free(run)
    lines += _search(run)
    tuning = run.facts.get("fine_tuning", {})
    if tuning.get("reason"):
        lines.append(f"{_OUTCOMES[tuning['outcome']]}: {tuning['reason']}")
    if headline == "train":
        lines.append("nothing was held out: this figure says how well the run remembers, not how well it will do")
    unfamiliar = run.facts.get("unfamiliar")
    if unfamiliar:
        lines.append(
            f"{unfamiliar:,} of them ({unfamiliar / figures['examples']:.1%}) are unlike those that the run has learnt "
            "from; 1 % is usual"
        )
    lines += _label_errors(run)
    return "\n".join(lines)
