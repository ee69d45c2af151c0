"""The map knows land from sea."""

import pytest
import shapely

from bigearth_xr.report.map import coasts, project


@pytest.mark.parametrize(
    ("place", "lon", "lat", "on_land"),
    [
        ("Vienna", 16.37, 48.21, True),
        ("Madrid", -3.70, 40.42, True),
        ("Tampere", 23.76, 61.50, True),
        ("Athlone", -7.94, 53.42, True),
        ("Norwegian Sea", 2.0, 66.0, False),
        ("Bay of Biscay", -4.5, 45.5, False),
        ("Gulf of Bothnia", 19.5, 62.0, False),
        ("Tyrrhenian Sea", 12.0, 40.0, False),
    ],
)
def test_coasts_divide_land_from_sea(place: str, lon: float, lat: float, on_land: bool) -> None:
    point = shapely.Point(project(4326, lon, lat))
    assert sum(shapely.Polygon(ring).contains(point) for ring in coasts()) % 2 == on_land, place
