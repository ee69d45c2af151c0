"""The order of a loader as a sampler of torch: what trainers look at, and what they tell the epoch to."""

from collections.abc import Callable, Iterator
from typing import Any

from numpy.typing import NDArray
from torch.utils.data import RandomSampler, SequentialSampler

__all__ = ["ShuffledOrder", "StoredOrder"]


class _Told:
    """Gives the places of a loader's next pass, and passes on the epoch that a trainer tells.

    Parameters
    ----------
    patches
        How many the loader has, over all ranks.
    places
        Gives those of this rank's next pass, in their order.
    reach
        Takes the epoch of the trainer.
    """

    def __init__(self, patches: int, places: Callable[[], NDArray[Any]], reach: Callable[[int], None]) -> None:
        super().__init__(range(patches))  # type: ignore[call-arg]  # that of a sampler
        self._places, self._reach = places, reach

    def __iter__(self) -> Iterator[int]:
        yield from self._places().tolist()

    def __len__(self) -> int:
        return int(self._places().size)

    def set_epoch(self, epoch: int) -> None:
        """Have the next pass be of this epoch, unless it is of a later one: a trainer may take several in one epoch."""
        self._reach(epoch)


class ShuffledOrder(_Told, RandomSampler):
    """An order at random, another one in every epoch.

    Examples
    --------
    >>> import numpy as np
    >>> list(ShuffledOrder(3, lambda: np.array([1, 0, 2]), print))
    [1, 0, 2]
    """


class StoredOrder(_Told, SequentialSampler):
    """The order in which patches were given, in every epoch.

    Examples
    --------
    >>> import numpy as np
    >>> len(StoredOrder(3, lambda: np.arange(3), print))
    3
    """
