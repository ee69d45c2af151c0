"""What a misspelt name most likely meant, for error messages."""

from collections.abc import Iterable
from difflib import get_close_matches

__all__ = ["did_you_mean"]


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """Name the nearest known spelling, as the end of an error message.

    Parameters
    ----------
    name
        What was asked for.
    known
        What exists.

    Returns
    -------
    str
        ``"; did you mean 'Pastures'?"``, or ``""`` where nothing is near.

    Examples
    --------
    >>> did_you_mean("pasture", ["Pastures", "Arable land"])
    "; did you mean 'Pastures'?"
    >>> did_you_mean("Moon", ["Pastures", "Arable land"])
    ''
    """
    spellings = {spelling.lower(): spelling for spelling in known}
    nearest = get_close_matches(name.lower(), spellings, n=1)
    return f"; did you mean {spellings[nearest[0]]!r}?" if nearest else ""
