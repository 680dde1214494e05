"""What is known of one setting, and how a stage declares one."""

import dataclasses
import typing
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from headstart.config.values import Limits, parser_of, without_none
from headstart.errors import InputError, did_you_mean, field_name


@dataclass(frozen=True)
class Setting:
    """What is known of one setting.

    Attributes:
        name: of the field.
        type: of its value, as annotated.
        default: value when nothing is set.
        help: one line.
        label: what forms call it.
        stage: what the stage that it belongs to is called, which is the title of its group of options.
        form: how values are written, such as ``256,128``; None for plain ones.
        example: values as messages describe them; None for plain ones.
        common: whether it is one of the few that most people need.
        limits: of a number.
        parse: makes a value of what was given; raises ValueError or TypeError.
    """

    name: str
    type: Any
    default: Any
    help: str
    label: str
    stage: str
    form: str | None
    example: str | None
    common: bool
    limits: Limits
    parse: Callable[[Any], Any]

    @property
    def choices(self) -> tuple[str, ...] | None:
        """The allowed values, if they can be listed."""
        kind = without_none(self.type)
        return typing.get_args(kind) if typing.get_origin(kind) is Literal else None

    @property
    def is_flag(self) -> bool:
        """Whether it is on or off."""
        return self.type is bool

    @property
    def plain_type(self) -> Any:
        """The type of its value when it is not None."""
        return without_none(self.type)

    def text(self, value: Any) -> str:
        """A value as it is written on the command line and in forms."""
        if isinstance(value, list | tuple):
            return ("x" if self.name == "input_size" else ",").join(map(str, value))
        return f"{value:g}" if isinstance(value, float) else str(value)

    def fault(self, value: Any, exc: Exception) -> str:
        """What is wrong with a value, for people.

        Args:
            value: that cannot be parsed.
            exc: what the parser raised; its text is shown if it is a sentence, and not one of Python's own.
        """
        value_text = self.text(value) if isinstance(value, str | int | float | list | tuple) else repr(value)
        if self.choices:
            return (
                f"expected {_join_choices(self.choices)}, got {value_text!r}.{did_you_mean(value_text, self.choices)}"
            )
        if str(exc).endswith("."):
            return str(exc)
        return f"expected {self.example or self._expected()}, got {value_text!r}."

    def _expected(self) -> str:
        kinds = {bool: "true or false", str: "text", int: "a whole number", float: "a number"}
        words = {"low": "of at least", "above": "above", "high": "and at most", "below": "and below"}
        bounds = [f"{words[name]} {self.limits[name]:g}" for name in words if name in self.limits]
        return " ".join([kinds[self.plain_type], *bounds]).replace("number and", "number")


def setting(
    default: Any,
    help: str,
    *,
    label: str | None = None,
    form: str | None = None,
    example: str | None = None,
    parse: Callable[[Any], Any] | None = None,
    common: bool = False,
    **limits: float,
) -> Any:
    """Declare a dataclass field that is a setting.

    Args:
        default: value when nothing is set.
        help: one line.
        label: what forms call it; made of the name when None.
        form: how values are written.
        example: values as messages describe them.
        parse: makes a value of what was given; made of the type when None.
        common: whether it is one of the few that most people need.
        limits: of a number: ``low``, ``high``, ``above``, ``below``.
    """
    metadata = {
        "help": help, "label": label, "form": form, "example": example, "parse": parse, "common": common,
        "limits": limits,
    }  # fmt: skip
    return dataclasses.field(default=default, metadata=metadata)


@cache
def declared_settings(config: Callable[..., "Stage"]) -> list[Setting]:
    """The settings that a class of settings declares, in order."""
    hints = typing.get_type_hints(config)
    stage = (config.__doc__ or "").splitlines()[0].rstrip(".")
    return [_described(field, hints[field.name], stage) for field in dataclasses.fields(config) if field.metadata]  # type: ignore[arg-type]


class Stage:
    """Base of the stages: a frozen dataclass of settings that parses their values when it is made.

    Raises:
        InputError: values that are not allowed; all of them are reported.
    """

    def __post_init__(self) -> None:
        faults = []
        for setting in declared_settings(type(self)):  # type: ignore[arg-type]
            value = getattr(self, setting.name)
            if value is None and setting.default is None:
                continue
            try:
                object.__setattr__(self, setting.name, setting.parse(value))
            except (ValueError, TypeError) as exc:
                faults.append((setting.name, setting.fault(value, exc)))
        raise_faults(faults)


def raise_faults(faults: Sequence[tuple[str, str]]) -> None:
    """Raise one error that reports all faults, (name of the setting, what is wrong); none if there are none.

    Raises:
        InputError: there are some.
    """
    if len(faults) == 1:
        raise InputError(faults[0][1], field=faults[0][0])
    if faults:
        lines = [f"  {field_name(name)}: {text}" for name, text in faults]
        raise InputError(f"{len(faults)} settings cannot be used:\n" + "\n".join(lines))


def _described(field: dataclasses.Field, kind: Any, stage: str) -> Setting:
    about = {**field.metadata, "stage": stage}
    about["parse"] = about["parse"] or parser_of(kind, about["limits"])
    about["label"] = about["label"] or field.name.replace("_", " ").capitalize()
    return Setting(name=field.name, type=kind, default=field.default, **about)


def _join_choices(words: tuple[str, ...]) -> str:
    return f"{', '.join(words[:-1])} or {words[-1]}"
