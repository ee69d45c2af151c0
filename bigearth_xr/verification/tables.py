"""Find the table that a store was made of: the one beside it, or one that can be made again and proves to be it."""

from collections.abc import Callable, Iterator, Mapping

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import table
from bigearth_xr.archive import Archive
from bigearth_xr.errors import StoreAccessError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.store.create import read_table, table_key
from bigearth_xr.store.layout import store_uuid
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column, read_meanings
from bigearth_xr.store.schema import COLUMNS, UNKNOWN
from bigearth_xr.table.schema import DERIVED
from bigearth_xr.verification.report import Finding

__all__ = ["find_table"]

Columns = Mapping[str, pa.Array]

_PROJ_DEGREES = 1e-7
"""A centimetre: what versions of PROJ differ in is less, what damage does is more."""

_POLYGON_BYTES = 13 + 5 * 16


def find_table(
    store: Store, archive: Archive | None = None, listed: Columns | None = None
) -> tuple[pa.Table | None, Finding | None]:
    """Find the table that a store was made of; its identity proves which one that is.

    Parameters
    ----------
    store
        The store.
    archive
        Makes the table again where the one beside the store is damaged.
    listed
        What the release's lists say, for that.

    Returns
    -------
    tuple
        The table, None if it cannot be made again; and what is wrong with the one beside the store, if anything.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> rows, wrong = find_table(open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)))
    >>> rows.num_rows, wrong
    (2, None)
    """
    try:
        rows = read_table(store.location)
    except StoreAccessError:
        raise
    except FileNotFoundError:
        problem = "is missing"
    except Exception as error:  # damaged bytes raise whatever Arrow or its codecs raise
        problem = f"cannot be read ({error})"
    else:
        if _is_table_of(store, rows):
            derived = _derived_again(rows)
            if _agree(rows, derived):
                return rows, None
            return derived, _finding(store, "its footprints are not those of its patches")
        problem = f"is not the table that {store.location} was made of"
    return _made_again(store, archive, listed), _finding(store, problem)


def _finding(store: Store, problem: str) -> Finding:
    where = store.location.parent / table_key(store.location)
    remedy = "repair it with --against ARCHIVE --repair, or put the right table back"
    return Finding(kind="table", file=table_key(store.location), message=f"{where}: {problem}; {remedy}")


def _is_table_of(store: Store, rows: pa.Table) -> bool:
    own = store_uuid(rows, profile=store.profile, arrays=store.arrays, version=store.format_version)
    return own == store.uuid


def _derived_again(rows: pa.Table) -> pa.Table:
    """The same table, with what follows from a patch's place computed anew: its identity does not cover that."""
    decided = {name: rows[name].combine_chunks() for name in rows.column_names if name not in DERIVED}
    return table.assemble(table.release_of(rows), decided)


def _agree(rows: pa.Table, derived: pa.Table) -> bool:
    """Whether the footprints are the same, up to what another version of PROJ computes otherwise."""
    if not rows["patch"].equals(derived["patch"]):
        return False
    return all(
        a.shape == b.shape and np.allclose(a, b, rtol=0, atol=_PROJ_DEGREES)
        for a, b in zip(_degrees(rows), _degrees(derived), strict=True)
    )


def _degrees(rows: pa.Table) -> Iterator[NDArray[np.float64]]:
    """Every number that PROJ computed."""
    for name in ("lon", "lat"):
        yield rows[name].to_numpy()
    yield from (side.to_numpy() for side in rows["bbox"].combine_chunks().flatten())
    wkb = np.frombuffer(b"".join(rows["geometry"].to_pylist()), np.uint8)
    # A polygon of one ring: 13 bytes that say so, then its corners.
    whole = wkb[: wkb.size // _POLYGON_BYTES * _POLYGON_BYTES].reshape(-1, _POLYGON_BYTES)
    yield whole[:, 13:].copy().view("<f8")


def _made_again(store: Store, archive: Archive | None, listed: Columns | None) -> pa.Table | None:
    """Make tables in every way there is until one is the store's."""
    for make in _ways(store, archive, listed):
        try:
            rows = make()
        except StoreAccessError:
            raise
        except Exception:  # what is damaged may be any of the columns, in any way
            continue
        if _is_table_of(store, rows):
            return rows
    return None


def _ways(store: Store, archive: Archive | None, listed: Columns | None) -> Iterator[Callable[[], pa.Table]]:
    yield lambda: _from_columns(store, listed)
    if archive is not None:
        labels = table.read_labels(archive)
        for told in (listed, None) if listed is not None else (None,):
            yield lambda told=told: table.from_archive(archive, told, labels=labels)  # type: ignore[misc]
        if listed is not None:
            yield lambda: table.from_archive(archive, listed, rows="listed", labels=labels)


def _from_columns(store: Store, listed: Columns | None) -> pa.Table:
    """Take back from the store what it took from its table; the names of v1 that v2 lists are in the lists alone."""
    known = {"patch", "s1_name", "tile", "column", "tile_row", "country", "split"}
    flags = {"seasonal_snow", "cloud_or_shadow", "recommended"}
    columns: dict[str, pa.Array] = {}
    for column in COLUMNS:
        if column.name in known | flags:
            columns[column.name] = _decoded(store, column.name, column.kind, column.name in flags)
    has_labels = read_column(store, "has_labels")
    nomenclatures: tuple[Nomenclature, ...] = (19, 43) if store.release == "v1" else (19,)
    for nomenclature in nomenclatures:
        name = f"labels_{nomenclature}"
        columns[name] = _lists(read_column(store, name), has_labels, nomenclature)
    if listed is not None and "s2v1_name" in listed:
        columns["s2v1_name"] = listed["s2v1_name"].take(pa.compute.index_in(columns["patch"], listed["patch"]))
    return table.assemble(store.release, columns)


def _decoded(store: Store, name: str, kind: str, is_flag: bool) -> pa.Array:
    values = read_column(store, name)
    if kind == "text":
        return pa.array([text or None for text in values.tolist()], pa.string())
    if kind != "code" and not is_flag:
        return pa.array(values)
    meanings: tuple[str | bool, ...] = (False, True) if is_flag else read_meanings(store, name)
    codes = values.astype(np.int64)
    return pa.array(meanings).take(pa.array(codes, mask=codes == UNKNOWN))


def _lists(multi_hot: NDArray[np.bool_], known: NDArray[np.bool_], nomenclature: Nomenclature) -> pa.Array:
    """Names of the labels that are set; null where nobody told them."""
    offsets = np.concatenate([[0], np.cumsum(multi_hot.sum(axis=1))]).astype(np.int32)
    names = pa.array(label_names(nomenclature)).take(pa.array(np.nonzero(multi_hot)[1]))
    return pa.ListArray.from_arrays(pa.array(offsets), names, mask=pa.array(~known))
