"""Outlets of a finished run that say why it answers as it does: ``explain.py`` first, the rest is what it asks."""
