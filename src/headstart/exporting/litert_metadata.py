"""Metadata of a LiteRT file, in the format that MediaPipe Tasks and Android Studio read: labels, input and outputs.

The packages that write it (tflite-support and MediaPipe Model Maker) can no longer be installed. The metadata is a
FlatBuffer in a buffer of the model, and the label file is in a ZIP archive after the model.

MediaPipe suppresses boxes itself if a detector has two outputs, ``location`` and ``score``. It then computes an edge
from an anchor and a value; a detector of headstart gives shares of the input, so every anchor is the whole input.

Source: mediapipe/tasks/metadata/metadata_schema.fbs and object_detector_metadata_schema.fbs in
https://github.com/google-ai-edge/mediapipe (also in its wheel); the field numbers below are the positions in their
tables. mediapipe/tasks/cc/components/processors/detection_postprocessing_graph.cc reads them.
"""

import io
import json
import zipfile
from collections.abc import Mapping, Sequence
from typing import Any

import flatbuffers
import numpy as np

from headstart.exporting.box_forms import LOCATION, SCORE
from headstart.exporting.flatbuffer_tables import Byte, Float, Floats, Int, Table, finished
from headstart.exporting.formats import PROBABILITIES

LABELS = "labels.txt"
_MODEL, _METADATA, _DETECTOR = b"TFL3", b"M001", b"V001"
_AXIS_LABELS = 2  # type of an associated file: a name for each output
_IMAGE_PROPERTIES, _NORMALISATION, _RGB = 2, 1, 1
_BOX_PROPERTIES, _BOUNDARIES, _THRESHOLDING = 3, 1, 3


def with_metadata(model: bytes, shape: Sequence[int | None], card: Mapping[str, str]) -> bytes:
    """A LiteRT model with names of its input and outputs, a signature, and metadata.

    Args:
        model: output of the converter.
        shape: shape of one example: (h, w, 3), or (t,).
        card: ``name``, ``labels`` (one per line) and ``headstart`` (the other metadata as JSON).
    """
    from ai_edge_litert import schema_py_generated as schema

    model_t = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model))
    graph = model_t.subgraphs[0]
    input_name = "pixels" if len(shape) > 1 else "ids"
    output_names = [LOCATION, SCORE] if len(graph.outputs) > 1 else [PROBABILITIES]
    signature = schema.SignatureDefT(signatureKey="serving_default", subgraphIndex=0)
    signature.inputs = _entries(graph, graph.inputs, [input_name])
    signature.outputs = _entries(graph, graph.outputs, output_names)
    model_t.signatureDefs = [signature]
    subgraph = Table({2: [_input_table(input_name, shape)], 3: [_probabilities_table()]})
    if output_names != [PROBABILITIES]:
        subgraph |= _detector_fields(graph.tensors[int(graph.outputs[0])].shape[1], json.loads(card["headstart"]))
    root = Table({0: card["name"], 1: "A model trained with headstart.", 3: [subgraph], 7: "1.0.0"})
    for name, content in (
        ("TFLITE_METADATA", finished(root, _METADATA)),
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


def _entries(graph: Any, indices: Sequence[int], names: Sequence[str]) -> list[Any]:
    """Name tensors of a graph; gives their entries in a signature."""
    from ai_edge_litert import schema_py_generated as schema

    for index, name in zip(indices, names, strict=True):
        graph.tensors[int(index)].name = name
    return [schema.TensorMapT(name, int(index)) for index, name in zip(indices, names, strict=True)]


def _input_table(name: str, shape: Sequence[int | None]) -> Table:
    if len(shape) == 1:
        return Table({0: name, 1: "Token ids from the tokenizer in the folder of the model."})
    return Table(
        {
            0: name,
            1: f"RGB pixels, 0 to 255, width {shape[1]}, height {shape[0]}.",
            3: Table({0: Byte(_IMAGE_PROPERTIES), 1: Table({0: Byte(_RGB)})}),
            4: [Table({0: Byte(_NORMALISATION), 1: Table({0: Floats((0.0,)), 1: Floats((1.0,))})})],
            5: Table({0: Floats((255.0,)), 1: Floats((0.0,))}),
        }
    )


def _probabilities_table() -> Table:
    return Table(
        {
            0: PROBABILITIES,
            1: "The probability of each label.",
            5: Table({0: Floats((1.0,)), 1: Floats((0.0,))}),
            6: [_label_file()],
        }
    )


def _label_file() -> Table:
    return Table({0: LABELS, 1: "Names of the outputs, one per line.", 2: Byte(_AXIS_LABELS)})


def _detector_fields(n_points: int, metadata: Mapping[str, Any]) -> Table:
    """Fields of the subgraph of a detector: its outputs, and how MediaPipe decodes them."""
    threshold = min(metadata["thresholds"].values())
    location = {
        0: LOCATION,
        1: "Vertical and horizontal centre, height and width of a box, as shares of the input.",
        3: Table({0: Byte(_BOX_PROPERTIES), 1: Table({1: Byte(_BOUNDARIES)})}),
    }
    score = {
        0: SCORE,
        1: "The score of each label.",
        4: [Table({0: Byte(_THRESHOLDING), 1: Table({0: Float(threshold)})})],
        5: Table({0: Floats((1.0,)), 1: Floats((0.0,))}),
        6: [_label_file()],
    }
    whole_input = Table({2: Float(1.0), 3: Float(1.0)})  # width and height; its centre is 0, 0
    decoding = Table({0: Int(len(metadata["classes"])), 1: Int(n_points), 2: Int(4), 5: Int(2)})
    decoding |= dict.fromkeys(range(6, 10), Float(1.0))  # scales of x, y, width and height
    options = Table({1: Table({0: Table({0: [whole_input] * n_points})}), 2: decoding})
    custom = Table({0: "DETECTOR_METADATA", 1: finished(options, _DETECTOR)})
    return Table({3: [Table(location), Table(score)], 9: [custom]})
