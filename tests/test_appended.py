"""A store that other software wrote into, so that its root was lost, is told of and repaired from its table."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
import zarr
from holdings import copy_store, holdings
from openings import of_patches

import bigearth_xr as bex
from bigearth_xr.errors import FormatError
from bigearth_xr.verification import verify

Write = Callable[[Path], Any]


@pytest.fixture
def store(twelve: Path, tmp_path: Path) -> Path:
    return copy_store(twelve, tmp_path)


def cloud(**attributes: str) -> xr.Dataset:
    return xr.Dataset({"cloud": ("patch", np.arange(12.0))}, attrs=attributes)


def a_variable(path: Path) -> None:
    cloud().to_zarr(path, mode="a")


def unconsolidated(path: Path) -> None:
    cloud().to_zarr(path, mode="a", consolidated=False)


def of_a_dataset(path: Path) -> None:
    """With the attributes of a Dataset, in which the store is one text."""
    cloud(**bex.open(path).attrs).to_zarr(path, mode="a")


def with_columns(path: Path) -> None:
    """Columns and axes of the store are written over too, in other types and chunks."""
    numbers = bex.open(path)[["lon", "lat", "epsg", "s2_time", "y", "x"]].reset_coords()
    numbers.drop_vars([name for name in numbers.variables if numbers[name].dtype == object]).to_zarr(path, mode="a")


def cleared(path: Path) -> None:
    zarr.open_group(path, mode="a").attrs.put({})


WRITES: list[Write] = [a_variable, unconsolidated, of_a_dataset, with_columns, cleared]


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("write", WRITES, ids=lambda write: str(write.__name__))
def test_a_root_that_was_written_over_is_told_and_repaired(store: Path, write: Write) -> None:
    before = holdings(store)
    write(store)
    said = rf"its attributes were lost, as by to_zarr\(mode='a'\).*bigearth verify {store} --repair"
    with pytest.raises(FormatError, match=said):
        bex.open(store)
    report = verify(store)
    assert not report.sound
    assert any("zarr.json" in failure and failure.endswith("--repair") for failure in report.failures)
    mended = verify(store, repair=True)
    assert (mended.sound, mended.failures) == (True, ())
    ds = bex.open(store)
    assert (ds.ben.image(["B04", "VV"]).values == of_patches(ds.patch, ["B04", "VV"])).all()
    after = holdings(store)
    added = {name.split("/")[0] for name in after.keys() - before.keys()}
    assert added <= {"cloud", "listed", "row", "x", "y"}
    assert {name for name in before if after[name] != before[name]} <= ({"zarr.json"} if added else set())
    if "cloud" in added:
        assert xr.open_zarr(store, chunks=None).cloud.values.tolist() == [*range(12)]
