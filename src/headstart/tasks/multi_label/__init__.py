"""Multi-label data: each example has any number of labels."""

from headstart.tasks.multi_label.task import MultiLabel

__all__ = ["MultiLabel"]
