"""Decide before the first pixel is read which patch goes to which row, and which rows are still to do."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr.archive import PixelSource
from bigearth_xr.ingestion.contents import Contents, read_contents, read_named_lists
from bigearth_xr.ingestion.request import Request
from bigearth_xr.ingestion.shards import Job, ShardJob
from bigearth_xr.ingestion.target import open_or_create
from bigearth_xr.progress import Progress
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_complete
from bigearth_xr.store.schema import SHARD_PATCHES

__all__ = ["FilePlan", "Plan", "Rowing", "plan_files", "plan_rows"]


class Plan(Protocol):
    """What is to be done, whatever the pixels come from."""

    @property
    def contents(self) -> Contents:
        """What the archive holds."""

    @property
    def rowing(self) -> "Rowing":
        """Which patch goes where."""

    def job(self, shard: int) -> Job:
        """Put together what a worker has to know to write one shard."""

    def free(self, shard: int) -> None:
        """Remove what a shard was made of, once it is stored."""

    def close(self) -> None:
        """Remove what the plan needed, once all of it is carried out."""

    @property
    def extra_bytes(self) -> int:
        """Disk taken beside the archive and the store, at the most."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rowing:
    """Which patch of an archive goes to which row of a store, and what is to do."""

    store: Store
    """The store, laid out."""

    rows: NDArray[np.intp]
    """Row of each patch of the archive, shape ``(patch,)``."""

    complete: NDArray[np.bool_]
    """Which rows of the store are stored already."""

    shards: Mapping[int, NDArray[np.intp]]
    """Shards that lack pixels which the archive has, each with the places of their patches in the archive."""

    def kept(self, shard: int) -> frozenset[int]:
        """Places of a shard whose pixels an earlier run stored."""
        first = shard * SHARD_PATCHES
        return frozenset(np.flatnonzero(self.complete[first : first + SHARD_PATCHES]).tolist())


@dataclass(frozen=True, slots=True, kw_only=True)
class FilePlan:
    """To read patches from files of an archive, in the order of the rows."""

    contents: Contents
    """What the archive holds."""

    rowing: Rowing
    """Which patch goes where."""

    def job(self, shard: int) -> ShardJob:
        """Put together what a worker has to know to write one shard."""
        archive, rowing, refused = self.contents.archive, self.rowing, self.contents.labels.refused
        first = shard * SHARD_PATCHES
        patches = {int(rowing.rows[i]) - first: archive.patches[i] for i in rowing.shards[shard]}
        folders = {folder for patch in patches.values() for folder in patch.folders}
        return ShardJob(
            store=rowing.store,
            archive=replace(archive, patches=(), problems=(), source=archive.source.only(folders)),
            shard=shard,
            patches=patches,
            refused={i: refused[patch.patch] for i, patch in patches.items() if patch.patch in refused},
            kept=rowing.kept(shard),
        )

    def free(self, shard: int) -> None:
        """Nothing: a shard is made of files of the archive."""

    def close(self) -> None:
        """Nothing."""

    @property
    def extra_bytes(self) -> int:
        """None: every file is written where it is to stay."""
        return 0


def plan_files(source: PixelSource, request: Request, progress: Progress) -> FilePlan:
    """Find what a source holds, make its table, and lay out the store or continue the one that is there.

    Raises
    ------
    StoreError
        If the store that is there holds something else.

    Examples
    --------
    >>> from bigearth_xr.archive.source import FolderSource
    >>> from bigearth_xr.store.location import location_of
    >>> from bigearth_xr.testing import write_archive
    >>> archive = write_archive(getfixture("tmp_path") / "archive", pairs=3)
    >>> request = Request(archive=(str(archive),), store=location_of(getfixture("tmp_path") / "ben.zarr"), metadata=(),
    ...                   sensors=("s1", "s2"), bands=("B02", "VV"), rows="found", profile=None)
    >>> with Progress() as progress:
    ...     plan = plan_files(FolderSource(archive), request, progress)
    >>> [len(plan.job(shard).patches) for shard in plan.rowing.shards]
    [3]
    """
    contents = read_contents(source, request, read_named_lists(request), progress)
    store = open_or_create(request, contents)
    return FilePlan(contents=contents, rowing=plan_rows(contents, store))


def plan_rows(contents: Contents, store: Store) -> Rowing:
    """Give every patch of an archive its row in a store, and find those that are still to do.

    Examples
    --------
    Called by `plan_files`.

    >>> plan_rows.__name__
    'plan_rows'
    """
    found = pa.array([patch.patch for patch in contents.archive.patches], pa.string())
    rows = pc.index_in(found, pa.array(read_column(store, "patch"))).to_numpy().astype(np.intp)
    complete = read_complete(store)
    complete[rows[_maps_to_come(contents, store, rows)]] = False
    return Rowing(store=store, rows=rows, complete=complete, shards=_by_shard(rows, ~complete[rows]))


def _maps_to_come(contents: Contents, store: Store, rows: NDArray[np.intp]) -> NDArray[np.bool_]:
    """Which patches have a reference map in the archive, but none in the store: they came in parts."""
    has_map = np.array([patch.reference_map is not None for patch in contents.archive.patches], bool)
    if "has_reference_map" not in store.columns:
        return np.zeros(len(rows), bool)
    to_come: NDArray[np.bool_] = has_map & ~read_column(store, "has_reference_map")[rows]
    return to_come


def _by_shard(rows: NDArray[np.intp], todo: NDArray[np.bool_]) -> dict[int, NDArray[np.intp]]:
    """Gather the patches that are to do by the shard of their row."""
    places = np.flatnonzero(todo)
    places = places[np.argsort(rows[places], kind="stable")]
    shards, starts = np.unique(rows[places] // SHARD_PATCHES, return_index=True)
    return dict(zip(shards.tolist(), np.split(places, starts[1:]), strict=True)) if places.size else {}
