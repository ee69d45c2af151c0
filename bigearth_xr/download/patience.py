"""How often and how long to try again, and what a server asks for itself."""

import random
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

from bigearth_xr.errors import SelectionError

__all__ = ["Patience", "asked_wait_s"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When to give up."""

    retries: int = 8
    """Failures in a row, with less than a mebibyte between them, after which the next one is final."""

    first_wait_s: float = 1.0
    """Wait after the first failure; each further one doubles it, and each is cut short at random by up to a half."""

    longest_wait_s: float = 60.0
    """Where the doubling ends."""

    longest_asked_s: float = 900.0
    """A server that asks (``Retry-After``) for more than this is given up."""

    timeout_s: float = 60.0
    """A connection that brings nothing for so long, or less than 1 KiB a second, is dropped and made anew."""

    def __post_init__(self) -> None:
        if self.retries < 0:
            raise SelectionError(f"retries is {self.retries}, expected 0 or more")

    def wait_s(self, failures: int) -> float:
        """Time to wait after so many failures in a row; at random, so that all who were dropped do not return at once.

        Examples
        --------
        >>> 2.0 <= Patience().wait_s(3) <= 4.0
        True
        """
        doublings = min(failures - 1, 30)
        return min(self.first_wait_s * 2.0**doublings, self.longest_wait_s) * random.uniform(0.5, 1.0)


def asked_wait_s(retry_after: str | None) -> float | None:
    """Read a ``Retry-After`` header: seconds, or a date.

    Returns
    -------
    float or None
        Seconds from now, not negative; None if there is no header, or it cannot be read.

    Examples
    --------
    >>> asked_wait_s("120")
    120.0
    >>> asked_wait_s("Wed, 21 Oct 2015 07:28:00 GMT")
    0.0
    """
    if retry_after is None:
        return None
    if retry_after.strip().isdecimal():
        return float(retry_after)
    try:
        date = parsedate_to_datetime(retry_after)
    except ValueError:
        return None
    date = date if date.tzinfo else date.replace(tzinfo=UTC)
    return max((date - datetime.now(UTC)).total_seconds(), 0.0)
