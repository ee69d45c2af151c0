"""Batches of several stores, each with what is known of its own release."""

from pathlib import Path

import numpy as np
import pytest
from loading import NAMES, expected_image

import bigearth_xr as bex
from bigearth_xr.errors import (
    LabelError,
    LoaderError,
)
from bigearth_xr.releases import Release
from bigearth_xr.torch import PatchLoader


def test_two_releases_are_loaded_together(tmp_path: Path) -> None:
    releases: tuple[Release, ...] = ("v1", "v2")
    made = [bex.open(bex.testing.write_store(tmp_path / f"{name}.zarr", pairs=9, version=name)) for name in releases]
    loader = PatchLoader([made[0].isel(patch=slice(2, None)), made[1]], batch_size=4, device="cpu", drop_last=False)
    patches = [*made[0].patch.values[2:], *made[1].patch.values]
    seen = []
    for batch in loader:
        for place, image in zip(batch.place.tolist(), batch.image, strict=True):
            expected = expected_image([str(patches[place])], NAMES, releases[place >= 7])
            np.testing.assert_array_equal(image[None], expected)
        truth = np.concatenate([made[0].labels.values[2:], made[1].labels.values])[batch.place]
        np.testing.assert_array_equal(batch.labels, truth)
        seen += batch.place.tolist()
    assert sorted(seen) == list(range(16))


def test_datasets_that_do_not_fit_together_are_refused(tmp_path: Path) -> None:
    v1 = bex.open(bex.testing.write_store(tmp_path / "v1.zarr", pairs=2, version="v1"), nomenclature=43)
    v2 = bex.open(bex.testing.write_store(tmp_path / "v2.zarr", pairs=2))
    with pytest.raises(LabelError, match="43 and 19 labels; ask for those that both have: nomenclature=19"):
        PatchLoader([v1, v2], batch_size=2)
    with pytest.raises(LoaderError, match=r"bands B01, .*ask for those that both have: bands=\["):
        PatchLoader([v1, v2.isel(band=slice(3))], batch_size=2, nomenclature=19)
    assert len(PatchLoader([v1, v2], batch_size=2, nomenclature=19)) == 2
