"""The table of the patches that an archive holds, completed by what the lists say of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.archive import Archive, PatchFiles, read_metadata
from bigearth_xr.archive.patch_files import sum_up
from bigearth_xr.errors import ArchiveError
from bigearth_xr.labels import group_labels, label_names
from bigearth_xr.table.assembly import assemble
from bigearth_xr.table.schema import SCHEMA

__all__ = ["FoundLabels", "Rows", "from_archive", "read_labels"]

Rows = Literal["found", "listed"]
Columns = Mapping[str, pa.Array]
Track = Callable[[Sequence[PatchFiles]], Iterable[PatchFiles]]


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundLabels:
    """What the archive itself says of its patches' labels."""

    labels_43: Sequence[tuple[str, ...] | None]
    """Classes of each patch of the archive, in paper order; None where its JSON is bad; empty for v2."""

    refused: Mapping[str, str]
    """What is wrong with a JSON, by patch."""


def read_labels(archive: Archive, track: Track = iter) -> FoundLabels:
    """Read the labels of every patch from its JSONs; of v2, which has none, nothing.

    Parameters
    ----------
    archive
        The opened archive.
    track
        Wraps the patches while their JSONs are read, for a progress bar.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2, version="v1")
    >>> found = read_labels(bex.archive.open_archive(path))
    >>> len(found.labels_43), dict(found.refused)
    (2, {})
    """
    labels: list[tuple[str, ...] | None] = []
    refused: dict[str, str] = {}
    for patch in track(archive.patches) if archive.release == "v1" else ():
        try:
            found = read_metadata(archive, patch).labels
        except ArchiveError as error:
            found, refused[patch.patch] = None, str(error)
        labels.append(None if found is None else _in_paper_order(found))
    return FoundLabels(labels_43=labels, refused=refused)


def from_archive(
    archive: Archive, listed: Columns | None = None, *, rows: Rows = "found", labels: FoundLabels | None = None
) -> pa.Table:
    """Build the table of an archive's pairs.

    Parameters
    ----------
    archive
        The opened archive.
    listed
        What the lists say, as `read_lists` returns it; without, it is null what only lists know.
    rows
        ``"found"``: the pairs of the archive; ``"listed"``: those, and every other listed pair.
    labels
        As `read_labels` gives them; read here by default.

    Returns
    -------
    pyarrow.Table
        Columns of `SCHEMA`. Labels are null where a patch's JSON cannot be read or its list is missing.

    Raises
    ------
    ArchiveError
        If there is no pair at all.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2, version="v1")
    >>> from_archive(bex.archive.open_archive(path)).num_rows
    2
    """
    own = _columns_found(archive, labels or read_labels(archive))
    if rows == "listed" and listed is not None:
        rest = pc.invert(pc.is_in(listed["patch"], own["patch"]))
        own = {name: _joined(array, listed, name, rest) for name, array in own.items()}
    if not len(own["patch"]):
        raise ArchiveError(
            f"{archive.name}: no complete pair of {archive.release}; check that both halves are there, or ask for one "
            f"with sensors=('s2',) or ('s1',){sum_up(archive.problems)}"
        )
    told = {} if listed is None else _looked_up(listed, own["patch"])
    both = {name: _first_known(own.get(name), told.get(name)) for name in ("labels_19", "labels_43", "s1_name")}
    return assemble(archive.release, {**told, **own, **both})


def _columns_found(archive: Archive, found: FoundLabels) -> dict[str, pa.Array]:
    columns: dict[str, Sequence[object]] = {
        "patch": [patch.patch for patch in archive.patches],
        "s1_name": [patch.s1_name for patch in archive.patches],
        "tile": [patch.tile for patch in archive.patches],
        "column": [patch.column for patch in archive.patches],
        "tile_row": [patch.row for patch in archive.patches],
    }
    if archive.release == "v1":
        columns["labels_43"] = found.labels_43
        columns["labels_19"] = [None if names is None else _grouped(names) for names in found.labels_43]
    return {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}


# Half a million patches bear some five thousand sets of labels.
@lru_cache(maxsize=1 << 16)
def _in_paper_order(labels: tuple[str, ...]) -> tuple[str, ...]:
    return tuple(sorted(labels, key=label_names(43).index))


@lru_cache(maxsize=1 << 16)
def _grouped(labels: tuple[str, ...]) -> list[str]:
    return group_labels(labels)


def _joined(found: pa.Array, listed: Columns, name: str, rest: pa.Array) -> pa.Array:
    """The found rows of a column, then the listed ones that were not found."""
    more = listed[name].filter(rest) if name in listed else pa.nulls(pc.sum(rest).as_py() or 0, found.type)
    return pa.concat_arrays([found, more.cast(found.type)])


def _looked_up(listed: Columns, patch: pa.Array) -> dict[str, pa.Array]:
    # The lists are looked up among the found patches, of which there may be six: hashes of half a million take long.
    places = np.asarray(pc.index_in(listed["patch"], patch).fill_null(-1))
    named = np.flatnonzero(places >= 0)
    at = np.full(len(patch), -1)
    at[places[named]] = named
    rows = pa.array(at, mask=at < 0)
    return {name: array.take(rows) for name, array in listed.items()}


def _first_known(own: pa.Array | None, told: pa.Array | None) -> pa.Array | None:
    """The archive's own word, and where it has none, that of the lists."""
    if own is None or told is None:
        return told if own is None else own
    # Arrow's coalesce takes no lists: pick rows from the two laid end to end.
    at = pc.if_else(pc.is_valid(own), pa.array(range(len(own))), pa.array(range(len(own), 2 * len(own))))
    return pa.concat_arrays([own, told.cast(own.type)]).take(at)
