"""In which order an epoch goes through patches, and on which rank: a function of rows, seed and epoch.

A shuffled epoch is made in steps, each a function of (seed, epoch, store, row): blocks of consecutive stored rows are
dealt to the ranks; those of a rank are put in random order; and within each window of that order patches are mixed. A
batch so has patches from everywhere in the store, and yet the disk sees a window's worth of long reads at a time. The
first windows are smaller, as nothing can be drawn from a window before all of it was read.
"""

from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.random import MAX_WORD, random_words, uniform
from bigearth_xr.spelling import check_choice

__all__ = ["WINDOW", "Balance", "Epoch", "Sampling", "balance_weights", "check_integer", "plan_epoch"]

WINDOW = 8192
"""Patches among which a batch is drawn by default: 2.2 GB of native pairs, which the page cache has to hold."""

BLOCK = 16
"""Stored rows read together by default: 1.8 MB of each 10 m array. Windows of `WINDOW` then mix labels nearly as a true
shuffle does (benchmarks/shuffle_quality.py), which blocks of 128 do not."""

_SHARD_PATCHES = 1024
_MAX_SEED = 2**64 - 1

# What a random number is for: bits 16 to 23 of the counter's second word, above the store's number. Those of
# augmentation are less than 128.
_OF_DEAL, _OF_BLOCK, _OF_PATCH, _OF_DRAW = (np.uint64(purpose << 16) for purpose in range(128, 132))

_NOWHERE = np.uint64(0)
_FIRST_WINDOW = 1024
_HALF = np.uint64(32)

Balance = Literal["class", "country"]
"""What is drawn as often as its like."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an epoch goes through patches.

    Raises
    ------
    LoaderError
        If a number is out of range, or not a number.

    Examples
    --------
    >>> Sampling(batch_size=256, rank=1, world_size=4).pads
    True
    """

    batch_size: int
    """Patches in a batch of one rank; the last batch may have fewer."""

    shuffle: bool = True
    """Whether each epoch has an order of its own; else patches come as they were given."""

    window: int | None = WINDOW
    """How many patches a batch is drawn from: the larger, the closer to a true shuffle, and the more memory it takes to
    read a disk in long runs. None draws from all: a true shuffle, one small read a patch."""

    block: int = BLOCK
    """Stored rows that enter a window together, read in one run; a power of two up to 1,024, as blocks end where shards
    do."""

    seed: int = 0
    """Key of the random numbers."""

    rank: int = 0
    """Which of several processes this is."""

    world_size: int = 1
    """How many processes share an epoch."""

    pad: bool | None = None
    """Whether all ranks get as many patches, some of them twice if need be, or each patch goes to one rank once; None
    pads where patches are shuffled."""

    drop_last: bool = False
    """Whether patches that do not fill a batch are left out; then none has to be repeated either."""

    fixed_shares: bool = False
    """Whether a rank has the same patches in every epoch, as a cache wants it, or others each time."""

    def __post_init__(self) -> None:
        least = {"batch_size": 1, "world_size": 1, "seed": 0, "rank": 0} | (
            {} if self.window is None else {"window": 1}
        )
        for name, low in least.items():
            check_integer(name, getattr(self, name), low)
        for name in ("shuffle", "drop_last") if self.pad is None else ("shuffle", "drop_last", "pad"):
            check_flag(name, getattr(self, name))
        if self.seed > _MAX_SEED:
            raise LoaderError(f"seed is {self.seed}, expected less than 2⁶⁴")
        if self.rank >= self.world_size:
            raise LoaderError(f"rank is {self.rank} of {self.world_size}, expected 0 to {self.world_size - 1}")
        if not isinstance(self.block, int | np.integer) or self.block < 1 or _SHARD_PATCHES % self.block:
            raise LoaderError(f"block is {self.block!r}, expected a power of two from 1 to {_SHARD_PATCHES}")

    @property
    def pads(self) -> bool:
        """Whether some patches come twice so that all ranks get as many."""
        return not self.drop_last and (self.shuffle if self.pad is None else self.pad)

    def share(self, patches: int) -> tuple[range, int]:
        """Tell which of N patches are this rank's, and how many of all ranks' come a second time.

        Those that come again have numbers beyond the last: taken modulo `patches`, they are the first ones.
        """
        world, rank = int(self.world_size), int(self.rank)
        if not self.pads and not self.drop_last:
            return range(patches * rank // world, patches * (rank + 1) // world), 0
        each = patches // world if self.drop_last else -(-patches // world)
        return range(rank * each, (rank + 1) * each), max(0, each * world - patches)

    def batches(self, patches: int) -> int:
        """Tell how many batches this rank makes of N patches in an epoch."""
        share, _ = self.share(patches)
        return len(share) // self.batch_size if self.drop_last else -(-len(share) // self.batch_size)

    def most_batches(self, patches: int) -> int:
        """Tell how many batches the last rank, which makes most, makes of N patches.

        Raises
        ------
        LoaderError
            If they do not fill one.
        """
        most = replace(self, rank=self.world_size - 1).batches(patches)
        if not most:
            ranks = f" for {self.world_size} ranks" if self.world_size > 1 else ""
            raise LoaderError(
                f"{patches} patches{ranks} do not fill one batch of batch_size={self.batch_size}, and drop_last=True "
                "leaves out what does not; take a smaller batch_size, or drop_last=False"
            )
        return most


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
    # Rounding may carry a position to the very end, which is beyond the last patch.
    last = int(np.flatnonzero(weights)[-1])
    drawn: NDArray[np.intp] = np.searchsorted(ends, position, side="right").clip(max=last)
    return drawn


def check_integer(name: str, value: object, least: int, expected: str = "") -> None:
    """Refuse what is not an integer, as floats, texts and booleans, or is too small.

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
    """
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise LoaderError(f"{name} is {value!r}, expected {expected or f'an integer of at least {least}'}")


def check_flag(name: str, value: object) -> None:
    """Refuse what is neither True nor False.

    Raises
    ------
    LoaderError
        If it is something else, as the text ``"no"``, which Python takes for true.
    """
    if not isinstance(value, bool | np.bool_):
        raise LoaderError(f"{name} is {value!r}, expected True or False")


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
    """Where windows of N patches end, each of the first ones twice as large as the one before."""
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
