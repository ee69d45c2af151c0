"""Where a loader is in its epochs, and how it goes on there in another process."""

from collections.abc import Mapping
from typing import Any

from bigearth_xr.errors import LoaderError

__all__ = ["Position"]

_FORMAT = 1


class Position:
    """Epoch and step of a loader, and what has to be the same for them to mean the same.

    Each pass that is begun is of another epoch than the one before, also if that one was left early.

    Parameters
    ----------
    identity
        What an order of batches depends on beside the epoch: plain values by name.

    Examples
    --------
    >>> position = Position({"seed": 0})
    >>> position.begin(steps=10), position.begin(steps=10)
    ((0, 0), (1, 0))
    >>> position.deliver(epoch=1, step=4)
    >>> again = Position({"seed": 0})
    >>> again.load(position.state())
    >>> again.begin(steps=10)
    (1, 4)
    """

    def __init__(self, identity: Mapping[str, object]) -> None:
        self._identity = dict(identity)
        self.epoch = 0
        """Of the pass that goes on, or of the next."""
        self._step, self._begun = 0, False

    def begin(self, steps: int) -> tuple[int, int]:
        """Begin a pass of so many steps, or go on with the one that was loaded; gives epoch and first step."""
        if self._begun or self._step >= steps > 0:
            self.epoch, self._step = self.epoch + 1, 0
        self._begun = True
        return self.epoch, self._step

    def deliver(self, epoch: int, step: int) -> None:
        """Note how many batches of an epoch were handed out."""
        self.epoch, self._step = epoch, step

    def move_to(self, epoch: int) -> None:
        """Have the next pass be of an epoch; where that one was loaded and not gone on with yet, it is kept."""
        if self._begun or epoch != self.epoch:
            self.epoch, self._step, self._begun = epoch, 0, False

    def state(self) -> dict[str, Any]:
        """Epoch, step and identity: plain values, which ``torch.save`` and JSON take."""
        return {"format": _FORMAT, "epoch": self.epoch, "step": self._step, **self._identity}

    def load(self, state: Mapping[str, Any]) -> None:
        """Go on where a state was taken.

        Raises
        ------
        LoaderError
            If it was taken of other patches, or in another order.
        """
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
        self.epoch, self._step, self._begun = int(state["epoch"]), int(state["step"]), False
