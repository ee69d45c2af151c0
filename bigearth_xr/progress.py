"""A bar on the terminal for what takes long; silent where nobody watches."""

from collections.abc import Callable, Iterable, Sequence
from contextlib import AbstractContextManager
from types import TracebackType
from typing import TypeVar

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Bars

__all__ = ["Progress"]

Item = TypeVar("Item")


class Progress(AbstractContextManager["Progress"]):
    """Bars on standard error, one a step; nothing is drawn unless that is a terminal."""

    def __init__(self) -> None:
        console = Console(stderr=True)
        self._bars = Bars(
            TextColumn("{task.description}"),
            BarColumn(),
            MofNCompleteColumn(),
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

    def steps(self, step: str, total: int) -> Callable[..., None]:
        """Start a bar; what comes back advances it, by one or by the number given."""
        task = self._bars.add_task(step, total=total)

        def advance(count: int = 1) -> None:
            self._bars.advance(task, count)

        return advance
