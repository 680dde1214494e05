"""What a caller in Python gives to predict, as examples: files, texts, images in memory, tables."""

import io
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from PIL.Image import Image as PillowImage
from PIL.Image import fromarray

from headstart.data.examples import Example, FileExample, TextExample, UnusableExample
from headstart.data.modalities import Modality
from headstart.data.table_columns import Columns
from headstart.data.tables import is_frame, read_rows
from headstart.errors import InputError

_CHANNELS = (3, 4)
_BYTES = (bytes, bytearray, memoryview)


@dataclass(frozen=True)
class ContentExample(Example):
    """The content of a file, in memory.

    Attributes:
        content: of an image file, for example.
    """

    content: bytes

    @property
    def suffix(self) -> None:
        """Unknown: the content says what it is."""
        return

    @property
    def location(self) -> None:
        """It has no address."""
        return

    def version(self) -> None:
        """It does not change."""
        return

    def read(self) -> bytes:
        """The content."""
        return self.content

    def cell(self, folder: Path | None = None) -> tuple[str, str]:
        """Its name, in the column ``path``."""
        return "path", self.name

    def to_json(self) -> dict[str, str]:
        """Refuse: only the process that holds the content can use it."""
        raise NotImplementedError


def examples_in(inputs: Any, modality: Modality, config: Mapping[str, Any] | None) -> tuple[list[Example], bool]:
    """Examples of what :meth:`headstart.Run.predict` gets; and whether it is a single one and not a list.

    Args:
        inputs: one example or many; see there.
        modality: of the run.
        config: the settings of the run; None if it was adopted. A DataFrame may have the columns that they name.

    Raises:
        InputError: there is no such file, or something is no example.
    """
    if is_frame(inputs):
        return _rows(inputs, modality, _columns(inputs, config or {})), False
    if isinstance(inputs, str | Path):
        return modality.find_examples([inputs]), modality.is_single(inputs)
    if _is_content(inputs):
        return [_in_memory(inputs, modality, modality.noun)], True
    if isinstance(inputs, Mapping) or not isinstance(inputs, Iterable):
        raise _kind_error(inputs, modality)
    items = list(inputs)
    return [example for i, item in enumerate(items) for example in _examples_of(item, i, modality)], False


def _examples_of(item: Any, position: int, modality: Modality) -> list[Example]:
    """The examples of one item of a list; those of a folder or a pattern are several."""
    if isinstance(item, Example):
        return [item]
    if isinstance(item, str | Path):
        return modality.find_examples([item])
    if _is_content(item):
        return [_in_memory(item, modality, f"{modality.noun} {position + 1}")]
    if item is None or item != item:  # NaN
        return [UnusableExample(name=f"{modality.noun} {position + 1}", reason="is missing")]
    raise _kind_error(item, modality, position)


def _is_content(value: Any) -> bool:
    """Whether this is an image, an array of pixels or the content of a file."""
    return isinstance(value, (*_BYTES, PillowImage)) or (_is_array(value) and len(value.shape) in (2, 3))


def _is_array(value: Any) -> bool:
    """Whether this is an array of NumPy or a tensor; a Series of pandas is a list of values."""
    return hasattr(value, "shape") and hasattr(value, "dtype") and not hasattr(value, "iloc")


def _in_memory(value: Any, modality: Modality, name: str) -> Example:
    if isinstance(value, _BYTES):
        content = bytes(value)
        return ContentExample(content, name=name) if modality.has_pixels else _text_of(content, modality)
    if not modality.has_pixels:
        raise _kind_error(value, modality)
    if isinstance(value, PillowImage):
        return ContentExample(_png(value), name=getattr(value, "filename", "") or name)
    return ContentExample(_png(fromarray(_pixels(value, name))), name=name)


def _text_of(content: bytes, modality: Modality) -> Example:
    text = content.decode("utf-8-sig", "surrogateescape")
    return modality.find_examples([text])[0]


def _pixels(value: Any, name: str) -> np.ndarray:
    """An array of pixels as Pillow takes it.

    Raises:
        InputError: it has another shape or type.
    """
    array = np.asarray(value)
    if array.ndim == 3 and array.shape[-1] == 1:
        array = array[..., 0]
    is_grey = array.ndim == 2
    if not is_grey and array.shape[-1] not in _CHANNELS:
        advice = ": move the colours to the end, np.moveaxis(image, 0, -1)" if array.shape[0] in (1, *_CHANNELS) else ""
        raise InputError(
            f"{name} is an array of shape {array.shape}: expected (height, width) or (height, width, 3){advice}."
        )
    if array.dtype == np.uint8 or (is_grey and array.dtype == np.uint16):
        return np.ascontiguousarray(array)
    raise InputError(
        f"{name} is an array of {array.dtype}: expected pixels as uint8, from 0 to 255 (16-bit grey as uint16), not "
        "rescaled or normalised; headstart does that itself."
    )


def _png(image: PillowImage) -> bytes:
    """An image as the content of a file with the same pixels."""
    keeps = image.mode in ("1", "L", "LA", "P", "RGB", "RGBA", "I;16")
    file = io.BytesIO()
    (image if keeps else image.convert("RGB")).save(file, "PNG", compress_level=0, exif=image.getexif())
    return file.getvalue()


def _columns(frame: Any, config: Mapping[str, Any]) -> Columns:
    """The columns that the run was trained with, where the frame has them; others are found by their names."""
    path, text = config.get("path_column"), config.get("text_column")
    texts = [text] if isinstance(text, str) else [*(text or ())]
    return Columns(
        path=path if path in frame.columns else None,
        text=texts if texts and all(column in frame.columns for column in texts) else None,
    )


def _rows(frame: Any, modality: Modality, columns: Columns) -> list[Example]:
    """An example for each row of a DataFrame.

    Raises:
        InputError: it has no column that holds examples of the run.
    """
    examples: list[Example] = []
    try:
        rows = list(read_rows(frame, columns, labelled=False))
    except InputError as exc:
        raise _column_error(frame, modality) from exc
    for row in rows:
        value = row.text if modality.is_in_tables else row.content or row.path
        if value is None and not row.problem:
            raise _column_error(frame, modality)
        if not value:
            examples.append(UnusableExample(name=row.where, reason=row.problem or "is missing"))
        elif isinstance(value, bytes):
            examples.append(ContentExample(value, name=row.where))
        else:
            examples.append(TextExample(value) if modality.is_in_tables else FileExample(value))
    return examples


def _column_error(frame: Any, modality: Modality) -> InputError:
    column = "text" if modality.is_in_tables else "path"
    return InputError(
        f"the DataFrame has no column of {modality.plural}; it has {', '.join(map(str, frame.columns))}. Name the "
        f"column {column!r}, or give the column itself: predict(frame[{frame.columns[0]!r}])."
    )


def _kind_error(value: Any, modality: Modality, position: int | None = None) -> InputError:
    where = "" if position is None else f"item {position} is "
    accepted = "files, PIL images, arrays of pixels or bytes" if modality.has_pixels else "strings, Paths or bytes"
    return InputError(
        f"{where}{'a' if where else 'got a'} {type(value).__name__}: expected {modality.plural} as {accepted}, lists "
        "of these, a Series or a DataFrame."
    )
