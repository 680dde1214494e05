"""Open Images: tables whose classes are identifiers such as /m/01yrx, with a list of their names beside them.

Source: https://storage.googleapis.com/openimages/web/download_v7.html#df-boxes
"""

import csv
import logging
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from headstart.data.boxes.parsing import read_lines
from headstart.data.boxes.records import Annotations
from headstart.system.settings import check_readable

logger = logging.getLogger(__name__)

_IDENTIFIER = re.compile(r"/[mgt]/\w+")
_FOLDERS = ("", "metadata", "..", "../metadata")  # where lists of names lie, from the folder of a table
_COLUMNS = 2


def name_classes(annotations: Annotations, tables: Sequence[Any]) -> None:
    """Put names in the place of identifiers, if there is a list of names.

    Args:
        annotations: of the tables.
        tables: their paths.
    """
    if not any(_IDENTIFIER.fullmatch(box.name) for image in annotations.images for box in image.boxes):
        return
    names = _names([Path(os.path.abspath(table)).parent for table in tables])
    if not names:
        logger.warning(
            "classes are identifiers such as those of Open Images: a list of their names, such as "
            "class-descriptions-boxable.csv, would be read beside the table"
        )
    for image in annotations.images:
        image.boxes = [box._replace(name=names.get(box.name, box.name)) for box in image.boxes]


def _names(folders: Sequence[Path]) -> dict[str, str]:
    """Identifier -> name, from CSV files of two columns near some tables."""
    names: dict[str, str] = {}
    places = dict.fromkeys(os.path.normpath(folder / inner) for folder in folders for inner in _FOLDERS)
    for path in (path for place in places for path in sorted(Path(place).glob("*class*.csv"))):
        try:
            check_readable(path)
        except PermissionError:
            continue
        for row in csv.reader(read_lines(path)):
            if len(row) == _COLUMNS and _IDENTIFIER.fullmatch(row[0].strip()):
                names.setdefault(row[0].strip(), row[1].strip())
    return names
