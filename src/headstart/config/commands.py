"""Which settings each command takes, beside what is its own."""

import inspect
from collections.abc import Callable, Iterable
from typing import Any, TypeVar

from headstart.config.stages import ChoiceConfig, DataConfig, FineTuneConfig, InputConfig, SplitConfig
from headstart.config.train import TrainConfig, all_settings, names_in

Function = TypeVar("Function", bound=Callable[..., Any])

READ: tuple[str, ...] = tuple(name for name in names_in(DataConfig) if name not in ("relabel", "strict"))
"""How data are read: what :func:`headstart.load_dataset` takes."""

TRAIN: tuple[str, ...] = tuple(all_settings())
TUNE: tuple[str, ...] = names_in(FineTuneConfig)
EXTEND: tuple[str, ...] = (*READ, "fine_tune")
COMPARE: tuple[str, ...] = (
    *READ, *(name for name in names_in(SplitConfig) if name != "shots"), *names_in(InputConfig), *names_in(ChoiceConfig)
)  # fmt: skip
AUDIT: tuple[str, ...] = (*READ, "base")
EVALUATE: tuple[str, ...] = (*(name for name in READ if name not in ("group_by", "classes")), "strict")


def reading_settings(config: TrainConfig) -> dict[str, Any]:
    """The settings of :data:`READ`, name -> value."""
    return {name: getattr(config.data, name) for name in READ}


def shows_settings(names: Iterable[str]) -> Callable[[Function], Function]:
    """Let ``help()`` and notebooks show the settings that a function takes in place of its ``**settings``."""

    def decorate(function: Function) -> Function:
        signature = inspect.signature(function)
        parameters = [p for p in signature.parameters.values() if p.kind is not inspect.Parameter.VAR_KEYWORD]
        settings_by_name = all_settings()
        settings = [
            inspect.Parameter(
                name,
                inspect.Parameter.KEYWORD_ONLY,
                default=settings_by_name[name].default,
                annotation=settings_by_name[name].type,
            )
            for name in names
        ]
        function.__signature__ = signature.replace(parameters=[*parameters, *settings])  # type: ignore[attr-defined]
        return function

    return decorate
