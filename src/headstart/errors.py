"""Errors, sorted by who can correct them.

    HeadstartError
    ├── InputError        (also ValueError)   exit 2   change the command or the data
    ├── BadExample                            never ends a run: the example is skipped and listed
    ├── UnavailableError                      exit 3   network, weights or an optional package is missing
    └── IntegrityError                        exit 4   a proof failed: frozen weights, golden samples, digest

Anything else that reaches the command line is our bug: exit 1.
Messages say what is wrong (with the value), what was expected, and what to do next. Where they name a setting they
mark it with :func:`field_name`, and each front end writes it in its own way: ``--fine-tune none`` in the terminal,
``fine_tune='none'`` in Python, the label of the form on the page.
"""

import difflib
import re
from collections.abc import Callable, Iterable

_OPEN, _CLOSE = "\ufdd0", "\ufdd1"  # noncharacters, which no text of a user holds
_MARKED = re.compile(f"{_OPEN}(\\w+)(?:=([^{_CLOSE}]*))?{_CLOSE}")

Spelling = Callable[[str, str | None], str]
"""Writes the name of a setting, with a value or without (None), as one front end does."""


def field_name(name: str, value: object = None) -> str:
    """Mark the name of a setting inside a message, alone or with the value it should have.

    Args:
        name: of the field in :mod:`headstart.config`, or of a keyword argument of the function that was called.
        value: what it should be set to.
    """
    return f"{_OPEN}{name}{_CLOSE}" if value is None else f"{_OPEN}{name}={value}{_CLOSE}"


def spell_keyword(name: str, value: str | None) -> str:
    """A setting as Python code names it."""
    return name if value is None else f"{name}={value!r}"


class HeadstartError(Exception):
    """Base of every error headstart raises on purpose.

    Args:
        message: what is wrong, what was expected and what to do; settings are marked by :func:`field_name`.
        field: the setting that is wrong; its name begins the message.

    Attributes:
        message: with the marks, as :meth:`render` takes it.
        field: the setting that is wrong; None where it is none of them.
    """

    exit_code = 1

    def __init__(self, message: str, *, field: str | None = None) -> None:
        self.field = field
        self.message = message if field is None else f"{field_name(field)}: {message}"
        super().__init__(self.message)

    def render(self, spelling: Spelling) -> str:
        """The message with every setting written as ``spelling`` does."""
        return _MARKED.sub(lambda mark: spelling(mark[1], mark[2]), self.message)

    def __str__(self) -> str:
        return self.render(spell_keyword)


class InputError(HeadstartError, ValueError):
    """The command, an argument or the data cannot be used as given."""

    exit_code = 2


class BadExample(HeadstartError):  # noqa: N818 - it describes an example, and is caught, listed and survived
    """One example that cannot be used; its text is the reason shown to the user."""


class UnavailableError(HeadstartError):
    """Something outside the program is missing: network, a weights file, an optional package."""

    exit_code = 3


class IntegrityError(HeadstartError):
    """A proof failed: what must not change has changed, so the result cannot be trusted."""

    exit_code = 4


def near_name(name: str, known_names: Iterable[str]) -> str | None:
    """The nearest known name, without regard to case; None if none is near."""
    by_lower = {k.lower(): k for k in known_names}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[near[0]] if near else None


def did_you_mean(name: str, known_names: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty string."""
    near = near_name(name, known_names)
    return f" Did you mean {near!r}?" if near else ""


def one_line(text: str, limit: int = 500) -> str:
    """A text of another library on one line. A long one loses its middle: its end often states the reason.

    Args:
        text: any text.
        limit: longest length of the result, in characters.
    """
    line = " ".join(text.split())
    if len(line) <= limit:
        return line
    return f"{line[: limit // 3]} … {line[len(line) - (limit - limit // 3 - 3) :]}"


def counted(n: int, noun: str) -> str:
    """``1 file``, ``2,048 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
