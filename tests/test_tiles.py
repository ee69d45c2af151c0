"""The corner of a tile follows from its letters alone."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from bigearth_xr.errors import SelectionError
from bigearth_xr.grid import PATCHES_PER_SIDE, TILE_SIDE_M, tile_origin


def test_all_56_tiles_begin_where_the_products_do(shared: Path) -> None:
    origins = json.loads((shared / "data/s2_tile_origins.json").read_text())
    assert len(origins) == 56
    for tile, published in origins.items():
        ours = tile_origin(tile)
        assert (ours.epsg, ours.ulx, ours.uly) == tuple(published[key] for key in ("epsg", "ulx", "uly"))


@given(
    zone=st.integers(1, 60),
    latitude=st.floats(0.5, 83.5),
    off_meridian=st.floats(-2.9, 2.9),
)
def test_a_tile_holds_the_points_of_its_square(zone: int, latitude: float, off_meridian: float) -> None:
    project = Transformer.from_crs(4326, 32_600 + zone, always_xy=True)
    x, y = project.transform(zone * 6 - 183 + off_meridian, latitude)
    origin = tile_origin(_mgrs(zone, latitude, x, y))
    assert 0 <= x - origin.ulx <= TILE_SIDE_M
    assert 0 <= origin.uly - y <= TILE_SIDE_M


def _mgrs(zone: int, latitude: float, easting: float, northing: float) -> str:
    """Name a square by the construction rule of MGRS: letters count on without I and O."""
    letters = "ABCDEFGHJKLMNPQRSTUVWXYZ"
    column = letters[(zone - 1) % 3 * 8 + int(easting // 100_000) - 1]
    row = letters[(int(northing // 100_000) + (5 if zone % 2 == 0 else 0)) % 20]
    band = "NPQRSTUVWX"[min(int(latitude // 8), 9)]
    return f"{zone:02d}{band}{column}{row}"


@pytest.mark.parametrize("tile", ["T33UUP", "33UUI", "33CUP", "61UUP", "00UUP", "33UAP", ""])
def test_what_is_no_tile_is_refused(tile: str) -> None:
    with pytest.raises(SelectionError, match=f"'{tile}' is not a tile; expected an MGRS square"):
        tile_origin(tile)


def test_a_tile_holds_91_full_patches_a_side() -> None:
    assert PATCHES_PER_SIDE == 91
