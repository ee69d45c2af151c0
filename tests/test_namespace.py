"""Arrays tell their library, also from a class of ours derived from theirs."""

import dask.array as da
import numpy as np
import pytest

from bigearth_xr.ops.namespace import array_namespace


class OurArray(da.Array):
    """Stands for an array class of this package."""


def test_arrays_tell_their_library() -> None:
    assert array_namespace(np.zeros(2), np.float32(1)) is np
    assert array_namespace(da.zeros(2)) is da


def test_derived_classes_count_as_what_they_derive_from() -> None:
    lazy = da.zeros(2)
    # dask types none of its functions.
    ours = OurArray(lazy.dask, lazy.name, lazy.chunks, lazy.dtype)  # type: ignore[no-untyped-call]
    assert array_namespace(ours) is da


def test_mixed_kinds_are_refused() -> None:
    with pytest.raises(TypeError, match=r"arrays are of dask.array, numpy, expected one kind"):
        array_namespace(np.zeros(2), da.zeros(2))


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(TypeError, match=r"builtins.list is no array; expected one of cupy"):
        array_namespace([1, 2])
