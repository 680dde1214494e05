"""The plots of a report as SVG, drawn here so that the page needs no script.

Colours are classes of the page's style sheet (``report.css``), so that one drawing serves light, dark and paper. All
plots but the squares are drawn about as wide as a phone: their text then keeps its size on every screen.
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from markupsafe import Markup

from headstart.tasks.statistics import wilson

Point = tuple[float, float]
Bounded = Sequence[float]
"""Where it lies across, and a value with the ends of its interval."""

_WIDTH, _LEFT, _RIGHT, _TOP = 360, 44, 14, 26
_MOST_CELLS = 100  # per side of a plotted matrix; with more classes, a cell stands for a block of classes
_SHADES = 6
_SQUARE, _GAP = 10, 2
_ABOVE = 1.25  # times the usual loss, the part of a plot of trials that is drawn
_FRONT_HEIGHT, _WIDE = 230, 30  # of the plot of bases; times that differ by such a factor are drawn as logarithms


class _Frame:
    """A plotting area: data to pixels, axes with round ticks.

    Args:
        x: smallest and largest value across; widened to whole ticks unless ``log_x``.
        y: vertical position, upwards.
        height: of the area, in pixels.
        log_x: the x axis is logarithmic, with a tick at every power of ten, or closer ones where there are few powers.
        exact: the ranges are to be kept as they are.
        whole_x: ticks of the x axis are whole numbers.
    """

    def __init__(
        self, x: Point, y: Point, *, height: int, log_x: bool = False, exact: bool = False, whole_x: bool = False
    ) -> None:
        self.top, self.height, self.log_x = _TOP, height, log_x
        self.y_ticks = _ticks(*y)
        if log_x:
            x = (math.log10(x[0]) - 0.12, math.log10(x[1]) + 0.12)
            self.x_ticks = _log_ticks(*x)
        else:
            self.x_ticks = _ticks(*x, smallest_step=float(whole_x))
            if whole_x:
                self.x_ticks = [tick for tick in self.x_ticks if x[0] <= tick <= x[1]] or [x[0]]
                x = x if x[0] < x[1] else (x[0] - 0.5, x[1] + 0.5)
        self._x = x if log_x or exact or whole_x else (self.x_ticks[0], self.x_ticks[-1])
        self._y = y if exact else (self.y_ticks[0], self.y_ticks[-1])
        self.x_end = 10 ** self._x[1] if log_x else self._x[1]

    def x(self, value: float) -> float:
        low, high = self._x
        value = math.log10(value) if self.log_x else value
        return round(_LEFT + (value - low) / (high - low) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(self, value: float) -> float:
        low, high = self._y
        return round(self.top + self.height - (value - low) / (high - low) * self.height, 1)

    def axes(self, x_label: str, y_label: str) -> Markup:
        """Grid lines, tick labels and the names of the axes."""
        right, bottom = _WIDTH - _RIGHT, self.top + self.height
        parts = [_text(0, 11, y_label, "axis"), _text(right, bottom + 33, x_label, "axis end")]
        for tick in self.y_ticks:
            y = self.y(tick)
            parts.append(Markup('<path class="grid" d="M{} {}H{}"/>').format(_LEFT, y, right))
            parts.append(_text(_LEFT - 7, y + 4, _number(tick, self.y_ticks), "tick end"))
        for tick in self.x_ticks:
            tick_label = _power(tick) if self.log_x else _number(tick, self.x_ticks)
            x = self.x(10**tick if self.log_x else tick)
            parts.append(Markup('<path class="notch" d="M{} {}v4"/>').format(x, bottom))
            parts.append(_text(x, bottom + 17, tick_label, "tick middle"))
        parts.append(Markup('<path class="base" d="M{} {}H{}"/>').format(_LEFT, bottom, right))
        return Markup().join(parts)

    def line(self, points: Sequence[Point], kind: str) -> Markup:
        """A line through points; with dots where there are few."""
        path = "M" + "L".join(f"{self.x(x)} {self.y(y)}" for x, y in points)
        line = Markup('<path class="line {}" d="{}"/>').format(kind, path)
        if len(points) > 25:
            return line
        return line + Markup().join(self.dot(point, f"dot {kind}") for point in points)

    def dot(self, point: Point, kind: str, title: str = "", radius: float = 2.5) -> Markup:
        inside = Markup("<title>{}</title>").format(title) if title else Markup()
        return Markup('<circle class="{}" cx="{}" cy="{}" r="{}">{}</circle>').format(
            kind, self.x(point[0]), self.y(point[1]), radius, inside
        )


def squares(right: Sequence[bool]) -> Markup:
    """One square per example in the given order, row by row; the wrong ones stand out."""
    n = len(right)
    columns = min(max(math.ceil(math.sqrt(n * 9)), 48), 140)
    step = _SQUARE + _GAP

    def path(kind: str, is_right_cell: bool) -> Markup:
        cells = [
            f"M{i % columns * step} {i // columns * step}h{_SQUARE}v{_SQUARE}h-{_SQUARE}z"
            for i, is_right in enumerate(right)
            if is_right == is_right_cell
        ]
        return Markup('<path class="{}" d="{}"/>').format(kind, "".join(cells))

    wrong = n - sum(right)
    label = f"{n:,} squares, one per example; {wrong:,} of them wrong"
    size = (columns * step - _GAP, -(-n // columns) * step - _GAP)
    return _svg(size, label, path("right-fill", True) + path("wrong-fill", False), "squares")


def l2_curve(points: Sequence[Mapping[str, Any]], chosen_l2: float) -> Markup:
    """Log loss on held-out folds, by the L2 regularisation.

    Args:
        points: ``l2``, ``val_loss`` and ``val_accuracy`` of each value tried.
        chosen_l2: the best value.
    """
    points = sorted(points, key=lambda point: point["l2"])
    losses = [point["val_loss"] for point in points]
    frame = _Frame((points[0]["l2"], points[-1]["l2"]), (min(losses), max(losses)), height=190, log_x=True)
    elements = [frame.axes("L2 regularisation →", "log loss, held-out folds")]
    elements.append(frame.line([(point["l2"], point["val_loss"]) for point in points], "val"))
    best = next(point for point in points if point["l2"] == chosen_l2)
    x = frame.x(chosen_l2)
    elements.append(Markup('<path class="mark" d="M{} {}V{}"/>').format(x, frame.top, frame.top + frame.height))
    elements.append(frame.dot((chosen_l2, best["val_loss"]), "chosen", f"L2 {chosen_l2:.3g}", radius=5))
    near_right = x > _WIDTH * 0.72
    elements.append(
        _text(x + (-7 if near_right else 7), frame.top + 11, "chosen", "note end" if near_right else "note")
    )
    elements.extend(
        frame.dot(
            (point["l2"], point["val_loss"]),
            "hit",
            f"L2 {point['l2']:.3g}: log loss {point['val_loss']:.4f}"
            + ("" if point.get("val_accuracy") is None else f", accuracy {point['val_accuracy']:.4f}"),
            radius=8,
        )
        for point in points
    )
    label = f"Log loss for {len(points)} L2 values, lowest ({best['val_loss']:.4f}) at {chosen_l2:.3g}"
    return _svg((_WIDTH, frame.top + frame.height + 38), label, Markup().join(elements))


def epoch_curve(train: Sequence[Point], val: Sequence[Point], name: str, best_epoch: float | None) -> Markup:
    """One quantity over the epochs, on training and validation examples.

    Args:
        train: (epoch, value) pairs.
        val: the same for validation; may be empty.
        name: of the quantity.
        best_epoch: the epoch whose weights were kept, if known.
    """
    all_points = [*train, *val]
    epochs, values = [x for x, _ in all_points], [y for _, y in all_points]
    low = min(values) if name == "accuracy" else 0.0
    frame = _Frame((min(epochs), max(epochs)), (low, max(values)), height=190, whole_x=True)
    elements = [frame.axes("epoch →", name)]
    if best_epoch is not None:
        x = frame.x(best_epoch)
        elements.append(Markup('<path class="mark" d="M{} {}V{}"/>').format(x, frame.top, frame.top + frame.height))
    for points, kind in ((train, "train"), (val, "val")):
        if points:
            elements.append(frame.line(points, kind))
    label = f"{name.capitalize()} over {max(epochs):.0f} epochs, at the end " + ", ".join(
        f"{points[-1][1]:.3f} ({kind})" for points, kind in ((train, "training"), (val, "validation")) if points
    )
    return _svg((_WIDTH, frame.top + frame.height + 38), label, Markup().join(elements))


def curve(title: str, axes: tuple[str, str], points: Sequence[Point], mark: Point | None) -> Markup:
    """A curve on axes from 0 to 1, see :class:`headstart.tasks.Curve`."""
    frame = _Frame((0, 1), (0, 1), height=190, exact=True)
    elements = [frame.axes(*axes), _text(_WIDTH - _RIGHT, 11, title, "axis end"), frame.line(points, "val")]
    if mark is not None:
        elements.append(
            frame.dot(mark, "dot val", f"{axes[1]} {mark[1]:.3f} at {axes[0].strip(' →')} {mark[0]:.3f}", 5)
        )
    return _svg((_WIDTH, frame.top + frame.height + 38), f"{axes[1]} by {axes[0]}: {title}", Markup().join(elements))


def trials(points: Sequence[Point], default_loss: float) -> Markup:
    """The loss of every trial of a search in their order, and the lowest one so far.

    Args:
        points: number and loss of each.
        default_loss: the loss of the default head.
    """
    losses = [loss for _, loss in points]
    lowest_losses = np.minimum.accumulate(losses)
    # Much higher losses are cut off.
    top = max(default_loss, float(np.median(losses)), float(lowest_losses[0])) * _ABOVE
    low = float(lowest_losses[-1])
    frame = _Frame((points[0][0], points[-1][0]), (low, top), height=190, whole_x=True)
    elements = [frame.axes("trial →", "log loss")]
    y = frame.y(default_loss)
    elements.append(Markup('<path class="mark" d="M{} {}H{}"/>').format(_LEFT, y, _WIDTH - _RIGHT))
    elements += [
        frame.dot(point, "dot train", f"trial {point[0]}: {point[1]:.3f}") for point in points if point[1] <= top
    ]
    steps = "".join(
        f"H{frame.x(n)}V{frame.y(loss)}" for (n, _), loss in zip(points[1:], lowest_losses[1:].tolist(), strict=True)
    )
    start = f"M{frame.x(points[0][0])} {frame.y(float(lowest_losses[0]))}"
    elements.append(Markup('<path class="line val" d="{}"/>').format(start + steps))
    label = f"Log loss of {len(points)} trials, the least {low:.3f}; that of the default head {default_loss:.3f}"
    return _svg((_WIDTH, frame.top + frame.height + 38), label, Markup().join(elements))


def speed_and_figure(points: Sequence[Mapping[str, Any]], name: str, most_ms: float | None = None) -> Markup:
    """How good bases are against how long they take, with intervals, and the front that none of them is beyond.

    Args:
        points: ``number``, ``handle``, ``ms``, ``value``, ``low``, ``high``, ``on_front`` and ``chosen`` of each.
        name: of the figure.
        most_ms: that were allowed.
    """
    times = [point["ms"] for point in points]
    log_x = max(times) > _WIDE * min(times)
    lows, highs = [point["low"] for point in points], [point["high"] for point in points]
    frame = _Frame(
        (min(times) if log_x else 0, max(times)), (min(lows), min(max(highs), 1.0)), height=_FRONT_HEIGHT, log_x=log_x
    )
    elements = [frame.axes("ms per example →", name)]
    if most_ms is not None and most_ms <= frame.x_end:
        x = frame.x(most_ms)
        elements.append(Markup('<path class="mark" d="M{} {}V{}"/>').format(x, frame.top, frame.top + frame.height))
    front = sorted((point for point in points if point["on_front"]), key=lambda point: point["ms"])
    steps = "".join(f"H{frame.x(point['ms'])}V{frame.y(point['value'])}" for point in front[1:])
    start = f"M{frame.x(front[0]['ms'])} {frame.y(front[0]['value'])}"
    elements.append(Markup('<path class="line val" d="{}"/>').format(f"{start}{steps}H{_WIDTH - _RIGHT}"))
    for point in points:
        x, title = frame.x(point["ms"]), f"{point['handle']}: {point['value']:.3f}, {point['ms']:.1f} ms"
        whisker = Markup('<path class="{}" d="M{} {}V{}"/>')
        kind = "whisker" if point["on_front"] else "whisker beaten"
        elements.append(whisker.format(kind, x, frame.y(point["low"]), frame.y(point["high"])))
        kind = "chosen" if point["chosen"] else "point" if point["on_front"] else "point beaten"
        elements.append(frame.dot((point["ms"], point["value"]), kind, title, radius=5 if point["chosen"] else 4))
        elements.append(_text(x + 7, frame.y(point["value"]) - 6, str(point["number"]), "note"))
    label = f"{name} against milliseconds of {len(points)} bases; on the front: " + ", ".join(
        f"{point['handle']} ({point['value']:.3f}, {point['ms']:.1f} ms)" for point in front
    )
    return _svg((_WIDTH, frame.top + frame.height + 38), label, Markup().join(elements))


def reliability(bins: Sequence[Mapping[str, Any]]) -> Markup:
    """Accuracy against confidence in bins, with Wilson intervals, above a histogram of the confidence."""
    size = _WIDTH - _LEFT - _RIGHT
    frame = _Frame((0, 1), (0, 1), height=size, exact=True)
    elements = [frame.axes("", "accuracy")]
    start, end = (frame.x(0), frame.y(0)), (frame.x(1), frame.y(1))
    elements.append(Markup('<path class="ideal" d="M{} {}L{} {}"/>').format(*start, *end))
    filled = [row for row in bins if row["count"]]
    for row in filled:
        low, high = wilson(row["accuracy"], row["count"])
        x, width = frame.x(row["low"]) + 1, frame.x(row["high"]) - frame.x(row["low"]) - 2
        middle = frame.x(row["confidence"])
        title = f"{row['count']:,} examples, mean confidence {row['confidence']:.3f}, right {row['accuracy']:.3f}"
        y = frame.y(row["accuracy"])
        elements.append(
            Markup(
                '<rect class="bar" x="{:.1f}" y="{}" width="{:.1f}" height="{:.1f}"><title>{}</title></rect>'
            ).format(x, y, width, frame.y(0) - y, title)
        )
        elements.append(Markup('<path class="whisker" d="M{} {}V{}"/>').format(middle, frame.y(low), frame.y(high)))
        elements.append(frame.dot((row["confidence"], row["accuracy"]), "point", title, radius=4))
    max_count = max((row["count"] for row in filled), default=1)
    floor, room = frame.top + frame.height + 98, 56
    elements.append(_text(0, floor - room - 8, "examples", "axis"))
    for row in filled:
        height = max(round(row["count"] / max_count * room, 1), 1)
        x, width = frame.x(row["low"]) + 1, frame.x(row["high"]) - frame.x(row["low"]) - 2
        box = Markup('<rect class="count" x="{:.1f}" y="{}" width="{:.1f}" height="{}"/>')
        elements.append(box.format(x, floor - height, width, height))
        elements.append(_text(x + width / 2, floor - height - 4, f"{row['count']:,}", "tiny middle"))
    elements.append(Markup('<path class="base" d="M{} {}H{}"/>').format(_LEFT, floor, _WIDTH - _RIGHT))
    elements.append(_text(_WIDTH - _RIGHT, floor + 17, "confidence →", "axis end"))
    label = "Accuracy in each bin of confidence: " + "; ".join(
        f"{row['low']:.1f} to {row['high']:.1f}: {row['accuracy']:.2f} of {row['count']:,}" for row in filled
    )
    return _svg((_WIDTH, floor + 24), label, Markup().join(elements))


def learning_curve(points: Sequence[Bounded], beyond: Sequence[Bounded], now: int, name: str) -> Markup:
    """A figure over the number of training examples: the measured values, and the band of the forecast.

    Args:
        points: (examples, figure, low, high) as measured.
        beyond: the same for the fitted curves, from left to right.
        now: current number of examples.
        name: of the figure.
    """
    lows, highs = [row[2] for row in (*points, *beyond)], [row[3] for row in (*points, *beyond)]
    frame = _Frame((0, beyond[-1][0]), (min(lows), max(highs)), height=190)
    elements = [frame.axes("training examples →", name)]
    outline = [(size, high) for size, _, _, high in beyond] + [(size, low) for size, _, low, _ in reversed(beyond)]
    path = "M" + "L".join(f"{frame.x(x)} {frame.y(y)}" for x, y in outline) + "Z"
    elements.append(Markup('<path class="bar" d="{}"/>').format(path))
    path = "M" + "L".join(f"{frame.x(size)} {frame.y(middle)}" for size, middle, _, _ in beyond)
    elements.append(Markup('<path class="line val" d="{}"/>').format(path))
    x = frame.x(now)
    elements.append(Markup('<path class="mark" d="M{} {}V{}"/>').format(x, frame.top, frame.top + frame.height))
    elements.append(_text(x + 7, frame.top + frame.height - 8, f"{now:,} now", "note"))
    for size, value, low, high in points:
        title = f"{size:,.0f} examples: {name} {value:.3f} ({low:.3f} to {high:.3f})"
        across = frame.x(size)
        elements.append(Markup('<path class="whisker" d="M{} {}V{}"/>').format(across, frame.y(low), frame.y(high)))
        elements.append(frame.dot((size, value), "point", title, radius=4))
    label = f"{name} by examples to train on: " + "; ".join(f"{size:,.0f}: {value:.3f}" for size, value, *_ in points)
    return _svg((_WIDTH, frame.top + frame.height + 38), label, Markup().join(elements))


def matrix(counts: np.ndarray) -> Markup:
    """A confusion matrix too large for numbers: shades of each row's shares, right and wrong in two colours.

    Args:
        counts: int (k, k), rows are true classes.
    """
    k = len(counts)
    block = -(-k // _MOST_CELLS)
    right = np.where(np.eye(k, dtype=bool), counts, 0)
    totals = _in_blocks(counts, block).sum(1, keepdims=True)
    side = len(totals)
    elements = [Markup('<rect class="ground" width="{}" height="{}"/>').format(side, side)]
    for kind, part in (("right-fill", right), ("wrong-fill", counts - right)):
        shares = _in_blocks(part, block) / np.maximum(totals, 1)
        level = np.ceil(np.sqrt(shares) * _SHADES).astype(int)
        for shade in range(1, _SHADES + 1):
            cells = "".join(f"M{x} {y}h1v1h-1z" for y, x in np.argwhere(level == shade).tolist())
            if cells:
                opacity = round(0.1 + 0.9 * shade / _SHADES, 2)
                elements.append(Markup('<path class="{}" opacity="{}" d="{}"/>').format(kind, opacity, cells))
    label = f"Confusion matrix of {k} classes as a heat map; rows are true classes"
    return _svg((side, side), label, Markup().join(elements), "heat")


def block_size(n_classes: int) -> int:
    """How many classes one cell of :func:`matrix` stands for, along each side."""
    return -(-n_classes // _MOST_CELLS)


def _in_blocks(counts: np.ndarray, block: int) -> np.ndarray:
    edges = np.arange(0, len(counts), block)
    return np.add.reduceat(np.add.reduceat(counts, edges, axis=0), edges, axis=1)


def _svg(size: tuple[int, int], label: str, inside: Markup, kind: str = "plot") -> Markup:
    opening = Markup('<svg class="{}" viewBox="0 0 {} {}" role="img" aria-label="{}">')
    return opening.format(kind, *size, label) + inside + Markup("</svg>")


def _text(x: float, y: float, text: str, kind: str) -> Markup:
    return Markup('<text class="{}" x="{:g}" y="{:g}">{}</text>').format(kind, round(x, 1), round(y, 1), text)


def _ticks(low: float, high: float, smallest_step: float = 0.0) -> list[float]:
    """Round numbers, about five, that enclose a range."""
    if high - low < 1e-9:
        low, high = low - 0.5 * (abs(low) or 1), high + 0.5 * (abs(high) or 1)
    rough = max((high - low) / 4, smallest_step)
    unit = 10.0 ** math.floor(math.log10(rough))
    step = unit * next(factor for factor in (1, 2, 5, 10) if factor * unit >= rough * 0.999)
    first, last = math.floor(low / step + 1e-6), math.ceil(high / step - 1e-6)
    return [round(i * step, 12) for i in range(first, last + 1)]


def _number(value: float, ticks: Sequence[float]) -> str:
    step = ticks[1] - ticks[0] if len(ticks) > 1 else 1.0
    return f"{value:,.{max(0, -math.floor(math.log10(step) + 1e-6))}f}"


def _log_ticks(low: float, high: float) -> list[float]:
    """Decimal logarithms of round numbers in a range of logarithms: of at least two, where there are as many."""
    ticks: list[float] = []
    for factors in ((1,), (1, 3), (1, 2, 5), range(1, 10)):
        exponents = range(math.floor(low), math.floor(high) + 1)
        ticks = [tick for e in exponents for factor in factors if low <= (tick := e + math.log10(factor)) <= high]
        if len(ticks) > 1:
            break
    return ticks


def _power(exponent: float) -> str:
    if -3.01 < exponent <= 3:
        return f"{10.0**exponent:.3g}"
    whole = math.floor(exponent + 1e-9)
    factor = f"{10 ** (exponent - whole):.0f}"
    start = "" if factor == "1" else f"{factor}·"
    return f"{start}10" + f"{whole}".translate(str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹"))
