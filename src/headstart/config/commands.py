"""Which settings each command takes, beside what is its own."""

from typing import Any

from headstart.config.stages import ChoiceConfig, DataConfig, FineTuneConfig, InputConfig, SplitConfig
from headstart.config.train import TrainConfig, all_settings, names_in

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
