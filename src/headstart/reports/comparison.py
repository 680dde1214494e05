"""A comparison of bases as a page: what is said is in ``assets/comparison.html.j2``, how it looks in ``report.css``."""

from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from headstart.reports import plots
from headstart.reports.run import open_template
from headstart.system.settings import check_place

if TYPE_CHECKING:
    from headstart.commands.compare import BaseComparison


def write_comparison(found: "BaseComparison", path: Path) -> Path:
    """Write the page, and give its path; what was there is replaced.

    Raises:
        InputError: the path is not that of a page.
    """
    check_place(path, ".html", replaced=True)
    page = open_template("comparison.html.j2").render(_content(found))
    path.write_bytes(page.encode("utf-8", errors="replace"))  # a path may hold bytes that are no text
    return path


def _content(found: "BaseComparison") -> dict[str, Any]:
    name = found.metric.replace("_", " ")
    points = [
        {
            **{key: getattr(row, key) for key in ("handle", "ms", "on_front")},
            **row.figure,
            "number": number,
            "chosen": row is found.chosen,
        }
        for number, row in enumerate(found.finalists, 1)
    ]
    return {
        "found": found,
        "name": name,
        "plot": plots.speed_and_figure(points, name, found.budget.max_ms),
        "created": datetime.now(UTC).date().isoformat(),
        "version": version("headstart"),
    }
