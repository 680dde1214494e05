"""Durations for people: the only place that turns seconds into words."""

_THIN = "\u202f"  # narrow no-break space, between a number and its unit


def format_duration(seconds: float) -> str:
    """A duration with its unit: ``0.03 s``, ``52.1 s``, ``3 min 12 s``, ``1 h 04 min``."""
    if seconds < 59.95:  # from there on it would be shown as 60.0 s
        return f"{seconds:.{1 if seconds >= 1 else 2}f}{_THIN}s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes}{_THIN}min {rest:02}{_THIN}s"
    return f"{minutes // 60:,}{_THIN}h {minutes % 60:02}{_THIN}min"


def format_time_left(seconds: float) -> str:
    """The time left, in the form of a clock: ``0:07 left``, ``1:05 left``, ``2:03:04 left``."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02} left" if hours else f"{minutes}:{rest:02} left"
