"""Write the patches of one shard: the unit of work that workers take, and that no two of them share."""

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, PatchPixels, read_patch
from bigearth_xr.errors import ArchiveError
from bigearth_xr.store.read import Store, read_encoded
from bigearth_xr.store.schema import QUARANTINED, REFERENCE_MAP, SHARD_PATCHES, STORED, PixelArray
from bigearth_xr.store.write import ShardWriter

__all__ = ["ShardJob", "ShardResult", "write_shard"]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardJob:
    """What a worker needs to know to write one shard of every array."""

    store: Store
    """The store, created already."""

    archive: Archive
    """Where the files are; without its list of patches, which would be sent with every job."""

    shard: int
    """Number of the shard."""

    patches: Mapping[int, PatchFiles]
    """Patches to read from the archive, by their place in the shard."""

    kept: frozenset[int]
    """Places whose pixels an earlier run stored."""

    @property
    def length(self) -> int:
        """Places in this shard; fewer than 1024 in the last."""
        return min(SHARD_PATCHES, self.store.rows - self.shard * SHARD_PATCHES)


@dataclass(frozen=True, slots=True, kw_only=True)
class ShardResult:
    """What became of a shard's patches."""

    shard: int
    """Number of the shard."""

    states: Mapping[int, int] = field(default_factory=dict)
    """State of every patch that was read, by its place in the shard."""

    mapped: frozenset[int] = frozenset()
    """Places of the stored patches that have a reference map."""

    failures: Mapping[str, str] = field(default_factory=dict)
    """Why a patch was quarantined, by patch id."""


def write_shard(job: ShardJob, advance: Callable[[], None] = lambda: None) -> ShardResult:
    """Write one shard of every pixel array, anew as a whole.

    A patch enters all arrays or none: it is read and checked completely before its first byte is written.

    Parameters
    ----------
    job
        What to write.
    advance
        Called after every patch read, for a progress bar.

    Returns
    -------
    ShardResult
        Nothing is raised for a bad patch: it is quarantined, with its reason.

    Examples
    --------
    Called by `bigearth_xr.ingest`; it needs a store that is laid out already.

    >>> write_shard.__name__
    'write_shard'
    """
    states: dict[int, int] = {}
    mapped: set[int] = set()
    failures: dict[str, str] = {}
    with ExitStack() as stack:
        writers = {array.name: stack.enter_context(_writer(job, array)) for array in job.store.arrays}
        for place in sorted({*job.patches, *job.kept}):
            if place in job.kept:
                _keep(job, writers, place)
                continue
            patch = job.patches[place]
            try:
                pixels = _stacked(read_patch(job.archive, patch), job.store)
            except ArchiveError as error:
                states[place], failures[patch.patch] = QUARANTINED, str(error)
            else:
                for name, values in pixels.items():
                    writers[name].put(place, values)
                states[place] = STORED
                mapped |= {place} if REFERENCE_MAP in pixels else set()
            advance()
    return ShardResult(shard=job.shard, states=states, mapped=frozenset(mapped), failures=failures)


def _writer(job: ShardJob, array: PixelArray) -> ShardWriter:
    store: Path = job.store.path
    return ShardWriter(store, array, job.shard, job.store.profile, patches=job.length)


def _keep(job: ShardJob, writers: Mapping[str, ShardWriter], place: int) -> None:
    """Copy a patch of an earlier run, encoded as it is."""
    for array in job.store.arrays:
        chunk = read_encoded(job.store, array, job.shard * SHARD_PATCHES + place)
        if chunk is not None:
            writers[array.name].put_encoded(place, chunk)


def _stacked(patch: PatchPixels, store: Store) -> dict[str, NDArray[Any]]:
    """One array of all bands for each array of the store; no reference map where the patch has none."""
    stacked = {
        array.name: np.stack([patch.bands[band] for band in array.bands]) for array in store.arrays if array.bands
    }
    if patch.reference_map is not None:
        stacked[REFERENCE_MAP] = patch.reference_map
    return stacked
