"""Synthetic archives and stores with known pixels, for tests, trials and benchmarks."""

from bigearth_xr.testing.formula import formula_pixels, formula_reference_map
from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.pair import SyntheticPair, synthetic_pair
from bigearth_xr.testing.store import count_reads, write_store
from bigearth_xr.testing.writer import write_archive

__all__ = [
    "SyntheticPair",
    "count_reads",
    "encode_tiff",
    "formula_pixels",
    "formula_reference_map",
    "synthetic_pair",
    "write_archive",
    "write_store",
]
