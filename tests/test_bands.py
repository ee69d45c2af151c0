"""The bands are those of the archive, and a misspelt one is named."""

import json
import math
from pathlib import Path

import pytest
import rasterio

from bigearth_xr.bands import (
    BANDS,
    GROUPS,
    PATCH_SIDE_M,
    S1_BANDS,
    S2_BANDS,
    band,
    bands,
    group_of,
)
from bigearth_xr.errors import BandError


def test_bands_are_those_of_every_archive_in_order(shared: Path) -> None:
    order = json.loads((shared / "data/band_stats.json").read_text())["band_order"]
    assert [one.name for one in S2_BANDS] == order["s2_file"]
    assert [one.name for one in S1_BANDS] == order["reben_v0.2.0_S1"]


def test_sizes_and_types_are_those_of_real_files(shared: Path) -> None:
    seen = set()
    for path in sorted((shared / "data/v1").rglob("S1A*_33UUP_61_39_V?.tif")) + sorted(
        (shared / "data/v2/original").rglob("*_B??.tif")
    ):
        one = band(path.stem.rpartition("_")[2])
        with rasterio.open(path) as file:
            assert (file.shape, file.dtypes[0]) == ((one.size, one.size), one.dtype)
            assert file.transform.a == one.res_m
        seen.add(one.name)
    assert seen == {one.name for one in BANDS}


def test_every_band_is_in_exactly_one_group() -> None:
    assert sorted(one.name for group in GROUPS for one in group.bands) == sorted(one.name for one in BANDS)
    for one in BANDS:
        assert one in group_of(one.name).bands


def test_groups_are_the_pixel_arrays_of_the_store() -> None:
    described = {
        group.array: (
            group.dim,
            group.y,
            group.x,
            " ".join(one.name for one in group.bands),
        )
        for group in GROUPS
    }
    assert described == {
        "s2_10m": ("band_10m", "y_10m", "x_10m", "B02 B03 B04 B08"),
        "s2_20m": ("band_20m", "y_20m", "x_20m", "B05 B06 B07 B8A B11 B12"),
        "s2_60m": ("band_60m", "y_60m", "x_60m", "B01 B09"),
        "s1": ("polarization", "y_10m", "x_10m", "VV VH"),
    }


def test_bands_of_a_group_share_size_and_type() -> None:
    for group in GROUPS:
        assert {(one.size, one.dtype) for one in group.bands} == {(group.size, group.dtype)}


def test_pixels_fill_the_patch() -> None:
    assert all(one.size * one.res_m == PATCH_SIDE_M for one in BANDS)


def test_optical_bands_ascend_in_wavelength_and_radar_has_its_own() -> None:
    wavelengths = [one.wavelength_nm for one in S2_BANDS]
    assert wavelengths == sorted(wavelengths)
    assert all(one.wavelength_nm == pytest.approx(5.5e7, rel=0.01) for one in S1_BANDS)
    assert all(math.isnan(one.bandwidth_nm) and one.units == "dB" for one in S1_BANDS)


def test_common_names_are_those_of_stac(shared: Path) -> None:
    schema = (shared / "schemas/eo.json").read_text()
    assert all(f'"{one.common_name}"' in schema for one in S2_BANDS)


@pytest.mark.parametrize(
    ("asked", "meant"),
    [
        ("B8a", "B8A"),
        ("B2", "B02"),
        ("b11", "B11"),
        ("8A", "B8A"),
        ("vv", "VV"),
        ("red", "B04"),
    ],
)
def test_a_misspelt_band_is_named(asked: str, meant: str) -> None:
    with pytest.raises(BandError, match=f"no band '{asked}'.*did you mean '{meant}'"):
        band(asked)


def test_an_unknown_band_gets_the_list() -> None:
    with pytest.raises(BandError, match=r"no band 'thermal'; known are B01, .*VH$"):
        band("thermal")


def test_bands_keep_the_order_asked_for() -> None:
    assert [one.name for one in bands(["VV", "B04", "B8A"])] == ["VV", "B04", "B8A"]


def test_a_band_is_not_taken_twice() -> None:
    with pytest.raises(BandError, match="band B02 is asked for twice"):
        bands(["B02", "VV", "B02"])


def test_what_is_no_name_is_no_band() -> None:
    with pytest.raises(BandError, match=r"there is no band 4; known are .*did you mean 'B04'"):
        bands([4])  # type: ignore[list-item]  # the mistake
    with pytest.raises(BandError, match=r"expected several band names, got 4; write e.g. \['B04', 'VV'\]"):
        bands(4)  # type: ignore[arg-type]  # the mistake


def test_one_string_is_not_a_list_of_bands() -> None:
    with pytest.raises(BandError, match=r"write \['B02'\]"):
        bands("B02")
