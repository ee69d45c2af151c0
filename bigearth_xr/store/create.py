"""Lay out a new store: all metadata and everything the table knows, but no pixel."""

import json
import math
import shutil
import uuid
import warnings
from collections.abc import Container, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from bigearth_xr import bands as band_facts
from bigearth_xr import releases, table
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.store import schema
from bigearth_xr.store.columns import encode_column
from bigearth_xr.store.read import Store
from bigearth_xr.store.schema import Column, PixelArray, Profile

if TYPE_CHECKING:
    import zarr

__all__ = ["consolidate", "create_store", "store_uuid", "table_path", "update_store", "write_states"]

NAMESPACE = uuid.UUID("6f0b6a0e-3b8e-5d0a-9c39-5d1f2b1f6c11")
"""Namespace of the UUIDv5 that identifies a store's content."""


def table_path(store: Path) -> Path:
    """Where the table of a store lies: beside it, ``ben.zarr`` → ``ben.parquet``.

    Examples
    --------
    >>> table_path(Path("data/ben.zarr")).as_posix()
    'data/ben.parquet'
    """
    return store.with_suffix(".parquet")


def store_uuid(rows: pa.Table, *, profile: Profile, arrays: Sequence[PixelArray]) -> str:
    """Identify a store by what it will hold: format version, profile, arrays and table.

    Returns
    -------
    str
        A UUIDv5; the same for the same archive, wherever and whenever it is ingested.

    Examples
    --------
    >>> rows = table.SCHEMA.empty_table().replace_schema_metadata({"bigearth": '{"release": "v2"}'})
    >>> store_uuid(rows, profile="fast", arrays=()) == store_uuid(rows, profile="compact", arrays=())
    False
    """
    layout = [[array.name, *array.bands] for array in arrays]
    content = [schema.FORMAT_VERSION, profile, layout, table.digest(rows)]
    return str(uuid.uuid5(NAMESPACE, json.dumps(content)))


def create_store(
    path: Path, rows: pa.Table, *, profile: Profile, arrays: Sequence[PixelArray], sensors: Sequence[str]
) -> None:
    """Create a store whose rows are those of the table, all of them absent.

    Parameters
    ----------
    path
        The store's folder; made here, must not exist. The table is written beside it.
    rows
        Columns of `bigearth_xr.table.SCHEMA`, at least one row.
    profile
        How pixels are encoded.
    arrays
        The pixel arrays to make room for.
    sensors
        The sensors ingested, for the record.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=2)
    >>> rows, path = table.from_lists(archive), getfixture("tmp_path") / "ben.zarr"
    >>> arrays = schema.pixel_arrays(["B02"], reference_map=False)
    >>> create_store(path, rows, profile="fast", arrays=arrays, sensors=["s2"])
    >>> sorted(entry.name for entry in path.iterdir())[:3]
    ['band_10m', 'cloud_or_shadow', 'column']
    """
    new = _lay_out(path, rows, profile, arrays, sensors)
    table.write(rows, table_path(path))
    new.replace(path)


def update_store(store: Store, rows: pa.Table, *, sensors: Sequence[str]) -> None:
    """Bring a store up to a table that says more of the same patches; pixels and states stay as they are.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> rows = table.read(table_path(path))
    >>> names = pa.array(["Kosovo", "Kosovo"])
    >>> update_store(open_store(path), rows.set_column(17, rows.field("country"), names), sensors=["s1", "s2"])
    >>> bex.open(path).country.values.tolist()
    ['Kosovo', 'Kosovo']
    """
    new = _lay_out(store.path, rows, store.profile, store.arrays, sensors)
    columns = {path.name for path in new.iterdir() if path.is_dir()}
    _adopt_metadata(store.path, new, but=columns)
    for name in columns - {"patch", "state", "has_reference_map", *(array.name for array in store.arrays)}:
        shutil.rmtree(store.path / name)
        (new / name).replace(store.path / name)
    table.write(rows, table_path(store.path))
    # Last, as it bears the identity: an update that is killed before is done again.
    (new / "zarr.json").replace(store.path / "zarr.json")
    shutil.rmtree(new)


def _adopt_metadata(store: Path, new: Path, *, but: Container[str]) -> None:
    """Take over what was added to a store since it was laid out, such as embeddings, into consolidated metadata."""
    for document in store.glob("*/**/zarr.json"):
        place = document.relative_to(store)
        if place.parts[0] not in but:
            (new / place).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy(document, new / place)
    consolidate(new)


def _lay_out(
    path: Path, rows: pa.Table, profile: Profile, arrays: Sequence[PixelArray], sensors: Sequence[str]
) -> Path:
    """Write a store without pixels under another name, so that one that bears its own is whole."""
    import zarr

    new = path.with_suffix(".new")
    shutil.rmtree(new, ignore_errors=True)
    root = zarr.create_group(new, attributes=_root_attributes(rows, profile, arrays, sensors))
    for array in arrays:
        _create_pixels(root, array, rows.num_rows, profile)
    _write_axes(root, arrays)
    for column in schema.COLUMNS:
        _write_column(root, column, rows[column.name].combine_chunks())
    _write_labels(root, rows)
    _write_whole(root, "state", np.full(rows.num_rows, schema.ABSENT, np.uint8), ["patch"], _STATE_ATTRIBUTES)
    if any(array.name == schema.REFERENCE_MAP for array in arrays):
        _write_whole(root, "has_reference_map", np.zeros(rows.num_rows, bool), ["patch"])
    consolidate(new)
    return new


def write_states(store: Store, state: NDArray[np.uint8], mapped: NDArray[np.bool_]) -> None:
    """Record which rows are stored and which of them have a reference map, both of shape ``(patch,)``.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.read import open_store, read_state
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2))
    >>> write_states(store, np.array([1, 0], np.uint8), np.array([True, False]))
    >>> read_state(store)
    array([1, 0], dtype=uint8)
    """
    import zarr

    zarr.open_array(store.path / "state", mode="r+")[...] = state
    if "has_reference_map" in store.columns:
        zarr.open_array(store.path / "has_reference_map", mode="r+")[...] = mapped


def consolidate(path: Path) -> None:
    """Gather all metadata into the root, without which plain readers list the hierarchy and warn.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> consolidate(path)
    >>> "consolidated_metadata" in json.loads((path / "zarr.json").read_bytes())
    True
    """
    import zarr

    with warnings.catch_warnings():
        # zarr-python says that consolidated metadata is not in the specification of Zarr v3; known and wanted.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(path)


_STATE_ATTRIBUTES = {
    "long_name": "whether the pixels of a patch are here",
    "flag_values": list(range(len(schema.STATES))),
    "flag_meanings": " ".join(schema.STATES),
}


def _root_attributes(
    rows: pa.Table, profile: Profile, arrays: Sequence[PixelArray], sensors: Sequence[str]
) -> dict[str, Any]:
    release = table.release_of(rows)
    return {
        "Conventions": "CF-1.11",
        "title": releases.release(release).title,
        "license": releases.LICENSE,
        "bigearth": {
            "format": schema.FORMAT,
            "format_version": schema.FORMAT_VERSION,
            "uuid": store_uuid(rows, profile=profile, arrays=arrays),
            "release": release,
            "profile": profile,
            "sensors": list(sensors),
            "bands": [band for array in arrays for band in array.bands],
            "table_digest": table.digest(rows),
        },
    }


def _create_pixels(root: "zarr.Group", array: PixelArray, rows: int, profile: Profile) -> None:
    from zarr.codecs import BloscCodec, BytesCodec, Crc32cCodec

    blosc = BloscCodec(typesize=array.itemsize, cname="lz4", clevel=5, shuffle="bitshuffle")
    root.create_array(
        array.name,
        shape=(rows, *array.patch_shape),
        chunks=(1, *array.patch_shape),
        shards=(schema.SHARD_PATCHES, *array.patch_shape),
        dtype=array.dtype,
        serializer=BytesCodec(),
        compressors=[Crc32cCodec()] if profile == "fast" else [blosc, Crc32cCodec()],
        fill_value=array.fill_value,
        dimension_names=array.dims,
        attributes={"units": array.units},
    )


def _write_axes(root: "zarr.Group", arrays: Sequence[PixelArray]) -> None:
    """Band names, and pixel centres in metres east and north of the patch's upper left corner."""
    written: set[str] = set()
    for array in arrays:
        if array.bands:
            _write_whole(root, array.dims[1], np.array(array.bands, dtype=object), [array.dims[1]])
        res_m = band_facts.PATCH_SIDE_M / array.size
        for dim, sign, axis in zip(array.dims[-2:], (-1, 1), ("projection_y", "projection_x"), strict=True):
            if dim not in written:
                centres_m = sign * (np.arange(array.size) + 0.5) * res_m
                attributes = {"units": "m", "long_name": f"{axis} offset from the upper left corner of the patch"}
                _write_whole(root, dim, centres_m, [dim], attributes)
            written.add(dim)


def _write_column(root: "zarr.Group", column: Column, values: pa.Array) -> None:
    stored, attributes = encode_column(column, values)
    _write_whole(root, column.name, stored, ["patch"], {"long_name": column.long_name, **attributes})


def _write_labels(root: "zarr.Group", rows: pa.Table) -> None:
    nomenclatures: tuple[Nomenclature, ...] = (19, 43) if table.release_of(rows) == "v1" else (19,)
    for nomenclature in nomenclatures:
        lists = rows[f"labels_{nomenclature}"].combine_chunks()
        dim = f"label_{nomenclature}"
        _write_whole(root, dim, np.array(label_names(nomenclature), dtype=object), [dim])
        _write_whole(root, f"labels_{nomenclature}", table.multi_hot(lists, nomenclature), ["patch", dim])
    known = np.asarray(rows["labels_19"].combine_chunks().is_valid())
    _write_whole(root, "has_labels", known, ["patch"], {"long_name": "whether the labels of a patch are known"})


def _write_whole(
    root: "zarr.Group",
    name: str,
    values: NDArray[Any],
    dims: list[str],
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write a small array as one chunk."""
    array = root.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, length) for length in values.shape),
        dtype="string" if values.dtype == object else values.dtype,
        fill_value="" if values.dtype == object else (math.nan if values.dtype.kind == "f" else 0),
        dimension_names=dims,
        attributes=attributes or {},
    )
    array[...] = values
