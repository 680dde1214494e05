"""The tasks by name: those of headstart, and those that other packages register.

A package registers a task with :func:`register_task`, or names it in its metadata, where every headstart process finds
it without an import:

    [project.entry-points."headstart.tasks"]
    ordinal = "my_package.ordinal:Ordinal"
"""

from collections.abc import Sequence

from headstart.errors import InputError
from headstart.system.registry import Registry
from headstart.tasks.detection import Detection
from headstart.tasks.labels import Label
from headstart.tasks.multi_label import MultiLabel
from headstart.tasks.single_label import SingleLabel
from headstart.tasks.task import Task

_REGISTRY: Registry[Task] = Registry(
    "task", (SingleLabel(), MultiLabel(), Detection()), group="headstart.tasks", field="task"
)


def register_task(task: Task) -> None:
    """Add a task, which the setting ``task`` then accepts by its name, and which runs record.

    It is known in this process. Fine-tuning runs in another one and so needs an entry point.

    Raises:
        InputError: there is a task of this name already.
    """
    _REGISTRY.register(task)


def unregister_task(name: str) -> None:
    """Remove a task that :func:`register_task` added."""
    _REGISTRY.unregister(name)


def get_task(name: str) -> Task:
    """The task with a name.

    Raises:
        InputError: no installed package has it.
    """
    return _REGISTRY.get(name)


def is_in_every_process(task: Task) -> bool:
    """Whether other processes find a task as well, by its name."""
    return _REGISTRY.is_in_every_process(task.name)


def task_for(labels: Sequence[Label], name: str | None = None) -> Task:
    """The task for labels as read from data.

    Args:
        labels: of all examples.
        name: of the task that was set; None takes the first registered one that matches.

    Raises:
        InputError: the named task does not exist, or is not for such labels.
    """
    if name is None:
        tasks = _REGISTRY.all()
        return next((task for task in tasks if task.matches(labels)), tasks[0])
    task = get_task(name)
    if not task.matches(labels):
        raise InputError(f"the labels of the data do not suit the task {name}.", field="task")
    return task
