"""The chart: how green patches are and how they scatter radar, by label, or of few patches one by one."""

from collections.abc import Iterable, Iterator, Sequence

from bigearth_xr.report.axis import Axis, axis_over, number, percent
from bigearth_xr.report.gallery import draw_labels, swatch
from bigearth_xr.report.markup import Markup, element, join
from bigearth_xr.report.statistics import MEASURES, LabelStatistics, Measure, PatchMeasures, Spread

__all__ = ["draw_chart", "draw_patch_chart"]

_MOST_LINES = 60
"""Patches up to which each is drawn as a line of its own."""


def draw_chart(statistics: Sequence[LabelStatistics]) -> Markup:
    """Draw a row per label: the patches, their quartiles and their median.

    Parameters
    ----------
    statistics
        As `bigearth_xr.report.statistics.by_label` gives them.

    Returns
    -------
    Markup
        A table whose cells hold drawings; empty without statistics.

    Examples
    --------
    >>> import numpy as np
    >>> ndvi = {"NDVI": Spread(values=np.array([0.2, 0.4]))}
    >>> chart = draw_chart([LabelStatistics(label="Pastures", patches=2, spreads=ndvi)])
    >>> "0.30" in chart
    True
    """
    axes = {
        measure: _axis([one.spreads[measure.name] for one in statistics if measure.name in one.spreads])
        for measure in MEASURES
        if any(measure.name in one.spreads for one in statistics)
    }
    if not axes:
        return Markup("")
    heads = (_draw_head(measure, axis) for measure, axis in axes.items())
    head = element("tr", element("th", "Label"), element("th", "Patches", class_="count"), *heads)
    rows = (_draw_row(one, axes) for one in statistics)
    return element("table", element("thead", head), element("tbody", *rows), class_="chart")


def draw_patch_chart(patches: Sequence[PatchMeasures]) -> Markup:
    """Draw a row per patch: its labels, and the median of its pixels.

    Parameters
    ----------
    patches
        As `bigearth_xr.report.statistics.by_patch` gives them.

    Returns
    -------
    Markup
        A table whose cells hold drawings; empty where nothing was measured.

    Examples
    --------
    >>> draw_patch_chart([])
    ''
    """
    axes = {}
    for measure in MEASURES:
        values = [one.medians[measure.name] for one in patches if measure.name in one.medians]
        if values:
            axes[measure] = axis_over(min(values), max(values))
    if not axes:
        return Markup("")
    head = element("tr", element("th", "Patch"), *(_draw_head(measure, axis) for measure, axis in axes.items()))
    rows = (
        element(
            "tr",
            element("th", *_name_patch(one), scope="row"),
            *(_draw_median(measure, axis, one.medians.get(measure.name)) for measure, axis in axes.items()),
        )
        for one in patches
    )
    return element("table", element("thead", head), element("tbody", *rows), class_="chart patches")


def _name_patch(one: PatchMeasures) -> Iterator[Markup]:
    """Tell a patch by its place, its name and its labels."""
    yield element("span", one.entry.place or "Place not known")
    yield element("span", one.entry.patch, class_="id")
    yield draw_labels(one.entry.labels)


def _draw_median(measure: Measure, axis: Axis, median: float | None) -> Markup:
    """Draw one number as a dot."""
    if median is None:
        return element("td", "no finite pixel", class_="none")
    told = number(median, _digits(measure))
    dot = element("circle", cx=percent(axis.place(median)), cy=11, r=4.5, class_="median")
    return _draw_strip(f"{measure.name}: {told}", axis, [dot], told)


def _axis(spreads: Sequence[Spread]) -> Axis:
    """Span the values of all labels."""
    return axis_over(
        min(float(spread.values[0]) for spread in spreads), max(float(spread.values[-1]) for spread in spreads)
    )


def _draw_head(measure: Measure, axis: Axis) -> Markup:
    """Name a measure above the numbers of its axis."""
    units = "" if measure.units == "1" else f" ({measure.units})"
    numbers = (element("text", number(tick), x=percent(axis.place(tick)), y=11) for tick in axis.ticks())
    return element("th", measure.name, units, element("svg", *numbers, class_="axis"), title=measure.meaning)


def _draw_row(one: LabelStatistics, axes: dict[Measure, Axis]) -> Markup:
    """Draw one label over all measures."""
    cells = (_draw_cell(measure, axis, one.spreads.get(measure.name)) for measure, axis in axes.items())
    name = element("th", swatch(one.label), element("span", one.label), scope="row")
    return element("tr", name, element("td", f"{one.patches:,}", class_="count"), *cells)


def _draw_cell(measure: Measure, axis: Axis, spread: Spread | None) -> Markup:
    """Draw patches as lines, the middle half of them as a bar, their median as a dot."""
    if spread is None:
        return element("td", "no finite pixel", class_="none")
    low, median, high = (number(value, _digits(measure)) for value in spread.quartiles)
    title = f"{measure.name}: median {median}, middle half {low} to {high}"
    return _draw_strip(title, axis, _draw_spread(axis, spread), median)


def _draw_strip(title: str, axis: Axis, marks: Iterable[Markup], told: str) -> Markup:
    """Draw marks along an axis, and write the number that they come to."""
    ticks = join(_line(axis.place(tick), 0, 22, "tick") for tick in axis.ticks())
    drawing = element("svg", element("title", title), ticks, *marks, class_="strip", role="img")
    return element("td", element("div", drawing, element("b", told), class_="measured"))


def _digits(measure: Measure) -> int:
    return 2 if measure.units == "1" else 1


def _draw_spread(axis: Axis, spread: Spread) -> Iterator[Markup]:
    """Draw bar, lines and dot, in this order, so that none hides the next."""
    low, median, high = map(axis.place, spread.quartiles)
    yield element("rect", x=percent(low), y=7, width=percent(high - low), height=8, rx=4, class_="half")
    # Where patches are too many to tell apart, the bar speaks for them.
    if len(spread.values) <= _MOST_LINES:
        for value in spread.values.tolist():
            yield _line(axis.place(value), 5, 17, "mark")
    yield element("circle", cx=percent(median), cy=11, r=4.5, class_="median")


def _line(place: float, top: int, bottom: int, kind: str) -> Markup:
    """Draw an upright line at so many per cent."""
    return element("line", x1=percent(place), x2=percent(place), y1=top, y2=bottom, class_=kind)
