"""How durations are written."""

import pytest

from headstart.system.durations import format_duration, format_time_left


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0.00 s"),
        (0.034, "0.03 s"),
        (1, "1.0 s"),
        (52.08, "52.1 s"),
        (59.94, "59.9 s"),
        (59.97, "1 min 00 s"),
        (192.4, "3 min 12 s"),
        (3599.6, "1 h 00 min"),
        (3840, "1 h 04 min"),
        (4_000_000, "1,111 h 06 min"),
    ],
)
def test_format_duration(seconds: float, shown: str) -> None:
    assert format_duration(seconds).replace("\u202f", " ") == shown


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [
        (0, "0:00 left"),
        (6.7, "0:07 left"),
        (59.6, "1:00 left"),
        (65, "1:05 left"),
        (3599, "59:59 left"),
        (7384, "2:03:04 left"),
    ],
)
def test_format_time_left(seconds: float, shown: str) -> None:
    assert format_time_left(seconds) == shown
