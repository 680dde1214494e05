"""What the page calls settings."""

from headstart.config import all_settings


def spell_label(name: str, value: str | None) -> str:
    """A setting as the page names it: by its label in quotation marks, with a value or without."""
    known = all_settings()
    label = known[name].label if name in known else name.replace("_", " ")
    return f"“{label}”" if value is None else f"“{label}”: {value}"
