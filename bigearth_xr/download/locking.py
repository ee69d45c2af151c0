"""One process at a time fetches a file."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from bigearth_xr.errors import DownloadError

__all__ = ["locked"]


@contextmanager
def locked(path: Path) -> Iterator[None]:
    """Hold a file, made if it is not there, for this process, until the end of the block or of the process.

    Raises
    ------
    DownloadError
        If another one holds it.

    Examples
    --------
    >>> with locked(getfixture("tmp_path") / "x.part"):
    ...     pass
    """
    path.touch()
    try:
        import fcntl
    except ImportError:  # Windows, which does not rename what anybody has open
        yield
        return
    with path.open("ab") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise DownloadError(f"{path}: another process is fetching it; wait for that one") from None
        except OSError:
            pass  # a file system without locks
        yield
