"""Bring a store up: to a table that says more of its patches, or to the format that is written now."""

import json
from collections.abc import Container, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa

from bigearth_xr.store import schema
from bigearth_xr.store.create import scratch_folder_of, write_states, write_table
from bigearth_xr.store.embeddings import (
    create_embedding,
    embedding_names,
    open_embedding,
    read_computed,
    remove_embedding,
    write_computed,
)
from bigearth_xr.store.layout import consolidate, lay_out
from bigearth_xr.store.metadata import ROOT_KEY, forget_roots, read_root
from bigearth_xr.store.place import LocalPlace, Place
from bigearth_xr.store.read import Store, open_store, read_column, read_state

__all__ = ["update_store"]


def update_store(store: Store, rows: pa.Table, *, sensors: Sequence[str]) -> None:
    """Bring a store up to a table that says as much or more of the same patches, in the format that is written now.

    Pixels and states stay as they are; so do embeddings.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> path = bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=2)
    >>> rows = bex.table.read(path.with_suffix(".parquet"))
    >>> names = pa.array(["Kosovo", "Kosovo"])
    >>> update_store(open_store(path), rows.set_column(17, rows.field("country"), names), sensors=["s1", "s2"])
    >>> bex.open(path).country.values.tolist()
    ['Kosovo', 'Kosovo']
    """
    with scratch_folder_of(store.place) as new:
        lay_out(new, rows, store.profile, store.arrays, sensors)
        columns = {path.name for path in new.iterdir() if path.is_dir()}
        _adopt_metadata(store.place, new, but=columns)
        kept = {array.name for array in store.arrays}
        if store.format_version == schema.FORMAT_VERSION:
            kept |= {"patch", "state", "has_reference_map"}
        else:
            _carry_over(store, open_store(new))
            for name in embedding_names(store):
                _adopt_files(store.place, f"{schema.EMBEDDINGS}/{name}", new)
        for name in columns - kept:
            _replace(store.place, name, new)
        write_table(store.place, rows)
        # Last, as it bears the identity: an update that is killed before is done again.
        store.place.adopt(ROOT_KEY, new / ROOT_KEY)
        forget_roots()


def _replace(store: Place, name: str, new: Path) -> None:
    """Replace a column file by file, so that there is one at every moment; what has no successor goes last."""
    fresh = _adopt_files(store, name, new)
    for key in {*store.keys(name)} - fresh:
        store.delete(key)


def _adopt_files(store: Place, name: str, new: Path) -> set[str]:
    """Take over what lies below a key."""
    fresh = {file.relative_to(new).as_posix(): file for file in (new / name).rglob("*") if file.is_file()}
    for key, file in sorted(fresh.items()):
        store.adopt(key, file)
    return set(fresh)


def _adopt_metadata(store: Place, new: Path, *, but: Container[str]) -> None:
    """Take over what was added to a store since it was laid out, such as embeddings, into consolidated metadata."""
    told = read_root(store).members
    for added in store.children():
        for key in () if added in but else store.keys(added):
            if key.endswith("/zarr.json"):
                name = key.removesuffix("/zarr.json")
                # Of what is the format's the root is right: it has a digest.
                data = json.dumps(told[name]).encode() if schema.is_own(name) and name in told else store.read(key)
                (new / key).parent.mkdir(parents=True, exist_ok=True)
                (new / key).write_bytes(data)
    consolidate(LocalPlace(new))


def _carry_over(store: Store, fresh: Store) -> None:
    """Write anew, with checksums, what a layout cannot know: the record, and which vectors are computed."""
    has_maps = "has_reference_map" in store.columns
    mapped = read_column(store, "has_reference_map") if has_maps else np.zeros(store.rows, bool)
    write_states(fresh, read_state(store), mapped)
    for name in embedding_names(store):
        embedding = open_embedding(store, name)
        # The same pixels under another identity.
        renamed = {"uuid": fresh.uuid} if embedding.provenance.get("uuid") == store.uuid else {}
        remove_embedding(fresh, name)
        made = {**embedding.provenance, **renamed}
        write_computed(
            create_embedding(fresh, name, features=embedding.features, provenance=made), read_computed(embedding)
        )
