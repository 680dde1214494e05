"""A comparison of bases as a page; its text is in ``templates/comparison.html.j2``."""

from collections.abc import Mapping
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

from headstart.data.modalities import get_modality
from headstart.reports import plots
from headstart.reports.page import open_template
from headstart.system.settings import check_place
from headstart.tasks import get_task


def write_comparison(comparison: Mapping[str, Any], path: Path) -> Path:
    """Write the page, and give its path; what was there is replaced.

    Args:
        comparison: as :meth:`headstart.commands.base_comparison.BaseComparison.to_json` gives it.
        path: of the page.

    Raises:
        InputError: the path is not that of a page.
    """
    check_place(path, ".html", replaced=True)
    page = open_template("comparison.html.j2").render(_content(comparison))
    path.write_bytes(page.encode("utf-8", errors="replace"))  # a path may hold bytes that are no text
    return path


def _content(comparison: Mapping[str, Any]) -> dict[str, Any]:
    name = comparison["metric_title"]
    points = [
        {
            **{key: row[key] for key in ("handle", "ms", "on_front")},
            **row["figure"],
            "number": number,
            "chosen": row["handle"] == comparison["best"],
        }
        for number, row in enumerate((row for row in comparison["rows"] if row["finished"]), 1)
    ]
    return {
        "comparison": comparison,
        "name": name,
        "has_log_loss": any(row["log_loss"] is not None for row in comparison["rows"]),
        "heading": get_task(comparison["task"]).metric(comparison["metric"]).title,
        "noun": get_modality(comparison["modality"]).noun,
        "plot": plots.speed_and_figure(points, name, comparison["budget"]["max_ms"]),
        "created": datetime.now(UTC).date().isoformat(),
        "version": version("headstart"),
    }
