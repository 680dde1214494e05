"""Single-label data: each example is of exactly one class."""

from headstart.tasks.single_label.task import SingleLabel

__all__ = ["SingleLabel"]
