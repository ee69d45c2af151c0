"""Processes of this machine: a function called in several, a file that one at a time holds."""

import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, wait
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import BinaryIO, TypeVar

__all__ = ["WorkerDiedError", "lock_file", "map_in_processes"]

Job = TypeVar("Job")
Result = TypeVar("Result")


class WorkerDiedError(Exception):
    """A worker process died."""


def map_in_processes(function: Callable[[Job], Result], jobs: Iterable[Job], *, processes: int) -> Iterator[Result]:
    """Call a function, which can be pickled, for each job in processes of their own; results come in any order.

    Jobs are drawn as they are needed, two a process ahead: all of them at once might fill memory.

    Raises
    ------
    WorkerDiedError
        If one of them died.
    """
    # loky starts fresh interpreters that do not import the caller's script: no `if __name__ == "__main__"` is needed,
    # and threads that the caller has (Dask, tensorstore) are not torn apart by a fork.
    from loky import ProcessPoolExecutor
    from loky.process_executor import BrokenProcessPool

    waiting = iter(jobs)
    with ProcessPoolExecutor(processes, initializer=_end_with, initargs=(os.getpid(),)) as pool:
        running = set()
        try:
            running = {pool.submit(function, job) for job in islice(waiting, 2 * processes)}
            while running:
                done, running = wait(running, return_when=FIRST_COMPLETED)
                running |= {pool.submit(function, job) for job in islice(waiting, len(done))}
                for future in done:
                    yield future.result()
        except BrokenProcessPool as error:
            raise WorkerDiedError(str(error)) from None
        finally:
            # A caller that stops here does not wait for jobs that have not begun.
            for future in running:
                future.cancel()


def _end_with(parent: int) -> None:
    """End this worker when its parent is gone: one that was killed cannot tell its workers, and they would write on."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(0.5)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


@contextmanager
def lock_file(path: Path) -> Iterator[bool]:
    """Lock a file, made if it is not there, until the end of the block or of the process.

    Yields
    ------
    bool
        False if another process holds it. True where nothing can be locked: on Windows, or a file system without locks.
    """
    try:
        import fcntl  # noqa: F401  # asked for before anything is opened
    except ImportError:  # Windows, which does not rename what is open
        path.touch()
        yield True
        return
    while True:
        with path.open("ab") as file:
            is_ours = _lock(file)
            # Its last holder may have removed it since it was opened: then it locks nothing.
            if not is_ours or _is_at(file, path):
                yield is_ours
                return


def _lock(file: BinaryIO) -> bool:
    """Lock an open file until it is closed; False if another process holds it."""
    import fcntl

    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    except OSError:
        pass  # a file system without locks
    return True


def _is_at(file: BinaryIO, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(file.fileno()), path.stat())
    except FileNotFoundError:
        return False
