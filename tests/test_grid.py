"""A patch lies where the real files say, and is found where it lies."""

import json
import re
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import rasterio
import shapely
from hypothesis import given
from hypothesis import strategies as st
from pyproj import Transformer

from bigearth_xr.criteria import checked_bbox, footprints_intersect
from bigearth_xr.errors import SelectionError
from bigearth_xr.grid import (
    PATCHES_PER_SIDE,
    TileOrigin,
    centres_lonlat,
    corners_lonlat,
    morton,
    patch_corner,
    split_by_position,
    tile_origin,
)

PLACES = np.indices((PATCHES_PER_SIDE, PATCHES_PER_SIDE)).reshape(2, -1)


def test_corners_are_those_of_the_real_patches(shared: Path) -> None:
    names, published = [], []
    for path in sorted((shared / "data/v1").rglob("S1*_labels_metadata.json")):
        if "malformed" in path.parts:
            continue
        corner = json.loads(path.read_text())["coordinates"]
        names.append(path.stem.removesuffix("_labels_metadata").split("_")[-3:])
        published.append((corner["ulx"], corner["uly"]))
    tile, column, row = np.array(names).T
    _, ulx, uly = patch_corner(tile, column.astype(int), row.astype(int))
    assert len(names) >= 16
    np.testing.assert_array_equal(np.stack([ulx, uly], axis=1), published)


def test_corners_are_those_of_real_v2_files(shared: Path) -> None:
    paths = sorted((shared / "data/v2/original").rglob("*_B02.tif"))
    assert paths
    for path in paths:
        found = re.search(r"_T(\w{5})_(\d\d)_(\d\d)_B02$", path.stem)
        assert found is not None
        epsg, ulx, uly = patch_corner(found[1], int(found[2]), int(found[3]))
        with rasterio.open(path) as file:
            assert file.crs.to_epsg() == epsg
            assert (file.transform.c, file.transform.f) == (ulx, uly)


def test_positions_are_broadcast() -> None:
    epsg, ulx, uly = patch_corner("33UUP", np.arange(3), np.arange(2)[:, None])
    assert epsg.shape == ulx.shape == uly.shape == (2, 3)
    assert tile_origin("33UUP") == TileOrigin(
        tile="33UUP", epsg=int(epsg[0, 0]), ulx=int(ulx[0, 0]), uly=int(uly[0, 0])
    )


def test_no_patches_have_no_corners() -> None:
    epsg, ulx, uly = patch_corner([], [], [])
    assert epsg.shape == ulx.shape == uly.shape == (0,)
    assert corners_lonlat(epsg, ulx, uly).shape == (0, 5, 2)


def test_a_position_outside_of_the_tile_is_refused() -> None:
    with pytest.raises(SelectionError, match="column 91 lies outside of the tile"):
        patch_corner("33UUP", [0, 91], [0, 0])
    with pytest.raises(SelectionError, match="row -1 lies outside of the tile; expected 0 to 90"):
        morton(0, -1)


def test_footprints_are_closed_counter_clockwise_rings() -> None:
    rings = corners_lonlat(*patch_corner(["29SNB", "33UUP", "36VVR"], [0, 45, 90], [90, 45, 0]))
    for ring in shapely.polygons(rings):
        assert ring.is_valid
        assert ring.exterior.is_ccw
    np.testing.assert_array_equal(rings[:, 0], rings[:, -1])


def test_projection_mixes_zones_patch_by_patch() -> None:
    epsg, ulx, uly = patch_corner(["33UUP", "29SNB", "33UUP"], [1, 2, 3], [4, 5, 6])
    lon, lat = centres_lonlat(epsg, ulx, uly)
    rings = corners_lonlat(epsg, ulx, uly)
    for k in range(3):
        project = Transformer.from_crs(int(epsg[k]), 4326, always_xy=True)
        assert (lon[k], lat[k]) == project.transform(ulx[k] + 600, uly[k] - 600)
        assert tuple(rings[k, 0]) == project.transform(ulx[k], uly[k] - 1200)
        assert shapely.polygons(rings[k]).contains(shapely.Point(lon[k], lat[k]))


@given(
    west=st.floats(12, 13),
    south=st.floats(48, 48.8),
    width=st.floats(0, 0.05),
    height=st.floats(0, 0.05),
)
def test_boxes_meet_the_footprints_that_shapely_says(west: float, south: float, width: float, height: float) -> None:
    rings = corners_lonlat(*patch_corner("33UUP", *np.indices((60, 60)).reshape(2, -1)))
    box = (west, south, west + width, south + height)
    expected = shapely.intersects(shapely.polygons(rings), shapely.box(*box))
    np.testing.assert_array_equal(footprints_intersect(rings, box), expected)


def test_touching_counts() -> None:
    ring = np.array([[[0, 0], [2, 1], [1, 3], [-1, 2], [0, 0]]], dtype=float)
    assert footprints_intersect(ring, (2, 1, 3, 3)).all()
    assert footprints_intersect(ring, (1, 3, 1, 4)).all()
    assert footprints_intersect(ring, (1, -1, 2, 0.5)).all()
    # In the corner of the bounding box, but beyond the slanting edge.
    assert not footprints_intersect(ring, (1.5, 2.5, 2, 3)).any()


def test_a_box_may_cross_the_antimeridian() -> None:
    ring = np.array([[[178, 0], [179, 0], [179, 1], [178, 1], [178, 0]]], dtype=float)
    rings = np.concatenate([ring, ring - (357, 0), ring - (100, 0)])
    assert footprints_intersect(rings, (178.5, 0, -178.5, 1)).tolist() == [
        True,
        True,
        False,
    ]


@pytest.mark.parametrize("bbox", [(0, 2, 1, 1), (0, 0, float("nan"), 1), (0, 0, 1), "0011", ("0", 0, 1, 1), 5])
def test_a_box_that_holds_nothing_by_mistake_is_refused(
    bbox: object,
) -> None:
    with pytest.raises(SelectionError, match=r"bbox is .*expected \(west, south, east, north\)"):
        footprints_intersect(np.zeros((1, 5, 2)), bbox)  # type: ignore[arg-type]  # the mistake


def test_a_box_is_any_four_numbers() -> None:
    box = (23.5, 61, 24, 62)
    assert checked_bbox(box) == checked_bbox(list(box)) == checked_bbox(np.array(box)) == checked_bbox(iter(box)) == box


def test_the_split_rule_reproduces_every_published_split(shared: Path) -> None:
    for name in ("metadata", "metadata_for_patches_with_snow_cloud_or_shadow"):
        rows = pq.read_table(shared / f"data/v2/{name}.parquet", columns=["patch_id", "split"])
        places = np.array([patch.split("_")[-2:] for patch in rows["patch_id"].to_pylist()], int)
        np.testing.assert_array_equal(split_by_position(places[:, 0], places[:, 1]), rows["split"].to_numpy())


def test_morton_interleaves_bits() -> None:
    columns, rows = PLACES
    expected = [
        int(
            "".join(r + c for c, r in zip(f"{column:08b}", f"{row:08b}", strict=True)),
            2,
        )
        for column, row in zip(columns, rows, strict=True)
    ]
    codes = morton(columns, rows)
    np.testing.assert_array_equal(codes, expected)
    assert np.unique(codes).size == codes.size
