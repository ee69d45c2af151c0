"""What patches are chosen by: names, a box, an interval of time. The same for a Dataset and for STAC.

Bounds of an interval are counted in whole nanoseconds of any size, so that no year overflows, and given in whole
seconds, in which the archives tell when a patch was seen.
"""

import math
import re
from calendar import isleap, monthrange
from collections.abc import Iterable, Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr import releases
from bigearth_xr.errors import LabelError, SelectionError
from bigearth_xr.labels import CLASSES_43, label_names
from bigearth_xr.spelling import did_you_mean

__all__ = [
    "Bbox",
    "Datetime",
    "Texts",
    "check_labels",
    "checked_bbox",
    "checked_flag",
    "checked_interval",
    "checked_names",
    "footprints_intersect",
    "listed_names",
]

Texts = str | Iterable[str]
"""A name, or several."""

_PUBLISHED = {"country": releases.COUNTRIES, "season": releases.SEASONS}

_EXAMPLES = {
    "split": ["train", "validation"],
    "country": ["Austria", "Ireland"],
    "season": ["spring", "summer"],
    "tile": ["29UPU", "33UUP"],
    "ids": ["S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"],
    "any_label": ["Pastures", "Arable land"],
    "all_labels": ["Pastures", "Arable land"],
}

Bbox = tuple[float, float, float, float]
"""West, south, east, north, degrees WGS 84; west > east crosses the antimeridian."""

_Time: TypeAlias = str | date | np.datetime64 | pd.Period
"""A time as exact as it is written; a text is ISO 8601, and UTC where it names no offset."""

Datetime: TypeAlias = _Time | slice | Sequence[_Time | None] | NDArray[Any] | pd.Index | xr.DataArray
"""A time, or an interval: ``"start/end"``, a slice, or two times."""

_Span: TypeAlias = tuple[int, int]
"""First nanosecond of a time, and the first after it, since 1970."""

_SECOND = 10**9
_DAY = 86_400 * _SECOND
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)

_BASIC = re.compile(r"(\d{4})(\d\d)(\d\d)(?!\d)", re.ASCII)
"""A day without hyphens, as names of patches have it."""

_ISO = re.compile(
    r"(?P<year>\d{4})(?:-(?P<month>\d\d)(?:-(?P<day>\d\d)(?:[Tt ](?P<hour>\d\d)"
    r"(?::?(?P<minute>\d\d)(?::?(?P<second>\d\d)(?:[.,](?P<fraction>\d{1,9}))?)?)?"
    r"(?P<zone>[Zz]|[+-]\d\d(?::?\d\d)?)?)?)?)?",
    re.ASCII,
)
"""A year, month or day; after a day a time of it, and after that an offset from UTC."""


def listed_names(criterion: str, texts: object) -> list[str]:
    """List the names given for a criterion, one by one.

    Parameters
    ----------
    criterion
        Its keyword, for the message.
    texts
        A name, several, or an array of them.

    Raises
    ------
    SelectionError
        Something else than names is among them; or there is none, which no patch can meet. Of no labels every patch
        has all.
    """
    if hasattr(texts, "__array__") and not isinstance(texts, str):
        texts = np.asarray(texts).ravel().tolist()
    given = list(texts) if isinstance(texts, Iterable) and not isinstance(texts, str) else [texts]
    names = [name for name in given if isinstance(name, str)]
    if len(names) < len(given):
        raise SelectionError(f"{criterion} is {texts!r}, expected a name or several, e.g. {_EXAMPLES[criterion]}")
    if not names and criterion != "all_labels":
        raise SelectionError(
            f"{criterion} is {texts!r}, expected a name or several, e.g. {_EXAMPLES[criterion]}; leave it out for all "
            "patches"
        )
    return names


def checked_names(criterion: str, names: Iterable[str], existing: Iterable[str]) -> list[str]:
    """Refuse names that can never be there.

    Parameters
    ----------
    criterion
        ``"split"``, which any spelling in use names; ``"country"``, ``"season"``, of which the published ones are
        known; or ``"tile"``.
    names
        Those asked for.
    existing
        Those that occur, for a criterion of which no list was published.

    Returns
    -------
    list[str]
        As the table spells them.

    Raises
    ------
    SelectionError
        There is no such name; the message names the nearest.
    """
    if criterion == "split":
        return [releases.normalize_split(name) for name in names]
    known = _PUBLISHED.get(criterion) or tuple(sorted(set(existing) - {""}))
    checked = list(names)
    for name in checked:
        if name not in known:
            raise SelectionError(
                f"there is no {criterion} {name!r}; known are {', '.join(known)}{did_you_mean(name, known)}"
            )
    return checked


def checked_flag(criterion: str, flag: object) -> bool | None:
    """Refuse what is not a flag.

    Parameters
    ----------
    criterion
        Its keyword: ``"seasonal_snow"``, ``"cloud_or_shadow"`` or ``"recommended"``.
    flag
        True, False or None; of ``"recommended"`` also ``"any"``.

    Returns
    -------
    bool or None
        What it must be; None where it may be either.

    Raises
    ------
    SelectionError
        If it is something else.
    """
    if flag is None or (criterion == "recommended" and isinstance(flag, str) and flag == "any"):
        return None
    if not isinstance(flag, bool | np.bool_):
        choices = "True, False, None or 'any'" if criterion == "recommended" else "True, False or None"
        raise SelectionError(f"{criterion} is {flag!r}, expected {choices}")
    return bool(flag)


def check_labels(names: Iterable[str], known: Sequence[str], *, whose: str, remedy: str = "") -> None:
    """Refuse labels that no patch can have.

    Parameters
    ----------
    names
        Those asked for.
    known
        Those that there are.
    whose
        What they are labels of, and of how many classes, for the message.
    remedy
        What may be done, as the end of the message.

    Raises
    ------
    LabelError
        There is no such label; the message says what it might be.
    """
    for name in names:
        if name not in known:
            raise LabelError(f"{name!r} is not a label of {whose} classes{label_hint(name, known)}{remedy}")


def label_hint(name: str, known: Sequence[str]) -> str:
    """Say what a label that is not known might be, as a part of an error message.

    Parameters
    ----------
    name
        What was asked for.
    known
        The labels that there are.

    Returns
    -------
    str
        What it counts as in the other nomenclature, or the nearest spelling, or ``""``.

    Examples
    --------
    >>> label_hint("Olive groves", label_names(19))
    "; it is one of the 43 classes, and counts as 'Permanent crops' among the 19"
    >>> label_hint("pastures", label_names(19))
    "; did you mean 'Pastures'?"
    """
    groups = {label.name: label.group for label in CLASSES_43}
    if name in groups:
        counts = f"counts as {groups[name]!r}" if groups[name] else "counts as none"
        return f"; it is one of the 43 classes, and {counts} among the 19"
    if name in label_names(19):
        members = ", ".join(repr(member) for member, group in groups.items() if group == name)
        return f"; it is one of the 19 classes, and stands for {members} among the 43"
    return did_you_mean(name, known) or did_you_mean(name, (*label_names(19), *groups))


def checked_bbox(bbox: Iterable[float]) -> Bbox:
    """Refuse a box that holds nothing by mistake.

    Parameters
    ----------
    bbox
        West, south, east, north, degrees, in anything that gives four numbers.

    Raises
    ------
    SelectionError
        The box is not four finite numbers with south <= north, or lies beyond the globe.
    """
    try:
        edges = tuple(bbox)
        is_box = len(edges) == 4 and all(map(math.isfinite, edges)) and edges[1] <= edges[3]
    except (TypeError, OverflowError):  # no iterable, or not of numbers
        is_box = False
    if not is_box:
        raise SelectionError(
            f"bbox is {bbox!r}, expected (west, south, east, north) in degrees, finite, with south <= north"
        )
    west, south, east, north = map(float, edges)
    if max(abs(west), abs(east)) > 180 or max(abs(south), abs(north)) > 90:
        raise SelectionError(
            f"bbox is {bbox!r}, expected (west, south, east, north) in degrees, longitudes from -180 to 180 and "
            "latitudes from -90 to 90; bring metres of a projection to EPSG:4326 first"
        )
    return west, south, east, north


def footprints_intersect(corners: NDArray[np.float64], bbox: Bbox) -> NDArray[np.bool_]:
    """Tell which footprints meet a box of longitude and latitude; touching counts.

    Parameters
    ----------
    corners
        Convex rings as ``corners_lonlat`` gives them, shape ``(patch, 5, 2)``, degrees.
    bbox
        West, south, east, north, degrees; west > east crosses the antimeridian.

    Returns
    -------
    NDArray[np.bool_]
        Shape ``(patch,)``.

    Raises
    ------
    SelectionError
        The box is not four finite numbers with south <= north, or lies beyond the globe.

    Examples
    --------
    >>> from bigearth_xr.grid import corners_lonlat
    >>> corners = corners_lonlat([32633], [331200], [5331600])
    >>> footprints_intersect(corners, (12.7, 48.0, 12.74, 48.2))
    array([ True])
    """
    west, south, east, north = checked_bbox(bbox)
    if west > east:
        return footprints_intersect(corners, (west, south, 180, north)) | (
            footprints_intersect(corners, (-180, south, east, north))
        )
    low, high = corners.min(axis=1), corners.max(axis=1)
    meets: NDArray[np.bool_] = ((low <= (east, north)) & (high >= (west, south))).all(axis=1)
    box = np.array([(west, south), (east, south), (east, north), (west, north)])
    meets[meets] = ~_beyond_an_edge(corners[meets], box)
    return meets


def checked_interval(datetime: object) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Tell the bounds of the interval that is meant, or refuse what is none.

    Parameters
    ----------
    datetime
        A time, or two with both ends included. Each is as exact as it is written: ``"2017-06"`` is all of June,
        ``"2017-06-13T10:10Z"`` a minute. An object of Python or pandas at midnight, of its own zone if it has one,
        is a day. ``".."``, ``None`` or nothing leaves an end of an interval open.

    Returns
    -------
    tuple
        The first second, and the first one after the interval; None for an open end.

    Raises
    ------
    SelectionError
        If it is not a time or interval, or ends before it begins.

    Examples
    --------
    >>> checked_interval("2017-06-13/2017-08")
    (np.datetime64('2017-06-13T00:00:00'), np.datetime64('2017-09-01T00:00:00'))
    """
    try:
        first, last = (None if end is None else _span(end) for end in _ends(datetime))
    # A wrong number of ends does not unpack, and pandas refuses in either way.
    except (TypeError, ValueError, OverflowError):
        raise SelectionError(
            f"datetime {datetime!r} is not a time or interval; expected e.g. '2017-06', '2017-06-13T10:10:31Z', "
            "'2017-06-13/2017-08-31' or '../2018-01-01', year first, UTC unless an offset says otherwise"
        ) from None
    if first is not None and last is not None and first[0] >= last[1]:
        raise SelectionError(f"datetime {datetime!r} ends before it begins; give the earlier end first")
    return None if first is None else _whole(first[0]), None if last is None else _whole(last[1])


def _beyond_an_edge(corners: NDArray[np.float64], points: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Tell which rings have an edge that all points lie beyond, shape ``(patch,)``.

    Convex shapes whose bounding boxes meet are apart exactly if there is such an edge.
    """
    edges = np.diff(corners, axis=1)
    # The rings run counter-clockwise: an edge turned by -90 degrees points outwards.
    outwards = np.stack([edges[..., 1], -edges[..., 0]], axis=-1)[:, :, None]
    # From the corner on: so a point on a corner is at exactly 0, which still touches.
    from_corner = points - corners[:, :4, None]
    beyond: NDArray[np.bool_] = ((from_corner * outwards).sum(-1) > 0).all(axis=2).any(axis=1)
    return beyond


def _ends(given: object) -> tuple[object, object]:
    """The first and the last time that are given, None for an open end; one time is both."""
    if isinstance(given, xr.DataArray):
        given = given.values[()]
    if isinstance(given, slice) and given.step is None:
        first, last = given.start, given.stop
    elif isinstance(given, str) and "/" in given:
        first, last = (end.strip() or None for end in given.split("/"))
        if first is last is None:
            raise ValueError("no end is given")
    elif isinstance(given, list | tuple | pd.Index | pd.Series | np.ndarray):
        first, last = given
    else:
        return given, given
    return _open(first), _open(last)


def _open(end: object) -> object:
    return None if isinstance(end, str) and end == ".." else end


def _span(time: object) -> _Span:
    """What a time spans: a year, a minute, a nanosecond."""
    if isinstance(time, str):
        return _span_of_text(time.strip())
    if not isinstance(time, date | np.datetime64 | pd.Period) or pd.isna(time):
        raise TypeError(f"{time!r} is not a time")
    if isinstance(time, np.datetime64):
        unit: Any = np.datetime_data(time.dtype)  # NumPy 2.5 deprecates adding bare numbers
        return _since_epoch(time), _since_epoch(time + np.timedelta64(1, unit))
    if isinstance(time, pd.Period):
        return tuple(_since_epoch(bound.start_time.to_datetime64()) for bound in (time, time + 1))  # type: ignore[return-value]  # two
    if not isinstance(time, datetime):
        return _days(time.year, time.month, time.day, 1)
    nanosecond = getattr(time, "nanosecond", 0)
    plain = datetime(*time.timetuple()[:6], time.microsecond, time.tzinfo or UTC, fold=time.fold)
    start = _nanoseconds(plain) + nanosecond
    if nanosecond:
        return start, start + 1
    if plain.time() == datetime.min.time():
        return start, _nanoseconds(plain + timedelta(days=1))
    return start, start + (1000 if plain.microsecond else _SECOND)


def _span_of_text(text: str) -> _Span:
    found = _ISO.fullmatch(_BASIC.sub(r"\1-\2-\3", text, count=1))
    if found is None:
        raise ValueError(f"{text!r} is not ISO 8601")
    year, month, day = (int(found[part] or 1) for part in ("year", "month", "day"))
    if found["month"] is None:
        return _days(year, 1, 1, 365 + isleap(year))
    if found["day"] is None:
        return _days(year, month, 1, monthrange(year, month)[1])
    if found["hour"] is None:
        return _days(year, month, day, 1)
    hour, minute, second = (int(found[part] or 0) for part in ("hour", "minute", "second"))
    start = _nanoseconds(datetime(year, month, day, hour, minute, second, tzinfo=_zone(found["zone"])))
    fraction = found["fraction"]
    if fraction:
        start += int(fraction.ljust(9, "0"))
        return start, start + 10 ** (9 - len(fraction))
    return start, start + _SECOND * (1 if found["second"] else 60 if found["minute"] else 3600)


def _zone(offset: str | None) -> timezone:
    if offset in (None, "Z", "z"):
        return UTC
    digits = offset[1:].replace(":", "").ljust(4, "0")
    minutes = int(digits[:2]) * 60 + int(digits[2:])
    return timezone(timedelta(minutes=-minutes if offset[0] == "-" else minutes))


def _days(year: int, month: int, day: int, count: int) -> _Span:
    start = _nanoseconds(datetime(year, month, day, tzinfo=UTC))
    return start, start + count * _DAY


def _nanoseconds(moment: datetime) -> int:
    return (moment - _EPOCH) // timedelta(microseconds=1) * 1000


def _since_epoch(time: np.datetime64) -> int:
    """Nanoseconds since 1970 of a time in any unit, without the overflow of NumPy's own."""
    unit, step = np.datetime_data(time.dtype)
    finer = {"s": 10**9, "ms": 10**6, "us": 1000, "ns": 1}
    if unit in finer:
        return int(time.astype(np.int64)) * step * finer[unit]
    if unit in ("ps", "fs", "as"):
        return int(time.astype(np.int64)) * step // {"ps": 10**3, "fs": 10**6, "as": 10**9}[unit]
    return int(time.astype("datetime64[s]").astype(np.int64)) * _SECOND


def _whole(nanoseconds: int) -> np.datetime64:
    """The first whole second from there on."""
    return np.datetime64(-(-nanoseconds // _SECOND), "s")
