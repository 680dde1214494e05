"""Requests and answers of the HTTP API, as ``/docs`` and ``/openapi.json`` describe them."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from headstart.data.modalities import Modality
from headstart.serving.limits import RefusedError


class Images(BaseModel):
    """Images for a run on images."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[
        list[str],
        Field(
            min_length=1,
            description="Image files in base64, with or without `data:image/…;base64,`, line breaks and padding.",
        ),
    ]


class Texts(BaseModel):
    """Texts for a run on texts."""

    model_config = ConfigDict(extra="forbid")
    texts: Annotated[list[str], Field(min_length=1, description="The texts.")]


class Answered(BaseModel):
    """The prediction for one image or text."""

    file: Annotated[str, Field(description="Name of the uploaded file, or position in the request: `images[0]`.")]
    predicted: Annotated[
        str | list[str],
        Field(description="The most probable class; for a multi-label run all labels that reach their threshold."),
    ]
    probability: Annotated[float | None, Field(description="Probability of that class; not for multi-label runs.")] = (
        None
    )
    probabilities: Annotated[
        dict[str, float], Field(description="Class -> probability, the most probable first; `top_k` classes.")
    ]
    unsure: Annotated[
        bool | None,
        Field(description="Whether it is below the confidence threshold of the run; not for multi-label runs."),
    ] = None
    out_of_distribution: Annotated[
        bool | None, Field(description="Whether it differs from the training data; null if the run cannot tell.")
    ] = None


class DetectedObject(BaseModel):
    """An object in an image. Edges are in pixels of the upright image, from the outer edge of its first pixel."""

    label: Annotated[str, Field(description="Its class.")]
    score: Annotated[float, Field(ge=0, le=1)]
    x1: Annotated[float, Field(ge=0, description="Left edge.")]
    y1: Annotated[float, Field(ge=0, description="Upper edge.")]
    x2: Annotated[float, Field(ge=0, description="Right edge.")]
    y2: Annotated[float, Field(ge=0, description="Lower edge.")]


class AnsweredObjects(BaseModel):
    """The objects in one image, by a run that detects objects."""

    file: Annotated[str, Field(description="Name of the uploaded file, or position in the request: `images[0]`.")]
    width: Annotated[int, Field(description="Width of the upright image in pixels.")]
    height: Annotated[int, Field(description="Height of the upright image in pixels.")]
    boxes: Annotated[
        list[DetectedObject],
        Field(
            description="The objects whose score reaches the threshold of their class, or `min_score`; the highest "
            "score first."
        ),
    ]


class Unusable(BaseModel):
    """One of several images or texts cannot be used, and the reason."""

    file: str
    reason: str


class Answers(BaseModel):
    """The predictions for a request, in the order of the request."""

    run: Annotated[str, Field(description="Name of the run.")]
    answers: list[Answered | AnsweredObjects | Unusable]


class Refusal(BaseModel):
    """The reason of an error."""

    detail: str


class RunFacts(BaseModel):
    """A run that the server uses."""

    name: str
    modality: Annotated[str, Field(description="Kind of its inputs: `image` or `text`.")]
    classes: list[str]
    task: Annotated[
        str, Field(description="What it predicts: `single-label`, `multi-label`, `detection`, or a registered task.")
    ]
    thresholds: Annotated[
        dict[str, float] | None,
        Field(
            description="The smallest probability or score at which each class is predicted; null if the most probable "
            "one is."
        ),
    ]
    min_confidence: Annotated[
        float, Field(description="Predictions below this probability are `unsure`; 0 if the run has no threshold.")
    ]
    base: str
    created: Annotated[str, Field(description="When the current version was trained.")]


class State(BaseModel):
    """State of the server."""

    status: str


REQUEST_BODY: dict[str, Any] = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["files"],
                "properties": {
                    "files": {
                        "type": "array",
                        "minItems": 1,
                        "items": {"type": "string", "format": "binary"},
                        "description": "Image files, or text files in UTF-8 for a run on texts.",
                    }
                },
            }
        },
        "application/json": {"schema": {"anyOf": [Images.model_json_schema(), Texts.model_json_schema()]}},
    },
}
"""FastAPI cannot derive this description, because the body is read by :mod:`headstart.serving.app`."""

_JSON: TypeAdapter[Images | Texts] = TypeAdapter(Images | Texts)


def read_json(body: bytes, modality: Modality) -> tuple[list[str], list[bytes]]:
    """Names and contents of the examples in a JSON body.

    Raises:
        RefusedError: the body does not match the description.
    """
    try:
        request = _JSON.validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        raise RefusedError(
            422, f'{first["msg"]}. Expected {{"images": ["BASE64", …]}} or {{"texts": ["…", …]}} in JSON.'
        ) from exc
    field = modality.plural
    if not hasattr(request, field):
        raise RefusedError(422, f"the run takes {field}: send them as {{{field!r}: […]}}, or as files.")
    if isinstance(request, Texts):
        return _numbered("texts", request.texts), [text.encode() for text in request.texts]
    names = _numbered("images", request.images)
    return names, [_from_base64(name, text) for name, text in zip(names, request.images, strict=True)]


def _numbered(field: str, values: list[str]) -> list[str]:
    return [f"{field}[{number}]" for number in range(len(values))]


_FROM_URL_ALPHABET = str.maketrans("-_", "+/")


def _from_base64(name: str, text: str) -> bytes:
    start, comma, _ = text[:100].partition(",")
    encoded = "".join((text[len(start) + 1 :] if comma and start.startswith("data:") else text).split())
    encoded = encoded.translate(_FROM_URL_ALPHABET) + "=" * (-len(encoded) % 4)
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise RefusedError(422, f"{name} is not base64: {exc}.") from exc
