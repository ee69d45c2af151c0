"""The same work in several threads, which end together."""

from collections.abc import Callable
from threading import Event, Thread

__all__ = ["run_side_by_side"]


def run_side_by_side(work: Callable[[Event], None], threads: int) -> None:
    """Run it in so many threads; the first error stops all of them, and is raised.

    Parameters
    ----------
    work
        Called with an event that is set when it has to stop.
    threads
        How many. They do not keep the interpreter alive: Ctrl-C ends it though a server keeps one waiting.

    Examples
    --------
    >>> done = []
    >>> run_side_by_side(lambda stopped: done.append(stopped.is_set()), 3)
    >>> done
    [False, False, False]
    """
    stopped = Event()
    errors: list[BaseException] = []

    def guarded() -> None:
        try:
            work(stopped)
        except BaseException as error:
            errors.append(error)
            stopped.set()

    crew = [Thread(target=guarded, daemon=True) for _ in range(threads)]
    for thread in crew:
        thread.start()
    try:
        for thread in crew:
            while thread.is_alive():
                thread.join(1.0)  # on Windows, Ctrl-C waits for the end of a wait
    except BaseException:
        stopped.set()
        raise
    if errors:
        raise errors[0]
