"""The table of the patches that an archive holds, completed by what the lists say of them."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Literal

import pyarrow as pa
import pyarrow.compute as pc

from bigearth_xr.archive import Archive, PatchFiles, read_metadata
from bigearth_xr.errors import ArchiveError
from bigearth_xr.labels import group_labels, label_names
from bigearth_xr.table.assembly import assemble
from bigearth_xr.table.schema import SCHEMA

__all__ = ["Rows", "from_archive"]

Rows = Literal["found", "listed"]
Columns = Mapping[str, pa.Array]
Track = Callable[[Sequence[PatchFiles]], Iterable[PatchFiles]]


def from_archive(
    archive: Archive, listed: Columns | None = None, *, rows: Rows = "found", track: Track = iter
) -> pa.Table:
    """Build the table of an archive's pairs.

    Parameters
    ----------
    archive
        The opened archive; of v1 the JSON of every patch is read, of v2 nothing.
    listed
        What the lists say, as `read_lists` returns it; without, it is null what only lists know.
    rows
        ``"found"``: the pairs of the archive; ``"listed"``: those, and every other listed pair.
    track
        Wraps the patches while their metadata is read, for a progress bar.

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
    own = _columns_found(archive, track)
    if rows == "listed" and listed is not None:
        rest = pc.invert(pc.is_in(listed["patch"], own["patch"]))
        own = {name: _joined(array, listed, name, rest) for name, array in own.items()}
    if not len(own["patch"]):
        raise ArchiveError(
            f"{archive.root}: no complete pair of {archive.release} among {len(archive.problems)} patches; "
            "check that both halves are there, or ask for one with sensors=('s2',) or ('s1',)"
        )
    told = {} if listed is None else _looked_up(listed, own["patch"])
    labels = {name: _first_known(own.get(name), told.get(name)) for name in ("labels_19", "labels_43", "s1_name")}
    return assemble(archive.release, {**told, **own, **labels})


def _columns_found(archive: Archive, track: Track) -> dict[str, pa.Array]:
    labels = [_labels_43(archive, patch) for patch in track(archive.patches)] if archive.release == "v1" else []
    columns = {
        "patch": [patch.patch for patch in archive.patches],
        "s1_name": [patch.s1_name for patch in archive.patches],
        "tile": [patch.tile for patch in archive.patches],
        "column": [patch.column for patch in archive.patches],
        "tile_row": [patch.row for patch in archive.patches],
    }
    if archive.release == "v1":
        columns["labels_43"] = labels
        columns["labels_19"] = [None if names is None else group_labels(names) for names in labels]
    return {name: pa.array(values, SCHEMA.field(name).type) for name, values in columns.items()}


def _labels_43(archive: Archive, patch: PatchFiles) -> list[str] | None:
    """Labels in paper order; None where the JSON is bad, which quarantines the patch when its pixels are read."""
    try:
        labels = read_metadata(archive, patch).labels
    except ArchiveError:
        return None
    return None if labels is None else sorted(labels, key=label_names(43).index)


def _joined(found: pa.Array, listed: Columns, name: str, rest: pa.Array) -> pa.Array:
    """The found rows of a column, then the listed ones that were not found."""
    more = listed[name].filter(rest) if name in listed else pa.nulls(pc.sum(rest).as_py() or 0, found.type)
    return pa.concat_arrays([found, more.cast(found.type)])


def _looked_up(listed: Columns, patch: pa.Array) -> dict[str, pa.Array]:
    at = pc.index_in(patch, listed["patch"])
    return {name: array.take(at) for name, array in listed.items()}


def _first_known(own: pa.Array | None, told: pa.Array | None) -> pa.Array | None:
    """The archive's own word, and where it has none, that of the lists."""
    if own is None or told is None:
        return told if own is None else own
    # Arrow's coalesce takes no lists: pick rows from the two laid end to end.
    at = pc.if_else(pc.is_valid(own), pa.array(range(len(own))), pa.array(range(len(own), 2 * len(own))))
    return pa.concat_arrays([own, told.cast(own.type)]).take(at)
