"""Hypothesis strategies of names, pairs, bands and rows; the only module here that needs hypothesis."""

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS
from bigearth_xr.errors import DependencyError
from bigearth_xr.grid import PATCHES_PER_SIDE
from bigearth_xr.labels import CLASSES_43
from bigearth_xr.products import PRODUCTS
from bigearth_xr.releases import Release
from bigearth_xr.testing.pair import SyntheticPair

try:
    from hypothesis import strategies as st
    from hypothesis.strategies import SearchStrategy
except ImportError:
    raise DependencyError("bigearth_xr.testing.strategies needs hypothesis; run: pip install hypothesis") from None

__all__ = ["Rows", "band_names", "pairs", "patch_ids", "rows", "s1_names"]

Rows = int | slice | list[int] | NDArray[np.bool_]
"""What ``isel(patch=...)`` takes."""


def patch_ids(release: Release = "v2") -> SearchStrategy[str]:
    """Draw ids of patches: any place on any of the 125 products.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(patch_ids("v1"), lambda patch: patch.startswith("S2A"))
    'S2A_MSIL2A_20170613T101031_0_0'
    """
    return pairs(release).map(lambda pair: pair.patch)


def s1_names() -> SearchStrategy[str]:
    """Draw names of Sentinel-1 patches, the same in both releases.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(s1_names(), lambda name: name.startswith("S1A"))
    'S1A_IW_GRDH_1SDV_20170613T044300_33UUP_0_0'
    """
    return pairs().map(lambda pair: pair.s1_name)


def pairs(release: Release = "v2") -> SearchStrategy[SyntheticPair]:
    """Draw pairs of any place, product and labels; v1 has some whose labels the 19 classes drop.

    Examples
    --------
    >>> from hypothesis import find
    >>> pair = find(pairs("v1"), lambda pair: not pair.labels_19)
    >>> bool(pair.labels_43), pair.labels_19
    (True, ())
    """
    places = st.sets(st.integers(0, len(CLASSES_43) - 1), min_size=1, max_size=5).map(sorted)
    if release == "v2":
        places = places.filter(lambda found: any(CLASSES_43[at].group for at in found))
    return st.builds(
        SyntheticPair,
        index=st.integers(0, 10**6),
        release=st.just(release),
        product=st.sampled_from(PRODUCTS),
        column=st.integers(0, PATCHES_PER_SIDE - 1),
        row=st.integers(0, PATCHES_PER_SIDE - 1),
        labels_43=places.map(lambda found: tuple(CLASSES_43[at].name for at in found)),
    )


def band_names() -> SearchStrategy[list[str]]:
    """Draw one or more names of bands of both sensors, each once, in any order.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(band_names(), lambda names: len(names) == 2)
    ['B01', 'B02']
    """
    return st.lists(st.sampled_from([band.name for band in BANDS]), min_size=1, unique=True)


def rows(count: int) -> SearchStrategy[Rows]:
    """Draw what selects rows of a store: a row, a slice, a list with repeats and rows from the end, or a mask.

    Parameters
    ----------
    count
        Rows of the store.

    Examples
    --------
    >>> from hypothesis import find
    >>> find(rows(5), lambda rows: isinstance(rows, list) and len(rows) == 2)
    [0, 0]
    """
    row = st.integers(-count, count - 1)
    mask = st.lists(st.booleans(), min_size=count, max_size=count).map(lambda kept: np.array(kept, np.bool_))
    return st.one_of(row, st.slices(count), st.lists(row), mask)
