"""Every setting of a training, declared once: its name, type, default, allowed values, help and label.

Everything that names a setting is made from here: validation, the options of the command line and their groups, the
forms of the page, ``run.json["config"]``, recipe files, the reference in the docs, and the keywords of
:func:`headstart.train` and the other commands. A setting has the same name everywhere: ``min_precision`` in Python, in
``run.json`` and in recipes, ``--min-precision`` on the command line.

Settings are fields of small frozen dataclasses, one for each stage. :class:`TrainConfig` holds one of each:

>>> TrainConfig.from_settings({"base": "keras:Xception", "dense": "256,128"}).head.dense
(256, 128)
"""

from headstart.config.setting import Setting
from headstart.config.stages import (
    AUTO,
    BASES_ALL,
    BASES_HERE,
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
from headstart.config.train import (
    Config,
    TrainConfig,
    all_settings,
    given_settings,
    merge_settings,
    names_in,
    parse_settings,
    read_recipe,
    unused_settings,
)
from headstart.config.values import (
    Augmentation,
    AugmentName,
    ClassWeights,
    EngineName,
    HeadKind,
    Keep,
    Precision,
    Resize,
)

__all__ = [
    "AUTO",
    "BASES_ALL",
    "BASES_HERE",
    "AugmentName",
    "Augmentation",
    "BaseConfig",
    "ChoiceConfig",
    "ClassWeights",
    "ComputeConfig",
    "Config",
    "DataConfig",
    "DetectorConfig",
    "EngineName",
    "EvaluationConfig",
    "FineTuneConfig",
    "HeadConfig",
    "HeadKind",
    "InputConfig",
    "Keep",
    "Precision",
    "Resize",
    "SearchConfig",
    "Setting",
    "SplitConfig",
    "TrainConfig",
    "all_settings",
    "given_settings",
    "merge_settings",
    "names_in",
    "parse_settings",
    "read_recipe",
    "unused_settings",
]
