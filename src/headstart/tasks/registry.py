"""The tasks by name: those of headstart, and those that other packages register.

A package registers a task with :func:`register_task`, or names it in its metadata, where every headstart process finds
it without an import:

    [project.entry-points."headstart.tasks"]
    ordinal = "my_package.ordinal:Ordinal"
"""

from collections.abc import Sequence
from importlib.metadata import entry_points

from headstart.errors import InputError, did_you_mean
from headstart.tasks.labels import Label
from headstart.tasks.multi_label import MultiLabel
from headstart.tasks.single_label import SingleLabel
from headstart.tasks.task import Task

ENTRY_POINTS = "headstart.tasks"

_TASKS: dict[str, Task] = {task.name: task for task in (SingleLabel(), MultiLabel())}


def register_task(task: Task) -> None:
    """Add a task, which the setting ``task`` then accepts by its name, and which runs record.

    Raises:
        InputError: there is a task of this name already.
    """
    if task.name in _TASKS:
        raise InputError(f"there is a task named {task.name!r} already.", field="task")
    _TASKS[task.name] = task


def unregister_task(name: str) -> None:
    """Remove a task that :func:`register_task` added."""
    del _TASKS[name]


def get_task(name: str) -> Task:
    """The task with a name.

    Raises:
        InputError: no package here has it.
    """
    if name not in _TASKS:
        for entry_point in entry_points(group=ENTRY_POINTS, name=name):
            register_task(entry_point.load()())
    if name not in _TASKS:
        raise InputError(
            f"unknown task {name!r}: expected one of {', '.join(_TASKS)}.{did_you_mean(name, _TASKS)} If a package "
            "adds this task, install or import it first.",
            field="task",
        )
    return _TASKS[name]


def task_for(labels: Sequence[Label], name: str | None = None) -> Task:
    """The task for labels as read from data.

    Args:
        labels: of all examples.
        name: of the task that was set; None takes the first one that matches.

    Raises:
        InputError: the named task does not exist, or is not for such labels.
    """
    if name is None:
        return next((task for task in _TASKS.values() if task.matches(labels)), _TASKS[SingleLabel.name])
    task = get_task(name)
    if not task.matches(labels):
        raise InputError(f"the labels of the data do not suit the task {name}.", field="task")
    return task
