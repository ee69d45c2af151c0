"""The md5 of a large file."""

import hashlib
from collections.abc import Callable
from pathlib import Path

from bigearth_xr.errors import DownloadError

__all__ = ["check_md5"]

_CHUNK_BYTES = 1024**2


def check_md5(path: Path, expected: str, steps: Callable[[str, int], Callable[[int], None]]) -> None:
    """Read a file, and refuse it if it has another md5 than expected.

    Parameters
    ----------
    path
        The file.
    expected
        Hexadecimal.
    steps
        Starts a bar, such as that of `bigearth_xr.progress.Progress`.

    Raises
    ------
    DownloadError
        If the sums differ.

    Examples
    --------
    >>> path = getfixture("tmp_path") / "x"
    >>> _ = path.write_bytes(b"hello")
    >>> check_md5(path, "5d41402abc4b2a76b9719d911017c592", lambda step, total: lambda count: None)
    """
    size = path.stat().st_size
    advance = steps(f"{path.name}: md5", size)
    digest = hashlib.md5(usedforsecurity=False)
    buffer = memoryview(bytearray(_CHUNK_BYTES))
    with path.open("rb", buffering=0) as file:
        while count := file.readinto(buffer):
            digest.update(buffer[:count])
            advance(count)
    if digest.hexdigest() != expected.lower():
        raise DownloadError(f"{path}: md5 of its {size:,} bytes is {digest.hexdigest()}, published is {expected}")
