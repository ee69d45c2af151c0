"""Say what a store holds, from its metadata and coordinates alone."""

import json
from collections import Counter

from bigearth_xr.store import schema
from bigearth_xr.store.create import read_marker
from bigearth_xr.store.location import Address, Location, StorageOptions
from bigearth_xr.store.open import Store, open_store
from bigearth_xr.store.read import read_column, read_meanings, read_state

__all__ = ["describe"]


def describe(address: Address, storage_options: StorageOptions | None = None) -> dict[str, str]:
    """Describe a store in a few named lines.

    Returns
    -------
    dict
        Text by name, in reading order.
    """
    store = open_store(address, storage_options)
    attributes = json.loads(store.location.read("zarr.json"))["attributes"]
    states = Counter(read_state(store).tolist())
    marker = read_marker(store.location)
    return {
        "store": f"{store.location} (format {store.format_version}, profile {store.profile})",
        **({} if marker is None else {"incomplete": f"{marker.reason}; call ingest again to continue"}),
        "release": f"{store.release}: {attributes['title']}, licence {attributes['license']}",
        "rows": f"{store.rows:,}: " + ", ".join(f"{states[i]:,} {name}" for i, name in _present(states)),
        "split": _counts(store, "split"),
        "country": _counts(store, "country"),
        "arrays": "; ".join(f"{array.name} {', '.join(array.bands) or array.dtype}" for array in store.arrays),
        "size": _size(store.location),
        "uuid": store.uuid,
    }


def _present(states: "Counter[int]") -> list[tuple[int, str]]:
    return [(i, name) for i, name in enumerate(schema.STATES) if states[i]]


def _counts(store: Store, column: str) -> str:
    meanings = read_meanings(store, column)
    found = Counter(read_column(store, column).tolist())
    texts = {code: "unknown" if code == schema.UNKNOWN else meanings[code] for code in found}
    return ", ".join(f"{texts[code]} {count:,}" for code, count in found.most_common())


def _size(location: Location) -> str:
    size, unit = location.used_bytes() / 1e3, "kB"
    for larger in ("MB", "GB"):
        if size >= 1e3:
            size, unit = size / 1e3, larger
    return f"{size:,.1f} {unit} {'in objects' if location.local is None else 'on disk'}"
