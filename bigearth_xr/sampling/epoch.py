"""The patches of one epoch on one rank, in order.

A shuffled epoch is made in steps, each a function of (seed, epoch, store, row): blocks of consecutive stored rows are
dealt to the ranks; those of a rank are put in random order; and within each window of that order patches are mixed. A
batch so has patches from everywhere in the store, and yet the disk sees a window's worth of long reads at a time. The
first windows are smaller, as nothing can be drawn from a window before all of it was read.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.random import MAX_WORD, random_words, uniform
from bigearth_xr.sampling.balance import draw_stratified
from bigearth_xr.sampling.rules import Sampling

__all__ = ["Epoch", "plan_epoch"]

# What a random number is for: bits 16 to 23 of the counter's second word, above the store's number. Those of
# augmentation are less than 128.
_OF_DEAL, _OF_BLOCK, _OF_PATCH, _OF_DRAW = (np.uint64(purpose << 16) for purpose in range(128, 132))
_NOWHERE = np.uint64(0)
_FIRST_WINDOW = 1024
_HALF = np.uint64(32)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Epoch:
    """What one rank goes through in one epoch."""

    places: NDArray[np.intp]
    """Place of each patch among those given, in the order of batches, shape ``(patch,)``."""

    repeats: NDArray[np.int64]
    """How many times it came before in this epoch, where patches are drawn with replacement; shape ``(patch,)``."""

    padding: int
    """How many patches of the whole epoch, over all ranks, are there a second time so that all take as many steps."""

    batch_size: int
    """Patches in a batch, the last excepted."""

    windows: NDArray[np.intp]
    """Where each window ends: what comes before needs nothing of what comes after; ascending, shape ``(window,)``."""

    def __len__(self) -> int:
        """Batches."""
        return -(-self.places.size // self.batch_size)

    def batch(self, step: int) -> slice:
        """Which of the patches are those of a batch."""
        return slice(step * self.batch_size, (step + 1) * self.batch_size)


def plan_epoch(
    stores: NDArray[np.integer],
    rows: NDArray[np.integer],
    sampling: Sampling,
    *,
    epoch: int = 0,
    weights: NDArray[np.float64] | None = None,
) -> Epoch:
    """Say which patches one rank goes through in one epoch, and in which order.

    Parameters
    ----------
    stores, rows
        Number of the store and row in it of each patch, shape ``(patch,)``.
    sampling
        By which rules.
    epoch
        Another epoch has another order, in [0, 2³²).
    weights
        How likely each patch is to be drawn, shape ``(patch,)``; then an epoch has as many draws, with replacement, as
        there are patches. None takes each patch once. Needs `Sampling.shuffle`.

    Raises
    ------
    LoaderError
        If there is no patch, a rank gets none, or weights come without shuffling.

    Examples
    --------
    >>> rules = Sampling(batch_size=2, window=4, block=2)
    >>> plan_epoch(np.zeros(8, int), np.arange(8), rules).places
    array([1, 0, 6, 7, 3, 2, 4, 5])
    """
    _check(rows, sampling, epoch, weights)
    patches = _Patches(stores=stores, rows=rows, sampling=sampling, epoch=epoch)
    share, padding = _dealt(patches)
    repeats = np.zeros(share.size, np.int64)
    if sampling.shuffle:
        if weights is not None:
            share, repeats = _drawn(patches, share, weights)
        order = _shuffled(patches, share, repeats)
        share, repeats = share[order], repeats[order]
    if sampling.drop_last:
        kept = share.size // sampling.batch_size * sampling.batch_size
        share, repeats = share[:kept], repeats[:kept]
    return Epoch(
        places=share,
        repeats=repeats,
        padding=0 if weights is not None else padding,
        batch_size=sampling.batch_size,
        windows=_window_ends(share.size, sampling.window),
    )


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Patches:
    """What is gone through, and by which rules."""

    stores: NDArray[np.integer]
    rows: NDArray[np.integer]
    sampling: Sampling
    epoch: int

    def keys(self, purpose: np.uint64, numbers: Any, stores: Any, epoch: int, repeats: Any = _NOWHERE) -> Any:
        """A random number for each of some rows or blocks, uint64, to sort by."""
        word = purpose | stores.astype(np.uint64)
        counter = [repeats, word, numbers.astype(np.uint64), np.uint64(epoch)]
        high, low, *_ = random_words(counter, seed=int(self.sampling.seed))
        return high << _HALF | low  # type: ignore[operator]  # Array has no operators

    def by_block(self, places: NDArray[np.intp], purpose: np.uint64, epoch: int) -> NDArray[np.intp]:
        """Order places by a random number of their block, and within it as stored."""
        size = 1 if self.sampling.window is None else self.sampling.block
        rows, stores = self.rows[places], self.stores[places]
        return np.lexsort((rows, stores, self.keys(purpose, rows // size, stores, epoch)))


def _dealt(patches: _Patches) -> tuple[NDArray[np.intp], int]:
    """Places of one rank's patches, and how many of all ranks' come twice."""
    sampling, count = patches.sampling, patches.rows.size
    places = np.arange(count)
    if sampling.shuffle and sampling.world_size > 1:
        places = places[patches.by_block(places, _OF_DEAL, 0 if sampling.fixed_shares else patches.epoch)]
    share, padding = sampling.share(count)
    return places[np.arange(share.start, share.stop) % count], padding


def _drawn(
    patches: _Patches, share: NDArray[np.intp], weights: NDArray[np.float64]
) -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Draw from a rank's patches as many as they are, with replacement; and tell the second time from the first."""
    if not weights[share].any():
        raise LoaderError(
            f"none of the {share.size} patches of rank {patches.sampling.rank} can be drawn: all weigh 0; "
            "take fewer ranks, or leave balance out"
        )
    rank = np.uint64(patches.sampling.rank)
    counter: list[Any] = [np.arange(share.size, dtype=np.uint64), _OF_DRAW, rank, np.uint64(patches.epoch)]
    chance: Any = uniform(counter, seed=int(patches.sampling.seed))[0]
    ordered = share[np.lexsort((patches.rows[share], patches.stores[share]))]
    drawn = draw_stratified(weights[ordered], chance.astype(np.float64))
    first = np.searchsorted(drawn, drawn)  # ascending: the same follow each other
    return ordered[drawn], np.arange(drawn.size) - first


def _shuffled(patches: _Patches, share: NDArray[np.intp], repeats: NDArray[np.int64]) -> NDArray[np.intp]:
    """Order a rank's patches at random: blocks, then patches within each window of blocks."""
    order = patches.by_block(share, _OF_BLOCK, patches.epoch)
    rows, stores = patches.rows[share[order]], patches.stores[share[order]]
    keys = patches.keys(_OF_PATCH, rows, stores, patches.epoch, repeats[order].astype(np.uint64))
    number = np.searchsorted(_window_ends(order.size, patches.sampling.window), np.arange(order.size), side="right")
    # The window's number first, so that a patch stays in its window.
    return order[np.lexsort((keys, number))]


def _window_ends(patches: int, window: int | None) -> NDArray[np.intp]:
    """Where windows of so many patches end, each of the first ones twice as large as the one before."""
    if window is None:
        return np.array([patches])
    doublings = ((int(window) - 1) // _FIRST_WINDOW).bit_length()
    sizes = np.full(patches // window + doublings + 1, window)
    sizes[:doublings] = _FIRST_WINDOW << np.arange(doublings)
    ends = np.cumsum(sizes)
    return np.append(ends[ends < patches], patches)


def _check(rows: NDArray[np.integer], sampling: Sampling, epoch: int, weights: NDArray[np.float64] | None) -> None:
    if not isinstance(epoch, int | np.integer) or not 0 <= epoch <= MAX_WORD:
        raise LoaderError(f"epoch is {epoch!r}, expected an integer from 0 to {MAX_WORD}")
    if rows.size < sampling.world_size:
        raise LoaderError(f"{rows.size} patches for {sampling.world_size} ranks: each needs at least one")
    if weights is not None and not sampling.shuffle:
        raise LoaderError("balance draws patches at random, and shuffle=False keeps their order; choose one of them")
