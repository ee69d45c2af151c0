"""Band statistics are the published ones, to the last digit of a float32."""

import json
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from bigearth_xr.bands import BANDS
from bigearth_xr.errors import BandError, SelectionError
from bigearth_xr.stats import StatsResampling, band_statistics

NAMES = [band.name for band in BANDS]
RESAMPLINGS: dict[str, StatsResampling] = {
    "nearest": "nearest",
    "bilinear": "bilinear_align_corners",
    "bicubic": "bicubic_align_corners",
}


@pytest.fixture(scope="module")
def published(shared: Path) -> dict[str, Any]:
    """Tables as transcribed from the publications."""
    tables: dict[str, Any] = json.loads((shared / "data/band_stats.json").read_text())
    return tables


@pytest.mark.parametrize("size", [60, 120, 128])
@pytest.mark.parametrize("method", RESAMPLINGS)
def test_v2_is_as_published(published: dict[str, Any], size: int, method: str) -> None:
    ours = band_statistics("v2", RESAMPLINGS[method], size)
    theirs = published["v2"]["interpolations"][f"{size}_{method}"]
    mean, std = ours.as_arrays(NAMES)
    np.testing.assert_array_equal(mean, np.array([theirs["mean"][name] for name in NAMES], np.float32))
    np.testing.assert_array_equal(std, np.array([theirs["std"][name] for name in NAMES], np.float32))


def test_v2_at_native_size_is_as_published(published: dict[str, Any]) -> None:
    ours = band_statistics("v2", "none")
    theirs = published["v2"]["interpolations"]["no_interpolation"]
    assert ours.size is None
    for name in NAMES:
        assert np.float32(ours.mean[name]) == np.float32(theirs["mean"][name])
        assert np.float32(ours.std[name]) == np.float32(theirs["std"][name])


def test_v1_is_as_published(published: dict[str, Any]) -> None:
    ours = band_statistics("v1", "none")
    theirs = published["v1"]
    for kind, values in (("mean", ours.mean), ("std", ours.std)):
        both = theirs["S2"][kind] | theirs["S1"][kind]
        assert values == {name: both[name] for name in NAMES}
    for name in ("VV", "VH"):
        assert ours.minimum[name] == theirs["S1_min"][name]
        assert ours.maximum[name] == theirs["S1_max"][name]


def test_repeating_pixels_keeps_the_statistics() -> None:
    for release in ("v1", "v2"):
        native, nearest = (
            band_statistics(release, "none"),
            band_statistics(release, "nearest"),
        )
        assert (native.mean, native.std) == (nearest.mean, nearest.std)


def test_arrays_follow_the_order_of_the_bands() -> None:
    mean, std = band_statistics("v2", "nearest").as_arrays(["VV", "B04"])
    assert mean.dtype == std.dtype == np.float32
    np.testing.assert_allclose(mean, [-12.643864, 588.4096])


def test_statistics_can_be_sent_to_a_worker() -> None:
    stats = band_statistics("v2", "nearest")
    assert pickle.loads(pickle.dumps(stats)) == stats


@pytest.mark.parametrize(
    ("release", "resampling", "size"),
    [
        ("v1", "bicubic_align_corners", 120),
        ("v1", "nearest", 60),
        ("v2", "bilinear", 120),
        ("v2", "nearest", 64),
        ("v3", "nearest", 120),
    ],
)
def test_what_was_not_published_is_refused(release: Any, resampling: Any, size: int) -> None:
    with pytest.raises(SelectionError, match=f"release '{release}'.*known are v1: none"):
        band_statistics(release, resampling, size)


def test_an_unknown_band_is_refused() -> None:
    with pytest.raises(BandError, match="no band 'B10'"):
        band_statistics("v2", "nearest").as_arrays(["B10"])
