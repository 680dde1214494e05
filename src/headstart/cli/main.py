"""The command line: parses arguments, calls one function, prints. A command is imported only when it is used."""

import errno
import importlib
import os
import signal
import sys
import warnings
from pathlib import Path
from types import FrameType
from typing import Any, NoReturn

import click

from headstart.cli import output
from headstart.cli.progress import choose_progress
from headstart.errors import HeadstartError, did_you_mean
from headstart.system import disk
from headstart.system.settings import cache_folder

COMMANDS = {
    "train": ("headstart.cli.train", "Train a classifier on your images or texts."),
    "tune": ("headstart.cli.tune", "Fine-tune a finished run further."),
    "extend": ("headstart.cli.extend", "Add classes or examples to a finished run."),
    "predict": ("headstart.cli.predict", "Predict labels for new images or texts."),
    "serve": ("headstart.cli.serve", "Serve predictions of one or more runs over HTTP."),
    "explain": ("headstart.cli.explain", "Explain predictions: heat maps, words, similar training examples."),
    "export": ("headstart.cli.export", "Export a trained model: ONNX, LiteRT, OpenVINO, SavedModel, Keras."),
    "evaluate": ("headstart.cli.evaluate", "Evaluate a run on new labelled data."),
    "runs": ("headstart.cli.runs", "List finished runs, show their figures, or remove some."),
    "audit": ("headstart.cli.audit", "Check a data set before training."),
    "compare": ("headstart.cli.compare", "Compare bases on your data, within limits of size and time."),
    "ui": ("headstart.cli.ui", "Start the web UI."),
    "fetch": ("headstart.cli.fetch", "Download bases for use without network."),
    "adopt": ("headstart.cli.adopt", "Import a Teachable Machine export as a run."),
    "check": ("headstart.cli.check", "Find common mistakes in your own Keras script or model."),
    "bases": ("headstart.cli.bases", "List pretrained bases."),
    "cache": ("headstart.cli.cache", "Show or clear the cache."),
}
"""Name -> module whose function of the same name is the command, and the line of help that the list shows."""


# Errors of the machine, not of headstart: no permission, a file where a folder should be.
_MACHINE_ERRORS = {errno.EACCES, errno.EPERM, errno.EROFS, errno.ENOTDIR}

_GLOBAL_OPTIONS = ("--debug", "--quiet", "--offline")


class _ClosedPipeError(Exception):
    """The program that reads our output has ended. Click would exit with 1 on a BrokenPipeError."""


class _TerminatedError(BaseException):
    """SIGTERM: everything that is open is cleaned up, as after Ctrl-C."""


def _terminate(number: int, frame: FrameType | None) -> NoReturn:
    signal.signal(number, signal.SIG_DFL)  # a second one ends the process at once
    raise _TerminatedError


class _LazyGroup(click.Group):
    def make_context(self, *args: Any, **kwargs: Any) -> click.Context:
        try:
            return super().make_context(*args, **kwargs)
        except BrokenPipeError as exc:
            raise _ClosedPipeError from exc

    def invoke(self, ctx: click.Context) -> Any:
        try:
            return super().invoke(ctx)
        except BrokenPipeError as exc:
            raise _ClosedPipeError from exc

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            ctx.fail(f"unknown command {cmd_name!r}.{did_you_mean(cmd_name, COMMANDS)}")
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
@click.option("--quiet", is_flag=True, help="Print only results and errors.")
@click.option("--offline", is_flag=True, help="Never use the network (also: HEADSTART_OFFLINE=1).")
@click.pass_context
def cli(context: click.Context, debug: bool, quiet: bool, offline: bool) -> None:
    """Transfer learning with Keras: a pretrained base, a new head trained on your data, one safe model file."""
    context.obj = choose_progress(quiet=quiet)
    context.with_resource(output.logging_to_stderr(quiet=quiet))
    if offline:
        os.environ["HEADSTART_OFFLINE"] = "1"


def main() -> None:
    """Run the command line and exit.

    The exit code is 0 for success, 1 bug, 2 invalid input, 3 unavailable, 4 integrity, 130 interrupted, 143 terminated.
    """
    signal.signal(signal.SIGTERM, _terminate)
    warnings.filterwarnings("ignore", "Image size .* exceeds limit")  # Pillow's; headstart refuses the file by name
    arguments = sys.argv[1:]
    debug = "--debug" in arguments
    # Options of every command: they may stand before or after its name.
    global_options = [argument for argument in arguments if argument in _GLOBAL_OPTIONS]
    other_arguments = [argument for argument in arguments if argument not in _GLOBAL_OPTIONS]
    sys.exit(_run([*global_options, *other_arguments], debug=debug))


def _run(arguments: list[str], *, debug: bool) -> int:
    try:
        outcome: Any = cli.main(arguments, prog_name="headstart", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as exc:
        output.result(exc.format_message())
        return 2
    except click.ClickException as exc:
        output.error(_usage(exc))
        return 2
    except HeadstartError as exc:
        if debug:
            raise
        output.error(exc.render(spell_option))
        return exc.exit_code
    except (click.Abort, KeyboardInterrupt, _TerminatedError) as exc:
        verb, code = ("terminated", 143) if isinstance(exc, _TerminatedError) else ("interrupted", 130)
        output.error(f"{verb}. Computed features are kept: run the same command again to continue.")
        return code
    except _ClosedPipeError as exc:
        if _discard_closed_output(b"\n"):
            return 0
        return _bug(exc.__cause__ if isinstance(exc.__cause__, Exception) else exc, debug=debug)
    except OSError as exc:
        return _machine_error(exc, debug=debug)
    except Exception as exc:  # noqa: BLE001 - every other exception is a bug: one line, and the traceback with --debug
        return _bug(exc, debug=debug)
    _discard_closed_output()
    return outcome if isinstance(outcome, int) else 0


def _discard_closed_output(end: bytes = b"") -> bool:
    """Flush the output. If nobody reads it any more, as after ``| head -1``, discard the rest.

    Args:
        end: is written after the output. Only writing shows whether a pipe is closed if the output was written before.

    Returns:
        Whether something was discarded. Otherwise a broken pipe was not that of the output.
    """
    is_closed = False
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
            if end and not is_closed:
                os.write(stream.fileno(), end)
        except BrokenPipeError:
            is_closed = True
            os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())  # the interpreter flushes again when it exits
    return is_closed


def spell_option(name: str, value: str | None) -> str:
    """A setting as the command line names it: ``--fine-tune``, or ``--fine-tune none``."""
    option = f"--{name.replace('_', '-')}"
    return option if value is None else f"{option} {value}"


def _machine_error(exc: OSError, *, debug: bool) -> int:
    if debug or not (exc.errno in _MACHINE_ERRORS or disk.is_full(exc) or _is_in_cache(exc.filename)):
        return _bug(exc, debug=debug)
    if disk.is_full(exc):
        output.error(disk.full_disk_error(exc).render(spell_option))
    else:
        output.error(_no_access(exc))
    return 3


def _no_access(exc: OSError) -> str:
    """The message about a file that cannot be read, or a place that cannot be written into."""
    path = Path(os.fsdecode(exc.filename or ""))
    if os.path.exists(path) and not os.access(path, os.R_OK):
        return f"{path} cannot be read: {exc.strerror}."
    if exc.errno != errno.ENOTDIR:  # the folder, and not the temporary name in it
        path = next((place for place in (path, *path.parents) if os.path.exists(place)), path)
    return f"{exc.strerror}: {path}. Choose another folder (--runs, HEADSTART_CACHE)."


def _is_in_cache(path: object) -> bool:
    return isinstance(path, str | Path) and Path(path).is_relative_to(cache_folder())


def _bug(exc: Exception, *, debug: bool) -> int:
    if debug:
        raise exc
    output.error(
        f"{type(exc).__name__}: {exc}\n"
        "This is a bug in headstart. Please report it with the traceback that --debug shows."
    )
    return 1


def _usage(exc: click.ClickException) -> str:
    context = getattr(exc, "ctx", None)
    hint = f" Try `{context.command_path} --help`." if context else ""
    text = exc.format_message()
    return text + ("" if text.endswith((".", "?")) else ".") + hint
