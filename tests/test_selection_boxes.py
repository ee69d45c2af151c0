"""Selection by place against shapely on the footprints of the table."""

from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import shapely
import xarray as xr
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from bigearth_xr.criteria import Bbox
from bigearth_xr.errors import SelectionError

# The profile matters to what reads, and there both are tested.
pytestmark = pytest.mark.parametrize("store", ["fast"], indirect=True)

# Datasets are never changed by a selection, so examples may share one.
shares_its_dataset = settings(suppress_health_check=[HealthCheck.function_scoped_fixture])


def met_by(box: Any, table: pa.Table) -> list[str]:
    """Ids of the patches whose footprint in the table intersects a shape, as shapely has it."""
    meets = shapely.intersects(shapely.from_wkb(table["geometry"].to_pylist()), box)
    return np.array(table["patch"].to_pylist(), dtype=object)[meets].tolist()  # type: ignore[no-any-return]  # strings


def selected(ds: xr.Dataset, bbox: Bbox) -> list[str]:
    """Ids of the patches selected, of which there may be none."""
    try:
        return ds.ben.select(bbox=bbox).patch.values.tolist()  # type: ignore[no-any-return]  # strings
    except SelectionError:
        return []


@given(data=st.data())
@shares_its_dataset
def test_boxes_keep_the_footprints_that_they_intersect(ds: xr.Dataset, table: pa.Table, data: st.DataObject) -> None:
    place = data.draw(st.integers(0, 23))
    offset, size = st.floats(-0.03, 0.03), st.floats(1e-6, 0.05)
    west = float(ds.lon[place]) + data.draw(offset)
    south = float(ds.lat[place]) + data.draw(offset)
    box = (west, south, west + data.draw(size), south + data.draw(size))
    assert selected(ds, box) == met_by(shapely.box(*box), table)


def test_a_box_that_touches_a_corner_intersects(ds: xr.Dataset, table: pa.Table) -> None:
    for wkb, patch in zip(table["geometry"].to_pylist(), table["patch"].to_pylist(), strict=True):
        corners = shapely.get_coordinates(shapely.from_wkb(wkb))
        east = corners[corners[:, 0].argmax()]
        north = corners[corners[:, 1].argmax()]
        assert patch in selected(ds, (east[0], east[1] - 0.001, east[0] + 0.001, east[1] + 0.001))
        assert patch in selected(ds, (north[0] - 0.001, north[1], north[0] + 0.001, north[1] + 0.001))
        beyond = np.nextafter(east[0], 180)
        assert patch not in selected(ds, (beyond, east[1] - 0.001, beyond + 0.001, east[1] + 0.001))


def test_a_box_may_be_a_point(ds: xr.Dataset, table: pa.Table) -> None:
    lon, lat = float(ds.lon[7]), float(ds.lat[7])
    assert selected(ds, (lon, lat, lon, lat)) == met_by(shapely.Point(lon, lat), table)


@pytest.mark.parametrize("bbox", [(10.0, -90.0, -7.0, 90.0), (20.0, 55.0, 10.0, 70.0), (170.0, 40.0, -170.0, 70.0)])
def test_a_box_may_cross_the_antimeridian(ds: xr.Dataset, table: pa.Table, bbox: Bbox) -> None:
    west, south, east, north = bbox
    both = shapely.union(shapely.box(west, south, 180, north), shapely.box(-180, south, east, north))
    assert selected(ds, bbox) == met_by(both, table)


def test_the_world_keeps_everything(ds: xr.Dataset) -> None:
    assert ds.ben.select(bbox=(-180, -90, 180, 90)).sizes["patch"] == 24


BEYOND = [(331200, 5331600, 332400, 5332800), (350, 40, 352, 50), (0, -91, 1, 0), (-180.1, 0, 0, 1)]


@pytest.mark.parametrize("bbox", BEYOND)
def test_a_box_beyond_the_globe_is_refused(ds: xr.Dataset, bbox: Bbox) -> None:
    with pytest.raises(SelectionError, match=r"longitudes from -180 to 180 .* bring metres of a projection"):
        ds.ben.select(bbox=bbox)


NONE = [(0, 50, 10, 40), (0, 40, float("nan"), 50), (0, 40, 10**400, 50), (0, 40, 0, 10, 50, 100), (0, 40, None, 50)]


@pytest.mark.parametrize("bbox", NONE, ids=lambda box: str(box)[:40])
def test_a_box_that_is_none_is_refused(ds: xr.Dataset, bbox: Bbox) -> None:
    with pytest.raises(SelectionError, match=r"bbox is .* expected \(west, south, east, north\)"):
        ds.ben.select(bbox=bbox)
