"""From the slots where patches arrived to the rows of a store."""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import PatchFiles
from bigearth_xr.archive.layout import REFERENCE_MAP
from bigearth_xr.archive.pixels import MISSING
from bigearth_xr.ingestion.arrivals import Arrivals
from bigearth_xr.ingestion.contents import Contents
from bigearth_xr.ingestion.plan import Rowing
from bigearth_xr.ingestion.staged import StagedJob, StagedPatch
from bigearth_xr.ingestion.staging import staged_file
from bigearth_xr.store.read import read_column
from bigearth_xr.store.schema import SHARD_PATCHES

__all__ = ["StreamPlan"]


@dataclass(frozen=True, kw_only=True)
class StreamPlan:
    """To move patches from the slots where they arrived to the rows of the store."""

    contents: Contents
    """What the archive holds."""

    rowing: Rowing
    """Which patch goes where."""

    arrivals: Arrivals
    """What arrived, where it lies, and what was wrong with it."""

    slots: NDArray[np.intp]
    """Slot of each patch of the archive, shape ``(patch,)``."""

    staged_bytes: int
    """Disk taken by what has arrived."""

    kept_bytes: int
    """Disk taken by what came through pipes and was needed again."""

    @property
    def extra_bytes(self) -> int:
        """What lay beside the store at the most: nothing, where it lay at its place already."""
        store = self.rowing.store
        is_in_place = self.is_in_slots and store.profile == "fast" and store.location.local is not None
        return self.kept_bytes + (0 if is_in_place else self.staged_bytes)

    @cached_property
    def is_in_slots(self) -> bool:
        """Whether rows and slots are the same."""
        names: list[str] = self.arrivals.slots.table["patch"].to_pylist()
        return list(read_column(self.rowing.store, "patch")) == names

    def job(self, shard: int) -> StagedJob:
        """Put together what a worker has to know to write one shard."""
        staging, store = self.arrivals.staging, self.rowing.store
        first = shard * SHARD_PATCHES
        length = min(SHARD_PATCHES, store.rows - first)
        slots = np.arange(first, first + length) if self.is_in_slots else np.full(length, -1)
        patches: dict[int, StagedPatch] = {}
        refused: dict[int, str] = {}
        for i in self.rowing.shards[shard].tolist():
            patch, slot, place = self.contents.archive.patches[i], int(self.slots[i]), int(self.rowing.rows[i]) - first
            slots[place] = slot
            patches[place] = StagedPatch(patch=patch.patch, slot=slot)
            reason = self.contents.labels.refused.get(patch.patch) or self._missing(patch, slot)
            if reason is not None:
                refused[place] = reason
        return StagedJob(
            store=store,
            folder=staging.folder,
            planes=staging.planes,
            shard=shard,
            patches=patches,
            arrived=staging.arrived[slots] & (slots >= 0)[:, None],
            checksums=staging.checksums[slots],
            refused=refused,
            kept=self.rowing.kept(shard),
            is_in_slots=self.is_in_slots,
        )

    def free(self, shard: int) -> None:
        """Remove what a shard was made of, once it is stored."""
        if self.is_in_slots:
            for array in self.rowing.store.arrays:
                staged_file(self.arrivals.staging.folder, array, shard).unlink(missing_ok=True)

    def close(self) -> None:
        """Remove the staging area."""
        self.arrivals.staging.discard()

    def _missing(self, patch: PatchFiles, slot: int) -> str | None:
        """Say which plane of a patch did not arrive, and why; None where all did."""
        arrived, numbers = self.arrivals.staging.arrived[slot], self._numbers
        files = {**patch.files, **({} if patch.reference_map is None else {REFERENCE_MAP: patch.reference_map})}
        # In the order in which files would be read, so that the first fault is the same.
        for name, file in files.items():
            if not arrived[numbers[name]]:
                place = self.contents.archive.source.locate(file)
                missing = f"{patch.patch}: band {name} ({place}) {MISSING}"
                return self.arrivals.failures.get((slot, numbers[name]), missing)
        return None

    @cached_property
    def _numbers(self) -> dict[str, int]:
        """Number of each plane by its name."""
        return {plane.name: plane.number for plane in self.arrivals.staging.planes}
