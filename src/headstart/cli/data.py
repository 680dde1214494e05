"""The options that say how data are read, which several commands share."""

from collections.abc import Callable
from typing import Any

import click


def names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    """Names divided by commas."""
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


def _input_size(ctx: click.Context, parameter: click.Parameter, value: str | None) -> tuple[int, int] | None:
    if value is None:
        return None
    height, _, width = value.lower().partition("x")
    try:
        return int(height), int(width or height)
    except ValueError as exc:
        raise click.BadParameter(f"{value!r}: expected pixels such as 224, or HEIGHTxWIDTH such as 192x256.") from exc


_SIZE = (
    click.option(
        "--input-size", callback=_input_size, metavar="PIXELS", help="224, or HEIGHTxWIDTH; default: the base's own."
    ),
    click.option(
        "--resize",
        type=click.Choice(["stretch", "crop", "pad"]),
        help="How photos of another shape become the input size.",
    ),
)
_DIVISION = (
    click.option("--val", default=0.15, show_default=True, help="Fraction for validation."),
    click.option("--test", default=0.15, show_default=True, help="Fraction held out for the final figures."),
    click.option("--seed", default=0, show_default=True, help="Of the split and of everything random."),
)
_READING = (
    click.option(
        "--group-by",
        metavar="COLUMN|folder|REGEX",
        help="What must stay on one side of the split: patient, video, scene.",
    ),
    click.option("--classes", callback=names, metavar="A,B,…", help="Use these classes only."),
    click.option("--path-column", metavar="NAME", help="Of a table."),
    click.option(
        "--text-column", "--text", callback=names, metavar="A,B,…", help="Of a table of texts; several are joined."
    ),
    click.option(
        "--label-column",
        "--label",
        callback=names,
        metavar="A,B,…",
        help="Of a table; several of 0 and 1 are multi-label.",
    ),
    click.option("--label-separator", metavar="CHARACTER", help="Between several labels in one cell: multi-label."),
    click.option("--split-column", metavar="NAME", help="Of a table: train, val or test."),
)


def size_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how pictures become the size that a base takes."""
    return _with(_SIZE, command)


def reading_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how data are read."""
    return _with(_READING, command)


def data_options(command: Callable[..., Any]) -> Callable[..., Any]:
    """Give a command the options of how data are divided and read."""
    return _with(_DIVISION, reading_options(command))


def _with(options: tuple[Callable[..., Any], ...], command: Callable[..., Any]) -> Callable[..., Any]:
    for option in reversed(options):
        command = option(command)
    return command
