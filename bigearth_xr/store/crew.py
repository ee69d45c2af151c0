"""Threads that work on one batch together."""

from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

__all__ = ["Crew"]

Task = TypeVar("Task")
Result = TypeVar("Result")


class Crew:
    """So many threads, started when there is more than one thing to do.

    Parameters
    ----------
    threads
        How many; with one, the caller's own thread does everything.

    Examples
    --------
    >>> with Crew(2) as crew:
    ...     list(crew.map(abs, [-1, -2])), crew.shares(5)
    ([1, 2], [slice(0, 3, None), slice(3, 5, None)])
    """

    def __init__(self, threads: int) -> None:
        self._threads = threads
        # It starts no thread before there is work.
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="bigearth")

    def __enter__(self) -> "Crew":
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def map(self, work: Callable[[Task], Result], tasks: Sequence[Task]) -> Iterable[Result]:
        """Do some work on each task; results come in the order of tasks, and so does the first exception."""
        if self._threads == 1 or len(tasks) < 2:
            return map(work, tasks)
        return self._pool.map(work, tasks)

    def shares(self, count: int) -> list[slice]:
        """Divide so many things among the threads, none of them empty."""
        each = -(-count // self._threads)
        return [slice(start, min(start + each, count)) for start in range(0, count, each)] if count else []

    def close(self) -> None:
        """Let the threads end."""
        self._pool.shutdown(wait=False)
