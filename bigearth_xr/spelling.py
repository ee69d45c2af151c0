"""What a misspelt name or option most likely meant, and which there are, for error messages."""

from collections.abc import Callable, Iterable, Mapping
from difflib import get_close_matches
from functools import wraps
from typing import ParamSpec, TypeVar

__all__ = ["check_choice", "check_known", "choice_error", "did_you_mean", "find_choice", "takes_known"]

Given = ParamSpec("Given")
Returned = TypeVar("Returned")
Choice = TypeVar("Choice")


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


def check_choice(option: str, given: object, choices: Iterable[object], error: type[Exception]) -> None:
    """Refuse what is not among the choices of an option, and name these.

    Parameters
    ----------
    option
        What is chosen, for the message.
    given
        What was asked for, whatever its type.
    choices
        What there is.
    error
        What to raise.

    Examples
    --------
    >>> check_choice("resampling", "cubic", ["nearest", "bilinear", "bicubic"], ValueError)
    Traceback (most recent call last):
    ...
    ValueError: unknown resampling 'cubic'; expected one of nearest, bilinear, bicubic; did you mean 'bicubic'?
    """
    known = tuple(choices)
    try:
        found = given in known
    except (TypeError, ValueError):  # an array equals nothing as a whole
        found = False
    if not found:
        raise choice_error(option, given, known, error)


def choice_error(option: str, given: object, choices: Iterable[object], error: type[Exception]) -> Exception:
    """Say that a choice is none of those that there are; `check_choice` raises it."""
    names = [str(choice) for choice in choices]
    hint = did_you_mean(given, names) if isinstance(given, str) else ""
    return error(f"unknown {option} {given!r}; expected one of {', '.join(names)}{hint}")


def find_choice(option: str, name: object, choices: Mapping[str, Choice], error: type[Exception]) -> Choice:
    """Find what a name stands for, in upper or lower case.

    Raises
    ------
    Exception
        This error, if there is nothing of the name; the message names those that there are.
    """
    found = choices.get(name.lower()) if isinstance(name, str) else None
    if found is None:
        raise choice_error(option, name, choices, error)
    return found


def check_known(owner: str, given: Iterable[str], known: Iterable[str]) -> None:
    """Refuse keywords that are not options, as Python does, and name those that there are, and the nearest.

    Raises
    ------
    TypeError
        If there is one.
    """
    options = list(known)
    for name in given:
        if name not in options:
            raise TypeError(f"{owner} has no option {name!r}; it has {', '.join(options)}{did_you_mean(name, options)}")


def takes_known(function: Callable[Given, Returned]) -> Callable[Given, Returned]:
    """Have a function answer keywords that it does not take with those that it does.

    Examples
    --------
    >>> @takes_known
    ... def open(path, *, resampling="nearest"): ...
    >>> open("ben.zarr", resample="bilinear")
    Traceback (most recent call last):
    ...
    TypeError: open has no option 'resample'; it has path, resampling; did you mean 'resampling'?
    """
    code = function.__code__
    known = code.co_varnames[: code.co_argcount + code.co_kwonlyargcount]

    @wraps(function)
    def checked(*args: Given.args, **options: Given.kwargs) -> Returned:
        if not options.keys() <= {*known}:
            check_known(function.__name__, options, [name for name in known if name != "self"])
        return function(*args, **options)

    return checked
