"""The options of commands that read examples without labels: ``--text``, ``--text-column``."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from headstart.data.modalities import Modality


def _split_names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


text_column_option = click.option(
    "--text-column",
    callback=_split_names,
    metavar="A,B,…",
    help="Column of texts in a table; several are joined.",
)

text_option = click.option(
    "--text", "texts", multiple=True, metavar="TEXT", help="A text itself, for a run on texts; may be repeated."
)


def check_inputs(files: Sequence[str], texts: Sequence[str], modality: "Modality") -> None:
    """Check that there is something to read, and that it is what the run reads.

    Raises:
        click.UsageError: there is nothing, or texts are for a run on something else.
    """
    if not files and not texts:
        raise click.UsageError(f"name a FILE{', or use --text TEXT' if modality.is_in_tables else ''}")
    if texts and not modality.is_in_tables:
        raise click.UsageError(f"--text is for runs on texts, and this run is on {modality.plural}")
