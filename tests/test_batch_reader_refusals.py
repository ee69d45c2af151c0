"""What a reader of batches refuses, with the reason: memory, rows and options that cannot be."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from reading import fast_only

import bigearth_xr as bex
from bigearth_xr.errors import BandError, BatchError
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import Store, open_store

pytest_plugins = ["opened_stores"]


def read_only(array: NDArray[Any]) -> NDArray[Any]:
    array.flags.writeable = False
    return array


@fast_only
@pytest.mark.parametrize(
    ("out", "message"),
    [
        ([1], r"out is a list, expected a dict of arrays by name; make it by reader\.buffers"),
        ({}, "out has arrays none, expected s1; make it by reader.buffers"),
        ({"s1": None, "s2": None}, "out has arrays s1, s2, expected s1"),
        ({"s1": [1.0]}, r"out\['s1'\] is a list, expected a NumPy array; a tensor on the host lends its own"),
        ({"s1": np.empty((1, 2, 120, 120))}, r"out\['s1'\] is float64, expected float32; make it by"),
        ({"s1": np.empty((1, 2, 120, 120), ">f4")}, r"out\['s1'\] is >f4, expected float32"),
        ({"s1": np.empty((2, 2, 120, 120), "f4")}, r"has shape \(2, 2, 120, 120\), expected \(1, 2, 120, 120\); make"),
        ({"s1": np.empty((1, 120, 120, 2), "f4").transpose(0, 3, 1, 2)}, r"does not lie in one piece \(C order\)"),
        ({"s1": np.empty((1, 2, 120, 240), "f4")[..., ::2]}, "does not lie in one piece"),
        ({"s1": read_only(np.empty((1, 2, 120, 120), "f4"))}, r"out\['s1'\] is read-only; make it by"),
    ],
)
def test_memory_that_does_not_fit_is_refused(opened: Store, out: Any, message: str) -> None:
    with pytest.raises(BatchError, match=message):
        BatchReader(opened, ["VV"]).read([3], out)


@fast_only
@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([24], "row 24 is not in the store, which has rows 0 to 23; take them from ds.row.values"),
        ([3, -1], "row -1 is not in the store"),
        ([2**40], "row 1099511627776 is not in"),
        ([0.5], r"rows are float64 of shape \(1,\), expected integers of shape \(patch,\)"),
        ([[1]], r"of shape \(1, 1\), expected integers"),
        (3, r"of shape \(\), expected integers"),
        (np.ones(24, bool), r"given as a mask, expected their numbers; use np\.flatnonzero"),
    ],
)
def test_what_is_no_row_is_refused(opened: Store, rows: Any, message: str) -> None:
    reader = BatchReader(opened, ["VV"])
    for ask in (reader.read, reader.locate, reader.prefetch):
        with pytest.raises(BatchError, match=message):
            ask(rows)


@fast_only
@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"bands": ["B10"]}, BandError, "no band 'B10'"),
        ({"bands": "B02"}, BandError, r"one string 'B02'; write \['B02'\]"),
        ({"bands": []}, BandError, "no band asked for; give at least one"),
        ({"checks": "sometimes"}, BatchError, "unknown checks 'sometimes'; expected one of always, first, never"),
        *(
            ({"threads": wrong}, BatchError, f"threads={wrong!r}, expected an integer of at least 1")
            for wrong in (0, "x", 1.5, True)
        ),
    ],
)
def test_options_that_cannot_be_are_refused(opened: Store, options: Any, error: Any, message: str) -> None:
    with pytest.raises(error, match=message):
        BatchReader(opened, **options)


def test_what_a_store_lacks_is_refused(tmp_path: Path) -> None:
    archive = bex.testing.write_archive(tmp_path / "v1", pairs=2, version="v1")
    bex.ingest(archive, tmp_path / "ben.zarr", bands=["B02", "VV"])
    store = open_store(tmp_path / "ben.zarr")
    with pytest.raises(BandError, match=r"B8A, VH not in .*ben\.zarr, which holds B02, VV; ask for these, or ingest"):
        BatchReader(store, ["B8A", "VV", "VH"])
    with pytest.raises(BatchError, match=r"has no reference maps, which come with v2 alone; leave reference_map out"):
        BatchReader(store, reference_map=True)
