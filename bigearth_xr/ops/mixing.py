"""Patches that get pixels, or a share of every pixel, of another of their batch, and their labels.

Partners follow each other round the batch, in an order that is drawn: each patch is the partner of one other. A batch
of the same rows has the same partners, whatever the order of its rows.
"""

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.random import random_words, uniform
from bigearth_xr.ops.resample import SIDE

__all__ = ["mix_labels", "pixel_boxes"]

_ORDER = np.uint64(1)
"""Place of the counter that partners are drawn with, beside that of weights."""

_STEPS = 4096
"""Of half a Beta distribution as a table: a weight is off by less than 10⁻⁶."""

Mixing = tuple[NDArray[np.intp], NDArray[np.float32], NDArray[np.int32]]


def draw_mixing(counter: Sequence[Any], *, seed: int, mixup: float, cutmix: float) -> Mixing:
    """Draw which patches are mixed, and how much.

    Parameters
    ----------
    counter
        Four words; the third is the row of each patch, shape ``(patch,)``. The first is 0: this counts on from it.
    seed
        Key of the random numbers.
    mixup, cutmix
        Parameters of the Beta distributions of weights and of kept shares; 0 for neither.

    Returns
    -------
    partner, weight, box
        As in `AugmentParameters`.

    Examples
    --------
    >>> words = [np.uint64(0), np.uint64(0), np.arange(4, dtype=np.uint64), np.uint64(0)]
    >>> partner, weight, box = draw_mixing(words, seed=0, mixup=0.4, cutmix=0)
    >>> partner
    array([3, 0, 1, 2])
    >>> weight.round(2)
    array([0.98, 1.  , 0.85, 0.  ], dtype=float32)
    """
    rows: NDArray[np.uint64] = counter[2]
    partner, weight = np.arange(rows.size), np.ones(rows.size, np.float32)
    box = np.zeros((rows.size, 4), np.int32)
    if not mixup and not cutmix:
        return partner, weight, box
    first: Any = random_words([_ORDER, *counter[1:]], seed=seed)[0]
    order = np.lexsort((rows, first))
    partner[order] = np.roll(order, -1)
    which, chance, y, x = (np.asarray(number, np.float64) for number in uniform(counter, seed=seed))
    blended = which < (0.5 if mixup and cutmix else float(mixup > 0))
    if mixup:
        weight[blended] = _beta_quantile(chance[blended], mixup)
        weight[np.float32(1) - weight == 1] = 0  # as what is lost beside 1 at the other end
    if cutmix:
        side = SIDE * np.sqrt(1 - _beta_quantile(chance[~blended], cutmix))
        box[~blended] = _boxes(SIDE * y[~blended], SIDE * x[~blended], side)
    return partner, weight, box


def mix_labels(
    labels: NDArray[Any], partner: NDArray[np.intp], weight: NDArray[np.float32], box: NDArray[np.int32]
) -> NDArray[np.float32]:
    """Blend labels as the pixels of their patches are blended.

    Parameters
    ----------
    labels
        Multi-hot, shape ``(patch, label)``, of the patches of a batch, in its order.
    partner, weight, box
        What was drawn for them, as in `AugmentParameters`.

    Returns
    -------
    NDArray
        Same shape, float32: ``own * weight + partner's * (1 - weight)``; its own where the weight is 1, its partner's
        where it is 0.

    Raises
    ------
    AugmentationError
        If boxes are pasted: which labels come and go with them, only the reference maps tell.

    Examples
    --------
    >>> partner, weight = np.array([1, 0]), np.float32([0.75, 1])
    >>> mix_labels(np.eye(2, dtype=bool), partner, weight, np.zeros((2, 4), np.int32))
    array([[0.75, 0.25],
           [0.  , 1.  ]], dtype=float32)
    """
    if box.any():
        raise AugmentationError(
            "labels of patches with boxes of others in them cannot be blended: count them in the reference maps that "
            "were cut alike, or draw without cutmix"
        )
    own, kept = labels.astype(np.float32), weight[:, None]
    # Labels that are not known are NaN, and 0 × NaN is NaN.
    mixed = np.where(kept == 1, own, own * kept + own[partner] * (1 - kept))
    return np.where(kept == 0, own[partner], mixed)


def pixel_boxes(box: NDArray[np.int32], size: int) -> NDArray[np.int32]:
    """Bring boxes from 120ths of a side to pixels.

    Returns
    -------
    NDArray
        Shape ``(patch, 4)``, int32: first row, first column, row and column after the last.

    Examples
    --------
    >>> pixel_boxes(np.int32([[30, 60, 20, 60]]), 60)
    array([[15, 30, 25, 60]], dtype=int32)
    """
    edges = np.concatenate([box[:, :2], box[:, :2] + box[:, 2:]], axis=1)
    return (edges * size // SIDE).astype(np.int32)


def _boxes(y: NDArray[np.float64], x: NDArray[np.float64], side: NDArray[np.float64]) -> NDArray[np.int32]:
    """Squares around centres, as far as they lie in the patch."""
    edges = [np.round(at + sign * side / 2).clip(0, SIDE) for sign in (-1, 1) for at in (y, x)]
    top, left, bottom, right = edges
    return np.stack([top, left, bottom - top, right - left], axis=-1).astype(np.int32)


def _beta_quantile(chance: NDArray[np.float64], alpha: float) -> NDArray[np.float64]:
    """Turn even chances into draws of Beta(α, α)."""
    cumulative, powers = _half_of_beta(alpha)
    rare = np.minimum(chance, 1 - chance)
    lower = np.interp(2 * rare, cumulative, powers) ** (1 / alpha)
    quantile: NDArray[np.float64] = np.where(chance < 0.5, lower, 1 - lower)
    return quantile


@lru_cache(maxsize=8)
def _half_of_beta(alpha: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Distribution of the lower half of Beta(α, α), over the α-th power, in which its density has no pole at 0."""
    powers = np.linspace(0, 0.5**alpha, _STEPS + 1)
    middle = (powers[1:] + powers[:-1]) / 2
    density = (1 - middle ** (1 / alpha)) ** (alpha - 1)
    cumulative = np.concatenate([[0], np.cumsum(density)])
    return cumulative / cumulative[-1], powers
