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
    from headstart.adoption import adopt
    from headstart.auditing import DataAudit
    from headstart.auditing import audit_data as audit
    from headstart.bases import Base, load_base
    from headstart.bases.fetching import fetch
    from headstart.checks import check
    from headstart.comparing import BaseComparison, compare
    from headstart.data import Dataset, load_dataset
    from headstart.errors import HeadstartError, InputError, IntegrityError, UnavailableError
    from headstart.explanation.explain import Explanation, explain
    from headstart.exporting.export import Export, export
    from headstart.extending import extend
    from headstart.features import FeatureSet, extract
    from headstart.held_out import evaluate_run as evaluate
    from headstart.pipeline import train, tune
    from headstart.predict import MultiLabelPrediction, Prediction
    from headstart.run import Run, load
    from headstart.training import FineTuning

_WHERE = {
    "Base": "bases:Base",
    "BaseComparison": "comparing:BaseComparison",
    "DataAudit": "auditing:DataAudit",
    "Dataset": "data:Dataset",
    "Explanation": "explanation.explain:Explanation",
    "Export": "exporting.export:Export",
    "FeatureSet": "features:FeatureSet",
    "FineTuning": "training:FineTuning",
    "HeadstartError": "errors:HeadstartError",
    "InputError": "errors:InputError",
    "IntegrityError": "errors:IntegrityError",
    "MultiLabelPrediction": "predict:MultiLabelPrediction",
    "Prediction": "predict:Prediction",
    "Run": "run:Run",
    "UnavailableError": "errors:UnavailableError",
    "adopt": "adoption:adopt",
    "audit": "auditing:audit_data",
    "check": "checks:check",
    "compare": "comparing:compare",
    "evaluate": "held_out:evaluate_run",
    "explain": "explanation.explain:explain",
    "extend": "extending:extend",
    "export": "exporting.export:export",
    "extract": "features:extract",
    "fetch": "bases.fetching:fetch",
    "load": "run:load",
    "load_base": "bases:load_base",
    "load_dataset": "data:load_dataset",
    "train": "pipeline:train",
    "tune": "pipeline:tune",
}

__all__ = [
    "Base",
    "BaseComparison",
    "DataAudit",
    "Dataset",
    "Explanation",
    "Export",
    "FeatureSet",
    "FineTuning",
    "HeadstartError",
    "InputError",
    "IntegrityError",
    "MultiLabelPrediction",
    "Prediction",
    "Run",
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
