"""Stage 4 of 7, training: takes features and labels, gives a Head; next: evaluation."""

from headstart.training.head import Head, fit_head, weights_of_classes
from headstart.training.task import Recipe, Task

__all__ = ["Head", "Recipe", "Task", "fit_head", "weights_of_classes"]
