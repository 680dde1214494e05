"""What is predicted: everything that depends on the kind of label, one task for each kind."""

from headstart.tasks.registry import get_task, register_task, task_for, unregister_task
from headstart.tasks.task import Metric, ReportSection, Task

__all__ = ["Metric", "ReportSection", "Task", "get_task", "register_task", "task_for", "unregister_task"]
