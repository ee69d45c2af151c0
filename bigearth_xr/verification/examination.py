"""Examine a whole store: its table, its columns, its record, and every shard; against an archive if there is one."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.progress import Progress
from bigearth_xr.store.read import shard_count
from bigearth_xr.store.schema import SHARD_PATCHES
from bigearth_xr.verification.comparison import compare_tables, draw_sample
from bigearth_xr.verification.inspection import ShardHoldings
from bigearth_xr.verification.processes import inspect_shards
from bigearth_xr.verification.report import Finding
from bigearth_xr.verification.subject import Scope, Subject, recognize

__all__ = ["Examination", "examine", "inspect_more"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Examination:
    """What was found."""

    subject: Subject
    """The store."""

    chosen: NDArray[np.intp]
    """Rows that were to be compared with the archive."""

    shards: tuple[ShardHoldings, ...]
    """What is in every shard, in order."""

    general: tuple[Finding, ...]
    """What is wrong with table, columns and record."""

    @property
    def findings(self) -> tuple[Finding, ...]:
        """All that is wrong."""
        return (*self.general, *(finding for shard in self.shards for finding in shard.findings))


def examine(scope: Scope, progress: Progress) -> Examination:
    """Examine a store; what is wrong is told, not raised.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> with Progress() as progress:
    ...     found = examine(Scope(store=store, archive=None, listed=None, sample=1, seed=0, workers=1), progress)
    >>> found.findings
    ()
    """
    subject, general = recognize(scope)
    both = subject.stored_in_both
    chosen = both if scope.sample == "all" else draw_sample(both, scope.sample, scope.seed)
    shards = range(shard_count(scope.store))
    return Examination(
        subject=subject,
        chosen=chosen,
        shards=_inspect(subject, shards, chosen, progress),
        general=(*general, *_cut_short(scope), *_compare_tables(subject, chosen)),
    )


def inspect_more(found: Examination, progress: Progress) -> Examination:
    """Compare every patch of the shards in which a compared one was found to differ.

    Examples
    --------
    Called by `bigearth_xr.verification.verify` before a repair.

    >>> inspect_more.__name__
    'inspect_more'
    """
    doubtful = [held.shard for held in found.shards if any(places.any() for places in held.differs.values())]
    again = {held.shard: held for held in _inspect(found.subject, doubtful, found.subject.stored_in_both, progress)}
    return replace(found, shards=tuple(again.get(held.shard, held) for held in found.shards))


def _inspect(
    subject: Subject, shards: Sequence[int], compared: NDArray[np.intp], progress: Progress
) -> tuple[ShardHoldings, ...]:
    """Inspect shards, the bar with them."""
    here = np.isin(compared // SHARD_PATCHES, np.array(shards, np.intp))
    subject.collect(compared[here].tolist())
    advance = progress.steps("shards", len(shards))
    scope = subject.scope
    found: dict[int, ShardHoldings] = {}
    for held in inspect_shards(
        shards, lambda shard: subject.inspection(shard, compared), rows=scope.store.rows, workers=scope.workers
    ):
        found[held.shard] = held
        advance()
    return tuple(found[shard] for shard in sorted(found))


def _cut_short(scope: Scope) -> Iterator[Finding]:
    """Say where the archive ends early: else what follows there would pass for what it never had."""
    for problem in scope.archive.problems if scope.archive is not None else ():
        if problem.kind in ("truncated", "damaged"):
            message = f"{problem.message}; patches that follow could not be compared"
            yield Finding(kind="unreadable", file="", patches=(), message=message)


def _compare_tables(subject: Subject, chosen: NDArray[np.intp]) -> Iterator[Finding]:
    """Compare what the table says of the compared patches with their JSONs and lists."""
    archive, rows = subject.scope.archive, subject.rows
    if archive is None or rows is None or not chosen.size:
        return
    compared = replace(archive, patches=tuple(subject.patches[row] for row in chosen.tolist()))
    yield from compare_tables(subject.scope.store, rows, table.from_archive(compared, subject.scope.listed))
