"""Batches: every pixel where it belongs, whatever order, rank, thread or memory it came through."""

import gc
import threading
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import xarray as xr
from damages import ROW, flip_pixels, shard
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.bands import BANDS
from bigearth_xr.errors import (
    BandError,
    BigEarthError,
    ChecksumError,
    DeviceError,
    LabelError,
    LoaderError,
    NormalizationError,
    NotStoredError,
    TransformError,
)
from bigearth_xr.labels import Nomenclature, clc_to_class, label_names
from bigearth_xr.ops.parameters import draw_parameters
from bigearth_xr.releases import Release
from bigearth_xr.stats import band_statistics
from bigearth_xr.testing import formula_pixels
from bigearth_xr.torch import Augmentation, PatchBatch, PatchLoader

NAMES = tuple(each.name for each in BANDS)
NOMENCLATURES: tuple[Nomenclature, ...] = (19, 43)


def expected_image(patches: list[str], bands: tuple[str, ...], release: Release | None) -> NDArray[np.float32]:
    """Pixels by their formula, repeated to 10 m, and standardised if a release says with what."""
    images = [[upscaled(formula_pixels(patch, name)) for name in bands] for patch in patches]
    image = np.array(images, np.float32)
    if release is not None:
        mean, std = band_statistics(release, "none").as_arrays(bands)
        image = (image - mean[:, None, None]) * (np.float32(1) / std)[:, None, None]
    return image


def upscaled(pixels: NDArray[Any]) -> NDArray[Any]:
    factor = 120 // pixels.shape[-1]
    return pixels.repeat(factor, axis=-2).repeat(factor, axis=-1)


def release_of(ds: xr.Dataset) -> Release:
    return "v2" if "_N" in str(ds.patch.values[0]) or '"v2"' in ds.attrs["bigearth"] else "v1"


def rows_of(loader: PatchLoader) -> list[list[int]]:
    return [batch.row.tolist() for batch in loader]


def loaded(ds: xr.Dataset, **options: Any) -> PatchLoader:
    usual: Any = {"batch_size": 5, "device": "cpu", "bands": ["B04", "B8A", "B09", "VV"]}
    return PatchLoader(ds, **(usual | options))


# Pixels and labels.


def test_every_pixel_of_every_band_is_where_it_belongs(ds: xr.Dataset) -> None:
    seen = []
    for batch in PatchLoader(ds, batch_size=7, device="cpu", threads=2):
        patches = ds.patch.values[batch.place.numpy()].tolist()
        np.testing.assert_array_equal(batch.image, expected_image(patches, NAMES, release_of(ds)))
        np.testing.assert_array_equal(batch.labels, ds.labels.values[batch.place])
        np.testing.assert_array_equal(batch.row, ds.row.values[batch.place])
        seen += batch.row.tolist()
    assert sorted(seen) == ds.row.values.tolist()


def test_bands_come_in_the_order_asked_for(ds: xr.Dataset) -> None:
    bands = ("VH", "B09", "B02", "B12", "VV")
    loader = loaded(ds.isel(patch=[8, 3]), bands=iter(bands), method=None, shuffle=False)
    (batch,) = loader
    assert loader.bands == bands
    np.testing.assert_array_equal(batch.image, expected_image(ds.patch.values[[8, 3]].tolist(), bands, None))


@pytest.mark.parametrize("resampling", ["nearest", "bilinear", "bicubic"])
def test_batches_are_what_the_accessor_gives(ds: xr.Dataset, resampling: Any) -> None:
    stats = dict.fromkeys(NAMES, (100.0, 7.5))
    images = ds.ben.image(["B05", "B01", "VH"], resampling=resampling).ben.normalize(stats=stats)
    loader = loaded(ds, bands=["B05", "B01", "VH"], resampling=resampling, stats=stats, shuffle=False)
    image = torch.cat([batch.image for batch in loader])
    np.testing.assert_allclose(image, images.values, rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("method", ["minmax", "reflectance"])
def test_methods_are_those_of_the_accessor(ds: xr.Dataset, method: Any) -> None:
    images = ds.ben.image(["B05", "B04"]).ben.normalize(method)
    loader = loaded(ds, bands=["B05", "B04"], method=method, shuffle=False)
    np.testing.assert_allclose(torch.cat([batch.image for batch in loader]), images.values, rtol=1e-6)


@pytest.mark.parametrize(("dtype", "tolerance"), [("float16", 1e-3), ("bfloat16", 8e-3)])
def test_half_precision(ds: xr.Dataset, dtype: Any, tolerance: float) -> None:
    whole, half = (next(iter(loaded(ds, shuffle=False, dtype=kind))) for kind in ("float32", dtype))
    assert half.image.dtype == getattr(torch, dtype)
    np.testing.assert_allclose(half.image.float(), whole.image, rtol=tolerance, atol=tolerance)


def test_augmentation_is_that_of_the_accessor(ds: xr.Dataset) -> None:
    augment = Augmentation(gain=(0.9, 1.1), bias=(-0.1, 0.1), drop=0.3, noise_std=0.1)
    bands = ["B04", "B8A", "VV"]
    loader = loaded(ds, bands=bands, augment=augment, seed=7)
    loader.set_epoch(3)
    for batch in loader:
        images = ds.isel(patch=batch.place.numpy()).ben.image(bands).ben.normalize()
        drawn = draw_parameters(batch.row.numpy(), augment, bands=bands, seed=7, epoch=3)
        np.testing.assert_allclose(batch.image, images.ben.augment(parameters=drawn).values, rtol=1e-4, atol=1e-4)


def test_two_views_are_two_variations_of_one_patch(ds: xr.Dataset) -> None:
    once = next(iter(loaded(ds, augment=Augmentation(), seed=1)))
    batch = next(iter(loaded(ds, augment=Augmentation(), seed=1, views=2)))
    assert once.image2 is None
    assert batch.image2 is not None
    assert torch.equal(once.image, batch.image)
    assert not torch.equal(batch.image, batch.image2)
    torch.testing.assert_close(batch.image.sum((2, 3)), batch.image2.sum((2, 3)), rtol=1e-3, atol=1)


def test_labels_are_mixed_as_pixels_are(ds: xr.Dataset) -> None:
    augment = Augmentation(flips=False, mixup=0.5)
    plain = next(iter(loaded(ds, shuffle=False)))
    mixed = next(iter(loaded(ds, shuffle=False, augment=augment, seed=2)))
    drawn = draw_parameters(plain.row.numpy(), augment, bands=["B04"], seed=2)
    weight = torch.from_numpy(drawn.weight)
    for mine, theirs in ((mixed.image, plain.image), (mixed.labels, plain.labels)):
        kept = weight.reshape(-1, *[1] * (theirs.ndim - 1))
        expected = theirs * kept + theirs[torch.from_numpy(drawn.partner)] * (1 - kept)
        torch.testing.assert_close(mine, expected, rtol=1e-5, atol=1e-4)
    assert ((mixed.labels > 0) & (mixed.labels < 1)).any()


@pytest.mark.parametrize("order", ["paper", "lexicographic"])
def test_labels_come_in_the_nomenclature_and_order_asked_for(tmp_path: Path, order: Any) -> None:
    store = bex.testing.write_store(tmp_path / "ben.zarr", pairs=12, version="v1")
    for opened in NOMENCLATURES:
        ds = bex.open(store, nomenclature=opened)
        for asked in NOMENCLATURES:
            loader = loaded(ds, nomenclature=asked, label_order=order, shuffle=False, batch_size=12)
            assert loader.labels == label_names(asked, order)
            (batch,) = loader
            truth = bex.open(store, nomenclature=asked).labels.sel(label=list(loader.labels))
            np.testing.assert_array_equal(batch.labels, truth.values)


def test_v2_has_no_43_classes(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=2))
    with pytest.raises(LabelError, match="43 are asked for; open the store with nomenclature=43, which v1 has"):
        loaded(ds, nomenclature=43)
    with pytest.raises(LabelError, match="no variable 'labels'; keep it"):
        loaded(ds.drop_vars("labels"))
    with pytest.raises(LabelError, match="has 18 labels, and they are neither"):
        loaded(ds.isel(label=slice(18)))


def test_labels_that_nobody_told_are_nan(ds: xr.Dataset) -> None:
    told = ds.has_labels.values.copy()
    told[4] = False
    (batch,) = loaded(ds.assign_coords(has_labels=("patch", told)), batch_size=24, shuffle=False)
    assert torch.isnan(batch.labels).any(1).nonzero().flatten().tolist() == [4]


# Order, epochs, resuming.


def test_each_pass_is_another_epoch(ds: xr.Dataset) -> None:
    loader = loaded(ds)
    first, second = rows_of(loader), rows_of(loader)
    assert first != second
    assert loader.epoch == 1
    loader.set_epoch(0)
    assert rows_of(loader) == first
    assert rows_of(loaded(ds)) == first
    assert rows_of(loaded(ds, seed=1)) != first


def test_a_pass_that_is_left_early_is_one(ds: xr.Dataset) -> None:
    loader = loaded(ds)
    next(iter(loader))
    next(iter(loader))
    assert loader.epoch == 1


@pytest.mark.parametrize("drop_last", [False, True])
def test_length_is_that_of_a_pass(ds: xr.Dataset, drop_last: bool) -> None:
    loader = loaded(ds, batch_size=7, drop_last=drop_last)
    assert [len(rows) for rows in rows_of(loader)] == [7, 7, 7] + [3] * (not drop_last)
    assert len(loader) == 4 - drop_last


@pytest.mark.parametrize(("threads", "prefetch"), [(0, 0), (1, 0), (2, 5), (3, 1)])
def test_a_pass_goes_on_exactly_where_it_was(ds: xr.Dataset, threads: int, prefetch: int) -> None:
    augment = Augmentation(noise_std=0.1)
    loader = loaded(ds, batch_size=4, augment=augment)
    list(loader)
    batches = list(loader)
    following = next(iter(loader))

    loader = loaded(ds, batch_size=4, augment=augment)
    list(loader)
    passing = iter(loader)
    for _ in range(3):
        next(passing)
    state = loader.state_dict()
    again = loaded(ds, batch_size=4, augment=augment, threads=threads, prefetch=prefetch)
    again.load_state_dict(state)
    again.set_epoch(1)  # as a trainer says before each epoch: no new beginning
    resumed = list(again)
    assert len(resumed) == len(batches) - 3
    for mine, theirs in zip(resumed, batches[3:], strict=True):
        assert torch.equal(mine.image, theirs.image)
        assert torch.equal(mine.row, theirs.row)
    assert torch.equal(next(iter(again)).image, following.image)


def test_a_state_of_the_end_goes_on_with_the_next_epoch(ds: xr.Dataset) -> None:
    loader = loaded(ds)
    list(loader)
    state = loader.state_dict()
    assert (state["epoch"], state["step"]) == (0, len(loader))
    again = loaded(ds)
    again.load_state_dict(state)
    assert rows_of(again) == rows_of(loader)


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"batch_size": 6}, "batch_size is 6 here and was 5"),
        ({"seed": 1}, "seed is 1 here and was 0"),
        ({"rank": 0, "world_size": 2}, "world_size is 2 here and was 1"),
        ({"shuffle": False}, "shuffle is False here and was True"),
        ({"balance": "class"}, "balance is 'class' here and was None"),
    ],
)
def test_a_state_of_other_batches_is_refused(ds: xr.Dataset, options: Any, problem: str) -> None:
    state = loaded(ds).state_dict()
    with pytest.raises(LoaderError, match=f"{problem}.*Make the loader as it was made then"):
        loaded(ds, **options).load_state_dict(state)


def test_a_state_of_other_patches_is_refused(ds: xr.Dataset) -> None:
    state = loaded(ds).state_dict()
    with pytest.raises(LoaderError, match="patches is 23 here and was 24; patches_digest"):
        loaded(ds.isel(patch=slice(1, None))).load_state_dict(state)
    with pytest.raises(LoaderError, match="format None, expected 1"):
        loaded(ds).load_state_dict({})


# Ranks, balance, several stores.


def test_ranks_take_as_many_steps_to_train(ds: xr.Dataset) -> None:
    loaders = [loaded(ds, rank=rank, world_size=5) for rank in range(5)]
    rows = [[row for batch in rows_of(loader) for row in batch] for loader in loaders]
    assert {len(mine) for mine in rows} == {5}
    assert {loader.padding for loader in loaders} == {1}
    assert set().union(*rows) == set(range(24))


def test_ranks_see_each_patch_once_to_evaluate(ds: xr.Dataset) -> None:
    loaders = [loaded(ds, rank=rank, world_size=5, shuffle=False) for rank in range(5)]
    rows = [row for loader in loaders for batch in rows_of(loader) for row in batch]
    assert rows == list(range(24))
    assert {loader.padding for loader in loaders} == {0}


@pytest.mark.parametrize("balance", ["class", "country"])
def test_repeated_patches_vary_each_time(ds: xr.Dataset, balance: Any) -> None:
    loader = loaded(ds, balance=balance, augment=Augmentation(noise_std=1), batch_size=24)
    (batch,) = loader
    rows = batch.row.tolist()
    again = [row for row in set(rows) if rows.count(row) > 1]
    assert again
    for row in again:
        first, second, *_ = (batch.row == row).nonzero().flatten()
        assert not torch.equal(batch.image[first], batch.image[second])


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


# Memory and threads.


def test_memory_is_used_again_once_nobody_holds_it(ds: xr.Dataset) -> None:
    loader = loaded(ds, batch_size=2, threads=1, prefetch=1)
    addresses = set()
    for batch in loader:
        addresses.add(batch.image.data_ptr())
        del batch
    assert len(addresses) < len(loader)


def test_memory_of_a_batch_that_is_held_is_never_written_over(ds: xr.Dataset) -> None:
    loader = loaded(ds, batch_size=2, threads=2)
    views = [(batch.image[:, 1:2, ::2].permute(0, 2, 3, 1), batch.image.clone()) for batch in loader]
    for _ in range(3):
        list(loader)
    for view, copy in views:
        assert torch.equal(view, copy[:, 1:2, ::2].permute(0, 2, 3, 1))
    kept = [batch.image.numpy()[0] for batch in loader]  # what NumPy sees of it counts too
    copies = [array.copy() for array in kept]
    list(loader)
    np.testing.assert_array_equal(kept, copies)


def test_no_thread_is_left_behind(ds: xr.Dataset) -> None:
    before = {thread for thread in threading.enumerate() if thread.name.startswith("bigearth-batch")}
    loader = loaded(ds, batch_size=1, threads=3, prefetch=8)
    for _ in loader:
        break
    passing = iter(loader)
    next(passing)
    del passing
    gc.collect()
    list(loader)
    after = {thread for thread in threading.enumerate() if thread.name.startswith("bigearth-batch")}
    assert after <= before


def test_what_is_not_finite_is_kept_counted_or_replaced(ds: xr.Dataset) -> None:
    stats = dict.fromkeys(NAMES, (0.0, 1e-38))
    for dtype in ("float32", "float16", "bfloat16"):
        options: Any = {"stats": stats, "dtype": dtype, "batch_size": 24, "shuffle": False}
        keep, count, zero = (loaded(ds, nonfinite=nonfinite, **options) for nonfinite in ("keep", "count", "zero"))
        (kept,), (counted,), (replaced,) = keep, count, zero
        odd = ~torch.isfinite(kept.image)
        assert odd.any()
        assert keep.nonfinite == 0
        assert count.nonfinite == zero.nonfinite == odd.sum()
        assert torch.equal(counted.image.isinf(), kept.image.isinf())
        assert torch.equal(replaced.image, torch.where(odd, 0, kept.image))


# Cache.


@pytest.mark.parametrize("kept", [None, 1_000, 9 * 275_200])
@pytest.mark.parametrize("cache", ["host", "device"])
def test_cached_batches_are_the_same(ds: xr.Dataset, cache: Any, kept: int | None) -> None:
    plain = loaded(ds, augment=Augmentation())
    cached = loaded(ds, augment=Augmentation(), cache=cache, cache_bytes=kept)
    for _ in range(2):
        for mine, theirs in zip(cached, plain, strict=True):
            assert torch.equal(mine.image, theirs.image)
            assert torch.equal(mine.row, theirs.row)


def test_later_epochs_of_a_cached_loader_read_no_disk(own: Path) -> None:
    loader = loaded(bex.open(own), cache="host", cache_bytes=10**8, checks="always")
    first = {int(row): image.clone() for batch in loader for row, image in zip(batch.row, batch.image, strict=True)}
    for array in ("s2_10m", "s2_20m", "s2_60m", "s1"):
        shard(own, array).unlink()
    for batch in loader:
        for row, image in zip(batch.row, batch.image, strict=True):
            assert torch.equal(image, first[int(row)])


def test_each_rank_caches_its_share(ds: xr.Dataset) -> None:
    loaders = [loaded(ds, rank=rank, world_size=2, cache="host") for rank in range(2)]
    for loader in loaders:
        first, second = (sorted(row for batch in rows_of(loader) for row in batch) for _ in range(2))
        assert first == second
        assert [part.reader.patches for part in loader._maker.patches.parts] == [12]  # type: ignore[attr-defined]


# What is refused.


@pytest.mark.parametrize(
    ("options", "error", "problem"),
    [
        ({"bands": ["B4"]}, BandError, "B04"),
        ({"bands": []}, BandError, "no band asked for"),
        ({"dtype": "float64"}, TransformError, "dtype is 'float64', expected one of float32"),
        ({"size": 0}, TransformError, "size is 0"),
        ({"method": "standardise"}, NormalizationError, "no method 'standardise'"),
        ({"stats": {"B04": (0, 1)}}, NormalizationError, "stats lack B8A"),
        ({"resampling": "bicubic"}, NormalizationError, "no statistics were published"),
        ({"views": 3}, LoaderError, "views is 3, expected 1 or 2"),
        ({"views": 2}, LoaderError, "the same without augment"),
        ({"nomenclature": 20}, LoaderError, "nomenclature is 20"),
        ({"nonfinite": "zeros"}, LoaderError, "nonfinite is 'zeros'.*did you mean 'zero'"),
        ({"balance": "classes"}, LoaderError, "balance is 'classes', expected 'class', 'country' or None"),
        ({"threads": -1}, LoaderError, "threads is -1"),
        ({"rank": 1}, LoaderError, "rank is 1 and world_size is None; give both"),
        ({"device": "gpu"}, DeviceError, "device is 'gpu', expected 'auto', 'cpu', 'cuda'"),
        ({"device": "meta"}, DeviceError, "made on 'cpu' or 'cuda', not on 'meta'"),
        ({"cache": "disk"}, LoaderError, "cache is 'disk', expected 'device', 'host' or None"),
        ({"cache": "host", "cache_bytes": 0}, LoaderError, "cache_bytes is 0"),
        ({"balance": "class", "shuffle": False}, LoaderError, "shuffle=False keeps their order"),
    ],
)
def test_what_does_not_exist_is_refused(ds: xr.Dataset, options: Any, error: type[BigEarthError], problem: str) -> None:
    with pytest.raises(error, match=problem):
        next(iter(loaded(ds, **options)))


def test_an_unknown_option_is_a_type_error(ds: xr.Dataset) -> None:
    with pytest.raises(TypeError, match="'band'"):
        PatchLoader(ds, batch_size=2, band=["B04"])  # type: ignore[call-arg]


def test_no_patches_are_refused(ds: xr.Dataset) -> None:
    nothings: tuple[Any, ...] = (ds.isel(patch=[]), ds.isel(patch=0), [], ds.s2)
    for nothing in nothings:
        with pytest.raises(LoaderError, match="expected Datasets with at least one patch"):
            PatchLoader(nothing, batch_size=2)


@pytest.mark.parametrize("store", ["fast"], indirect=True)
def test_computed_pixels_are_read_through_xarray_with_a_warning(ds: xr.Dataset) -> None:
    changed = ds.assign(s1=ds.s1 + 1)
    with pytest.warns(UserWarning, match="s1 of this Dataset is not as a store holds it.*read through xarray"):
        loader = loaded(changed, method=None)
    for batch in loader:
        patches = ds.patch.values[batch.place.numpy()].tolist()
        expected = expected_image(patches, ("B04", "B8A", "B09", "VV"), None)
        expected[:, 3] += 1
        np.testing.assert_allclose(batch.image, expected)
        np.testing.assert_array_equal(batch.row, ds.row.values[batch.place])


def test_cropped_patches_are_refused(ds: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match=r"y: 60, x: 120\), expected \(patch, band, y: 120.*Augmentation\(crop=…\)"):
        loaded(ds.isel(y=slice(60)), method=None)


def test_a_damaged_patch_is_named_and_ends_the_pass(own: Path) -> None:
    flip_pixels("s2_10m")(own)
    ds = bex.open(own)
    with pytest.raises(ChecksumError, match=rf"row {ROW} \({ds.patch.values[ROW]}\)"):
        list(loaded(ds, threads=3, checks="always"))
    assert not [thread for thread in threading.enumerate() if thread.name.startswith("bigearth-batch")]


def test_a_lost_shard_is_named_with_its_patches(own: Path) -> None:
    ds = bex.open(own)
    shard(own, "s1").unlink()
    with pytest.raises(NotStoredError, match=r"row \d+ \(S2.*s1 holds no pixels of it, nor of"):
        list(loaded(ds))


def test_cutmix_without_reference_maps_is_refused(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=2, version="v1"))
    with pytest.raises(LoaderError, match=r"cutmix needs reference maps .* they come with v2; use mixup"):
        loaded(ds, augment=Augmentation(cutmix=1))


def test_cutmix_takes_labels_from_the_maps(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=12))
    augment = Augmentation(cutmix=1)
    loader = loaded(ds, augment=augment, batch_size=12, shuffle=False, label_order="lexicographic", seed=3)
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


def test_batches_go_to_a_model(ds: xr.Dataset) -> None:
    model = torch.nn.Sequential(torch.nn.Conv2d(4, 8, 3), torch.nn.AdaptiveAvgPool2d(1), torch.nn.Flatten())
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for batch in loaded(ds):
            assert isinstance(batch, PatchBatch)
            loss = model(batch.image).mean() + batch.labels.mean()
            loss.backward()


# On a GPU: the same batches, to the last bit where nothing is interpolated or noisy.


@pytest.mark.gpu
@pytest.mark.parametrize("cache", [None, "device", "host"])
@pytest.mark.parametrize("kept", [None, 9 * 275_200])
def test_a_gpu_makes_the_same_batches(ds: xr.Dataset, cache: Any, kept: int | None) -> None:
    options: Any = {"augment": Augmentation(gain=(0.9, 1.1), drop=0.2, mixup=0.4), "batch_size": 7, "views": 2}
    options |= {"cache": cache, "cache_bytes": kept if cache else None}
    here, there = (loaded(ds, **(options | {"device": device})) for device in ("cpu", "cuda"))
    for _ in range(2):
        for mine, theirs in zip(there, here, strict=True):
            assert mine.image.is_cuda
            assert mine.image2 is not None
            assert theirs.image2 is not None
            torch.testing.assert_close(mine.image.cpu(), theirs.image, rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(mine.image2.cpu(), theirs.image2, rtol=1e-5, atol=1e-5)
            assert torch.equal(mine.labels.cpu(), theirs.labels)
            assert torch.equal(mine.row, theirs.row)


@pytest.mark.gpu
def test_a_batch_on_a_gpu_is_whole_when_it_is_handed_out(ds: xr.Dataset) -> None:
    plain = [batch.image.sum((2, 3)) for batch in loaded(ds, batch_size=2)]
    for _ in range(20):
        sums = [batch.image.sum((2, 3)) for batch in loaded(ds, batch_size=2, device="cuda", threads=3)]
        torch.testing.assert_close([each.cpu() for each in sums], plain, rtol=1e-3, atol=1)


@pytest.mark.gpu
def test_what_is_not_finite_is_looked_for_on_the_host(ds: xr.Dataset) -> None:
    with pytest.raises(LoaderError, match=r"on the host alone; use 'keep', and torch\.nan_to_num"):
        loaded(ds, device="cuda", nonfinite="zero")


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused(ds: xr.Dataset) -> None:
    with pytest.raises(DeviceError, match="torch finds no GPU; use device='cpu'"):
        loaded(ds, device="cuda")
