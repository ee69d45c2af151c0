"""Row numbers that somebody asks for: checked once, and grouped by shard."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import BatchError
from bigearth_xr.store.schema import SHARD_PATCHES

__all__ = ["Wanted", "checked_rows"]


@dataclass(frozen=True, slots=True, eq=False)
class Wanted:
    """Rows of a store, and where they lie: the same in every pixel array."""

    rows: NDArray[np.intp]
    """Row numbers, shape ``(patch,)``, any order, repeats allowed."""

    shard: NDArray[np.intp]
    """Shard of each, shape ``(patch,)``."""

    place: NDArray[np.intp]
    """Place of each in its shard, shape ``(patch,)``."""

    shards: NDArray[np.intp]
    """The shards, each once, ascending."""

    @classmethod
    def of(cls, rows: NDArray[np.intp]) -> "Wanted":
        """Find out where rows lie."""
        shard, place = np.divmod(rows, SHARD_PATCHES)
        return cls(rows, shard, place, np.unique(shard))

    def nth_shard(self) -> NDArray[np.intp]:
        """Where each row's shard is among `shards`, shape ``(patch,)``."""
        return np.searchsorted(self.shards, self.shard)


def checked_rows(rows: Sequence[int] | NDArray[np.integer], count: int) -> NDArray[np.intp]:
    """Take row numbers as they come, and refuse what is none.

    Parameters
    ----------
    rows
        Integers, shape ``(patch,)``.
    count
        Rows of the store.

    Raises
    ------
    BatchError
        If they are of another kind or shape, or one of them is no row.

    Examples
    --------
    >>> checked_rows([2, 0, 2], 3)
    array([2, 0, 2])
    >>> checked_rows([3], 3)
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.BatchError: row 3 is not in the store, which has rows 0 to 2; take them from ds.row.values
    """
    found = np.asarray(rows)
    if found.dtype.kind == "b":
        raise BatchError("rows are given as a mask, expected their numbers; use np.flatnonzero(mask)")
    if found.ndim != 1 or (found.dtype.kind not in "iu" and found.size):
        raise BatchError(
            f"rows are {found.dtype} of shape {found.shape}, expected integers of shape (patch,); take them from "
            "ds.row.values"
        )
    strange = found[(found < 0) | (found >= count)]
    if strange.size:
        has = f"has rows 0 to {count - 1}" if count else "has none"
        raise BatchError(f"row {strange[0]} is not in the store, which {has}; take them from ds.row.values")
    return found.astype(np.intp, copy=False)
