"""Compare a store with an archive: which patches, which pixels of them, and what the tables say."""

from collections.abc import Collection, Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.archive import Archive, PatchFiles, read_pixels
from bigearth_xr.errors import ArchiveError
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import REFERENCE_MAP, SHARD_PATCHES, PixelArray
from bigearth_xr.store.shard import shard_key
from bigearth_xr.table.schema import DERIVED
from bigearth_xr.verification.report import Finding

__all__ = ["compare_patch", "compare_tables", "draw_sample"]


def draw_sample(rows: NDArray[np.intp], number: int, seed: int) -> NDArray[np.intp]:
    """Draw rows evenly: one of each of as many equal stretches, so that no shard is left out before its turn.

    Examples
    --------
    >>> draw_sample(np.arange(100), 4, seed=0)
    array([21, 40, 62, 81])
    >>> draw_sample(np.arange(3), 4, seed=0)
    array([0, 1, 2])
    """
    if number >= len(rows):
        return rows
    edges = np.linspace(0, len(rows), number + 1).astype(np.intp)
    return rows[np.random.default_rng(seed).integers(edges[:-1], edges[1:])]


def compare_patch(
    store: Store,
    row: int,
    archive: Archive,
    patch: PatchFiles,
    stored: Mapping[str, NDArray[np.generic]],
    lost: Collection[str] = (),
) -> Iterator[Finding]:
    """Compare every bit of a stored patch with the archive's.

    Parameters
    ----------
    store
        The store, which holds the patch.
    row
        Row of the patch.
    archive, patch
        Where the archive has it.
    stored
        What the store has of it, by array, shape ``(band, y, x)``; of the reference map ``(y, x)``, if it has one.
    lost
        Arrays that should hold the patch and cannot give it: they are not compared.

    Yields
    ------
    Finding
        One for each band that differs, or one for a patch that the archive itself cannot give.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.archive import open_archive
    >>> from bigearth_xr.store.read import read_patches
    >>> from bigearth_xr.store.open import open_store
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=1)
    >>> report = bex.ingest(path, getfixture("tmp_path") / "ben.zarr")
    >>> store, archive = open_store(getfixture("tmp_path") / "ben.zarr"), open_archive(path)
    >>> stored = {array.name: read_patches(store, array, np.array([0]))[0] for array in store.arrays}
    >>> list(compare_patch(store, 0, archive, archive.patches[0], stored))
    []
    """
    try:
        expected = read_pixels(archive, patch)
    except ArchiveError as error:
        message = f"{error}; so {patch.patch} of {store.location} could not be compared"
        yield Finding(kind="unreadable", file="", patches=(patch.patch,), message=message)
        return
    for array in (array for array in store.arrays if array.name not in lost):
        is_here, is_there = array.name in stored, bool(array.bands) or REFERENCE_MAP in expected
        if is_here and is_there:
            planes = stored[array.name] if array.bands else stored[array.name][np.newaxis]
            for band, plane in zip(array.bands or (array.name,), planes, strict=True):
                difference = _difference(plane, expected[band])
                if difference:
                    yield _different(store, array, row, patch.patch, f"band {band} {difference}")
        elif is_here != is_there and archive.has_reference_maps:
            has, lacks = ("store", "archive") if is_here else ("archive", "store")
            yield _different(store, array, row, patch.patch, f"the {has} has a reference map of it, the {lacks} none")


def _difference(stored: NDArray[np.generic], expected: NDArray[np.generic]) -> str | None:
    """Say how many pixels differ in any bit, and the first of them."""
    bits = f"<u{stored.dtype.itemsize}"
    unequal = np.ascontiguousarray(stored).view(bits) != np.ascontiguousarray(expected).view(bits)
    if not unequal.any():
        return None
    y, x = np.unravel_index(unequal.argmax(), unequal.shape)
    return (
        f"differs in {int(unequal.sum()):,} of {unequal.size:,} pixels, first in y {y}, x {x}: {stored[y, x]} is "
        f"stored, the archive has {expected[y, x]}"
    )


def _different(store: Store, array: PixelArray, row: int, patch: str, what: str) -> Finding:
    key = shard_key(array, row // SHARD_PATCHES)
    message = f"{store.location / key}: row {row} ({patch}): {what}; repair it with --repair if the archive is right"
    return Finding(kind="different", file=key, array=array.name, patches=(patch,), message=message)


def compare_tables(store: Store, rows: pa.Table, told: pa.Table) -> Iterator[Finding]:
    """Compare what a store's table says of patches with what an archive and its lists say of them.

    Parameters
    ----------
    store
        The store.
    rows
        Its table.
    told
        The archive's table of patches that are all in the store.

    Yields
    ------
    Finding
        One for each column in which both know something, and not the same.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> rows = bex.table.read(getfixture("tmp_path") / "ben.parquet")
    >>> list(compare_tables(store, rows, rows.slice(1)))
    []
    """
    own = rows.take(pc.index_in(told["patch"].combine_chunks(), rows["patch"].combine_chunks()))
    for name in told.column_names:
        if name in DERIVED:
            continue
        ours, theirs = (table[name].combine_chunks() for table in (own, told))
        unequal = _unequal(ours, theirs)
        if unequal:
            patches = tuple(own["patch"][i].as_py() for i in unequal)
            said, found = ours[unequal[0]].as_py(), theirs[unequal[0]].as_py()
            message = (
                f"{store.location / name}: {len(patches):,} patches differ from the archive's metadata, first "
                f"{patches[0]}: {said!r} is stored, the archive says {found!r}; ingest the archive into another place"
            )
            yield Finding(kind="different", file=name, patches=patches, message=message)


def _unequal(ours: pa.Array, theirs: pa.Array) -> list[int]:
    """Places where both know something, and not the same."""
    known = pc.and_(ours.is_valid(), theirs.is_valid())
    if ours.filter(known).equals(theirs.filter(known)):
        return []
    return [i for i, both in enumerate(known.to_pylist()) if both and ours[i] != theirs[i]]
