"""The head on cached features: solved (linear), with hidden layers (dense), or found by a search."""
