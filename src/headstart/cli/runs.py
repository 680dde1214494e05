"""``headstart runs``."""

from pathlib import Path

import click

from headstart.cli import output
from headstart.errors import counted

_COLUMNS = ("run", "created", "figure", "examples", "base", "MB")


@click.command(epilog="Example: headstart runs --remove runs/photos-2 runs/photos-3")
@click.argument("paths", metavar="[FOLDER | RUN…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--remove", is_flag=True, help="Remove these runs, with their evaluations and exports.")
@click.option("--yes", is_flag=True, help="With --remove: do not ask.")
@click.option("--json", "as_json", is_flag=True, help="Print JSON.")
def runs(paths: tuple[Path, ...], remove: bool, yes: bool, as_json: bool) -> None:
    """List the runs in FOLDER (default: runs), show each RUN, or remove them."""
    from headstart.runs.files import FACTS

    if yes and not remove:
        raise click.UsageError("--yes needs --remove.")
    if remove:
        _remove(paths, ask=not yes)
    elif paths and all((path / FACTS).is_file() for path in paths):
        _show(paths, as_json=as_json)
    elif len(paths) > 1:
        raise click.UsageError("expected one folder of runs, or several runs.")
    else:
        _list(paths[0] if paths else Path("runs"), as_json=as_json)


def _list(folder: Path, *, as_json: bool) -> None:
    from headstart.commands.runs import list_runs

    entries = list_runs(folder)
    if as_json:
        output.result_json([entry.to_json() for entry in entries])
        return
    rows = []
    for entry in entries:
        facts = entry.run.facts if entry.run else None
        created = entry.created.strftime("%Y-%m-%d %H:%M") if entry.created else "–"
        examples = f"{facts.data.examples:,}" if facts and facts.data else "–"
        handle = facts.base.handle if facts else ""
        figure = "cannot be opened" if entry.problem else entry.figure or "–"
        rows.append((entry.folder.name, created, figure, examples, handle, f"{entry.size / 1e6:,.1f}"))
    output.table(_COLUMNS, rows, right=(3, 5), less_important=(4, 1))
    for entry in entries:
        if entry.problem:
            output.warn(entry.problem)
    output.result(f"\n{counted(len(entries), 'run')} in {folder}")


def _show(folders: tuple[Path, ...], *, as_json: bool) -> None:
    from headstart.cli.summary import summary
    from headstart.commands.load import load
    from headstart.commands.runs import entry_of

    if as_json:
        output.result_json([entry_of(folder).to_json() for folder in folders])
        return
    for folder in folders:
        run = load(folder)
        if len(folders) > 1:
            output.result(f"\n{folder}")
        output.result_text(summary(run))
        output.result(f"report   {folder / 'report.html'}")


def _remove(folders: tuple[Path, ...], *, ask: bool) -> None:
    from headstart.commands.runs import remove_runs

    if not folders:
        raise click.UsageError("--remove needs the runs to remove.")
    names = ", ".join(map(str, folders))
    if ask and not click.confirm(f"Remove {names}?"):
        return
    remove_runs(folders)
    output.result(f"removed {names}")
