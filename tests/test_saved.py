"""A Dataset that was saved by xarray and opened again is selected from like the store itself."""

from pathlib import Path

import numpy as np
import pytest
import xarray as xr

import bigearth_xr as bex


@pytest.mark.filterwarnings("ignore:.*(dtype=object|Zarr V3).*")
def test_a_dataset_that_was_saved_and_opened_again_is_selected_from(twelve: Path, tmp_path: Path) -> None:
    ds = bex.open(twelve)
    ds.drop_encoding().to_zarr(tmp_path / "saved.zarr", zarr_format=3, consolidated=False)
    again = xr.open_zarr(tmp_path / "saved.zarr", chunks=None, consolidated=False)
    split = str(ds.split.values[0])
    chosen = again.ben.select(split=split, recommended="any")
    assert list(chosen.patch.values) == list(ds.patch.values[ds.split.values == split])
    np.testing.assert_array_equal(chosen.ben.image(["B04"])[:, 0], chosen.s2.sel(band="B04"))
