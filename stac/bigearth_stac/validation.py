"""Check a catalogue against the schemas of STAC and its extensions, with pystac."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from os import PathLike
from os.path import expanduser
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from pystac import StacIO, STACValidationError
from pystac.validation import JsonSchemaSTACValidator, validate_dict

from bigearth_stac.items import COLLECTION_FILE, ITEMS_FILE, item_documents
from bigearth_xr.errors import MetadataError, SelectionError

__all__ = ["validate_catalog"]


@dataclass(frozen=True, slots=True, kw_only=True)
class Validation:
    """What was checked of a catalogue, and what was wrong."""

    items: int
    """How many items the catalogue has."""

    checked: int
    """How many of them were checked."""

    failures: tuple[str, ...]
    """What was wrong, a line each."""

    unchecked: tuple[str, ...]
    """Extensions of which no schema was at hand."""

    def summary(self) -> str:
        """Say in a line or two what was found."""
        count = len(self.failures)
        found = f"{count:,} failure{'s' * (count != 1)}" if count else "valid"
        text = f"collection and {self.checked:,} of {self.items:,} items: {found}"
        return f"{text}\nnot checked, no schema at hand: {', '.join(self.unchecked)}" if self.unchecked else text


def validate_catalog(
    catalog: str | PathLike[str],
    *,
    schemas: str | PathLike[str] | None = None,
    sample: int | None = 1000,
    seed: int = 0,
) -> Validation:
    """Check the collection and a random sample of the items against all schemas that they name.

    Parameters
    ----------
    catalog
        Folder of the catalogue.
    schemas
        Folder of JSON schemas of extensions, to be used instead of a network; by default they are downloaded, once.
    sample
        How many items to check; None for all.
    seed
        Another seed checks others.

    Returns
    -------
    Validation
        What was wrong, all of it.

    Raises
    ------
    SelectionError
        If there is no catalogue, or no schema in the folder given for them.
    MetadataError
        If a schema cannot be downloaded.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_stac import build_catalog
    >>> folder = getfixture("tmp_path")
    >>> catalog = build_catalog(bex.testing.write_store(folder / "ben.zarr", pairs=3), folder / "catalog").folder
    >>> (folder / "schemas").mkdir()
    >>> schema = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": "https://example.org/schema.json"}
    >>> _ = (folder / "schemas" / "example.json").write_text(json.dumps(schema))
    >>> report = validate_catalog(catalog, schemas=folder / "schemas")
    >>> report.checked, report.failures, len(report.unchecked)
    (3, (), 11)
    """
    folder = Path(expanduser(catalog))
    if not (folder / COLLECTION_FILE).is_file():
        raise SelectionError(f"{folder}: no {COLLECTION_FILE} here; give the folder that `bigearth-stac build` wrote")
    validator = _Validator(None if schemas is None else Path(expanduser(schemas)))
    with pq.ParquetFile(folder / ITEMS_FILE) as file:
        items = file.metadata.num_rows
        collection = json.loads((folder / COLLECTION_FILE).read_text(encoding="utf-8"))
        failures = [*validator.failures(collection), *_faults_of_ids(file.read(columns=["id"])["id"])]
        checked = 0
        for item in _sampled(file, items if sample is None else min(sample, items), seed):
            failures += validator.failures(item)
            checked += 1
    unchecked = tuple(sorted(address.split("/")[-3] for address in validator.unchecked))
    return Validation(items=items, checked=checked, failures=tuple(failures), unchecked=unchecked)


class _Validator(JsonSchemaSTACValidator):
    """pystac's validator, with schemas of extensions from a folder, and kept from one item to the next."""

    def __init__(self, schemas: Path | None) -> None:
        super().__init__()
        self._is_offline = schemas is not None
        self.unchecked: set[str] = set()
        if schemas is not None:
            self.schema_cache |= _read_schemas(schemas)

    @cached_property
    def registry(self) -> Any:
        """All schemas by address; pystac's own would be made anew for every item and extension."""
        return JsonSchemaSTACValidator.registry.fget(self)  # type: ignore[attr-defined]  # a property

    def validate_extension(
        self, stac_dict: dict[str, Any], stac_object_type: Any, stac_version: str, extension_id: str, *others: Any
    ) -> str | None:
        """Check one extension, or note that its schema is not at hand."""
        if extension_id not in self.schema_cache:
            if self._is_offline:
                self.unchecked.add(extension_id)
                return None
            self.schema_cache[extension_id] = _download_schema(extension_id)
        return super().validate_extension(stac_dict, stac_object_type, stac_version, extension_id, *others)

    def failures(self, document: dict[str, Any]) -> Iterator[str]:
        """Check one document; what is wrong is said in a line."""
        try:
            validate_dict(document, validator=self)
        except STACValidationError as error:
            yield f"{document['id']}: {' '.join(str(error).split())[:300]}"


def _download_schema(address: str) -> dict[str, Any]:
    """Fetch one schema; pystac would log a page of traceback where there is no network."""
    try:
        schema: dict[str, Any] = json.loads(StacIO.default().read_text(address))
    except Exception as error:  # whatever the transport raises
        raise MetadataError(
            f"{address}: cannot be downloaded; without a network, give a folder that holds the schemas: --schemas"
        ) from error
    return schema


def _read_schemas(folder: Path) -> Mapping[str, dict[str, Any]]:
    """The schemas of a folder by their address; none at all would find every catalogue valid."""
    documents = [json.loads(path.read_text(encoding="utf-8")) for path in sorted(folder.glob("*.json"))]
    schemas = {d["$id"].rstrip("#"): d for d in documents if "$id" in d and "$schema" in d}
    if not schemas:
        raise SelectionError(
            f"{folder}: no folder with schemas; expected *.json files that have $schema and $id, or leave --schemas "
            "out and they are downloaded"
        )
    return schemas


def _faults_of_ids(ids: pa.ChunkedArray) -> Iterator[str]:
    """An id names one item: what no schema can say."""
    repeated = ids.value_counts()
    for entry in repeated.filter(pa.compute.greater(repeated.field("counts"), 1)).to_pylist():
        yield f"{entry['values']}: the id of {entry['counts']} items"


def _sampled(file: pq.ParquetFile, count: int, seed: int) -> Iterator[dict[str, Any]]:
    """Draw items without reading more of the file than the row groups that hold them, one at a time."""
    rows = np.sort(np.random.default_rng(seed).choice(file.metadata.num_rows, count, replace=False))
    start = 0
    for group in range(file.num_row_groups):
        stop = start + file.metadata.row_group(group).num_rows
        here = rows[(rows >= start) & (rows < stop)] - start
        if here.size:
            yield from item_documents(file.read_row_group(group).take(pa.array(here)))
        start = stop
