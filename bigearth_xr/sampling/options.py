"""What options may be: checked at the door, so that a wrong one is named with what was expected."""

import numpy as np

from bigearth_xr.errors import LoaderError

__all__ = ["check_flag", "check_integer"]


def check_integer(name: str, value: object, least: int, expected: str = "") -> None:
    """Refuse what is no integer, as are floats, texts and booleans, or is too small.

    Parameters
    ----------
    name, value
        The option, and what was given.
    least
        The smallest that it may be.
    expected
        What it is to be instead, if there is more to say.

    Raises
    ------
    LoaderError
        If it is none.

    Examples
    --------
    >>> check_integer("threads", 1.5, 0)
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.LoaderError: threads is 1.5, expected an integer of at least 0
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise LoaderError(f"{name} is {value!r}, expected {expected or f'an integer of at least {least}'}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises
    ------
    LoaderError
        If it is something else, as the text ``"no"``, which Python takes for true.

    Examples
    --------
    >>> check_flag("shuffle", "no")
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.LoaderError: shuffle is 'no', expected True or False
    """
    if not isinstance(value, bool | np.bool_):
        raise LoaderError(f"{name} is {value!r}, expected True or False")
