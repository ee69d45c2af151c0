"""The loss of a training, epoch by epoch, as a line."""

import math
from collections.abc import Iterator, Sequence

from bigearth_xr.report.axis import Axis, axis_over, number, percent
from bigearth_xr.report.markup import Markup, element

__all__ = ["draw_curve"]

_MOST_POINTS = 60
"""Epochs up to which each is marked on the line."""


def draw_curve(losses: Sequence[float]) -> Markup:
    """Draw the loss of every epoch; those that are not finite are left out.

    Parameters
    ----------
    losses
        At least one.

    Examples
    --------
    >>> draw_curve([0.7, 0.5, 0.4]).count("<circle")
    3
    """
    known = [(epoch, loss) for epoch, loss in enumerate(losses, start=1) if math.isfinite(loss)]
    if not known:
        return element("p", "The loss was finite in no epoch.", class_="none")
    epochs = Axis(low=1, high=max(len(losses), 2), step=1)
    values = axis_over(min(loss for _, loss in known), max(loss for _, loss in known))
    told = f"Loss by epoch, from {number(losses[0], 3)} to {number(losses[-1], 3)}"
    return element(
        "figure",
        element(
            "svg",
            element("title", told),
            *_draw_values(values),
            *_draw_epochs(epochs),
            _draw_line([(epochs.place(epoch), 100 - values.place(loss)) for epoch, loss in known]),
            *(_draw_points(epochs, values, known) if len(known) <= _MOST_POINTS else ()),
            role="img",
        ),
        class_="curve",
    )


def _draw_values(values: Axis) -> Iterator[Markup]:
    """Draw a level line at every round loss."""
    for tick in values.ticks():
        y = percent(100 - values.place(tick))
        yield element("line", x1="0%", x2="100%", y1=y, y2=y, class_="tick")
        yield element("text", number(tick), x=0, y=y, dx=-8, dy=4, text_anchor="end")


def _draw_epochs(epochs: Axis) -> Iterator[Markup]:
    """Number the first epoch, and round ones after it."""
    ticks = axis_over(0, epochs.high).ticks()
    for epoch in sorted({1, *(tick for tick in ticks if 1 <= tick <= epochs.high and tick.is_integer())}):
        yield element("text", f"{epoch:g}", x=percent(epochs.place(epoch)), y="100%", dy=20, text_anchor="middle")
    yield element("text", "epoch", x="50%", y="100%", dy=38, text_anchor="middle")


def _draw_line(places: Sequence[tuple[float, float]]) -> Markup:
    """Join the losses; places are per cent of width and height."""
    points = " ".join(f"{x:.2f},{y:.2f}" for x, y in places)
    # A line knows no per cent: a drawing within the drawing stretches hundredths to the whole.
    line = element("polyline", points=points, vector_effect="non-scaling-stroke")
    return element("svg", line, viewBox="0 0 100 100", preserveAspectRatio="none", width="100%", height="100%")


def _draw_points(epochs: Axis, values: Axis, known: Sequence[tuple[int, float]]) -> Iterator[Markup]:
    """Mark every epoch; hovering tells its loss."""
    for epoch, loss in known:
        told = element("title", f"epoch {epoch}: {number(loss, 3)}")
        yield element("circle", told, cx=percent(epochs.place(epoch)), cy=percent(100 - values.place(loss)), r=3)
