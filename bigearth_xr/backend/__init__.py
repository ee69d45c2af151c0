"""Stores as xarray Datasets: the engine, and `open`."""

from bigearth_xr.backend.engine import BigEarthBackend, open

__all__ = ["BigEarthBackend", "open"]
