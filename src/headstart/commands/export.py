"""``export``: a trained model in other formats, for use without headstart."""

from collections.abc import Sequence
from pathlib import Path

from headstart.exporting.export import Export, export_run
from headstart.exporting.formats import parse
from headstart.runs.run import RunFolder, folder_of
from headstart.system.display import show_progress
from headstart.system.progress import Progress


def export(
    run: str | Path | RunFolder,
    to: str | Sequence[str] = "onnx",
    *,
    out: str | Path | None = None,
    progress: bool | Progress = True,
) -> list[Export]:
    """Export a trained model, for use without headstart. If one format fails, none is written.

    The models take the same inputs as the model of the run: raw uint8 pixels (n, h, w, 3), or int32 token ids (n, t)
    with the tokenizer in the same folder; LiteRT models take one example at a time. They return probabilities
    (n, classes), or of a detector boxes and scores. Each format is a new folder with ``labels.txt``, ``export.json``
    and a ``predict.py`` that does not need headstart.

    Args:
        run: the run, or its folder.
        to: formats, see :data:`headstart.exporting.formats.FORMATS`: a list, or one string with commas.
        out: folder for the new folders; ``RUN/exports`` when None.
        progress: as for :func:`headstart.train`.

    Returns:
        One export for each format, in their order.

    Raises:
        InputError: no such run or format, or the run cannot be exported to a format.
        UnavailableError: a package is missing.
        IntegrityError: an export does not repeat the run's predictions: a probability differs by more than the
            tolerance of the format, or the metric is significantly worse.
    """
    folder = folder_of(run)
    parent = Path(out).expanduser() if out is not None else folder / "exports"
    with show_progress(progress):
        return export_run(folder, parse(to), parent)
