"""The option ``--text-column`` of commands that read texts without labels."""

import click


def _split_names(ctx: click.Context, parameter: click.Parameter, value: str | None) -> list[str] | None:
    return [name.strip() for name in value.split(",") if name.strip()] if value else None


text_column_option = click.option(
    "--text-column",
    callback=_split_names,
    metavar="A,B,…",
    help="Column of texts in a table; several are joined.",
)
