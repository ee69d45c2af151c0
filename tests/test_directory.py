"""A directory met before gives the pixels that parsing gives, or none: whatever happens to a file."""

from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from layouts import LAYOUTS

from bigearth_xr.archive import tiff
from bigearth_xr.archive.tiff import decode_band, decode_tiff
from bigearth_xr.archive.tiff_headers import CORNER
from bigearth_xr.bands import band
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import encode_tiff

PLACE: dict[str, Any] = {"epsg": 32633, "ulx": 331200, "uly": 5331600}
CHOSEN = (
    "strips, directory at the end",
    "tiles of 16 × 32, LZW, predictor 2 or 3",
    "tiles of 64, DEFLATE, predictor 2",
    "tiles of 64, places in the middle",
    "tiles of 112, big-endian, stored",
    "tiles of 256, big-endian, BigTIFF, DEFLATE, predictor 2",
    "COG, overviews",
    "tiles and a mask",
)
FILES = {
    layout: [
        LAYOUTS[layout](encode_tiff(np.random.default_rng(seed).integers(0, 400, (60, 60)).astype("uint16"), **PLACE))
        for seed in (0, 1)
    ]
    for layout in CHOSEN
}


pytestmark = pytest.mark.usefixtures("no_header_met")


def read(data: bytes) -> np.ndarray | None:
    try:
        return decode_band(data, band=band("B05"), **PLACE, where=lambda: "patch")
    except PatchError:
        return None


damages = st.lists(
    st.tuples(
        st.sampled_from(["set", "set", "set", "set", "cut", "add"]),
        st.one_of(st.integers(0, 700), st.integers(0, 20_000), st.integers(-300, -1)),
        st.integers(0, 255),
    ),
    min_size=1,
    max_size=4,
)
"""A few things that happen to a file: a byte changes, most of them in a header; an end is lost or added."""


def damaged(data: bytes, damage: list[tuple[str, int, int]]) -> bytes:
    copy = bytearray(data)
    for kind, place, value in damage:
        if kind == "set" and copy:
            copy[place % len(copy)] = value
        elif kind == "cut":
            del copy[place % (len(copy) + 1) :]
        elif kind == "add":
            copy += bytes([value]) * (place % 600)
    return bytes(copy)


@pytest.mark.parametrize("layout", CHOSEN)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages)
@example(damage=[("cut", -1, 0)])
@example(damage=[("add", 1, 0)])
def test_a_damaged_file_gives_what_a_first_look_gives(layout: str, damage: list[tuple[str, int, int]]) -> None:
    first, second = FILES[layout]
    tiff._met.clear()
    tiff._right.clear()
    assert read(first) is not None
    data = damaged(second, damage)
    header = tiff._right["B05", 32633]
    fast = header.pixels(data, CORNER.pack(PLACE["ulx"], PLACE["uly"]))
    met = read(data)
    tiff._met.clear()
    tiff._right.clear()
    slow = read(data)
    assert (met is None) == (slow is None)
    for found in (fast, met):
        if found is not None:
            assert slow is not None
            assert np.array_equal(found, slow)


def test_all_places_of_one_layout_are_read_by_one_directory() -> None:
    layout = LAYOUTS["COG, overviews"]
    pixels = np.arange(3600, dtype="uint16").reshape(60, 60)
    for ulx in range(331200, 331200 + 5 * 1200, 1200):
        raster = decode_tiff(layout(encode_tiff(pixels % (ulx // 1200), epsg=32633, ulx=ulx, uly=5331600)), where="B05")
        assert (raster.ulx, raster.uly, raster.epsg, raster.res_m) == (ulx, 5331600, 32633, 20)
        assert np.array_equal(raster.pixels, pixels % (ulx // 1200))
    assert len(tiff._met) == 1
