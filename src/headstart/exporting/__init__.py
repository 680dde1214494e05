"""Outlets of a finished run that take it elsewhere: ``export.py`` first, the rest is what it asks."""
