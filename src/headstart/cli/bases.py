"""``headstart bases``: which bases there are, and how fast they are here."""

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


@click.command(epilog="Example: headstart bases mobilenet --max-mb 20 --sort top1")
@click.argument("name", required=False)
@click.option("--max-mb", type=float, help="At most this size of the weights without the top, in MB.")
@click.option("--min-top1", type=float, help="At least this published ImageNet accuracy, in percent.")
@click.option("--here", is_flag=True, help="Only bases that need no network.")
@click.option("--sort", type=click.Choice(get_args(Sort)), default="name", show_default=True, help="Order of the rows.")
@click.option(
    "--measure", is_flag=True, help="Measure the speed of the bases listed on this machine, half a minute each."
)
@click.option("--cuts", is_flag=True, help="Show where the base NAME can be cut for fine-tuning, block by block.")
@bundle_option
@click.option("--json", "as_json", is_flag=True, help="Print JSON instead of a table.")
def bases(
    name: str | None,
    max_mb: float | None,
    min_top1: float | None,
    here: bool,
    sort: Sort,
    measure: bool,
    cuts: bool,
    as_json: bool,
) -> None:
    """List the bases whose handle contains NAME, or all.

    Sizes and numbers of parameters are without the top, which is what a base is; accuracies are those published for
    the whole model on ImageNet.
    """
    if cuts:
        _cuts(name, as_json=as_json)
        return
    chosen = select(entries(), contains=name, max_mb=max_mb, min_top1=min_top1, local_only=here, sort=sort)
    speeds = {entry.handle: _speeds(entry, i, len(chosen)) for i, entry in enumerate(chosen)} if measure else {}
    if as_json:
        output.result_json([_as_json(entry, speeds.get(entry.handle)) for entry in chosen])
        return
    if not chosen:
        output.note("no base meets all these conditions: try fewer, or `headstart bases` for the whole list.")
        return
    output.table(_HEADER, [_row(entry) for entry in chosen], right=_RIGHT)
    others = sorted(set(list_handles()) - {entry.handle for entry in entries()})
    if others:
        output.note(f"Also in the bundle: {', '.join(others)}")
    if measure:
        rows = [
            (handle, engine, f"{images_a_second:.0f}", f"{ms:.1f}")
            for handle, measured in speeds.items()
            for engine, (images_a_second, ms) in measured.items()
        ]
        output.result()
        output.table(("base", "engine", "images/s", "ms for one"), rows, right=(2, 3))
    else:
        output.note("Speed on this machine: headstart bases NAME --measure")
        output.note("Which is best for your data: headstart compare DATA")
        output.note("More for images: hf:, preset:, kaggle:, tfhub:, file:")
        output.note("For texts: embedded:all-minilm-l6-v2, embedded:glove-6b-50d,")
        output.note("           hf:, preset:, kaggle:, glove:, word2vec:, fasttext:, stanza:")
        output.note("What follows the colon, and what each needs: docs/sources.md")


def _cuts(name: str | None, *, as_json: bool) -> None:
    """The blocks of one base, the one nearest to the features last."""
    from headstart.bases import BaseSpec, load_base
    from headstart.bases.blocks import blocks_of

    if name is None:
        raise InputError("--cuts needs the name of one base, such as: headstart bases keras:ResNet50 --cuts")
    here = {entry.handle: entry.is_local for entry in entries()}
    # The graph does not depend on the weights, so those that are not here need not be fetched for it.
    spec = BaseSpec(name, "imagenet" if here.get(name, not name.startswith("keras:")) else "none")
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
    output.table(("block", "output", "of weights", "of compute", "kB cached an example"), rows, right=(1, 2, 3, 4))


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


def _as_json(entry: Entry, measured: dict[str, tuple[float, float]] | None) -> dict[str, Any]:
    value = asdict(entry)
    if measured is not None:
        value["measured"] = {
            engine: {"images_per_second": round(rate, 1), "ms_per_image": round(ms, 2)}
            for engine, (rate, ms) in measured.items()
        }
    return value


def _speeds(entry: Entry, index: int, count: int) -> dict[str, tuple[float, float]]:
    """Engine -> (images a second, milliseconds for one). Speed does not depend on what the weights are."""
    from headstart.bases import BaseSpec, for_images, load_base
    from headstart.features.engines import measure

    if count > 1:
        output.note(f"measuring {entry.handle} ({index + 1} of {count}) …")
    spec = BaseSpec(entry.handle, "imagenet" if entry.is_local else "none")
    return measure(for_images(load_base(spec, progress=current_progress())))
