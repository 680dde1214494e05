"""Images that are in a table themselves, as files: everything else of headstart reads files.

A file is named by its row and its content. So it never changes, and reading the table again writes nothing.
"""

import hashlib
import os
from pathlib import Path

from headstart.data.cells import image_extension
from headstart.system.atomic import atomic_file
from headstart.system.settings import table_images_folder


class TableImages:
    """The image files of one table, in the cache.

    Args:
        table: path of the table; None for a DataFrame.
    """

    def __init__(self, table: Path | None) -> None:
        name, location = (table.stem, os.path.abspath(table)) if table else ("DataFrame", "")
        key = hashlib.sha256(location.encode("utf-8", "surrogateescape")).hexdigest()[:16]
        self._folder = table_images_folder() / f"{name}-{key}"

    def add(self, row: int, content: bytes) -> str:
        """Write the image of a row, unless it is there already, and return the file's absolute path."""
        digest = hashlib.sha256(content).hexdigest()[:32]
        path = self._folder / f"row-{row}-{digest}{image_extension(content)}"
        if not path.is_file() or path.stat().st_size != len(content):
            self._folder.mkdir(parents=True, exist_ok=True)
            with atomic_file(path, shared=True) as partial:
                partial.write_bytes(content)
        return os.path.abspath(path)
