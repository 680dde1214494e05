"""Plain data, as JSON gives them, into typed records and back. What does not fit is named by its field.

A library would do (msgspec, cattrs, pydantic), but none of those that import quickly says which key of a mapping is
wrong, nor shows the wrong value; both are what the user of a damaged file has to know.
"""

import json
from collections.abc import Callable
from functools import cache
from types import NoneType, UnionType
from typing import Any, ClassVar, Literal, NoReturn, Self, TypeVar, Union, dataclass_transform, get_args, get_origin

from headstart.errors import did_you_mean

_Decoder = Callable[[Any, str], Any]

_LONGEST = 60  # characters of a wrong value that are shown
_SCALARS: dict[type, str] = {
    str: "a text", int: "a whole number", float: "a number", bool: "true or false", NoneType: "null",
}  # fmt: skip
_PLURALS = {str: "texts", int: "whole numbers", float: "numbers"}
_NUMBERS = {2: "two", 3: "three", 4: "four"}


@dataclass_transform(kw_only_default=True, frozen_default=True)
class Record:
    """Base of typed records: frozen, made by keyword, with the fields that the class annotates.

    Dataclasses would do, but they compile methods for each class: for all records of a run that takes 18 ms, at every
    start of ``headstart predict``; these take 3 ms.

    Attributes:
        field_types: name -> annotation.
    """

    field_types: ClassVar[dict[str, Any]] = {}

    def __init_subclass__(cls) -> None:
        cls.field_types = {**cls.field_types, **cls.__annotations__}

    def __init__(self, **values: Any) -> None:
        if values.keys() - self.field_types.keys():
            raise TypeError(f"{type(self).__name__} has no {', '.join(values.keys() - self.field_types.keys())}")
        for name in self.field_types:
            if name in values:
                object.__setattr__(self, name, values[name])
            elif not hasattr(self, name):  # nor has the class a default
                raise TypeError(f"{type(self).__name__} lacks {name}")

    def __setattr__(self, name: str, value: Any) -> NoReturn:
        raise AttributeError(f"{type(self).__name__}.{name} cannot be changed")

    def __eq__(self, other: object) -> bool:
        return type(self) is type(other) and vars(self.replace()) == vars(other.replace())

    __hash__ = None  # type: ignore[assignment] # records hold lists

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{name}={getattr(self, name)!r}' for name in self.field_types)})"

    def replace(self, **values: Any) -> Self:
        """The same record with other values for some fields."""
        return type(self)(**{**{name: getattr(self, name) for name in self.field_types}, **values})

    def to_json(self) -> dict[str, Any]:
        """As plain data, the inverse of :func:`decode`."""
        return {name: _plain(getattr(self, name)) for name in self.field_types}


T = TypeVar("T")


def _plain(value: Any) -> Any:
    if isinstance(value, Record):
        return value.to_json()
    if isinstance(value, dict):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list | tuple) else value


class FieldError(ValueError):
    """A field is missing, unknown or of the wrong kind.

    Args:
        field: its path, such as ``base.input_size`` or ``audit[3].code``; empty for the whole.
        problem: what is wrong with it.
    """

    def __init__(self, field: str, problem: str) -> None:
        self.field, self.problem = field, problem
        super().__init__(f"{field}: {problem}" if field else problem)


def decode(kind: type[T], value: object, field: str = "") -> T:
    """Make a typed record of plain data.

    Every field has to be there, and no other; numbers become floats where the record wants these.

    Args:
        kind: a record whose fields are annotated with scalars, lists, tuples, mappings from texts, literals, unions
            and other records.
        value: what :mod:`json` gives for it.
        field: path of the value in its file.

    Raises:
        FieldError: the data do not fit.
    """
    decoder: _Decoder = _decoder(kind)  # type: ignore[arg-type] # a class is hashable
    result: T = decoder(value, field)
    return result


def wrong_value(field: str, expected: str, value: object) -> FieldError:
    """The error for a value of the wrong kind, with the value shown as JSON writes it."""
    value_text = json.dumps(value, ensure_ascii=False, default=str)
    value_text = value_text if len(value_text) <= _LONGEST else value_text[: _LONGEST - 2] + " …"
    return FieldError(field, f"expected {expected}, got {value_text}")


@cache
def _decoder(kind: Any) -> _Decoder:
    origin, arguments = get_origin(kind), get_args(kind)
    if kind is Any:
        return lambda value, field: value
    if _is_record(kind):
        return _record_decoder(kind)
    if origin in (Union, UnionType):
        return _union_decoder(arguments)
    if origin is Literal:
        return _literal_decoder(arguments)
    if origin is dict:
        return _mapping_decoder(arguments[1])
    if origin in (list, tuple):
        return _sequence_decoder(origin, arguments)
    return _scalar_decoder(kind)


def _scalar_decoder(kind: type) -> _Decoder:
    expected = _SCALARS[kind]
    accepted: Any = (int, float) if kind is float else kind

    def decode_scalar(value: Any, field: str) -> Any:
        if not isinstance(value, accepted) or (isinstance(value, bool) and kind is not bool):
            raise wrong_value(field, expected, value)
        return float(value) if kind is float else value

    return decode_scalar


def _literal_decoder(choices: tuple[Any, ...]) -> _Decoder:
    def decode_literal(value: Any, field: str) -> Any:
        if value not in choices:
            raise wrong_value(field, _describe(Literal[choices]), value)
        return value

    return decode_literal


def _mapping_decoder(values: Any) -> _Decoder:
    decode_value = _decoder(values)

    def decode_mapping(value: Any, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise wrong_value(field, "an object", value)
        return {key: decode_value(item, _below(field, key)) for key, item in value.items()}

    return decode_mapping


def _sequence_decoder(origin: type, arguments: tuple[Any, ...]) -> _Decoder:
    expected = _describe(origin[arguments])  # type: ignore[index]
    is_fixed = origin is tuple and arguments[-1] is not ...
    decode_item, decode_items = _decoder(arguments[0]), [_decoder(kind) for kind in arguments] if is_fixed else []

    def decode_sequence(value: Any, field: str) -> Any:
        if not isinstance(value, list | tuple) or (is_fixed and len(value) != len(arguments)):
            raise wrong_value(field, expected, value)
        if not is_fixed:
            return origin(decode_item(item, f"{field}[{i}]") for i, item in enumerate(value))
        try:
            return tuple(decode_one(item, field) for decode_one, item in zip(decode_items, value, strict=True))
        except FieldError:
            raise wrong_value(field, expected, value) from None

    return decode_sequence


def _union_decoder(kinds: tuple[Any, ...]) -> _Decoder:
    records = [kind for kind in kinds if _is_record(kind)]
    other_kinds = [kind for kind in kinds if kind not in records]
    expected = " or ".join(dict.fromkeys(_describe(kind) for kind in kinds))

    def decode_union(value: Any, field: str) -> Any:
        if isinstance(value, dict) and records:
            return _decoder(max(records, key=lambda kind: _likeness(kind, value)))(value, field)
        inside = None
        for kind in other_kinds:
            try:
                return _decoder(kind)(value, field)
            except FieldError as exc:
                inside = exc if exc.field != field else inside
        raise inside or wrong_value(field, expected, value)

    return decode_union


def _is_record(kind: Any) -> bool:
    return isinstance(kind, type) and issubclass(kind, Record)


def _likeness(kind: type[Record], value: dict[str, Any]) -> tuple[bool, int]:
    """How well an object fits a record: by its ``kind``, if the record says which it has, then by its keys."""
    field_types = kind.field_types
    return value.get("kind") in get_args(field_types.get("kind")), -len(field_types.keys() ^ value.keys())


def _record_decoder(kind: type[Record]) -> _Decoder:
    field_types = kind.field_types

    def decode_record(value: Any, field: str) -> Any:
        if not isinstance(value, dict):
            raise wrong_value(field, "an object", value)
        for name in value:
            if name not in field_types:
                raise FieldError(_below(field, name), f"unknown field.{did_you_mean(name, field_types)}")
        for name in field_types:
            if name not in value:
                raise FieldError(_below(field, name), "missing")
        return kind(**{name: _decoder(of)(value[name], _below(field, name)) for name, of in field_types.items()})

    return decode_record


def _below(field: str, name: str) -> str:
    return f"{field}.{name}" if field else name


def _describe(kind: Any) -> str:
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Literal:
        return " or ".join(json.dumps(choice) for choice in arguments)
    if origin in (Union, UnionType):
        return " or ".join(dict.fromkeys(map(_describe, arguments)))
    if origin is tuple and arguments[-1] is not ...:
        if len(set(arguments)) == 1:
            return f"{_NUMBERS[len(arguments)]} {_PLURALS.get(arguments[0], f'lists of {_describe(arguments[0])}')}"
        return " and ".join(map(_describe, arguments))
    if origin in (list, tuple):
        return "a list"
    return _SCALARS.get(kind, "an object")
