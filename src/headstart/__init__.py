"""headstart: transfer learning, done right.

    import headstart as hs
    run = hs.train("photos/")
    run.metrics["accuracy"], run.predict("cat.jpg"), run.report()

The stages are usable on their own: :func:`load_base`, :func:`load_dataset`, :func:`extract`. Names are imported when
they are first used, so ``import headstart`` is quick and pulls in nothing heavy.
"""

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from headstart.bases import Base, load_base
    from headstart.commands.adopt import adopt
    from headstart.commands.audit import DataAudit
    from headstart.commands.audit import audit_data as audit
    from headstart.commands.check import check
    from headstart.commands.compare import BaseComparison, compare
    from headstart.commands.evaluate import evaluate_run as evaluate
    from headstart.commands.extend import extend
    from headstart.commands.fetch import fetch
    from headstart.commands.load import Run, load
    from headstart.commands.train import train
    from headstart.commands.tune import tune
    from headstart.config import FineTuneConfig, TrainConfig
    from headstart.data import Dataset, load_dataset
    from headstart.errors import HeadstartError, InputError, IntegrityError, UnavailableError
    from headstart.explanation.explain import Explanation, explain
    from headstart.exporting.export import Export, export
    from headstart.features import FeatureSet, extract
    from headstart.runs.predictor import MultiLabelPrediction, Prediction
    from headstart.system.progress import Progress

_WHERE = {
    "Base": "bases:Base",
    "BaseComparison": "commands.compare:BaseComparison",
    "DataAudit": "commands.audit:DataAudit",
    "Dataset": "data:Dataset",
    "Explanation": "explanation.explain:Explanation",
    "Export": "exporting.export:Export",
    "FeatureSet": "features:FeatureSet",
    "FineTuneConfig": "config:FineTuneConfig",
    "HeadstartError": "errors:HeadstartError",
    "InputError": "errors:InputError",
    "IntegrityError": "errors:IntegrityError",
    "MultiLabelPrediction": "runs.predictor:MultiLabelPrediction",
    "Prediction": "runs.predictor:Prediction",
    "Progress": "system.progress:Progress",
    "Run": "commands.load:Run",
    "TrainConfig": "config:TrainConfig",
    "UnavailableError": "errors:UnavailableError",
    "adopt": "commands.adopt:adopt",
    "audit": "commands.audit:audit_data",
    "check": "commands.check:check",
    "compare": "commands.compare:compare",
    "evaluate": "commands.evaluate:evaluate_run",
    "explain": "explanation.explain:explain",
    "extend": "commands.extend:extend",
    "export": "exporting.export:export",
    "extract": "features:extract",
    "fetch": "commands.fetch:fetch",
    "load": "commands.load:load",
    "load_base": "bases:load_base",
    "load_dataset": "data:load_dataset",
    "train": "commands.train:train",
    "tune": "commands.tune:tune",
}

__all__ = [
    "Base",
    "BaseComparison",
    "DataAudit",
    "Dataset",
    "Explanation",
    "Export",
    "FeatureSet",
    "FineTuneConfig",
    "HeadstartError",
    "InputError",
    "IntegrityError",
    "MultiLabelPrediction",
    "Prediction",
    "Progress",
    "Run",
    "TrainConfig",
    "UnavailableError",
    "__version__",
    "adopt",
    "audit",
    "check",
    "compare",
    "evaluate",
    "explain",
    "export",
    "extend",
    "extract",
    "fetch",
    "load",
    "load_base",
    "load_dataset",
    "train",
    "tune",
]


def __getattr__(name: str) -> Any:
    if name == "__version__":
        from importlib.metadata import version

        return version("headstart")
    if name not in _WHERE:
        raise AttributeError(f"module 'headstart' has no attribute {name!r}")
    module, _, attribute = _WHERE[name].partition(":")
    value = getattr(importlib.import_module(f"headstart.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
