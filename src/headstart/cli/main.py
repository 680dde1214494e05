"""The command line: parses, calls one function, prints. Commands are imported when they are called for."""

import errno
import importlib
import os
import sys
import warnings
from typing import Any

import click

from headstart.cli import output
from headstart.cli.progress import choose_progress
from headstart.errors import HeadstartError, did_you_mean

COMMANDS = {
    "train": ("headstart.cli.train", "Train a classifier on your pictures or texts."),
    "tune": ("headstart.cli.tune", "Fine-tune a finished run further."),
    "extend": ("headstart.cli.extend", "Add classes or examples to a finished run."),
    "predict": ("headstart.cli.predict", "Predict labels for new images or texts."),
    "serve": ("headstart.cli.serve", "Serve predictions over HTTP."),
    "explain": ("headstart.cli.explain", "Explain predictions: heat maps, words, similar examples."),
    "export": ("headstart.cli.export", "Export a trained model: ONNX, LiteRT, OpenVINO, SavedModel, Keras."),
    "evaluate": ("headstart.cli.evaluate", "Judge a run on data that it has not seen."),
    "audit": ("headstart.cli.audit", "Say what is wrong with data, before training."),
    "compare": ("headstart.cli.compare", "Find the best base for your data within a budget."),
    "ui": ("headstart.cli.ui", "Do all of it on a page in the browser."),
    "fetch": ("headstart.cli.fetch", "Get bases before they are needed; pack them for a machine without network."),
    "adopt": ("headstart.cli.adopt", "Make a run of a Teachable Machine export."),
    "check": ("headstart.cli.check", "Find common mistakes in your own Keras script or model."),
    "bases": ("headstart.cli.bases", "List what can be transferred from."),
    "cache": ("headstart.cli.cache", "Show what the cache holds, or make room."),
}
"""Name -> module whose function of the same name is the command, and the line of help that the list shows."""


# What no program can help: no permission, no room, a file where a folder should be.
_MACHINE = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOSPC, errno.EDQUOT, errno.ENOTDIR}


class _LazyGroup(click.Group):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            ctx.fail(f"there is no command {cmd_name!r}.{did_you_mean(cmd_name, COMMANDS)}")
        return getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, help_line) for name, (_, help_line) in COMMANDS.items()])


def _version(ctx: click.Context, parameter: click.Parameter, value: bool) -> None:
    if value:
        from importlib.metadata import version

        output.result(f"headstart {version('headstart')}")
        ctx.exit()


@click.group(
    cls=_LazyGroup,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
    epilog="Example: headstart train photos/",
)
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
@click.option("--debug", is_flag=True, help="Show the traceback of an error.")
@click.option("--quiet", is_flag=True, help="No progress, notes or warnings; results and errors only.")
@click.option("--offline", is_flag=True, help="Never use the network (also: HEADSTART_OFFLINE=1).")
@click.pass_context
def cli(context: click.Context, debug: bool, quiet: bool, offline: bool) -> None:
    """Transfer learning, done right: a pretrained base, a new head on your data, one safe file."""
    context.obj = choose_progress(quiet=quiet)
    context.with_resource(output.logging_to_stderr(quiet=quiet))
    if offline:
        os.environ["HEADSTART_OFFLINE"] = "1"


def main() -> None:
    """Run the command line and exit: 0 done, 1 our bug, 2 your input, 3 unavailable, 4 integrity, 130 interrupted."""
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # Pillow's; headstart refuses the file by name
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # These belong to every command, so they may stand anywhere.
    anywhere = [word for word in arguments if word in ("--debug", "--quiet", "--offline")]
    rest = [word for word in arguments if word not in ("--debug", "--quiet", "--offline")]
    sys.exit(_run([*anywhere, *rest], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        outcome: Any = cli.main(arguments, prog_name="headstart", standalone_mode=False)
    except click.ClickException as exc:
        output.error(_usage(exc))
        return 2
    except HeadstartError as exc:
        if debug:
            raise
        output.error(exc.render(spell_option))
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt):
        output.error("interrupted. Features computed so far are kept: the same command goes on where it was.")
        return 130
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what follows has nowhere to go
        return 0
    except OSError as exc:
        if debug or exc.errno not in _MACHINE:
            return _bug(exc, debug=debug)
        output.error(f"{exc.strerror}: {exc.filename}. Make room, or choose another folder (--runs, HEADSTART_CACHE).")
        return 3
    except Exception as exc:  # noqa: BLE001 - the last resort: one line for people, the traceback on request
        return _bug(exc, debug=debug)
    return outcome if isinstance(outcome, int) else 0


def spell_option(name: str, value: str | None) -> str:
    """A setting as the command line names it: ``--fine-tune``, or ``--fine-tune none``."""
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


def _bug(exc: Exception, *, debug: bool) -> int:
    if debug:
        raise exc
    output.error(f"{type(exc).__name__}: {exc}\nThis is a bug in headstart. --debug shows where; please report it.")
    return 1


def _usage(exc: click.ClickException) -> str:
    context = getattr(exc, "ctx", None)
    hint = f" Try `{context.command_path} --help`." if context else ""
    text = exc.format_message()
    return text + ("" if text.endswith((".", "?")) else ".") + hint
