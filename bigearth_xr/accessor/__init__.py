"""``.ben`` on Datasets and DataArrays: names the operations, and holds none of their logic."""

from bigearth_xr.accessor.dataarray import DataArrayAccessor
from bigearth_xr.accessor.dataset import DatasetAccessor

__all__ = ["DataArrayAccessor", "DatasetAccessor"]
