"""Repair what an examination found: table, columns, shards and the record of what is stored."""

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.archive import Archive
from bigearth_xr.errors import StoreError
from bigearth_xr.progress import Progress
from bigearth_xr.store.create import table_key, write_states
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import SHARD_PATCHES
from bigearth_xr.verification.embedded import mend_embeddings
from bigearth_xr.verification.examination import Examination
from bigearth_xr.verification.inspection import ShardHoldings
from bigearth_xr.verification.layout import mend_layout
from bigearth_xr.verification.repair import RepairJob, ShardRepair, repair_shard
from bigearth_xr.verification.subject import slim

__all__ = ["Mending", "mend"]


@dataclass(slots=True, kw_only=True)
class Mending:
    """What a repair did; grows while it runs."""

    written: list[str] = field(default_factory=list)
    """Files written anew: keys below the store, and the name of the table."""

    failures: dict[str, str] = field(default_factory=dict)
    """Why something could not be repaired, by patch id, or by the name of a file."""

    given_up: dict[str, int] = field(default_factory=dict)
    """How many vectors are to be computed anew, by embedding."""


def mend(found: Examination, archive: Archive | None, progress: Progress) -> Mending:
    """Repair a store from its archive, so that its bytes are those of a fresh ingest; without one, from its table.

    Raises
    ------
    StoreError
        If the archive is another one: most of the patches compared differ in all they have.

    Examples
    --------
    Called by `bigearth_xr.verification.verify`.

    >>> mend.__name__
    'mend'
    """
    done = Mending()
    if archive is None:
        # A table that was lost or changed cannot tell what columns are.
        if not any(finding.kind == "table" for finding in found.general):
            _mend_table(found, done)
        return done
    _refuse_another(found, archive)
    _mend_table(found, done, archive)
    if any(finding.kind == "embedding" for finding in found.general):
        written, done.given_up = mend_embeddings(found.subject.scope.store)
        done.written += written
    _mend_shards(found, archive, progress, done)
    return done


def _refuse_another(found: Examination, archive: Archive) -> None:
    """Damage does not change every array of most patches and leave everything else of their shards true."""
    store = found.subject.scope.store
    sound = [held for held in found.shards if {finding.kind for finding in held.findings} <= {"different"}]
    compared = sum(held.compared for held in sound)
    wholly = sum(int(_differs_wholly(held, store).sum()) for held in sound)
    if wholly > compared / 2:
        raise StoreError(
            f"{archive.name}: {wholly:,} of the {compared:,} patches compared differ from {store.location} "
            "in every array: this is another archive, and nothing was repaired; give the one that the store was made of"
        )


def _differs_wholly(held: ShardHoldings, store: Store) -> NDArray[np.bool_]:
    places: NDArray[np.bool_] = np.all([held.differs[array.name] for array in store.arrays if array.bands], axis=0)
    return places


def _mend_table(found: Examination, done: Mending, archive: Archive | None = None) -> None:
    """Write the table and all that follows from it."""
    store, rows = found.subject.scope.store, found.subject.rows
    kinds = ("table", "column", "metadata", *(("embedding",) if archive else ()))
    # Of an embedding: its metadata, an array or group by name; its chunks are dealt with apart.
    files = {finding.file for finding in found.general if finding.kind in kinds and "/c/" not in finding.file}
    name = table_key(store.location)
    if rows is None and archive is not None:
        done.failures[name] = (
            f"{store.location.parent / name}: cannot be made again from {archive.name}; give the metadata that the "
            "store was ingested with"
        )
    if rows is None:
        return
    if name in files:
        file = store.location.parent.scratch_file(name)
        table.write(rows, file)
        store.location.parent.adopt(name, file)
        done.written.append(name)
    if files - {name}:
        done.written += mend_layout(store, rows, frozenset(files - {name}), found.subject.scope.blank)


def _mend_shards(found: Examination, archive: Archive, progress: Progress, done: Mending) -> None:
    """Write damaged shards, one after the other, and what is stored after each."""
    subject = found.subject
    store, record = subject.scope.store, subject.record
    state, mapped = record.state.copy(), record.mapped.copy()
    is_whole = record.is_known and record.are_maps_known
    damaged = [held for held in found.shards if not is_whole or any(f.kind != "unreadable" for f in held.findings)]
    subject.collect(row for held in damaged for row in _rows(held))
    for held in progress.over(damaged, "repair"):
        result = repair_shard(_job(found, archive, held))
        inside = slice(held.shard * SHARD_PATCHES, held.shard * SHARD_PATCHES + len(result.state))
        is_changed = not (np.array_equal(state[inside], result.state) and np.array_equal(mapped[inside], result.mapped))
        state[inside], mapped[inside] = result.state, result.mapped
        _note(result, done)
        if is_changed and is_whole:
            write_states(store, state, mapped)
            done.written += [name for name in ("state", "has_reference_map") if name in store.columns]
    if not is_whole:
        write_states(store, state, mapped)
        done.written += [name for name in ("state", "has_reference_map") if name in store.columns]


def _job(found: Examination, archive: Archive, held: ShardHoldings) -> RepairJob:
    subject = found.subject
    places = _rows(held)
    first = places.start
    patches = {row - first: subject.patches[row] for row in places if row in subject.patches}
    return RepairJob(
        inspection=subject.inspection(held.shard, np.array([], np.intp)),
        held=held,
        archive=slim(archive, patches.values()),
        patches=patches,
        state=subject.record.state[first : first + len(places)],
        is_known=subject.record.is_known,
        are_maps_known=subject.record.are_maps_known,
    )


def _rows(held: ShardHoldings) -> range:
    first = held.shard * SHARD_PATCHES
    return range(first, first + len(next(iter(held.there.values()))))


def _note(result: ShardRepair, done: Mending) -> None:
    done.written += result.written
    done.failures |= result.failures
