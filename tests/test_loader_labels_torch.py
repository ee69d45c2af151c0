"""Labels of a batch: in any nomenclature and order, mixed as pixels are, and unknown where nobody told them."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from loading import loader_of
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.errors import (
    LabelError,
    LoaderError,
)
from bigearth_xr.labels import Nomenclature, clc_to_class, label_names
from bigearth_xr.ops.augmentation import draw_parameters
from bigearth_xr.torch import Augmentation

NOMENCLATURES: tuple[Nomenclature, ...] = (19, 43)


@pytest.mark.parametrize("order", ["paper", "lexicographic"])
def test_labels_come_in_the_nomenclature_and_order_asked_for(tmp_path: Path, order: Any) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=12, version="v1")
    for opened in NOMENCLATURES:
        ds = bex.open(store, nomenclature=opened)
        for asked in NOMENCLATURES:
            loader = loader_of(ds, nomenclature=asked, label_order=order, shuffle=False, batch_size=12)
            assert loader.labels == label_names(asked, order)
            (batch,) = loader
            truth = bex.open(store, nomenclature=asked).labels.sel(label=list(loader.labels))
            np.testing.assert_array_equal(batch.labels, truth.values)


def test_v2_has_no_43_classes(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=2))
    with pytest.raises(LabelError, match="43 are asked for; open the store with nomenclature=43, which v1 has"):
        loader_of(ds, nomenclature=43)
    with pytest.raises(LabelError, match="no variable 'labels'; keep it"):
        loader_of(ds.drop_vars("labels"))
    with pytest.raises(LabelError, match="has 18 labels, and they are neither"):
        loader_of(ds.isel(label=slice(18)))


def test_labels_that_nobody_told_are_nan(ds: xr.Dataset) -> None:
    told = ds.has_labels.values.copy()
    told[4] = False
    (batch,) = loader_of(ds.assign_coords(has_labels=("patch", told)), batch_size=24, shuffle=False)
    assert torch.isnan(batch.labels).any(1).nonzero().flatten().tolist() == [4]


def test_labels_are_mixed_as_pixels_are(ds: xr.Dataset) -> None:
    augment = Augmentation(flips=False, mixup=0.5)
    plain = next(iter(loader_of(ds, shuffle=False)))
    mixed = next(iter(loader_of(ds, shuffle=False, augment=augment, seed=2)))
    drawn = draw_parameters(plain.row.numpy(), augment, bands=["B04"], seed=2)
    weight = torch.from_numpy(drawn.weight)
    for mine, theirs in ((mixed.image, plain.image), (mixed.labels, plain.labels)):
        kept = weight.reshape(-1, *[1] * (theirs.ndim - 1))
        expected = theirs * kept + theirs[torch.from_numpy(drawn.partner)] * (1 - kept)
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-4)
    assert ((mixed.labels > 0) & (mixed.labels < 1)).any()


def test_cutmix_without_reference_maps_is_refused(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=2, version="v1"))
    with pytest.raises(LoaderError, match=r"cutmix needs reference maps .* they come with v2; use mixup"):
        loader_of(ds, augment=Augmentation(cutmix=1))


def test_cutmix_takes_labels_from_the_maps(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=12))
    augment = Augmentation(cutmix=1)
    loader = loader_of(ds, augment=augment, batch_size=12, shuffle=False, label_order="lexicographic", seed=3)
    (batch,) = loader
    drawn = draw_parameters(batch.row.numpy(), augment, bands=["B04"], seed=3)
    maps = clc_to_class(ds.reference_map.values)
    turned = [np.rot90(one, d4 % 4)[:, :: 1 if d4 < 4 else -1] for one, d4 in zip(maps, drawn.d4.tolist(), strict=True)]
    for place, (top, left, height, width) in enumerate(drawn.box.tolist()):
        mine = turned[place].copy()
        box = np.s_[top : top + height, left : left + width]
        mine[box] = turned[drawn.partner[place]][box]
        names = {label_names(19)[number] for number in set(mine.ravel().tolist()) - {255}}
        found = {loader.labels[number] for number in batch.labels[place].nonzero().flatten().tolist()}
        if height * width and has_map(maps, place, drawn.partner):
            assert found == names
        else:
            np.testing.assert_array_equal(batch.labels[place], ds.labels.sel(label=list(loader.labels)).values[place])


def has_map(maps: NDArray[np.uint8], place: int, partner: NDArray[np.intp]) -> bool:
    return bool((maps[place] != 255).any() and (maps[partner[place]] != 255).any())
