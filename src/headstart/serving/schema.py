"""What goes in and comes out, as FastAPI describes it under ``/docs`` and ``/openapi.json``."""

import base64
import binascii
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from headstart.serving.limits import RefusedError


class Images(BaseModel):
    """Pictures for a run on pictures."""

    model_config = ConfigDict(extra="forbid")
    images: Annotated[
        list[str], Field(min_length=1, description="Picture files in base64, with or without `data:image/…;base64,`.")
    ]


class Texts(BaseModel):
    """Texts for a run on texts."""

    model_config = ConfigDict(extra="forbid")
    texts: Annotated[list[str], Field(min_length=1, description="The texts.")]


class Answered(BaseModel):
    """The answer for one picture or text."""

    file: Annotated[str, Field(description="Name of the uploaded file, or its place in the request: `images[0]`.")]
    predicted: Annotated[
        str | list[str],
        Field(description="The most probable class; of a multi-label run every label that reaches its threshold."),
    ]
    probability: Annotated[float | None, Field(description="Of that class; not of a multi-label run.")] = None
    probabilities: Annotated[dict[str, float], Field(description="By class, the most probable first; of `top_k`.")]
    unsure: Annotated[
        bool | None,
        Field(description="Below the run's own confidence threshold, if it has one; not of a multi-label run."),
    ] = None
    out_of_distribution: Annotated[
        bool | None, Field(description="Unlike what the run was trained on; null where it cannot tell.")
    ] = None


class Unusable(BaseModel):
    """One picture or text of several that cannot be used, and why."""

    file: str
    reason: str


class Answers(BaseModel):
    """The answers for a request, in its order."""

    run: Annotated[str, Field(description="Which run answers.")]
    answers: list[Answered | Unusable]


class Refusal(BaseModel):
    """Why there is no answer."""

    detail: str


class RunFacts(BaseModel):
    """One run that is being served."""

    name: str
    modality: Annotated[str, Field(description="What it takes: `image` or `text`.")]
    classes: list[str]
    multi_label: Annotated[bool, Field(description="Whether an answer is any number of labels, also none.")]
    thresholds: Annotated[
        dict[str, float] | None,
        Field(description="Of a multi-label run: the probability from which on each label is given."),
    ]
    min_confidence: Annotated[float, Field(description="The probability below which an answer is unsure; 0 if none.")]
    base: str
    created: Annotated[str, Field(description="When the version was trained that answers now.")]


class State(BaseModel):
    """How the server is."""

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
                        "description": "Picture files, or text files in UTF-8 for a run on texts.",
                    }
                },
            }
        },
        "application/json": {"schema": {"anyOf": [Images.model_json_schema(), Texts.model_json_schema()]}},
    },
}
"""Described here because the body is read by hand: it may come in two forms."""

_JSON: TypeAdapter[Images | Texts] = TypeAdapter(Images | Texts)


def read_json(body: bytes, modality: str) -> tuple[list[str], list[bytes]]:
    """Names and contents of the examples in a JSON body.

    Raises:
        RefusedError: it is not as described.
    """
    try:
        asked = _JSON.validate_json(body)
    except ValidationError as exc:
        first = exc.errors(include_url=False, include_context=False, include_input=False)[0]
        raise RefusedError(
            422, f'{first["msg"]}. Expected {{"images": ["BASE64", …]}} or {{"texts": ["…", …]}} in JSON.'
        ) from exc
    expected, wanted = ("images", Images) if modality == "image" else ("texts", Texts)
    if not isinstance(asked, wanted):
        raise RefusedError(422, f"the run takes {expected}: send them as {{{expected!r}: […]}}, or as files.")
    if isinstance(asked, Texts):
        return _numbered("texts", asked.texts), [text.encode() for text in asked.texts]
    names = _numbered("images", asked.images)
    return names, [_from_base64(name, text) for name, text in zip(names, asked.images, strict=True)]


def _numbered(what: str, several: list[str]) -> list[str]:
    return [f"{what}[{number}]" for number in range(len(several))]


def _from_base64(name: str, text: str) -> bytes:
    start, comma, _ = text[:100].partition(",")
    encoded = text[len(start) + 1 :] if comma and start.startswith("data:") else text
    try:
        return base64.b64decode(encoded, validate=True)
    except (binascii.Error, ValueError) as exc:
        raise RefusedError(422, f"{name} is not base64: {exc}.") from exc
