"""Tables of a FlatBuffer from plain values, without the code that its schema generates."""

from typing import Any


class Table(dict[int, Any]):
    """A table: position of the field in the schema -> value. Fields that are left out have their default."""


class Byte(int):
    """A field of one byte: an enumeration, a truth value, or the type of a union."""


class Int(int):
    """A field of 32 bits."""


class Float(float):
    """A field of 32 bits."""


class Floats(tuple[float, ...]):
    """A vector of float32."""

    __slots__ = ()


def finished(root: Table, identifier: bytes, size: int = 1024) -> bytes:
    """A FlatBuffer.

    Args:
        root: the outermost table.
        identifier: of the kind of file, four bytes.
        size: about how many bytes it will have.
    """
    import flatbuffers

    builder = flatbuffers.Builder(size)
    builder.Finish(_write(builder, root), identifier)
    return bytes(builder.Output())


def _write(builder: Any, value: Any) -> int:
    """Write a value after all values that it refers to, and return its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, bytes):
        return builder.CreateByteVector(value)
    if isinstance(value, Floats):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    if isinstance(value, list):
        offset_of = {id(item): _write(builder, item) for item in {id(item): item for item in value}.values()}
        builder.StartVector(4, len(value), 4)
        for item in reversed(value):
            builder.PrependUOffsetTRelative(offset_of[id(item)])  # an item that occurs again is written once
        return builder.EndVector()
    return _write_table(builder, value)


def _write_table(builder: Any, table: Table) -> int:
    offsets = {slot: _write(builder, item) for slot, item in table.items() if not isinstance(item, int | float)}
    builder.StartObject(max(table) + 1)
    for slot, item in table.items():
        if isinstance(item, Byte):
            builder.PrependInt8Slot(slot, item, 0)
        elif isinstance(item, Int):
            builder.PrependInt32Slot(slot, item, 0)
        elif isinstance(item, Float):
            builder.PrependFloat32Slot(slot, item, 0.0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, offsets[slot], 0)
    return builder.EndObject()
