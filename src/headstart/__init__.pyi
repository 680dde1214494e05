"""The public names of headstart, and where each comes from: the only list of them."""

from .bases import Base as Base
from .bases import load_base as load_base
from .commands.adopt import adopt as adopt
from .commands.audit import DataAudit as DataAudit
from .commands.audit import audit as audit
from .commands.base_comparison import BaseComparison as BaseComparison
from .commands.check import check as check
from .commands.compare import compare as compare
from .commands.evaluate import evaluate as evaluate
from .commands.explain import explain as explain
from .commands.export import export as export
from .commands.extend import extend as extend
from .commands.fetch import fetch as fetch
from .commands.load import Run as Run
from .commands.load import load as load
from .commands.train import train as train
from .commands.tune import tune as tune
from .config import FineTuneConfig as FineTuneConfig
from .config import TrainConfig as TrainConfig
from .data import Dataset as Dataset
from .data import load_dataset as load_dataset
from .errors import HeadstartError as HeadstartError
from .errors import InputError as InputError
from .errors import IntegrityError as IntegrityError
from .errors import UnavailableError as UnavailableError
from .explanation.explain import Explanation as Explanation
from .exporting.export import Export as Export
from .features import FeatureSet as FeatureSet
from .features import extract as extract
from .system.progress import Progress as Progress
from .tasks.answers import MultiLabelPrediction as MultiLabelPrediction
from .tasks.answers import Prediction as Prediction
from .tasks.detection import DetectionPrediction as DetectionPrediction

__version__: str
