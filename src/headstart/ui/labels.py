"""The names of settings on the page."""

from headstart.config import all_settings


def spell_label(name: str, value: str | None) -> str:
    """The label of a setting in quotation marks, alone or with a value."""
    settings = all_settings()
    label = settings[name].label if name in settings else name.replace("_", " ")
    return f"“{label}”" if value is None else f"“{label}”: {value}"
