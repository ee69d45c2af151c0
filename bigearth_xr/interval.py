"""An interval of acquisition times, from whatever says one: the same for a Dataset and for STAC.

Bounds are counted in whole nanoseconds of any size, so that no year overflows, and given in whole seconds, in which the
archives tell when a patch was seen.
"""

import re
from calendar import isleap, monthrange
from collections.abc import Sequence
from datetime import UTC, date, datetime, timedelta, timezone
from typing import Any, TypeAlias

import numpy as np
import pandas as pd
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.errors import SelectionError

__all__ = ["Datetime", "checked_interval"]

Time: TypeAlias = str | date | np.datetime64 | pd.Period
"""A time as exact as it is told; a text is ISO 8601, and UTC where it names no offset."""

Datetime: TypeAlias = Time | slice | Sequence[Time | None] | NDArray[Any] | pd.Index | xr.DataArray
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


def checked_interval(datetime: object) -> tuple[np.datetime64 | None, np.datetime64 | None]:
    """Tell the bounds of the interval that is meant, or refuse what is none.

    Parameters
    ----------
    datetime
        A time, or two with both ends included. Each is as exact as it is told: ``"2017-06"`` is all of June,
        ``"2017-06-13T10:10Z"`` a minute. An object of Python or pandas at midnight, of its own zone if it has one,
        is a day. ``".."``, ``None`` or nothing leaves an end of an interval open.

    Returns
    -------
    tuple
        The first second, and the first one after the interval; None for an open end.

    Raises
    ------
    SelectionError
        If it is no time or interval, or ends before it begins.

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
            f"datetime {datetime!r} is no time or interval; expected e.g. '2017-06', '2017-06-13T10:10:31Z', "
            "'2017-06-13/2017-08-31' or '../2018-01-01', year first, UTC unless an offset says otherwise"
        ) from None
    if first is not None and last is not None and first[0] >= last[1]:
        raise SelectionError(f"datetime {datetime!r} ends before it begins; give the earlier end first")
    return None if first is None else _whole(first[0]), None if last is None else _whole(last[1])


def _ends(told: object) -> tuple[object, object]:
    """The first and the last time that are told, None for an open end; one time is both."""
    if isinstance(told, xr.DataArray):
        told = told.values[()]
    if isinstance(told, slice) and told.step is None:
        first, last = told.start, told.stop
    elif isinstance(told, str) and "/" in told:
        first, last = (end.strip() or None for end in told.split("/"))
        if first is last is None:
            raise ValueError("no end is told")
    elif isinstance(told, list | tuple | pd.Index | pd.Series | np.ndarray):
        first, last = told
    else:
        return told, told
    return _open(first), _open(last)


def _open(end: object) -> object:
    return None if isinstance(end, str) and end == ".." else end


def _span(time: object) -> _Span:
    """What a time spans: a year, a minute, a nanosecond."""
    if isinstance(time, str):
        return _span_of_text(time.strip())
    if not isinstance(time, date | np.datetime64 | pd.Period) or pd.isna(time):
        raise TypeError(f"{time!r} is no time")
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
