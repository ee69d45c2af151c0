"""A subset that xarray saved and opened again is prepared by workers in other processes as by this one."""

from collections.abc import Iterator
from pathlib import Path

import dask
import numpy as np
import pytest
import xarray as xr
from distributed import Client, LocalCluster
from openings import ORDER, of_patches
from resavings import SAVINGS

import bigearth_xr as bex

ROWS = list(dict.fromkeys(ORDER))
BANDS_ASKED = ["B04", "VV", "B8A", "B01"]


@pytest.fixture(scope="module")
def cluster() -> Iterator[Client]:
    """Two workers in processes of their own."""
    with (
        # A busy machine takes more than the usual 30 s to start a worker.
        dask.config.set({"distributed.comm.timeouts.connect": "120s", "distributed.comm.timeouts.tcp": "120s"}),
        LocalCluster(n_workers=2, processes=True, dashboard_address=":0") as cluster,  # type: ignore[no-untyped-call]
        Client(cluster, set_as_default=False) as client,  # type: ignore[no-untyped-call]  # distributed has no types
    ):
        yield client


@pytest.fixture(params=["zarr 2", "zarr 3", "zip", "netcdf, chunks", "netcdf, not decoded"])
def again(request: pytest.FixtureRequest, twelve: Path, tmp_path: Path) -> xr.Dataset:
    """Some patches of a store, in no order, saved and opened again."""
    opened: xr.Dataset = SAVINGS[request.param](bex.open(twelve).isel(patch=ROWS), tmp_path)
    return opened.chunk(patch=2)


def test_workers_compute_its_pixels(again: xr.Dataset, cluster: Client) -> None:
    image = again.ben.image(BANDS_ASKED)
    np.testing.assert_array_equal(image.compute(scheduler=cluster), of_patches(image.patch, BANDS_ASKED))


def test_workers_prepare_it(again: xr.Dataset, cluster: Client) -> None:
    prepared = again.ben.image(BANDS_ASKED).ben.normalize().ben.augment(seed=5, gain=(0.9, 1.1))
    xr.testing.assert_identical(prepared.compute(scheduler=cluster), prepared.compute(scheduler="synchronous"))


def test_it_travels_to_a_worker(again: xr.Dataset, cluster: Client) -> None:
    country = str(again.ben.select(recommended="any").country.values[0])
    expected = again.ben.select(country=country, recommended="any").patch.values.tolist()

    def select(ds: xr.Dataset) -> list[str]:
        return [str(name) for name in ds.ben.select(country=country, recommended="any").patch.values]

    assert cluster.submit(select, again, pure=False).result() == expected
