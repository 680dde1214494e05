"""A figure with its interval."""

from headstart.runs.records import Record


class Interval(Record):
    """A figure with its interval; None where it is not defined.

    Attributes:
        value: of the figure.
        low: lower bound; ``high``: upper bound.
    """

    value: float | None
    low: float | None
    high: float | None
