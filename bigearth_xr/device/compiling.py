"""Compile code for the CPU once for a machine, say so, and keep it on disk wherever there is room to write."""

import hashlib
import os
import time
from collections.abc import Callable, Iterator
from functools import cache, lru_cache
from pathlib import Path
from threading import Lock
from typing import Any

from rich.console import Console

from bigearth_xr.cache_folders import cache_folders, is_writable

_KERNELS = Path(__file__).with_name("kernels")
_CONSTANTS = tuple(_KERNELS.parents[1] / "ops" / name for name in ("resample.py", "transform.py"))
"""Where the kernels take numbers from, which are compiled in."""

_OURS = "bigearth-xr"


def compile_kernel(kernel: Any, arguments: tuple[Any, ...]) -> Any:
    """Load the machine code of a kernel, or compile it and say so.

    Parameters
    ----------
    kernel
        Made by `bigearth_xr.device.kernels.memory.kernel`.
    arguments
        Of the types that it will be called with; it takes no others afterwards.

    Returns
    -------
    Callable
        The kernel.
    """
    import numba
    from numba.core.event import install_listener

    folder = cache_folder()
    fate = f"kept in {folder}" if _keep_in(kernel, folder) else "kept nowhere: there is no folder to write to"
    announcement = _announcement(kernel)
    with install_listener("numba:compile", announcement):
        try:
            kernel.compile(tuple(map(numba.typeof, arguments)))
        except OSError as error:  # from writing what is compiled already
            if not kernel.signatures:
                raise
            fate = f"kept nowhere: {error}"
        announcement.finish(fate)
    kernel.disable_compile()
    return kernel


def compiled_once(build: Callable[[], Any]) -> Callable[[], Any]:
    """Have a kernel compiled by the first that asks for it; threads that ask meanwhile wait for that one."""
    lock, built = Lock(), cache(build)

    def give() -> Any:
        with lock:
            return built()

    return give


@lru_cache(maxsize=1)
def cache_folder() -> Path | None:
    """Find where machine code can be kept: numba's own folder if it is set, or the package's, the user's, a temporary.

    Returns
    -------
    Path or None
        Its name ends with a digest of the kernels' source: what was compiled from another is never loaded. None if
        there is nowhere to write.
    """
    digest = hashlib.sha256()
    for source in sorted([*_KERNELS.glob("*.py"), *_CONSTANTS]):
        digest.update(source.read_bytes())
    name = f"{_OURS}-{digest.hexdigest()[:16]}"
    return next((parent / name for parent in _parents() if is_writable(parent / name)), None)


def _parents() -> Iterator[Path]:
    """Folders to try, in this order."""
    if os.environ.get("NUMBA_CACHE_DIR"):
        yield Path(os.environ["NUMBA_CACHE_DIR"])
    yield _KERNELS / "__pycache__"
    yield from cache_folders()


def _keep_in(kernel: Any, folder: Path | None) -> bool:
    """Give a kernel a place on disk, and leave numba's setting, which others share, as it was."""
    from numba.core import config

    if folder is None:
        return False
    before = config.CACHE_DIR  # type: ignore[attr-defined]  # settings are made when it is imported
    config.CACHE_DIR = str(folder)  # type: ignore[attr-defined]
    try:
        kernel.enable_caching()
    except RuntimeError:  # its source is not a file, as in a zip
        return False
    finally:
        config.CACHE_DIR = before  # type: ignore[attr-defined]
    return True


def _announcement(kernel: Any) -> Any:
    """What tells the user that a kernel is compiled; numba knows whether that is needed."""
    from numba.core.event import Event, Listener

    class Announcement(Listener):
        def __init__(self) -> None:
            self._console = Console(stderr=True)
            self._began: float | None = None

        def on_start(self, event: Event) -> None:
            if event.data["dispatcher"] is kernel:
                self._began = time.perf_counter()
                self._say("compiling code for this processor, once …")

        def on_end(self, event: Event) -> None:
            pass  # whether it was compiled, and where it is kept, is known later

        def finish(self, fate: str) -> None:
            if self._began is not None:
                self._say(f"compiled in {time.perf_counter() - self._began:.0f} s, {fate}")

        def _say(self, text: str) -> None:
            self._console.print(f"bigearth-xr: {text}", markup=False, highlight=False, soft_wrap=True)

    return Announcement()
