import pytest

from headstart.runs.records import FieldError, Record, decode


class _Intervals(Record):
    """Two values with their bounds, as the calibration error before and after has them."""

    ece: tuple[tuple[float, float, float], tuple[float, float, float]]


def test_pairs_of_triples_are_read_and_refused_by_name() -> None:
    assert decode(_Intervals, {"ece": [[1, 0, 2], [3, 2, 4]]}).ece == ((1, 0, 2), (3, 2, 4))
    with pytest.raises(FieldError, match="two lists of three numbers"):
        decode(_Intervals, {"ece": [[1, 0], [3, 2, 4]]})
