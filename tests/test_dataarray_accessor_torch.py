"""``.ben.to_torch`` of arrays as the accessor makes them."""

import numpy as np
import pytest
import torch
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.errors import TensorError


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> xr.DataArray:
    store = bex.testing.write_store(tmp_path_factory.mktemp("store") / "ben.zarr", pairs=3)
    opened: xr.DataArray = bex.open(store).ben.image(["B04", "B8A", "VV"])
    return opened


def test_normalised_and_augmented_arrays_share_their_memory(image: xr.DataArray) -> None:
    array = image.ben.normalize().ben.augment(seed=0).compute()
    tensor = array.ben.to_torch()
    assert tensor.is_contiguous()
    tensor[0, 0, 0, 0] = 42
    assert array.values[0, 0, 0, 0] == 42


def test_dask_arrays_have_to_be_computed(image: xr.DataArray) -> None:
    with pytest.raises(TensorError, match="compute"):
        image.ben.to_torch()


def test_symmetries_are_those_of_torch(image: xr.DataArray) -> None:
    augmented, drawn = image.ben.augment(seed=0, return_parameters=True)
    for patch, code in enumerate(drawn.d4):
        turned = torch.rot90(torch.from_numpy(image.values[patch]), int(code) % 4, dims=(-2, -1))
        expected = turned.flip(-1) if code >= 4 else turned
        np.testing.assert_array_equal(augmented.values[patch], expected)
