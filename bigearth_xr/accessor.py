"""``.ben`` on Datasets: names the operations, and holds none of their logic."""

import xarray as xr

__all__ = ["DatasetAccessor"]


@xr.register_dataset_accessor("ben")  # type: ignore[no-untyped-call]  # xarray has none
class DatasetAccessor:
    """Operations on a Dataset of patches."""

    def __init__(self, dataset: xr.Dataset) -> None:
        self._dataset = dataset
