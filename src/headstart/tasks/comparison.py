"""Whether one classifier is better than another: paired tests on the same examples.

Two classifiers that are judged on the same examples share most of their luck, so only the examples on which they differ
count. Accuracy: McNemar's exact test. All other figures: the bootstrap over examples of the paired differences, which
also sees confidence and so finds smaller gains.
"""

from dataclasses import dataclass

from headstart.tasks.statistics import LEVEL, Z


@dataclass(frozen=True)
class Comparison:
    """A first classifier against a second one, on n examples.

    Attributes:
        examples: n.
        metric: name of the figure that decides.
        value: of the first and of the second.
        value_gain: (low, high), 95 % interval of the second's figure minus the first's.
        log_loss: of the first and of the second; None if the task has none.
        loss_gain: (low, high), 95 % interval of the first's log loss minus the second's; None without log loss.
        fixed: number of examples that only the second gets right; None if the task does not count them.
        regressed: number of examples that only the first gets right.
        p_value: of McNemar's exact test, two-sided; None if the task does not count right answers.
        higher_is_better: whether a higher figure is better.
        title: of the figure within a sentence; empty if its name says enough.
    """

    examples: int
    metric: str
    value: tuple[float, float]
    value_gain: tuple[float, float]
    log_loss: tuple[float, float] | None = None
    loss_gain: tuple[float, float] | None = None
    fixed: int | None = None
    regressed: int | None = None
    p_value: float | None = None
    higher_is_better: bool = True
    title: str = ""

    @property
    def gain(self) -> float:
        """How much better the second's figure is; negative if it is worse."""
        return self.difference if self.higher_is_better else -self.difference

    @property
    def gain_interval(self) -> tuple[float, float]:
        """(low, high), 95 % interval of :attr:`gain`."""
        low, high = self.value_gain
        return (low, high) if self.higher_is_better else (-high, -low)

    @property
    def standard_error(self) -> float:
        """Of the gain, as wide as a normal distribution with this interval."""
        low, high = self.value_gain
        return (high - low) / (2 * Z)

    @property
    def difference(self) -> float:
        """The second's figure minus the first's."""
        return self.value[1] - self.value[0]

    @property
    def is_significant(self) -> bool:
        """Whether the figures differ significantly: by the exact test where there is one, else by the interval."""
        if self.p_value is not None:
            return self.p_value < 1 - LEVEL
        return self.value_gain[0] > 0 or self.value_gain[1] < 0

    @property
    def favours_second(self) -> bool:
        """Whether the second is better: a better figure, and either that or a lower log loss is significant.

        A lower log loss alone does not count: on validation data the second was stopped where just this loss was
        least.
        """
        is_lower_loss = self.loss_gain is not None and self.loss_gain[0] > 0
        return self.gain > 0 and (self.is_significant or is_lower_loss)

    @property
    def leans_to_second(self) -> bool:
        """Whether the figure and, if there is one, the log loss are better: all that a few dozen examples can show.

        To require significance there would leave most gains unused: in three draws of 8 examples of each class of AG
        News, cross-validation saw gains of 3, 13 and 19 points, and only the last was significant.
        """
        return self.gain > 0 and (self.log_loss is None or self.log_loss[1] < self.log_loss[0])

    def to_dict(self) -> dict[str, object]:
        """As plain data, for ``run.json``, where the task tells which values are better and their title."""
        plain = {name: list(value) if isinstance(value, tuple) else value for name, value in vars(self).items()}
        del plain["higher_is_better"], plain["title"]
        return plain

    def format_change(self) -> str:
        """The change of the figure with its interval and test, such as ``accuracy 91.0% to 93.5% (difference …)``."""
        counts = self.p_value is not None
        scale, form, signed = (100, ".1%", "+.1f") if counts else (1, ".3f", "+.3f")
        low, high = (scale * bound for bound in self.value_gain)
        first, second = (f"{value:{form}}" for value in self.value)
        points = " points" if counts else ""
        details = (
            f"difference {scale * self.difference:{signed}}{points}, 95 % interval {low:{signed}} to {high:{signed}}"
        )
        if counts:
            details += f"; {self.fixed} fixed, {self.regressed} regressed, p = {self.p_value:.2g}"
        return f"{self.title or self.metric.replace('_', ' ')} {first} to {second} ({details})"

    def verdict(self, subject: str, *, few: bool = False) -> str:
        """What the test says, in two sentences.

        Args:
            subject: what the second classifier is, with ``{}`` for the number of examples.
            few: whether the examples are so few that they cannot prove a gain.
        """
        losses = f"; log loss {self.log_loss[0]:.3f} to {self.log_loss[1]:.3f}" if self.log_loss else ""
        text = f"{subject.format(f'{self.examples:,}')}: {self.format_change()}{losses}."
        if self.favours_second:
            return f"{text} The gain is significant."
        if few and self.leans_to_second:
            better = "both figures are better" if losses else "the figure is better"
            return f"{text} So few examples cannot prove a gain, but {better}."
        return f"{text} This does not prove a gain."
