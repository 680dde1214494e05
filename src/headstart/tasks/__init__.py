"""What is predicted: everything that depends on the kind of label, one task for each kind."""

from headstart.tasks.registry import get_task, register_task, task_for, unregister_task
from headstart.tasks.task import Metric, ReportSection, Task
from headstart.tasks.wording import Wording

__all__ = ["Metric", "ReportSection", "Task", "Wording", "get_task", "register_task", "task_for", "unregister_task"]
