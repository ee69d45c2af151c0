"""Where a loader is in its epochs, how it goes on there in another process, and what trainers see of its order."""

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import RandomSampler, SequentialSampler

from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.random import MAX_WORD

_FORMAT = 1


class Position:
    """Epoch and step of a loader, and what has to be the same for them to mean the same.

    Each pass that is begun is of another epoch than the one before, also if that one was left early or still goes on.
    The position is that of the pass begun last.

    Parameters
    ----------
    identity
        What an order of batches depends on beside the epoch: plain values by name.
    steps
        Batches of an epoch, on the rank that has most.

    Examples
    --------
    >>> position = Position({"seed": 0}, steps=10)
    >>> position.begin(steps=10), position.begin(steps=10)
    ((0, 0, 1), (1, 0, 2))
    >>> position.deliver(turn=2, step=4)
    >>> position.deliver(turn=1, step=9)  # of a pass before: no matter
    >>> again = Position({"seed": 0}, steps=10)
    >>> again.load(position.state())
    >>> again.begin(steps=10)
    (1, 4, 2)
    """

    def __init__(self, identity: Mapping[str, object], steps: int) -> None:
        self._identity, self._most = dict(identity), steps
        self.epoch = 0
        """Of the pass that goes on, or of the next."""
        self._step, self._begun, self._turn = 0, False, 0

    def begin(self, steps: int) -> tuple[int, int, int]:
        """Begin a pass of N steps, or go on with the one that was loaded; gives epoch, first step and turn."""
        if (epoch := self.next_epoch(steps)) != self.epoch:
            self.epoch, self._step = epoch, 0
        self._begun, self._turn = True, self._turn + 1
        return self.epoch, self._step, self._turn

    def next_epoch(self, steps: int) -> int:
        """Tell which epoch the next pass is of, if an epoch has N steps."""
        return self.epoch + int(self._begun or self._step >= steps > 0)

    def deliver(self, turn: int, step: int) -> None:
        """Note how many batches were handed out in a turn; turns before the last do not matter."""
        if turn == self._turn:
            self._step = step

    def move_to(self, epoch: int) -> None:
        """Have the next pass be of an epoch; where that one was loaded and not gone on with yet, it is kept."""
        if self._begun or epoch != self.epoch:
            self._place(epoch, 0)

    def reach(self, epoch: int, steps: int) -> None:
        """Have the next pass be of an epoch, unless it is of that one, begun or not, or of a later one."""
        if self.next_epoch(steps) < epoch:
            self._place(epoch, 0)

    def become(self, identity: Mapping[str, object], steps: int) -> None:
        """Go on under another identity, which has other steps: with the whole of the epoch that would be next."""
        epoch = self.epoch + int(self._begun)
        self._identity, self._most = dict(identity), steps
        self._place(epoch, 0)

    def state(self) -> dict[str, Any]:
        """Epoch, step and identity: plain values, which ``torch.save`` and JSON take."""
        return {"format": _FORMAT, "epoch": self.epoch, "step": self._step, **self._identity}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Raises
        ------
        LoaderError
            If it was taken of other patches or in another order, or is not a state.
        """
        if not isinstance(state, Mapping):
            raise LoaderError(f"this state is {state!r}, expected what state_dict() gave")
        if state.get("format") != _FORMAT:
            raise LoaderError(
                f"this state has format {state.get('format')!r}, expected {_FORMAT}: it is not of a PatchLoader, or of "
                "another version of it"
            )
        other = [
            f"{name} is {mine!r} here and was {state.get(name)!r}"
            for name, mine in self._identity.items()
            if state.get(name) != mine
        ]
        if other:
            raise LoaderError(
                f"this state was taken of other batches: {'; '.join(other)}. Make the loader as it was made then, or "
                "begin the epoch anew with set_epoch"
            )
        for name, last in (("epoch", MAX_WORD), ("step", self._most)):
            if not _is_within(state.get(name), last):
                raise LoaderError(
                    f"{name} of this state is {state.get(name)!r}, expected an integer from 0 to {last}; take it "
                    "unchanged from state_dict(), or begin an epoch with set_epoch"
                )
        self._place(int(state["epoch"]), int(state["step"]))

    def _place(self, epoch: int, step: int) -> None:
        """Have the next pass begin here; what a pass that still goes on delivers does not matter any more."""
        self.epoch, self._step, self._begun, self._turn = epoch, step, False, self._turn + 1


class _LoaderSampler:
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


class ShuffledSampler(_LoaderSampler, RandomSampler):
    """An order at random, another one in every epoch."""


class StoredSampler(_LoaderSampler, SequentialSampler):
    """The order in which patches were given, in every epoch."""


def choose_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Which of how many processes this is: as given, as ``torch.distributed`` says, or the only one.

    Raises
    ------
    LoaderError
        If only one of the two is given.
    """
    if (rank is None) != (world_size is None):
        raise LoaderError(f"rank is {rank} and world_size is {world_size}; give both, or neither")
    if rank is not None and world_size is not None:
        return rank, world_size
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def _is_within(number: object, last: int) -> bool:
    return isinstance(number, int | np.integer) and not isinstance(number, bool) and bool(0 <= number <= last)
