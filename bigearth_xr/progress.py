"""A bar on the terminal for what takes long; silent where output is not a terminal."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import (
    BarColumn,
    DownloadColumn,
    MofNCompleteColumn,
    ProgressColumn,
    TextColumn,
    TimeElapsedColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
)
from rich.progress import Progress as Bars

__all__ = ["ByteProgress", "Progress"]

Item = TypeVar("Item")


class Progress(AbstractContextManager["Progress"]):
    """Bars on standard error, one a step; nothing is drawn unless that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            *self._columns(),
            TimeElapsedColumn(),
            TimeRemainingColumn(),
            console=console,
            disable=not console.is_terminal,
        )

    def __enter__(self) -> "Progress":
        self._bars.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._bars.stop()

    def over(self, items: Sequence[Item], step: str) -> Iterable[Item]:
        """Go through items, the bar with them."""
        return self._bars.track(items, description=step)

    def steps(self, step: str, total: int | None, done: int = 0) -> Callable[..., None]:
        """Start a bar, endless if `total` is None; what comes back advances it, by one or by the number given."""
        task = self._bars.add_task(step, total=total, completed=done)

        def advance(count: int = 1) -> None:
            self._bars.advance(task, count)

        return advance

    def say(self, text: str) -> None:
        """Write a line above the bars, whether or not they are drawn."""
        self._bars.console.print(text, markup=False, highlight=False, soft_wrap=True)

    def _columns(self) -> tuple[ProgressColumn, ...]:
        """What the bars count."""
        return (MofNCompleteColumn(),)


class ByteProgress(Progress):
    """Bars that count bytes, and say how fast they come."""

    def _columns(self) -> tuple[ProgressColumn, ...]:
        """Bytes, and bytes a second."""
        return (DownloadColumn(), TransferSpeedColumn())
