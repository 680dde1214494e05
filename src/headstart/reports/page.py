"""What all pages share: their templates, and how figures and names are written on them."""

import base64
import hashlib
import re
import sys
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import Any

from markupsafe import Markup

from headstart.data.audit import Occurrence
from headstart.runs.schema import FindingExample
from headstart.system.atomic import atomic_file
from headstart.system.durations import format_duration
from headstart.system.settings import cache_folder

TEMPLATES = Path(__file__).parent / "templates"

BOX_SCRIPT = TEMPLATES / "boxes.js"
"""The script of the slider that hides boxes."""

_BREAKS = re.compile(r"(?<=[_\-./\\])(?=[^_\-./\\])")  # where a long name may go on in the next line
_THIN = "\u202f"  # narrow no-break space, between a number and its unit


def box_script() -> dict[str, str]:
    """:data:`BOX_SCRIPT` for a page that is one file: its ``text``, and the ``source`` that its policy allows."""
    text = BOX_SCRIPT.read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(text.encode("utf-8")).digest()).decode("ascii")
    return {"text": text, "source": f"'sha256-{digest}'"}


def open_template(name: str, *folders: Path) -> Any:
    """A page's template, with the filters that write figures and names.

    Args:
        name: of its file.
        folders: searched for it, and for what it includes, before the templates of the reports.
    """
    return _environment(folders).get_template(name)


@cache
def _environment(folders: tuple[Path, ...]) -> Any:
    import jinja2  # here, because many commands import this module and few write a page

    class CheckedBytecode(jinja2.BytecodeCache):
        """Compiled templates in the cache; a damaged one is compiled again, because running it could crash Python."""

        def load_bytecode(self, bucket: Any) -> None:
            with suppress(OSError):
                digest, _, code = self._file(bucket).read_bytes().partition(b"\n")
                if hashlib.sha256(code).hexdigest().encode() == digest:
                    bucket.bytecode_from_string(code)

        def dump_bytecode(self, bucket: Any) -> None:
            code = bucket.bytecode_to_string()
            with suppress(OSError):  # the next process compiles it, too
                self._file(bucket).parent.mkdir(parents=True, exist_ok=True)
                with atomic_file(self._file(bucket), shared=True) as path:
                    path.write_bytes(hashlib.sha256(code).hexdigest().encode() + b"\n" + code)

        def _file(self, bucket: Any) -> Path:
            return cache_folder() / "templates" / f"{bucket.key}-{sys.version_info.major}.{sys.version_info.minor}"

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader([*folders, TEMPLATES]),
        bytecode_cache=CheckedBytecode(),
        autoescape=True,
        trim_blocks=True,
        lstrip_blocks=True,
        undefined=jinja2.ChainableUndefined,  # an evaluation lacks whole groups of facts
    )
    environment.filters.update(
        percent=percent,
        metric=metric,
        duration=format_duration,
        count=_count,
        breakable=_breakable,
        described=_describe_example,
    )
    return environment


def percent(share: float | None, digits: int = 1) -> str:
    """``99.4 %``; never 100 unless it is exactly that."""
    if share is None:
        return "–"
    text = f"{100 * share:.{digits}f}"
    if share < 1 and float(text) >= 100:
        text = f"{100 - 10.0**-digits:.{digits}f}"
    return f"{text}{_THIN}%"


def metric(value: float | None) -> str:
    """A metric with three decimals."""
    return "–" if value is None else f"{value:.3f}"


def _count(n: float) -> str:
    return f"{n:,.0f}"


def _breakable(name: str) -> Markup:
    """A name, escaped, that browsers may break after ``_``, ``-``, ``.`` and slashes, and not within a word."""
    return Markup("<wbr>").join(_BREAKS.split(name))


def _describe_example(example: FindingExample, check: str) -> str:
    """One line about an example of a finding."""
    return Occurrence(tuple(example.files), example.note).line(check)
