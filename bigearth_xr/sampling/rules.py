"""By which rules an epoch goes through patches."""

from dataclasses import dataclass, replace

import numpy as np

from bigearth_xr.errors import LoaderError
from bigearth_xr.sampling.options import check_flag, check_integer

__all__ = ["BLOCK", "WINDOW", "Sampling"]

WINDOW = 8192
"""Patches among which a batch is drawn by default: 2.2 GB of native pairs, which the page cache has to hold."""

BLOCK = 16
"""Stored rows read together by default: 1.8 MB of each 10 m array. Windows of `WINDOW` then mix labels nearly as a true
shuffle does (benchmarks/shuffle_quality.py), which blocks of 128 do not."""

_SHARD_PATCHES = 1024
_MAX_SEED = 2**64 - 1


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How an epoch goes through patches.

    Raises
    ------
    LoaderError
        If a number is out of range, or none.

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
        """Tell which of so many patches in a row are this rank's, and how many of all ranks' come a second time.

        Those that come again have numbers beyond the last: taken modulo `patches`, they are the first ones.
        """
        world, rank = int(self.world_size), int(self.rank)
        if not self.pads and not self.drop_last:
            return range(patches * rank // world, patches * (rank + 1) // world), 0
        each = patches // world if self.drop_last else -(-patches // world)
        return range(rank * each, (rank + 1) * each), max(0, each * world - patches)

    def batches(self, patches: int) -> int:
        """Tell how many batches this rank makes of so many patches in an epoch."""
        share, _ = self.share(patches)
        return len(share) // self.batch_size if self.drop_last else -(-len(share) // self.batch_size)

    def most_batches(self, patches: int) -> int:
        """Tell how many batches that rank makes of so many patches which makes most: the last one.

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
