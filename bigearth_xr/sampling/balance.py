"""How likely each patch has to be drawn for every class, or every country, to be drawn as often."""

from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.spelling import check_choice

__all__ = ["Balance", "balance_weights", "draw_stratified", "even_weights"]

Balance = Literal["class", "country"]
"""What is drawn as often as its like."""


def balance_weights(
    balance: Balance | None, marks: NDArray[np.floating], country: NDArray[Any]
) -> NDArray[np.float64] | None:
    """Weigh patches so that every class, or every country, is drawn as often.

    Parameters
    ----------
    balance
        Which; None for no weights.
    marks
        1 where a patch is of a class, shape ``(patch, class)``.
    country
        Names, empty where unknown, shape ``(patch,)``.

    Raises
    ------
    LoaderError
        If there is no such balance, or nothing to balance.

    Examples
    --------
    >>> balance_weights("country", np.zeros((3, 0)), np.array(["Finland", "Finland", "Serbia"]))
    array([0.25, 0.25, 0.5 ])
    """
    check_choice("balance", balance, (*get_args(Balance), None), LoaderError)
    if balance is None:
        return None
    if balance == "class":
        return even_weights(marks == 1)
    names = np.unique(country.astype(object).astype(str))
    return even_weights(country.astype(object).astype(str)[:, None] == names[names != ""])


def even_weights(groups: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Weigh patches as if a group were drawn first, each as likely, and then one of its patches, each as likely.

    A patch of several groups can be drawn for each of them, so that what is frequent beside rare groups is still seen
    more often than these.

    Parameters
    ----------
    groups
        Whether a patch is of a group, shape ``(patch, group)``.

    Returns
    -------
    NDArray
        Shape ``(patch,)``, adding up to 1; 0 for a patch of no group.

    Raises
    ------
    LoaderError
        If no patch is of any group.

    Examples
    --------
    >>> even_weights(np.array([[1, 0], [1, 0], [0, 1], [0, 0]], bool))
    array([0.25, 0.25, 0.5 , 0.  ])
    """
    members = np.count_nonzero(groups, axis=0)
    if not members.any():
        raise LoaderError("no patch is of any group to balance, as a class or country; leave balance out")
    share: NDArray[np.float64] = groups @ (1 / np.maximum(members, 1))
    weights: NDArray[np.float64] = share / np.count_nonzero(members)
    return weights


def draw_stratified(weights: NDArray[np.float64], chance: NDArray[np.float64]) -> NDArray[np.intp]:
    """Draw with replacement, one from each of as many strata of the same weight.

    Parameters
    ----------
    weights
        Shape ``(patch,)``, not negative, not all 0.
    chance
        Even numbers in [0, 1), one for each draw.

    Returns
    -------
    NDArray
        Places of the drawn, ascending, shape of `chance`: a patch of weight w comes ⌊n w⌋ to ⌈n w⌉ + 1 times, and n w
        times on average, where n is the number of draws.

    Examples
    --------
    >>> draw_stratified(np.array([0.25, 0, 0.75]), np.full(4, 0.5))
    array([0, 2, 2, 2])
    """
    ends = np.cumsum(weights)
    position = (np.arange(chance.size) + chance) * (ends[-1] / chance.size)
    # Rounding may carry a position to the very end, which is no patch's.
    last = int(np.flatnonzero(weights)[-1])
    drawn: NDArray[np.intp] = np.searchsorted(ends, position, side="right").clip(max=last)
    return drawn
