"""Stage 4 of 7, training: takes features and labels, gives a Head; next: evaluation."""

from headstart.training.head import Head, Recipe, fit_head, weights_of_classes

__all__ = ["Head", "Recipe", "fit_head", "weights_of_classes"]
