"""The templates of the web UI. They may extend and include those of the reports."""

from pathlib import Path
from typing import Any

from headstart.reports import page

_HERE = Path(__file__).parent

SCRIPT = _HERE / "static" / "ui.js"
"""The script of every page."""


def open_template(name: str) -> Any:
    """A template of the web UI, by the name of its file without ``.html.j2``."""
    return page.open_template(f"{name}.html.j2", _HERE / "templates", _HERE / "static")
