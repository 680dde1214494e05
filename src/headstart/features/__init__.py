"""Stage 3 of 7, features: takes a Base and files, gives a FeatureSet (one pass, cached); next: training."""

from headstart.features.extraction import FeatureSet, extract

__all__ = ["FeatureSet", "extract"]
