"""BigEarthNet-MM as an array database: one Zarr store, opened lazily by xarray.

``ingest`` turns an archive into a store, ``open`` opens the store as a Dataset, whose
operations are under ``.ben``. Each name is loaded when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from bigearth_xr import accessor as _accessor  # noqa: F401  registers `.ben`
from bigearth_xr import former as _former  # noqa: F401  lets old pickles load

if TYPE_CHECKING:
    from bigearth_xr import bands, labels, retrieval, table, testing, torch
    from bigearth_xr.backend import open
    from bigearth_xr.embedding import embed
    from bigearth_xr.ingestion import ingest
    from bigearth_xr.verification import verify

__all__ = ["bands", "embed", "ingest", "labels", "open", "retrieval", "table", "testing", "torch", "verify"]

_HOME = {
    "embed": "bigearth_xr.embedding",
    "ingest": "bigearth_xr.ingestion",
    "open": "bigearth_xr.backend",
    "verify": "bigearth_xr.verification",
}

if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name in _HOME:
            return getattr(import_module(_HOME[name]), name)
        if name in __all__:
            return import_module(f"bigearth_xr.{name}")
        raise AttributeError(f"module 'bigearth_xr' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return __all__
