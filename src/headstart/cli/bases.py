"""``headstart bases``: the list of bases, their blocks, and their speed on this machine."""

from dataclasses import asdict
from typing import Any, get_args

import click

from headstart.bases.bundle import list_handles
from headstart.bases.catalog import Entry, Sort, entries, select
from headstart.cli import output
from headstart.cli.fetch import bundle_option
from headstart.cli.progress import current_progress
from headstart.errors import InputError

_HEADER = (
    "base",
    "MB",
    "top-1 %",
    "top-5 %",
    "params M",
    "depth",
    "input",
    "min",
    "preprocessing",
    "features",
    "weights",
)
_RIGHT = (1, 2, 3, 4, 5, 6, 7, 9)
_LESS_IMPORTANT = (3, 5, 7, 8, 9)  # columns that a narrow terminal does not show


@click.command(epilog="Example: headstart bases mobilenet --max-mb 20 --sort top1")
@click.argument("name", required=False)
@click.option(
    "--max-mb",
    type=click.FloatRange(min=0, min_open=True),
    metavar="MB",
    help="Largest size of the weights (without the top) in MB.",
)
@click.option(
    "--min-top1",
    type=click.FloatRange(0, 100),
    metavar="PERCENT",
    help="Lowest published ImageNet top-1 accuracy in percent.",
)
@click.option("--here", "local_only", is_flag=True, help="Only bases that need no network.")
@click.option("--sort", type=click.Choice(get_args(Sort)), default="name", show_default=True, help="Order of the rows.")
@click.option(
    "--measure", is_flag=True, help="Measure the speed of the listed bases on this machine. Takes half a minute each."
)
@click.option("--blocks", is_flag=True, help="List the blocks of the base NAME, for fine-tuning.")
@bundle_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bases(
    name: str | None,
    max_mb: float | None,
    min_top1: float | None,
    local_only: bool,
    sort: Sort,
    measure: bool,
    blocks: bool,
    as_json: bool,
) -> None:
    """List pretrained bases, all or those whose handle contains NAME.

    Sizes and numbers of parameters are without the classification top. Accuracies are the published ones of the whole
    model on ImageNet.
    """
    if blocks:
        _print_blocks(name, as_json=as_json)
        return
    selected = select(entries(), contains=name, max_mb=max_mb, min_top1=min_top1, local_only=local_only, sort=sort)
    speeds = {entry.handle: _speeds(entry, i, len(selected)) for i, entry in enumerate(selected)} if measure else {}
    if as_json:
        output.result_json([_as_json(entry, speeds.get(entry.handle)) for entry in selected])
        return
    if not selected:
        output.note("no base meets all these conditions. `headstart bases` lists all bases.")
        return
    output.table(_HEADER, [_row(entry) for entry in selected], right=_RIGHT, less_important=_LESS_IMPORTANT)
    bundle_handles = sorted(set(list_handles()) - {entry.handle for entry in entries()})
    if bundle_handles:
        output.note(f"Also in the bundle: {', '.join(bundle_handles)}")
    if measure:
        rows = [
            (handle, engine, f"{images_a_second:.0f}", f"{ms:.1f}")
            for handle, speed in speeds.items()
            for engine, (images_a_second, ms) in speed.items()
        ]
        output.result()
        output.table(("base", "engine", "images/s", "ms per image"), rows, right=(2, 3))
    else:
        output.note("Speed on this machine: headstart bases NAME --measure")
        output.note("Compare bases on your data: headstart compare DATA")
        output.note("More for images: hf:, preset:, kaggle:, tfhub:, file:,")
        output.note("           yolo: (headstart train DATA --base yolo:MODEL.cfg, with MODEL.weights beside it)")
        output.note("For texts: embedded:all-minilm-l6-v2, embedded:glove-6b-50d,")
        output.note("           hf:, preset:, kaggle:, glove:, word2vec:, fasttext:, stanza:")
        output.note("All sources: docs/sources.md")


def _print_blocks(name: str | None, *, as_json: bool) -> None:
    """Print the blocks of one base, from the input to the features."""
    from headstart.bases import BaseSpec, load_base
    from headstart.bases.blocks import blocks_of

    if name is None:
        raise InputError("--blocks needs the name of one base, such as: headstart bases keras:ResNet50 --blocks")
    is_local = {entry.handle: entry.is_local for entry in entries()}
    # The graph does not depend on the weights, so nothing is downloaded for it.
    spec = BaseSpec(name, "imagenet" if is_local.get(name, not name.startswith("keras:")) else "none")
    blocks = blocks_of(load_base(spec, progress=current_progress()))
    params, compute = (max(sum(getattr(block, of) for block in blocks), 1) for of in ("params", "multiply_adds"))
    if as_json:
        shares = [{"params_share": b.params / params, "compute_share": b.multiply_adds / compute} for b in blocks]
        sizes = [{"cached_bytes": block.cached_bytes} for block in blocks]
        output.result_json(
            [{**block.to_json(), **share, **size} for block, share, size in zip(blocks, shares, sizes, strict=True)]
        )
        return
    rows = [
        (
            block.name,
            " × ".join(map(str, block.shape)),
            f"{100 * block.params / params:.1f} %",
            f"{100 * block.multiply_adds / compute:.1f} %",
            f"{block.cached_bytes / 1e3:,.0f}",
        )
        for block in blocks
    ]
    output.table(("block", "output", "of weights", "of compute", "kB cached per example"), rows, right=(1, 2, 3, 4))


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        entry.handle,
        f"{entry.size_mb:.0f}",
        f"{entry.top1:.1f}" if entry.top1 else "–",
        f"{entry.top5:.1f}" if entry.top5 else "–",
        f"{entry.params_m:.1f}",
        str(entry.depth or "–"),
        str(entry.input_size),
        str(entry.min_size),
        entry.preprocessing,
        str(entry.feature_dim),
        entry.weights,
    )


def _as_json(entry: Entry, speed: dict[str, tuple[float, float]] | None) -> dict[str, Any]:
    value = asdict(entry)
    if speed is not None:
        value["measured"] = {
            engine: {"images_per_second": round(rate, 1), "ms_per_image": round(ms, 2)}
            for engine, (rate, ms) in speed.items()
        }
    return value


def _speeds(entry: Entry, index: int, count: int) -> dict[str, tuple[float, float]]:
    """Engine -> (images per second, milliseconds per image). Speed does not depend on the values of the weights."""
    from headstart.bases import BaseSpec, load_base
    from headstart.features.engines import measure

    if count > 1:
        output.note(f"measuring {entry.handle} ({index + 1} of {count}) …")
    spec = BaseSpec(entry.handle, "imagenet" if entry.is_local else "none")
    return measure(load_base(spec, progress=current_progress()).for_images())
