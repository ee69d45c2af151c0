"""Random programs of steps that move patches: a loader's batches, and the rows it reads, stay theirs."""

from pathlib import Path
from random import Random

import numpy as np
import pytest
import xarray as xr
from loading import expected_image
from openings import CHUNKED_OPENERS, is_known
from programs import MAKERS

from bigearth_xr.errors import BigEarthError
from bigearth_xr.torch import PatchLoader

MOVING = ["ids", "concat", "align", "sortby", "reindex", "transpose", "rename", "drop", "copy", "pickle", "select",
          "groupby"]  # fmt: skip
BANDS = ("B04", "B8A", "VV")
PROGRAMS = 30


@pytest.mark.sampled(2)
@pytest.mark.filterwarnings("ignore:.*is not as a store holds it")
@pytest.mark.parametrize("seed", range(PROGRAMS))
def test_batches_are_of_the_patches_they_are_labelled_with(twelve: Path, tmp_path: Path, seed: int) -> None:
    rng = Random(seed)
    ds = CHUNKED_OPENERS[rng.choice(list(CHUNKED_OPENERS))](twelve)
    try:
        for _ in range(rng.randint(1, 5)):
            ds = MAKERS[rng.choice(MOVING)](rng, ds, tmp_path)(ds)
        is_known(ds.s2)
        loader = PatchLoader(ds, batch_size=5, device="cpu", bands=BANDS, method=None, threads=1)
        check_batches(loader, ds)
    except BigEarthError:
        return


def check_batches(loader: PatchLoader, ds: xr.Dataset) -> None:
    """Every pixel and label is that of the patch at the batch's place."""
    seen = 0
    for batch in loader:
        patches = ds.patch.values[batch.place.numpy()].tolist()
        np.testing.assert_array_equal(batch.image, expected_image(patches, BANDS, None))
        np.testing.assert_array_equal(batch.labels, ds.labels.transpose("patch", "label").values[batch.place.numpy()])
        seen += len(patches)
    assert seen == ds.sizes["patch"]
