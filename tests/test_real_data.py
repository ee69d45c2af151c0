"""Every pixel and every fact of every real pair is in the store as in its source, bit for bit, in both profiles."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pandas as pd
import pyarrow.parquet as pq
import pytest
import rasterio
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.bands import S2_BANDS
from bigearth_xr.errors import NormalizationError
from bigearth_xr.ingestion import IngestReport
from bigearth_xr.stats import band_statistics
from bigearth_xr.store.codec import PROFILES
from bigearth_xr.verification import verify

ALL_BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12", "VV", "VH"]
FOUR_BANDS = ["B02", "B03", "B04", "B08", "VV", "VH"]


@dataclass(frozen=True)
class Collection:
    """A folder of real pairs."""

    folder: str
    pairs: int
    bands: list[str] | None = None
    metadata: str | None = None
    has_maps: bool = False


# Six original pairs, twenty reconstructed ones, and halves without a partner.
V1 = Collection("v1", pairs=26)
V2 = (
    Collection("v2/reconstructed", pairs=24),
    Collection("v2/partial_bands", pairs=40, bands=FOUR_BANDS, metadata="v2", has_maps=True),
)


def in_both_profiles(*collections: Collection) -> list[Any]:
    """What the fixture `stored` takes."""
    both = [(collection, profile) for collection in collections for profile in PROFILES]
    return [pytest.param(param, id=f"{param[0].folder}-{param[1]}") for param in both]


v1_only = pytest.mark.parametrize("stored", in_both_profiles(V1), indirect=True)
v2_only = pytest.mark.parametrize("stored", in_both_profiles(*V2), indirect=True)


@dataclass(frozen=True)
class Stored:
    """A collection, ingested."""

    collection: Collection
    root: Path
    store: Path
    report: IngestReport

    @property
    def ds(self) -> xr.Dataset:
        return bex.open(self.store)

    def source(self, name: str, suffix: str) -> Path:
        """Where a file of a patch lies."""
        return _files_below(self.root)[f"{name}_{suffix}"]


@cache
def _files_below(root: Path) -> dict[str, Path]:
    return {path.name: path for path in root.rglob("*_*.*")}


@cache
def _read(path: Path) -> tuple[npt.NDArray[Any], int, tuple[float, ...]]:
    """Pixels, EPSG code and transform, as rasterio reads them."""
    with rasterio.open(path) as file:
        return file.read(1), file.crs.to_epsg(), tuple(file.transform)[:6]


@pytest.fixture(scope="module", params=in_both_profiles(V1, *V2))
def stored(
    request: pytest.FixtureRequest, shared: Path, published_lists: Path, tmp_path_factory: pytest.TempPathFactory
) -> Stored:
    collection, profile = request.param
    root, store = shared / "data" / collection.folder, tmp_path_factory.mktemp("real") / "ben.zarr"
    metadata = None if collection.metadata is None else shared / "data" / collection.metadata
    if collection is V1:
        metadata = published_lists
    report = bex.ingest(root, store, metadata=metadata, bands=collection.bands, profile=profile)
    return Stored(collection=collection, root=root, store=store, report=report)


def rasters(stored: Stored) -> Iterator[tuple[npt.NDArray[Any], Path, xr.Dataset]]:
    """Each band of each patch as stored, at native resolution, with its file and its coordinates."""
    tree = xr.open_datatree(stored.store, engine="bigearth").load().to_dataset()
    arrays = [
        ("s2_10m", "band_10m", "patch"),
        ("s2_20m", "band_20m", "patch"),
        ("s2_60m", "band_60m", "patch"),
        ("s1", "polarization", "s1_name"),
    ]
    for i in range(tree.sizes["patch"]):
        patch = tree.isel(patch=i)
        for name, dim, half in arrays:
            for band in patch[dim].values if name in patch else ():
                file = stored.source(patch[half].item(), f"{band}.tif")
                yield patch[name].sel({dim: band}).values, file, patch
        if "reference_map" in patch:
            yield patch.reference_map.values, stored.source(patch.patch.item(), "reference_map.tif"), patch


def test_every_complete_pair_is_stored(stored: Stored) -> None:
    report = stored.report
    assert report.found - report.unpaired == report.stored == stored.collection.pairs
    assert not report.quarantined
    assert not report.unlisted
    assert not report.without_map
    assert verify(stored.store).sound


def test_every_pixel_is_bit_for_bit_that_of_rasterio(stored: Stored) -> None:
    compared = 0
    for pixels, file, _ in rasters(stored):
        expected, *_ = _read(file)
        assert pixels.dtype == expected.dtype
        assert pixels.tobytes() == expected.tobytes(), file
        compared += 1
    bands = len(stored.collection.bands or ALL_BANDS)
    assert compared == stored.collection.pairs * (bands + stored.collection.has_maps)


def test_crs_and_transform_are_those_of_every_file(stored: Stored) -> None:
    for pixels, file, patch in rasters(stored):
        _, epsg, transform = _read(file)
        res_m = 1200 / len(pixels)
        assert patch.epsg.item() == epsg
        assert transform == (res_m, 0, patch.ulx.item(), 0, -res_m, patch.uly.item())


def test_the_bands_that_exist_are_those_that_the_source_has(stored: Stored) -> None:
    ds = stored.ds
    assert [*ds.band.values, *ds.polarization.values] == (stored.collection.bands or ALL_BANDS)
    assert ("reference_map" in ds) == stored.collection.has_maps


@pytest.mark.parametrize("stored", [(V1, "fast"), (V2[0], "fast")], ids=["v1", "v2"], indirect=True)
def test_moments_of_normalised_pixels_agree_with_float64(stored: Stored) -> None:
    image = stored.ds.s2
    scaled = image.ben.normalize().load()
    published = band_statistics(stored.report.release, "none")
    for band in S2_BANDS:
        native = [_read(stored.source(patch, f"{band.name}.tif"))[0].astype(np.float64) for patch in image.patch.values]
        # Pixels that are only repeated have the mean and deviation of those stored.
        expected = (np.stack(native) - published.mean[band.name]) / published.std[band.name]
        found = scaled.sel(band=band.name).values.astype(np.float64)
        np.testing.assert_allclose([found.mean(), found.std()], [expected.mean(), expected.std()], rtol=1e-6, atol=1e-6)
        # These few patches are no fair sample of the release, but of its order of size.
        assert abs(found.mean()) < 1.5
        assert 0.2 < found.std() < 3


def labels_of(ds: xr.Dataset, patch: str) -> set[str]:
    """The labels of a patch, by name."""
    row = ds.labels.sel(patch=patch)
    return set(row.label.values[row.values])


# What v2 says, in its parquets.


def test_real_pixels_are_told_from_other_units(stored: Stored) -> None:
    ds = stored.ds[["s2", "s1"]]
    loaded = ds.load()
    cropped = loaded.isel(y=slice(50, 66), x=slice(60, 76))
    for each in (loaded.astype(np.float32), cropped, cropped.astype(np.float32)):
        whole = ds.s2.ben.normalize().sel(y=each.y, x=each.x)
        np.testing.assert_array_equal(each.s2.ben.normalize(), whole)
        np.testing.assert_array_equal(each.s1.ben.normalize(), ds.s1.ben.normalize().sel(y=each.y, x=each.x))
        for patch in range(each.sizes["patch"]):
            one = each.isel(patch=[patch])
            for array in (
                one.s2 / 10_000,
                one.s2 / 100,
                (one.s2 - 500.0) / 600,
                10 ** (one.s1 / 10),
                (one.s1 + 13) / 5,
            ):
                with pytest.raises(NormalizationError, match=r"fractions|backscatter in dB is mostly below"):
                    array.ben.normalize()


@pytest.fixture(scope="module")
def published_v2(shared: Path) -> dict[str, dict[str, Any]]:
    """The published rows by patch, with whether they are among the recommended."""
    tables = {path.name: pq.read_table(path) for path in (shared / "data/v2").glob("metadata*.parquet")}
    wanted = {path.name for path in (shared / "data/v2").rglob("S2*_*_*_*_*_*_*")}
    rows: dict[str, dict[str, Any]] = {}
    for name, table in tables.items():
        mine = [patch in wanted for patch in table["patch_id"].to_pylist()]
        for row in table.filter(mine).to_pylist():
            rows[row["patch_id"]] = row | {"recommended": name == "metadata.parquet"}
    return rows


@v2_only
def test_facts_of_v2_are_those_of_its_parquets(stored: Stored, published_v2: dict[str, dict[str, Any]]) -> None:
    ds = stored.ds
    facts = ds.coords.to_dataset().load()
    for patch in ds.patch.values:
        published, row = published_v2[patch], facts.sel(patch=patch)
        assert labels_of(ds, patch) == set(published["labels"])
        assert row.split.item() == published["split"]
        assert row.country.item() == published["country"]
        assert row.s1_name.item() == published["s1_name"]
        assert row.seasonal_snow.item() == published["contains_seasonal_snow"]
        assert row.cloud_or_shadow.item() == published["contains_cloud_or_shadow"]
        assert row.recommended.item() == published["recommended"]
        assert row.listed.item()


# What v1 says, in its JSONs and lists.


@pytest.fixture(scope="module")
def lists_v1(published_lists: Path) -> dict[str, pd.DataFrame]:
    """The published lists by name, indexed by patch."""
    paths = {path.stem: path for path in published_lists.iterdir()}
    patch_column = {"s1_s2_name_country_season": 1}
    return {
        name: pd.read_csv(path, header=None, dtype=str, index_col=patch_column.get(name, 0))
        for name, path in paths.items()
    }


@v1_only
def test_labels_of_v1_are_those_of_its_jsons(stored: Stored, shared: Path) -> None:
    group = json.loads((shared / "data/nomenclature.json").read_text())["map43to19"]
    all_43, all_19 = bex.open(stored.store, nomenclature=43), stored.ds
    for patch in all_43.patch.values:
        published = json.loads(stored.source(patch, "labels_metadata.json").read_text())["labels"]
        assert labels_of(all_43, patch) == set(published)
        assert labels_of(all_19, patch) == {group[name] for name in published} - {None}
    assert all_19.has_labels.all()


@v1_only
def test_facts_of_v1_are_those_of_its_lists(stored: Stored, lists_v1: dict[str, pd.DataFrame]) -> None:
    listed = {name: frozenset(rows.index) for name, rows in lists_v1.items()}
    flags = {
        "seasonal_snow": listed["patches_with_seasonal_snow"],
        "cloud_or_shadow": listed["patches_with_cloud_and_shadow"],
    }
    bare = listed["patches_with_no_19_class_targets"]
    facts = stored.ds.coords.to_dataset().load()
    for patch in facts.patch.values:
        row = facts.sel(patch=patch)
        s1_name, country, season = lists_v1["s1_s2_name_country_season"].loc[patch]
        assert row.s1_name.item() == s1_name
        assert row.country.item() == country
        assert row.season.item() == season.lower().replace("fall", "autumn")
        splits = [name for name in ("train", "val", "test") if patch in listed[name]]
        assert [row.split.item()] == ([name.replace("val", "validation") for name in splits] or [""])
        for name, patches in flags.items():
            assert row[name].item() == (patch in patches)
        excluded = patch in bare or any(patch in patches for patches in flags.values())
        assert row.recommended.item() != excluded


@v1_only
def test_sensing_times_of_v1_are_those_of_its_products(stored: Stored, lists_v1: dict[str, pd.DataFrame]) -> None:
    product = lists_v1["tile_names_and_links"][1]
    ds = stored.ds
    for patch, tile, time in zip(ds.patch.values, ds.tile.values, ds.s2_time.values, strict=True):
        name = product[patch]
        assert f"_T{tile}_" in name
        assert np.datetime_as_string(time, "s").replace("-", "").replace(":", "") == name.split("_")[2]
