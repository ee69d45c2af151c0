"""Write a store without pixels into a folder: all metadata, and everything that the table knows."""

import json
import math
import uuid
import warnings
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from numpy.typing import NDArray

from bigearth_xr import bands as band_facts
from bigearth_xr import releases, table
from bigearth_xr.errors import ChecksumError, MetadataError
from bigearth_xr.labels import Nomenclature, label_names
from bigearth_xr.store import schema
from bigearth_xr.store.codec import PROFILES, REMEDY, ProfileName, chunk_key, encode_chunk, is_fill, small_codecs
from bigearth_xr.store.location import Location, put
from bigearth_xr.store.open import NO_JSON, ROOT_KEY, clear_root_cache, encode_root, read_root
from bigearth_xr.store.schema import Column, PixelArray

__all__ = ["consolidate", "lay_out", "store_uuid", "uuid_of"]

NAMESPACE = uuid.UUID("6f0b6a0e-3b8e-5d0a-9c39-5d1f2b1f6c11")
"""Namespace of the UUIDv5 that identifies a store's content."""


def store_uuid(
    rows: pa.Table, *, profile: ProfileName, arrays: Sequence[PixelArray], version: int = schema.FORMAT_VERSION
) -> str:
    """Identify a store by what it will hold: format version, profile, arrays and table.

    Returns
    -------
    str
        A UUIDv5; the same for the same archive, wherever and whenever it is ingested.
    """
    return uuid_of(table.digest(rows), profile=profile, arrays=arrays, version=version)


def uuid_of(
    digest: str, *, profile: ProfileName, arrays: Sequence[PixelArray], version: int = schema.FORMAT_VERSION
) -> str:
    """Identify a store by the digest of its table, as `store_uuid` does by the table."""
    layout = [[array.name, *array.bands] for array in arrays]
    content = [version, profile, layout, digest]
    return str(uuid.uuid5(NAMESPACE, json.dumps(content)))


def lay_out(
    folder: Path,
    rows: pa.Table,
    profile: ProfileName,
    arrays: Sequence[PixelArray],
    sensors: Sequence[str],
    *,
    version: int = schema.FORMAT_VERSION,
) -> None:
    """Write everything but pixels into a folder that is not there yet, or empty; all rows are absent.

    In an older version of the format it is what a store of that version is held against.
    """
    draft = _Draft(folder, _root_attributes(rows, profile, arrays, sensors, version))
    for array in arrays:
        _create_pixels(draft, array, rows.num_rows, profile)
    _write_axes(draft, arrays)
    for column in schema.COLUMNS:
        _write_column(draft, column, rows[column.name].combine_chunks())
    _write_labels(draft, rows)
    _write_whole(draft, "state", np.full(rows.num_rows, schema.ABSENT, np.uint8), ["patch"], _STATE_ATTRIBUTES)
    if any(array.name == schema.REFERENCE_MAP for array in arrays):
        _write_whole(draft, "has_reference_map", np.zeros(rows.num_rows, bool), ["patch"])
    draft.finish()


def consolidate(location: Location, changed: str | None = None) -> None:
    """Gather all metadata into the root, which no reader of ours goes past, with a digest of them.

    What the root says of the format's own arrays stays: their own files may have been damaged since it was written.

    Parameters
    ----------
    location
        Where the store lies.
    changed
        Key below which metadata were just written or removed: of these, what lies there counts.

    Raises
    ------
    ChecksumError
        If the root was damaged.
    """
    document = json.loads(location.read(ROOT_KEY))
    known: dict[str, Any] = {}
    if "consolidated_metadata" in document:
        root = read_root(location)
        if schema.has_checksums(root.format_version):
            own = {name: member for name, member in root.members.items() if schema.is_own(name)}
            known = {name: member for name, member in own.items() if not _is_at(name, changed)}
    put(location, ROOT_KEY, encode_root(_consolidated(document, _gather(location, "", known))))
    clear_root_cache()


def _is_at(name: str, key: str | None) -> bool:
    return key is not None and f"{name}/".startswith(f"{key}/")


def _gather(location: Location, below: str, known: Mapping[str, Any]) -> dict[str, Any]:
    """Metadata of everything below a group, by name; of what file managers leave behind there are none."""
    found: dict[str, Any] = {}
    for name in (f"{below}{child}" for child in location.children(below)):
        if "zarr.json" not in location.children(name):
            continue
        try:
            found[name] = known.get(name) or json.loads(location.read(f"{name}/zarr.json"))
        except NO_JSON as error:
            raise ChecksumError(f"{location / name}/zarr.json: is damaged ({error}): {REMEDY}") from None
        if found[name].get("node_type") == "group":
            found |= _gather(location, f"{name}/", known)
    return found


def _consolidated(root: dict[str, Any], members: Mapping[str, Any]) -> dict[str, Any]:
    """The document of a root as zarr-python writes it: it is given the metadata alone, in memory."""
    import zarr
    from zarr.buffer.cpu import Buffer
    from zarr.storage import MemoryStore

    documents: dict[str, Any] = {}
    for name, member in {"": root, **members}.items():
        bare = {key: value for key, value in member.items() if key != "consolidated_metadata"}
        documents[f"{name}/zarr.json".lstrip("/")] = Buffer.from_bytes(json.dumps(bare).encode())
    with warnings.catch_warnings():
        # zarr-python says that consolidated metadata is not in the specification of Zarr v3; known and wanted.
        warnings.filterwarnings("ignore", message="Consolidated metadata", category=UserWarning)
        zarr.consolidate_metadata(MemoryStore(documents))
    document: dict[str, Any] = json.loads(documents[ROOT_KEY].to_bytes())
    return document


class _Draft:
    """A store that is being laid out: zarr-python makes its metadata in memory, and its small arrays are written."""

    def __init__(self, folder: Path, attributes: dict[str, Any]) -> None:
        import zarr
        from zarr.storage import MemoryStore

        self.folder = folder
        self.has_checksum = schema.has_checksums(attributes["bigearth"]["format_version"])
        self._documents: dict[str, Any] = {}
        self.root: zarr.Group = zarr.create_group(MemoryStore(self._documents), attributes=attributes)

    def write(self, key: str, data: bytes) -> None:
        """Write one file."""
        path = self.folder / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def finish(self) -> None:
        """Write the metadata, and gather them in the root."""
        documents = {key: document.to_bytes() for key, document in self._documents.items()}
        members = {key.removesuffix("/zarr.json"): json.loads(data) for key, data in documents.items()}
        root = members.pop(ROOT_KEY)
        for key, data in documents.items():
            self.write(key, data)
        self.write(ROOT_KEY, encode_root(_consolidated(root, members)))
        clear_root_cache()


_STATE_ATTRIBUTES = {
    "long_name": "whether the pixels of a patch are here",
    "flag_values": list(range(len(schema.STATES))),
    "flag_meanings": " ".join(schema.STATES),
}


def _root_attributes(
    rows: pa.Table, profile: ProfileName, arrays: Sequence[PixelArray], sensors: Sequence[str], version: int
) -> dict[str, Any]:
    release = table.release_of(rows)
    return {
        "Conventions": "CF-1.11",
        "title": releases.release(release).title,
        "license": releases.LICENSE,
        "bigearth": {
            "format": schema.FORMAT,
            "format_version": version,
            "uuid": store_uuid(rows, profile=profile, arrays=arrays, version=version),
            "release": release,
            "profile": profile,
            "sensors": list(sensors),
            "bands": [band for array in arrays for band in array.bands],
            "table_digest": table.digest(rows),
        },
    }


def _create_pixels(draft: _Draft, array: PixelArray, rows: int, profile: ProfileName) -> None:
    from zarr.codecs import BytesCodec

    draft.root.create_array(
        array.name,
        shape=(rows, *array.patch_shape),
        chunks=(1, *array.patch_shape),
        shards=(schema.SHARD_PATCHES, *array.patch_shape),
        dtype=array.dtype,
        serializer=BytesCodec(),
        compressors=PROFILES[profile].zarr_codecs(array),
        fill_value=array.fill_value,
        dimension_names=array.dims,
        attributes={"units": array.units},
    )


def _write_axes(draft: _Draft, arrays: Sequence[PixelArray]) -> None:
    """Band names, and pixel centres in metres east and north of the patch's upper left corner."""
    written: set[str] = set()
    for array in arrays:
        if array.bands:
            _write_whole(draft, array.dims[1], np.array(array.bands, dtype=object), [array.dims[1]])
        res_m = band_facts.PATCH_SIDE_M / array.size
        for dim, sign, axis in zip(array.dims[-2:], (-1, 1), ("projection_y", "projection_x"), strict=True):
            if dim not in written:
                centres_m = sign * (np.arange(array.size) + 0.5) * res_m
                attributes = {"units": "m", "long_name": f"{axis} offset from the upper left corner of the patch"}
                _write_whole(draft, dim, centres_m, [dim], attributes)
            written.add(dim)


def _write_column(draft: _Draft, column: Column, values: pa.Array) -> None:
    stored, attributes = _encode_column(column, values)
    _write_whole(draft, column.name, stored, ["patch"], {"long_name": column.long_name, **attributes})


def _write_labels(draft: _Draft, rows: pa.Table) -> None:
    nomenclatures: tuple[Nomenclature, ...] = (19, 43) if table.release_of(rows) == "v1" else (19,)
    for nomenclature in nomenclatures:
        lists = rows[f"labels_{nomenclature}"].combine_chunks()
        dim = f"label_{nomenclature}"
        _write_whole(draft, dim, np.array(label_names(nomenclature), dtype=object), [dim])
        _write_whole(draft, f"labels_{nomenclature}", table.multi_hot(lists, nomenclature), ["patch", dim])
    known = np.asarray(rows["labels_19"].combine_chunks().is_valid())
    _write_whole(draft, "has_labels", known, ["patch"], {"long_name": "whether the labels of a patch are known"})


def _write_whole(
    draft: _Draft,
    name: str,
    values: NDArray[Any],
    dims: list[str],
    attributes: dict[str, Any] | None = None,
) -> None:
    """Write a small array as one chunk, there also if it holds fill values alone: else its loss would pass for them."""
    draft.root.create_array(
        name,
        shape=values.shape,
        chunks=tuple(max(1, length) for length in values.shape),
        dtype="string" if values.dtype == object else values.dtype,
        compressors=small_codecs(has_checksum=draft.has_checksum),
        fill_value="" if values.dtype == object else (math.nan if values.dtype.kind == "f" else 0),
        dimension_names=dims,
        attributes=attributes or {},
    )
    if draft.has_checksum or not is_fill(values):
        draft.write(chunk_key(name, values.ndim), encode_chunk(values, has_checksum=draft.has_checksum))


_NO_TIME = -(2**63)
"""What a time that is unknown is stored as: the least of all, which NumPy reads as NaT."""


def _encode_column(column: Column, values: pa.Array) -> tuple[NDArray[Any], dict[str, Any]]:
    """Turn a table's column into the store's numbers, and the attributes that explain them."""
    if column.kind == "text":
        return values.fill_null("").to_numpy(zero_copy_only=False), {}
    if column.kind == "time":
        seconds = values.cast(pa.int64()).fill_null(_NO_TIME).to_numpy()
        fill = {"_FillValue": _NO_TIME} if values.null_count else {}
        return seconds, {"units": "seconds since 1970-01-01", "calendar": "proleptic_gregorian", **fill}
    if column.kind == "number":
        return values.to_numpy(), {} if column.units is None else {"units": column.units}
    meanings = ("no", "yes") if column.kind == "flag" else _meanings(column, values)
    if column.kind == "flag":
        codes = values.cast(pa.uint8())
    else:
        codes = pc.index_in(values, pa.array(meanings, pa.string())).cast(pa.uint8())
    if codes.null_count > values.null_count:
        stranger = next(text for text in pc.unique(values).to_pylist() if text and text not in meanings)
        raise MetadataError(f"unknown {column.name} {stranger!r}; expected one of {', '.join(meanings)}")
    flags = {"flag_values": list(range(len(meanings))), "flag_meanings": " ".join(meanings)}
    return codes.fill_null(schema.UNKNOWN).to_numpy(), flags


def _meanings(column: Column, values: pa.Array) -> tuple[str, ...]:
    """The texts that codes stand for: fixed by the releases, but for tiles, which each table has its own."""
    fixed = {"country": releases.COUNTRIES, "season": releases.SEASONS, "split": releases.SPLITS}
    return fixed.get(column.name) or tuple(sorted(text for text in pc.unique(values).to_pylist() if text))
