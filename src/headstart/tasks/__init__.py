"""What is predicted: everything that depends on the kind of label, one task for each kind."""

from headstart.tasks.classification import ClassificationTask, classification_task
from headstart.tasks.registry import get_task, register_task, task_for, unregister_task
from headstart.tasks.task import Curve, Metric, Region, ReportSection, Task
from headstart.tasks.wording import Wording

__all__ = [
    "ClassificationTask",
    "Curve",
    "Metric",
    "Region",
    "ReportSection",
    "Task",
    "Wording",
    "classification_task",
    "get_task",
    "register_task",
    "task_for",
    "unregister_task",
]
