"""Synthetic archives and stores with known pixels, for tests, trials and benchmarks."""

from bigearth_xr.testing.geotiff import encode_tiff
from bigearth_xr.testing.lists import ListedPair, listed_pairs
from bigearth_xr.testing.pair import SyntheticPair, formula_pixels, formula_reference_map, synthetic_pair
from bigearth_xr.testing.real import Variation, real_pixels, variation_of
from bigearth_xr.testing.writer import count_reads, write_archive, write_store

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
