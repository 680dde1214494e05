import numpy as np
import pytest

from headstart.evaluation.learning_curve import forecast, forecast_figure
from headstart.tasks import get_task
from headstart.training.head.linear import Curve, solve


def _curve(error_of, n: int = 4000, seed: int = 0) -> Curve:
    """Answers that are wrong as often as a law says, of three draws for each size and one for the largest."""
    rng = np.random.default_rng(seed)
    sizes = np.array([n // 10] * 3 + [n // 5] * 3 + [2 * n // 5] * 3 + [4 * n // 5])
    right = np.stack([rng.random(n) >= error_of(size) for size in sizes]).astype(np.int8)
    for row, size in zip(right[:-1], sizes[:-1], strict=True):
        row[rng.permutation(n)[:size]] = -1
    return Curve(sizes, np.arange(n) % 2, right)


def test_a_power_law_is_carried_on() -> None:
    def error(size: float) -> float:
        return 0.05 + 3 * size**-0.5

    inside = 0
    for seed in range(10):
        found = forecast(_curve(error, seed=seed), 4000, ["a", "b"], more_per_class=2000)
        inside += found.gain[1] <= error(4000) - error(8000) <= found.gain[2]
        assert found.gain[0] == pytest.approx(error(4000) - error(8000), abs=0.01)
    assert inside >= 9
    assert found.points[0][1] == pytest.approx(1 - error(400), abs=0.03)
    assert [point[0] for point in found.points] == pytest.approx([400, 800, 1600, 3200])
    assert found.extrapolated[-1][0] == pytest.approx(8000)


def test_where_nothing_is_to_be_gained_it_says_so() -> None:
    found = forecast(_curve(lambda size: 0.1), 4000, ["a", "b"])
    assert found.gain[0] < 0.005
    assert found.more_per_class == 2000
    assert not found.class_gains


def test_the_class_that_gains_most_comes_first() -> None:
    steep, flat = _curve(lambda size: 4 * size**-0.5, seed=1), _curve(lambda size: 0.1, seed=2)
    of_both = Curve(steep.sizes, steep.labels, np.where(steep.labels == 1, steep.right, flat.right))
    found = forecast(of_both, 4000, ["flat", "steep"])
    assert next(iter(found.class_gains)) == "steep"


def test_the_figure_of_a_detector_is_carried_on() -> None:
    """Of one class by a power law, of another one equal at all sizes and in some resamples without objects."""
    rng = np.random.default_rng(0)
    sizes = np.array([50, 100, 200])
    steep = 3 * sizes**-0.5 + rng.normal(0, 0.01, (200, 1)) + rng.normal(0, 0.004, (200, 3))
    flat = np.tile(rng.normal(0.2, 0.01, (200, 1)), 3)
    flat[::7] = np.nan
    found = forecast_figure(sizes.tolist(), (steep + 0.2) / 2, {"flat": flat, "steep": steep, "none": flat * np.nan})
    expected = 3 * (200**-0.5 - 400**-0.5)
    assert (found.n_train, found.more_per_class) == (200, 200)
    assert found.gain[0] == pytest.approx(expected / 2, abs=0.015)
    assert found.gain[1] < expected / 2 < found.gain[2]
    assert [*found.class_gains] == ["steep"]
    assert found.class_gains["steep"][0] == pytest.approx(expected, abs=0.03)
    assert [size for size, *_ in found.points] == [50, 100, 200]
    assert found.points[-1][1] == pytest.approx(1 - (3 * 200**-0.5 + 0.2) / 2, abs=0.01)
    assert found.extrapolated[-1][0] == pytest.approx(400)


def test_a_solved_head_brings_its_curve() -> None:
    rng = np.random.default_rng(0)
    labels = np.arange(600) % 3
    features = (rng.normal(size=(3, 30))[labels] + rng.normal(0, 2, (600, 30))).astype(np.float32)
    options = {"task": get_task("single-label"), "groups": np.arange(600), "class_weights": np.ones(3), "seed": 0}
    curve = solve(features.__getitem__, np.arange(600), labels, 3, **options).curve
    assert curve is not None
    assert curve.sizes.tolist() == [60] * 3 + [120] * 3 + [240] * 3 + [480]
    assert ((curve.right == -1).sum(1)[:-1] == curve.sizes[:-1]).all()
    accuracy = [row[row >= 0].mean() for row in curve.right]
    assert accuracy[-1] > accuracy[0]
    few = solve(features.__getitem__, np.arange(50), labels[:50], 3, **{**options, "groups": np.arange(50)})
    assert few.curve is None
