"""``headstart train``."""

from functools import partial
from pathlib import Path
from typing import Any

import click

from headstart.cli import output
from headstart.cli.compare import budget_options
from headstart.cli.data import data_options, size_options
from headstart.cli.export import tell as tell_exports
from headstart.cli.fetch import bundle_option
from headstart.cli.tuning import pop_tuning, tuning_options
from headstart.data.readers import NOUNS
from headstart.errors import counted
from headstart.exporting.formats import check_base, check_installed, parse

_OUTCOMES = {
    "kept": "fine-tuned model kept",
    "not better": "fine-tuned model not kept, the head alone was",
    "not tried": "fine-tuning not tried",
}


def _sizes(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in value.split(",")) if value else ()
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected sizes such as 256 or 256,128.") from exc


@click.command(epilog="Example: headstart train photos/ --base keras:Xception --test 0.2")
@click.argument("data", type=click.Path(path_type=str))
@click.option(
    "--base",
    help="What to transfer from; `headstart bases` lists it; auto: compare. Default: the best for such data that needs "
    "no network.",
)
@click.option(
    "--bases", default="here", show_default=True, metavar="here|all|HANDLE,…", help="What --base auto chooses from."
)
@budget_options
@bundle_option
@click.option(
    "--weights",
    default="imagenet",
    show_default=True,
    metavar="imagenet|PATH|none",
    help="The base's weights: published, a file, or none (random).",
)
@size_options
@click.option("--cut", metavar="LAYER", help="Of a file: base, the layer whose output are the features.")
@click.option(
    "--words-by",
    metavar="stanza:LANG",
    help="Of word vectors: the tokenizer for a language that does not divide words by spaces.",
)
@click.option("--name", help="Name of the run; default: that of the data.")
@click.option(
    "--runs",
    default="runs",
    show_default=True,
    type=click.Path(file_okay=False, path_type=Path),
    help="Folder for runs.",
)
@click.option(
    "--head",
    type=click.Choice(["auto", "linear", "mlp"]),
    default="auto",
    show_default=True,
    help="linear is solved, mlp has hidden layers.",
)
@click.option("--dense", callback=_sizes, metavar="SIZES", help="Hidden layers of an mlp, such as 256,128.")
@click.option("--dropout", default=0.2, show_default=True, help="Of an mlp.")
@click.option("--epochs", default=100, show_default=True, help="Of an mlp, at most; it stops early.")
@click.option(
    "--class-weights",
    type=click.Choice(["auto", "balanced", "none"]),
    default="auto",
    show_default=True,
    help="auto balances data of 3 to 1 or worse.",
)
@click.option(
    "--search",
    type=int,
    metavar="N",
    help="Try N heads on features from several places in the base; the best is kept if validation proves a gain.",
)
@tuning_options
@data_options
@click.option("--shots", type=int, metavar="N", help="Train on N examples of each class only, and validate on none.")
@click.option(
    "--min-precision",
    default=0.95,
    show_default=True,
    help="Share of answers to be right where `predict --min-confidence auto` leaves out the unsure ones.",
)
@click.option(
    "--relabel", metavar="CSV", help="Your verdicts on labels: a run's suspects.csv with the right ones, or drop."
)
@click.option(
    "--engine",
    type=click.Choice(["auto", "openvino", "keras"]),
    default="auto",
    show_default=True,
    help="What runs the frozen base. auto: Keras on a GPU where that is quicker, else OpenVINO if it can.",
)
@click.option(
    "--precision",
    type=click.Choice(["auto", "float32", "bfloat16"]),
    default="auto",
    show_default=True,
    help="auto: bfloat16 where the CPU has it, float32 on a GPU.",
)
@click.option("--strict", is_flag=True, help="Fail if any file has to be left out.")
@click.option("--export", metavar="A,B,…", help="Export the run as well, such as to litert; see `headstart export`.")
def train(export: str | None, **options: Any) -> None:
    """Train a classifier on your pictures or texts.

    DATA is a folder with one folder of pictures or text files per class, or with train, val and test folders of those,
    or a table (.csv, .tsv, .jsonl, .parquet) of paths or texts, and labels.

    Any number of labels for each example, also none, are given by several columns of 0 and 1 (--label toxic,insult), by
    a column of lists, or by one with a separator (--label tags --label-separator ';').
    """
    from headstart.commands import train as pipeline

    if export:  # what stands against it is said before hours of training
        formats = parse(export)
        check_installed(formats)
        options["check_base"] = partial(check_base, formats)
    run = pipeline.train(options.pop("data"), tuning=pop_tuning(options), **options)
    tell(run)
    if export:
        from headstart.exporting.export import export as export_run

        tell_exports(export_run(run, export))


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
