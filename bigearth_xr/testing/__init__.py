"""Synthetic archives and stores with known pixels, for tests, trials and benchmarks."""

from bigearth_xr.testing.formula import formula_pixels, formula_reference_map
from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.listed import ListedPair, listed_pairs
from bigearth_xr.testing.pair import SyntheticPair, synthetic_pair
from bigearth_xr.testing.real import Variation, real_pixels, variation_of
from bigearth_xr.testing.store import count_reads, write_store
from bigearth_xr.testing.writer import write_archive

__all__ = [
    "ListedPair",
    "SyntheticPair",
    "Variation",
    "count_reads",
    "encode_tiff",
    "formula_pixels",
    "formula_reference_map",
    "listed_pairs",
    "real_pixels",
    "synthetic_pair",
    "variation_of",
    "write_archive",
    "write_store",
]
