"""The values that a drawing spans, in round numbers."""

import math
from collections.abc import Iterator
from dataclasses import dataclass

__all__ = ["Axis", "axis_over", "number", "percent"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Axis:
    """A stretch of values; places along it are per cent of its length."""

    low: float
    """Value at its start, a multiple of the step."""

    high: float
    """Value at its end, a multiple of the step."""

    step: float
    """From one tick to the next."""

    def place(self, value: float) -> float:
        """Tell where a value is drawn, in per cent."""
        return 100 * (value - self.low) / (self.high - self.low)

    def ticks(self) -> Iterator[float]:
        """List the round values of the axis."""
        for count in range(round((self.high - self.low) / self.step) + 1):
            yield round(self.low + count * self.step, 9) + 0.0  # no −0


def axis_over(low: float, high: float) -> Axis:
    """Span values with round numbers, in five steps or fewer.

    Examples
    --------
    >>> list(axis_over(0.31, 0.72).ticks())
    [0.2, 0.4, 0.6, 0.8]
    """
    rough = max(high - low, 1e-6) / 4
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * times for times in (1, 2, 5, 10) if power * times >= rough)
    low, high = math.floor(low / step) * step, math.ceil(high / step) * step
    return Axis(low=low, high=high if high > low else low + step, step=step)


def percent(place: float) -> str:
    """Write a place or length along an axis.

    Examples
    --------
    >>> percent(12.5)
    '12.50%'
    """
    return f"{place:.2f}%"


def number(value: float, digits: int | None = None) -> str:
    """Write a number with a true minus; without digits, as short as it is.

    Examples
    --------
    >>> number(-0.5), number(0.5, 2)
    ('−0.5', '0.50')
    """
    written = f"{round(value, 6):g}" if digits is None else f"{value:.{digits}f}"
    return written.replace("-", "−")
