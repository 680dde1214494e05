"""All settings of a training together: rules between them, values by name, recipes."""

import dataclasses
import json
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Self, cast

from headstart.config.format_1 import settings_of_format_1
from headstart.config.setting import Setting, Stage, declared_settings, raise_faults
from headstart.config.stages import (
    AUTO,
    BaseConfig,
    ChoiceConfig,
    ComputeConfig,
    DataConfig,
    DetectorConfig,
    EvaluationConfig,
    FineTuneConfig,
    HeadConfig,
    InputConfig,
    SearchConfig,
    SplitConfig,
)
from headstart.errors import InputError, did_you_mean, field_name


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """Every setting of a training, by stage.

    Raises:
        InputError: settings that exclude each other.
    """

    base: BaseConfig = dataclasses.field(default_factory=BaseConfig)
    data: DataConfig = dataclasses.field(default_factory=DataConfig)
    split: SplitConfig = dataclasses.field(default_factory=SplitConfig)
    input: InputConfig = dataclasses.field(default_factory=InputConfig)
    head: HeadConfig = dataclasses.field(default_factory=HeadConfig)
    search: SearchConfig = dataclasses.field(default_factory=SearchConfig)
    fine_tuning: FineTuneConfig = dataclasses.field(default_factory=FineTuneConfig)
    detector: DetectorConfig = dataclasses.field(default_factory=DetectorConfig)
    evaluation: EvaluationConfig = dataclasses.field(default_factory=EvaluationConfig)
    choice: ChoiceConfig = dataclasses.field(default_factory=ChoiceConfig)
    compute: ComputeConfig = dataclasses.field(default_factory=ComputeConfig)

    @classmethod
    def from_settings(cls, values: Mapping[str, Any]) -> Self:
        """The stages filled from a flat mapping, name -> value; what is missing or None keeps its default.

        Raises:
            InputError: names or values that are not allowed; all of them are reported.
        """
        parsed = parse_settings(values)
        stages: dict[str, Any] = {}
        for stage, config in STAGES.items():
            stages[stage] = config(**{name: parsed[name] for name in names_in(config) if name in parsed})
        stages["head"] = dataclasses.replace(stages["head"], seed=stages["split"].seed)
        return cls(**stages)

    def to_dict(self) -> dict[str, Any]:
        """All settings as plain data, name -> value, as ``run.json`` and recipes hold them."""
        return {
            name: list(value) if isinstance(value, tuple) else value
            for stage in STAGES
            for name, value in _settings_in(getattr(self, stage)).items()
        }

    def replace(self, **values: Any) -> Self:
        """The same settings with other values for some, checked like the first ones."""
        return type(self).from_settings({**self.to_dict(), **values})

    def __post_init__(self) -> None:
        faults = [fault for rule in _RULES if (fault := rule(self))]
        raise_faults(faults)


STAGES: dict[str, type] = {field.name: cast(type, field.default_factory) for field in dataclasses.fields(TrainConfig)}
"""Name of each stage in :class:`TrainConfig` -> its class."""


def _head_without_hidden_layers(config: TrainConfig) -> tuple[str, str] | None:
    if config.head.head == "linear" and config.head.dense:
        return "head", f"a linear head has no hidden layers: leave out {field_name('dense')}, or choose mlp."
    return None


def _counts_need_a_linear_head(config: TrainConfig) -> tuple[str, str] | None:
    if config.head.counts == "tokens" and config.head.kind == "mlp":
        return "counts", "tokens cannot be counted for a head with hidden layers: use auto or none, or a linear head."
    return None


def _something_to_train_on(config: TrainConfig) -> tuple[str, str] | None:
    if config.split.val + config.split.test >= 1:
        return "val", f"{config.split.val:g} and {field_name('test')} {config.split.test:g} leave nothing to train on."
    return None


def _search_chooses_the_head(config: TrainConfig) -> tuple[str, str] | None:
    head = HeadConfig()
    if config.search.search is None:
        return None
    if (config.head.head, config.head.dense, config.head.dropout) != (head.head, head.dense, head.dropout):
        names = ", ".join(map(field_name, ("head", "dense", "dropout")))
        return "search", f"the search chooses the head itself: leave out {names}."
    if config.split.shots is not None:
        return "search", f"it is judged on validation examples, and {field_name('shots')} leaves none."
    if config.split.val == 0:
        return "search", f"it is judged on validation examples: set {field_name('val', 0.15)}, for instance."
    return None


def _choice_needs_auto(config: TrainConfig) -> tuple[str, str] | None:
    if config.base.base != AUTO and config.choice != ChoiceConfig():
        name = next(iter(given_settings(config.choice)))
        return name, f"it is for a choice among several bases: set {field_name('base', AUTO)} as well, or leave it out."
    return None


def _auto_takes_no_details(config: TrainConfig) -> tuple[str, str] | None:
    details = [name for name in given_settings(config.base) if name != "base"]
    if config.base.base == AUTO and details:
        return details[0], f"it is for one base: name that with {field_name('base')}, in place of auto."
    return None


def _separator_is_for_one_column(config: TrainConfig) -> tuple[str, str] | None:
    separator, columns = config.data.label_separator, config.data.label_column
    if separator == "":
        return "label_separator", "it is empty: expected the text between two labels, such as ';'."
    if separator and columns and len(columns) > 1:
        return "label_separator", f"it is for one column of labels, and {field_name('label_column')} names several."
    return None


_RULES: tuple[Callable[[TrainConfig], tuple[str, str] | None], ...] = (
    _head_without_hidden_layers,
    _counts_need_a_linear_head,
    _something_to_train_on,
    _search_chooses_the_head,
    _choice_needs_auto,
    _auto_takes_no_details,
    _separator_is_for_one_column,
)


def unused_settings(config: TrainConfig) -> list[str]:
    """What is set but changes nothing because of another setting; one sentence for each reason."""
    fine_tuning, head = given_settings(config.fine_tuning), given_settings(config.head)
    is_searching = config.search.search is not None
    unused = {
        "nothing is fine-tuned": fine_tuning.keys() - {"fine_tune"} - ({"augment", "views"} if is_searching else set())
        if config.fine_tuning.fine_tune == "none"
        else (),
        "the head has no hidden layers": head.keys() & {"dropout", "epochs"}
        if config.head.kind == "linear" and not is_searching
        else (),
    }
    return [
        f"not used, because {reason}: {', '.join(all_settings()[name].label.lower() for name in sorted(names))}"
        for reason, names in unused.items()
        if names
    ]


Config = TrainConfig | Stage | Mapping[str, Any] | str | Path | None
"""Settings as one object: all of them, one stage, a mapping, the path of a recipe, or none."""


@cache
def all_settings() -> dict[str, Setting]:
    """Name -> setting, of all stages, in their order."""
    return {setting.name: setting for config in STAGES.values() for setting in declared_settings(config)}


def names_in(*stages: type) -> tuple[str, ...]:
    """Names of the settings of some stages."""
    return tuple(field.name for stage in stages for field in dataclasses.fields(stage) if field.metadata)


def parse_settings(values: Mapping[str, Any], allowed: Iterable[str] | None = None) -> dict[str, Any]:
    """Values of the right types, name -> value; those that are None are left out.

    Args:
        values: as Python, the command line, a form or a recipe gives them.
        allowed: the names that may be there; all when None.

    Raises:
        InputError: an unknown name, or a value that is not allowed; all of them are reported.
    """
    settings_by_name = all_settings() if allowed is None else {name: all_settings()[name] for name in allowed}
    parsed: dict[str, Any] = {}
    faults: list[tuple[str, str]] = []
    for name, value in values.items():
        if name not in settings_by_name:
            faults.append((name, f"there is no such setting here.{did_you_mean(name, settings_by_name)}"))
        elif value is not None:
            try:
                parsed[name] = settings_by_name[name].parse(value)
            except (ValueError, TypeError) as exc:
                faults.append((name, settings_by_name[name].fault(value, exc)))
    raise_faults(faults)
    return parsed


def given_settings(stage: Any) -> dict[str, Any]:
    """The settings of a filled stage, or of a whole :class:`TrainConfig`, that differ from their defaults."""
    if isinstance(stage, TrainConfig):
        parts = [getattr(stage, name) for name in STAGES]
        return {name: value for part in parts for name, value in given_settings(part).items()}
    return {name: value for name, value in _settings_in(stage).items() if value != all_settings()[name].default}


def merge_settings(config: Config, values: Mapping[str, Any], allowed: Iterable[str] | None = None) -> dict[str, Any]:
    """Settings from a config together with settings given by name.

    A setting of the config counts as given if it differs from its default.

    Args:
        config: see :data:`Config`; a recipe is a ``.toml`` file, or the ``run.json`` of a run.
        values: name -> value; None is not given.
        allowed: the names that may be given; others in a config are passed over, and in ``values`` they are an error.

    Raises:
        InputError: a setting has two different values; or as :func:`parse_settings`.
    """
    parsed = parse_settings(values, allowed)
    config_values, source = _values_of_config(config)
    if allowed is not None:
        config_values = {name: value for name, value in config_values.items() if name in set(allowed)}
    faults = []
    for name, value in parsed.items():
        if name in config_values and config_values[name] != value:
            to_text = all_settings()[name].text
            text, config_text = to_text(value), to_text(config_values[name])
            faults.append((name, f"it is {text} here and {config_text} in {source}. Leave one of the two out."))
    raise_faults(faults)
    return config_values | parsed


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The settings in a recipe file, name -> value.

    A recipe is a TOML file of settings, alone or in tables, or the ``run.json`` of a run, which records all of them.

    Raises:
        InputError: there is no such file, or it holds no settings.
    """
    path = Path(path).expanduser()
    if not path.is_file():
        problem = "it is a folder" if path.is_dir() else "there is no such file"
        raise InputError(
            f"cannot read the recipe {path}: {problem}. Expected a .toml file, or the run.json of a run.",
            field="config",
        )
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as exc:
        raise InputError(f"cannot read the recipe {path}: {exc}.", field="config") from exc
    try:
        if path.suffix.lower() == ".json":
            content = json.loads(text)
            if "asked" in content:
                content = settings_of_format_1(content["asked"])
            content = content.get("config", content)
        else:
            import tomllib

            content = tomllib.loads(text)
            tables = [value for value in content.values() if isinstance(value, dict)]
            content = {key: value for key, value in content.items() if not isinstance(value, dict)}
            for table in tables:
                content |= table
    except (ValueError, AttributeError) as exc:
        raise InputError(
            f'{path} is not a recipe: {exc}. Expected TOML such as base = "keras:Xception".', field="config"
        ) from exc
    return content


def _values_of_config(config: Config) -> tuple[dict[str, Any], str]:
    """What a config sets differently from the defaults, and what messages call it."""
    if config is None:
        return {}, ""
    if isinstance(config, str | Path):
        values, source = read_recipe(config), str(config)
    elif isinstance(config, Mapping):
        values, source = dict(config), "config"
    else:
        return given_settings(config), "config"
    settings_by_name = all_settings()
    try:
        parsed = parse_settings(values)
    except InputError as exc:
        raise InputError(f"{source}: {exc.message}") from exc
    return {name: value for name, value in parsed.items() if value != settings_by_name[name].default}, source


def _settings_in(stage: Any) -> dict[str, Any]:
    return {name: getattr(stage, name) for name in names_in(type(stage))}
