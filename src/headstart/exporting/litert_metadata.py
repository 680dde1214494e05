"""Labels and input of a LiteRT file, in the form that MediaPipe Tasks and Android Studio read.

The packages that wrote it, tflite-support and MediaPipe Model Maker, no longer install. The form is a FlatBuffer in a
buffer of the model, and the label file in a ZIP archive behind it.

Source: mediapipe/tasks/metadata/metadata_schema.fbs in https://github.com/google-ai-edge/mediapipe (also in its wheel);
the numbers of fields below are their places in its tables.
"""

import io
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

LABELS = "labels.txt"
_MODEL, _METADATA = b"TFL3", b"M001"
_AXIS_LABELS = 2  # the type of an associated file: a name for each place of the output
_IMAGE_PROPERTIES, _NORMALISATION, _RGB = 2, 1, 1


def with_metadata(model: bytes, shape: Sequence[int | None], card: Mapping[str, str]) -> bytes:
    """A LiteRT model with names of its input and output, a signature, and what is known of both.

    Args:
        model: as the converter gives it.
        shape: of one example: (h, w, 3), or (t,).
        card: ``name``, ``labels``, one a line, and ``headstart``, everything else as JSON.
    """
    from ai_edge_litert import schema_py_generated as schema

    whole = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = whole.subgraphs[0]
    takes, gives = int(graph.inputs[0]), int(graph.outputs[0])
    names = ("pixels" if len(shape) > 1 else "ids", "probabilities")
    for index, name in zip((takes, gives), names, strict=True):
        graph.tensors[index].name = name
    signature = schema.SignatureDefT(signatureKey="serving_default", subgraphIndex=0)
    signature.inputs = [schema.TensorMapT(names[0], takes)]
    signature.outputs = [schema.TensorMapT(names[1], gives)]
    whole.signatureDefs = [signature]
    for name, content in (
        ("TFLITE_METADATA", _metadata(names, shape, card)),
        ("headstart", card["headstart"].encode()),
    ):
        whole.buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
        whole.metadata = [*(whole.metadata or ()), schema.MetadataT(name, len(whole.buffers) - 1)]
    builder = flatbuffers.Builder(len(model) + 65536)
    builder.Finish(whole.Pack(builder), _MODEL)
    file = io.BytesIO()
    file.write(builder.Output())
    with zipfile.ZipFile(file, "a", zipfile.ZIP_STORED) as archive:  # stored: readers map it as it lies
        archive.writestr(zipfile.ZipInfo(LABELS), card["labels"])
    return file.getvalue()


def _metadata(names: tuple[str, str], shape: Sequence[int | None], card: Mapping[str, str]) -> bytes:
    """The FlatBuffer: ModelMetadata with one subgraph of one input and one output."""
    builder = flatbuffers.Builder(1024)
    takes: dict[int, Any] = {0: names[0], 1: "Token ids, as the tokenizer beside the model gives them."}
    if len(shape) > 1:
        takes = {
            0: names[0],
            1: f"RGB pixels as they are, 0 to 255, {shape[1]} wide and {shape[0]} high.",
            3: _Table({0: _Byte(_IMAGE_PROPERTIES), 1: _Table({0: _Byte(_RGB)})}),
            4: [_Table({0: _Byte(_NORMALISATION), 1: _Table({0: _Floats((0.0,)), 1: _Floats((1.0,))})})],
            5: _Table({0: _Floats((255.0,)), 1: _Floats((0.0,))}),
        }
    gives: dict[int, Any] = {
        0: names[1],
        1: "The probability of each label.",
        5: _Table({0: _Floats((1.0,)), 1: _Floats((0.0,))}),
        6: [_Table({0: LABELS, 1: "Names of the outputs, one a line.", 2: _Byte(_AXIS_LABELS)})],
    }
    subgraph = _Table({2: [_Table(takes)], 3: [_Table(gives)]})
    whole = _Table({0: card["name"], 1: "A classifier trained with headstart.", 3: [subgraph], 7: "1.0.0"})
    builder.Finish(_write(builder, whole), _METADATA)
    return bytes(builder.Output())


class _Table(dict[int, Any]):
    """A table of a FlatBuffer: place of the field in the schema -> value."""


class _Byte(int):
    """A field of one byte: an enumeration, or which member of a union follows."""


class _Floats(tuple[float, ...]):
    """A vector of float32."""

    __slots__ = ()


def _write(builder: Any, value: Any) -> int:
    """Write a value, everything that it refers to first, and give its place."""
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, _Floats):
        builder.StartVector(4, len(value), 4)
        for number in reversed(value):
            builder.PrependFloat32(number)
        return builder.EndVector()
    if isinstance(value, list):
        places = [_write(builder, one) for one in value]
        builder.StartVector(4, len(places), 4)
        for place in reversed(places):
            builder.PrependUOffsetTRelative(place)
        return builder.EndVector()
    fields = {slot: one if isinstance(one, _Byte) else _write(builder, one) for slot, one in value.items()}
    builder.StartObject(max(fields) + 1)
    for slot, one in fields.items():
        if isinstance(value[slot], _Byte):
            builder.PrependInt8Slot(slot, one, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(slot, one, 0)
    return builder.EndObject()
