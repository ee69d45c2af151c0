"""Keep the native pixels of a loader's patches in memory of the host, or of its GPU."""

from dataclasses import replace
from typing import Any, Literal, get_args

import numpy as np
import torch
from numpy.typing import NDArray

from bigearth_xr.batches.cache import CachedReader, Memory, fitting_rows, free_host_bytes
from bigearth_xr.batches.patches import Part, Patches
from bigearth_xr.errors import LoaderError
from bigearth_xr.progress import Progress
from bigearth_xr.sampling.options import check_integer
from bigearth_xr.spelling import check_choice
from bigearth_xr.store.batch import BatchReader

__all__ = ["Cache", "check_no_cache", "fill_caches", "with_cache"]

Cache = Literal["device", "host"]
"""Where native pixels are kept: beside the loader's batches, or in any case on the host."""

_OF_FREE = 2
"""What part of the free memory a cache takes by default: one of so many."""


def check_no_cache(cache_bytes: int | None) -> None:
    """Refuse a size of a cache that is none.

    Examples
    --------
    >>> check_no_cache(10**9)  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.LoaderError: cache_bytes is 1000000000, and there is no cache; say where by ...
    """
    if cache_bytes is not None:
        raise LoaderError(
            f"cache_bytes is {cache_bytes!r}, and there is no cache; say where by cache='device' or cache='host', or "
            "leave it out"
        )


def with_cache(
    patches: Patches, places: NDArray[np.intp], cache: Cache, cache_bytes: int | None, device: torch.device
) -> Patches:
    """Have native pixels kept in memory, as far as they fit; nothing is read yet.

    Parameters
    ----------
    patches
        Of what.
    places
        Which of them.
    cache, cache_bytes
        Where, and how much; None for half of what is free there.
    device
        That of the loader.

    Raises
    ------
    LoaderError
        If there is no such place, or pixels are computed, which nothing keeps.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> from bigearth_xr.batches.recipe import Recipe
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> kept = with_cache(patches_of([ds], Recipe()), np.arange(2), "host", 10**6, torch.device("cpu"))
    >>> kept.parts[0].reader.patches
    2
    """
    check_choice("cache", cache, (*get_args(Cache), None), LoaderError)
    if cache_bytes is not None:
        check_integer("cache_bytes", cache_bytes, 1)
    on_gpu = cache == "device" and device.type == "cuda"
    budget = _free_bytes(device if on_gpu else None) // _OF_FREE if cache_bytes is None else cache_bytes
    parts = []
    for number, part in enumerate(patches.parts):
        rows = patches.number[places[patches.part[places] == number]]
        cached, used = _cached(part, rows, budget, device if on_gpu else None)
        parts.append(cached)
        budget -= used
    return replace(patches, parts=tuple(parts))


def fill_caches(patches: Patches) -> None:
    """Read what is to be kept, with a bar on the terminal; nothing happens the second time.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> fill_caches(SimpleNamespace(parts=()))
    """
    empty = [
        part.reader for part in patches.parts if isinstance(part.reader, CachedReader) and not part.reader.is_filled
    ]
    if not empty:
        return
    with Progress() as progress:
        advance = progress.steps("caching patches", sum(reader.patches for reader in empty))
        for reader in empty:
            reader.fill(advance)


def _cached(part: Part, rows: NDArray[np.int64], budget: int, device: torch.device | None) -> tuple[Part, int]:
    """A part that is kept, and how many bytes it takes."""
    if not isinstance(part.reader, BatchReader):
        raise LoaderError("pixels that were computed are not kept in a cache; compute them beforehand: ds.load()")
    patch_bytes = sum(array.patch_bytes for array in part.reader.sources)
    kept = fitting_rows(rows, patch_bytes, budget)
    memory: Any
    if device is None:
        memory = Memory()
    else:
        from bigearth_xr.torch.gpu_memory import GpuMemory

        memory = GpuMemory(device)
    return replace(part, reader=CachedReader(part.reader, kept, memory)), kept.size * patch_bytes


def _free_bytes(device: torch.device | None) -> int:
    return free_host_bytes() if device is None else torch.cuda.mem_get_info(device)[0]
