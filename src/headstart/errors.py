"""Errors, sorted by who can mend them.

    HeadstartError
    ├── InputError        (also ValueError)   exit 2   change the command or the data
    ├── BadExample                            never ends a run: the example is skipped and listed
    ├── UnavailableError                      exit 3   network, weights or an optional package is missing
    └── IntegrityError                        exit 4   a proof failed: frozen weights, golden samples, digest

Anything else that reaches the command line is our bug: exit 1.
Messages say what is wrong (with the value), what was expected, and what to do next.
"""

import difflib
from collections.abc import Iterable


class HeadstartError(Exception):
    """Base of every error headstart raises on purpose."""

    exit_code = 1


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


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Return `` Did you mean 'x'?`` for the nearest known name, or an empty string."""
    by_lower = {k.lower(): k for k in known}
    near = difflib.get_close_matches(name.lower(), by_lower, n=1, cutoff=0.6)
    return f" Did you mean {by_lower[near[0]]!r}?" if near else ""


def counted(n: int, noun: str) -> str:
    """``1 file``, ``2,048 files``."""
    return f"{n:,} {noun}" if n == 1 else f"{n:,} {noun}s"
