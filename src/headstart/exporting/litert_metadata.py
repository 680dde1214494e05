"""Metadata of a LiteRT file, in the format that MediaPipe Tasks and Android Studio read: labels and input.

The packages that write it (tflite-support and MediaPipe Model Maker) can no longer be installed. The metadata is a
FlatBuffer in a buffer of the model, and the label file is in a ZIP archive after the model.

Source: mediapipe/tasks/metadata/metadata_schema.fbs in https://github.com/google-ai-edge/mediapipe (also in its wheel);
the field numbers below are the positions in its tables.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

LABELS = "labels.txt"
_MODEL, _METADATA = b"TFL3", b"M001"
_AXIS_LABELS = 2  # type of an associated file: a name for each output
_IMAGE_PROPERTIES, _NORMALISATION, _RGB = 2, 1, 1


def with_metadata(model: bytes, shape: Sequence[int | None], card: Mapping[str, str]) -> bytes:
    """A LiteRT model with names of its input and output, a signature, and metadata.

    Args:
        model: output of the converter.
        shape: shape of one example: (h, w, 3), or (t,).
        card: ``name``, ``labels`` (one per line) and ``headstart`` (the other metadata as JSON).
    """
    from ai_edge_litert import schema_py_generated as schema

    model_t = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = model_t.subgraphs[0]
    input_index, output_index = int(graph.inputs[0]), int(graph.outputs[0])
    names = ("pixels" if len(shape) > 1 else "ids", "probabilities")
    for index, name in zip((input_index, output_index), names, strict=True):
        graph.tensors[index].name = name
    signature = schema.SignatureDefT(signatureKey="serving_default", subgraphIndex=0)
    signature.inputs = [schema.TensorMapT(names[0], input_index)]
    signature.outputs = [schema.TensorMapT(names[1], output_index)]
    model_t.signatureDefs = [signature]
    for name, content in (
        ("TFLITE_METADATA", _metadata(names, shape, card)),
        ("headstart", card["headstart"].encode()),
    ):
        model_t.buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
        model_t.metadata = [*(model_t.metadata or ()), schema.MetadataT(name, len(model_t.buffers) - 1)]
    builder = flatbuffers.Builder(len(model) + 65536)
    builder.Finish(model_t.Pack(builder), _MODEL)
    file = io.BytesIO()
    file.write(builder.Output())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:  # not compressed: readers map it into memory
        archive.writestr(zipfile.ZipInfo(LABELS), card["labels"])
    return file.getvalue()


def _metadata(names: tuple[str, str], shape: Sequence[int | None], card: Mapping[str, str]) -> bytes:
    """The FlatBuffer: ModelMetadata with one subgraph of one input and one output."""
    builder = flatbuffers.Builder(1024)
    input_fields: dict[int, Any] = {0: names[0], 1: "Token ids from the tokenizer in the folder of the model."}
    if len(shape) > 1:
        input_fields = {
            0: names[0],
            1: f"RGB pixels, 0 to 255, width {shape[1]}, height {shape[0]}.",
            3: _Table({0: _Byte(_IMAGE_PROPERTIES), 1: _Table({0: _Byte(_RGB)})}),
            4: [_Table({0: _Byte(_NORMALISATION), 1: _Table({0: _Floats((0.0,)), 1: _Floats((1.0,))})})],
            5: _Table({0: _Floats((255.0,)), 1: _Floats((0.0,))}),
        }
    output_fields: dict[int, Any] = {
        0: names[1],
        1: "The probability of each label.",
        5: _Table({0: _Floats((1.0,)), 1: _Floats((0.0,))}),
        6: [_Table({0: LABELS, 1: "Names of the outputs, one per line.", 2: _Byte(_AXIS_LABELS)})],
    }
    subgraph = _Table({2: [_Table(input_fields)], 3: [_Table(output_fields)]})
    root = _Table({0: card["name"], 1: "A classifier trained with headstart.", 3: [subgraph], 7: "1.0.0"})
    builder.Finish(_write(builder, root), _METADATA)
    return bytes(builder.Output())


class _Table(dict[int, Any]):
    """A table of a FlatBuffer: position of the field in the schema -> value."""


class _Byte(int):
    """A field of one byte: an enumeration, or the type of a union."""


class _Floats(tuple[float, ...]):
    """A vector of float32."""

    __slots__ = ()


def _write(builder: Any, value: Any) -> int:
    """Write a value after all values that it refers to, and return its offset."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, _Floats):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    if isinstance(value, list):
        offsets = [_write(builder, item) for item in value]
        builder.StartVector(4, len(offsets), 4)
        for offset in reversed(offsets):
            builder.PrependUOffsetTRelative(offset)
        return builder.EndVector()
    fields = {slot: item if isinstance(item, _Byte) else _write(builder, item) for slot, item in value.items()}
    builder.StartObject(max(fields) + 1)
    for slot, item in fields.items():
        if isinstance(value[slot], _Byte):
            builder.PrependInt8Slot(slot, item, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, item, 0)
    return builder.EndObject()
