"""Sensors and bands that were not asked for are neither needed nor stored."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import bigearth_xr as bex
from bigearth_xr.bands import Sensor
from bigearth_xr.errors import ArchiveError, BandError
from bigearth_xr.store.open import open_store
from bigearth_xr.testing import formula_pixels


def arrays(store: Path) -> dict[str, tuple[str, ...]]:
    """Bands by array."""
    return {array.name: array.bands for array in open_store(store).arrays}


@pytest.mark.sampled(2)
@pytest.mark.parametrize(
    ("sensors", "bands", "expected"),
    [
        (("s1",), None, {"s1": ("VV", "VH")}),
        ("s1", None, {"s1": ("VV", "VH")}),
        (("s1", "s2"), ["VH"], {"s1": ("VH",)}),
        (("s1", "s2"), ["B8A", "B04", "VV", "B02"], {"s2_10m": ("B02", "B04"), "s2_20m": ("B8A",), "s1": ("VV",)}),
        (("s2",), ["B09"], {"s2_60m": ("B09",)}),
    ],
)
def test_arrays_of_what_was_not_asked_for_do_not_exist(
    archive: Path,
    tmp_path: Path,
    sensors: Sensor | tuple[Sensor, ...],
    bands: list[str] | None,
    expected: dict[str, Any],
) -> None:
    report = bex.ingest(archive, tmp_path / "ben.zarr", sensors=sensors, bands=bands)
    assert report.complete
    found = arrays(tmp_path / "ben.zarr")
    found.pop("reference_map", None)
    assert found == expected
    there = {path.parent.name for path in (tmp_path / "ben.zarr").glob("*/c")}
    assert {"s2_10m", "s2_20m", "s2_60m", "s1"} & there == expected.keys()
    ds = bex.open(tmp_path / "ben.zarr")
    patch = ds.patch.values[9]
    for band in [band for stored in expected.values() for band in stored]:
        size = bex.bands.band(band).size
        pixels = ds.s1.sel(polarization=band) if band in ("VV", "VH") else ds.s2.sel(band=band)
        assert np.array_equal(pixels[9].values[:: 120 // size, :: 120 // size], formula_pixels(patch, band))


@pytest.mark.parametrize(("sensor", "other"), [("s1", "S2*"), ("s2", "S1*")])
def test_one_sensor_needs_nothing_of_the_other(own_archive: Path, tmp_path: Path, sensor: Sensor, other: str) -> None:
    for folder in [
        path for path in own_archive.rglob(f"{other}_*_*") if path.is_dir() and any(path.glob("*_V[VH].tif"))
    ]:
        shutil.rmtree(folder)
    for file in own_archive.rglob("*_B*.tif") if sensor == "s1" else ():
        file.unlink()
    report = bex.ingest(own_archive, tmp_path / "ben.zarr", sensors=(sensor,))
    assert (report.stored, report.failures) == (24, ())


def test_a_band_that_the_archive_lacks_is_refused_before_anything_is_written(own_archive: Path, tmp_path: Path) -> None:
    for file in own_archive.rglob("*_B11.tif"):
        file.unlink()
    with pytest.raises(ArchiveError, match=r"no patch below .* has a file of B11; unpack them, or ask for those"):
        bex.ingest(own_archive, tmp_path / "ben.zarr")
    assert not (tmp_path / "ben.zarr").exists()


def test_a_band_of_a_sensor_not_asked_for_is_refused(archive: Path, tmp_path: Path) -> None:
    with pytest.raises(BandError, match=r"VV cannot be read with sensors=\['s2'\]; add its sensor or leave it out"):
        bex.ingest(archive, tmp_path / "ben.zarr", sensors=("s2",), bands=["B02", "VV"])


@pytest.mark.parametrize(
    ("choice", "message"),
    [
        ({"sensors": "s3"}, r"sensors is \['s3'\], expected 's1', 's2' or both"),
        ({"bands": "B04"}, r"expected several band names, got the one string 'B04'; write \['B04'\]"),
    ],
    ids=str,
)
def test_one_string_is_taken_as_one_name(archive: Path, tmp_path: Path, choice: dict[str, Any], message: str) -> None:
    with pytest.raises(BandError, match=message):
        bex.ingest(archive, tmp_path / "ben.zarr", **choice)
