"""The report is one page that tells no lie and needs nothing but itself."""

import base64
import re
from collections import Counter
from dataclasses import dataclass
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import dask.array as da
import imagecodecs
import numpy as np
import pyarrow as pa
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray
from xarray.backends import BackendArray
from xarray.core import indexing

from bigearth_xr import labels
from bigearth_xr.errors import SelectionError
from bigearth_xr.grid import centres_lonlat, patch_corner
from bigearth_xr.ops.spectral import normalized_difference, radar_ratio_db
from bigearth_xr.report import Catalogue, write_report
from bigearth_xr.report.map import density_of, project
from bigearth_xr.report.measures import by_label, by_patch, quartiles
from bigearth_xr.report.page import draw_chart, render
from bigearth_xr.thumbnails import color_map, color_radar

BANDS = ("B02", "B03", "B04", "B08")
SIDE = 24
TILES = ("29SND", "33UUP", "35VNK")
COUNTRIES = ("Portugal", "Austria", "Finland")


class Page(HTMLParser):
    """A report, taken apart by a parser that is not ours."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.markup = path.read_text(encoding="utf-8")
        self.open: list[str] = []
        self.tags: Counter[str] = Counter()
        self.attributes: list[tuple[str, str, str]] = []
        self.text = ""
        self.feed(self.markup)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags[tag] += 1
        self.attributes += [(tag, name, value or "") for name, value in attrs]
        if tag not in ("img", "meta"):
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.text += data

    def all(self, tag: str, name: str) -> list[str]:
        """Values of an attribute, in order."""
        return [value for t, n, value in self.attributes if (t, n) == (tag, name)]


def make_dataset(patches: int = 6, **coords: Any) -> xr.Dataset:
    """Build a Dataset of noise, spread over three tiles."""
    noise = np.random.default_rng(0)
    place = np.arange(patches) % 3
    columns = np.arange(patches) % 91
    epsg, ulx, uly = patch_corner(np.array(TILES)[place], columns, columns)
    lon, lat = centres_lonlat(epsg, ulx, uly)
    names = np.array(labels.label_names(), object)
    on_patch = {
        "patch": np.array([f"S2A_MSIL2A_20170613T101031_{i}_{i}" for i in range(patches)], object),
        "tile": np.array(TILES, object)[place],
        "country": np.array(COUNTRIES, object)[place],
        "lon": lon,
        "lat": lat,
        "s2_time": np.full(patches, np.datetime64("2017-06-13T10:10:31", "s")),
        "s1_time": np.full(patches, np.datetime64("NaT", "s")),
        "split": np.full(patches, "train", object),
        "seasonal_snow": place == 1,
    }
    shape = (patches, len(BANDS), SIDE, SIDE)
    return xr.Dataset(
        {
            "s2": (("patch", "band", "y", "x"), noise.integers(0, 4000, shape).astype(np.uint16)),
            "s1": (("patch", "polarization", "y", "x"), noise.normal(-12, 4, (patches, 2, SIDE, SIDE)).astype("f4")),
            "labels": (("patch", "label"), noise.random((patches, 19)) < 0.2),
            "reference_map": (("patch", "y", "x"), np.full((patches, SIDE, SIDE), 312, np.uint16)),
        },
        coords={
            **{name: ("patch", values) for name, values in (on_patch | coords).items()},
            "label": names,
            "band": np.array(BANDS, object),
            "polarization": np.array(["VV", "VH"], object),
        },
        attrs={"title": "BigEarthNet-MM", "bigearth": '{"release": "v1"}'},
    )


@pytest.fixture(scope="module")
def ds() -> xr.Dataset:
    return make_dataset()


@pytest.fixture
def listed() -> pa.Table:
    columns = {"tile": ["33UUP", "33UUP", "31UER"], "column": [26, 27, 90], "tile_row": [57, 57, 0]}
    return pa.table(columns | {"country": ["Austria", "Austria", "Belgium"]})


@pytest.fixture
def page(ds: xr.Dataset, listed: pa.Table, tmp_path: Path) -> Page:
    return Page(write_report(ds, tmp_path / "report.html", listed=listed))


def test_the_page_needs_nothing_but_itself(page: Page) -> None:
    assert page.open == []
    assert page.tags["script"] == page.tags["link"] == 0
    assert all(source.startswith("data:image/png;base64,") for source in page.all("img", "src"))
    assert all(target.startswith("#") for target in page.all("a", "href"))
    assert not re.search(r"url\(|@import|https?:", page.markup)


def test_every_patch_has_a_card_and_a_point_that_leads_to_it(ds: xr.Dataset, page: Page) -> None:
    cards = [f"#{name}" for name in page.all("article", "id")]
    assert page.all("a", "href") == cards
    assert page.tags["circle"] >= len(cards) == ds.sizes["patch"]
    assert all(patch in page.text for patch in ds.patch.values)
    assert page.text.count("seasonal snow") == int(ds.seasonal_snow.sum())


def test_pictures_hold_the_pixels(ds: xr.Dataset, page: Page) -> None:
    pngs = [base64.b64decode(source.partition(",")[2]) for source in page.all("img", "src")]
    pictures = [imagecodecs.png_decode(png) for png in pngs]
    assert [picture.shape for picture in pictures[:3]] == [(SIDE, SIDE, 3), (SIDE, SIDE, 3), (SIDE, SIDE, 4)]
    np.testing.assert_array_equal(pictures[1], color_radar(*ds.s1.values[0]))
    red = ds.s2.sel(band="B04").values[0]
    assert (np.diff(pictures[0][..., 0].ravel()[red.ravel().argsort()].astype(int)) >= 0).all()


def test_what_is_listed_is_drawn_as_context(page: Page, ds: xr.Dataset, tmp_path: Path) -> None:
    assert "Belgium" in page.text
    assert "≤ 2" in page.text
    alone = Page(write_report(ds, tmp_path / "alone.html"))
    assert "Belgium" not in alone.text
    assert "Listed" not in alone.text


class Echo(HTMLParser):
    """Gathers what a parser sees: attributes and text."""

    seen = ""

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen += "".join(value or "" for _, value in attrs)

    def handle_data(self, data: str) -> None:
        self.seen += data


@given(text=st.text(st.characters(exclude_categories=["Cs", "Cc"])))
def test_text_comes_out_as_it_went_in(text: str) -> None:
    catalogue = Catalogue(items=1, search=text, found=((text, text, text),))
    table = Echo()
    table.feed(render("catalogue.html", catalogue=catalogue))
    table.close()
    assert table.seen == f"1 items; searched for {text}: 1 found.foundPatchCountryDateid{text * 3}"
    entry = SimpleNamespace(patch=text, place="", labels=None, flags=(), s2_time="", s1_time="", split="")
    cards = [(entry, {"Optical": np.zeros((2, 2, 3), np.uint8)})]
    gallery = {"cards": cards, "most": 1, "notes": {}, "classes": [], "is_small": True}
    card = Echo()
    card.feed(render("gallery.html", gallery=gallery, patches=1))
    card.close()
    assert f"Optical, {text}240240Optical" in card.seen


def test_nothing_in_the_data_becomes_markup(tmp_path: Path) -> None:
    evil = "<script>alert('1')</script>\"&amp;"
    ds = make_dataset(1, country=np.array([evil], object), split=np.array([evil], object))
    ds = ds.assign_coords(patch=np.array([evil], object)).assign_attrs(title=evil)
    problem = SimpleNamespace(patch=evil, kind=evil, message=evil)
    ingest: Any = SimpleNamespace(release="v1", profile="fast", found=1, stored=1, quarantined={}, problems=(problem,))
    page = Page(write_report(ds, tmp_path / "report.html", ingest=ingest))
    assert page.tags["script"] == 0
    assert page.text.count(evil) >= 8


@pytest.mark.parametrize(
    ("dropped", "says", "lacks"),
    [
        ({"drop": "s1"}, "not drawn: this Dataset has no VV, VH", "VV from"),
        ({"drop": "s2"}, "not drawn: this Dataset has no B04, B03, B02", "percentile"),
        ({"band": ["B03", "B04", "B08"]}, "not drawn: this Dataset has no B02", "percentile"),
        ({"band": ["B02", "B03", "B04"]}, "not drawn: this Dataset has no B08", "below 0 water"),
        ({"polarization": ["VV"]}, "not drawn: this Dataset has no VH", "VV from"),
    ],
)
def test_a_missing_band_is_named(
    ds: xr.Dataset, tmp_path: Path, dropped: dict[str, Any], says: str, lacks: str
) -> None:
    some = ds.drop_vars(dropped["drop"]) if "drop" in dropped else ds.sel(dropped)
    page = Page(write_report(some, tmp_path / "report.html"))
    assert says in page.text
    assert lacks not in page.text


def test_a_dataset_without_pixels_or_labels_still_has_a_page(ds: xr.Dataset, tmp_path: Path) -> None:
    page = Page(write_report(ds.drop_vars(["s1", "s2", "labels", "reference_map"]), tmp_path / "report.html"))
    assert page.tags["article"] == ds.sizes["patch"]
    assert "Labels not known" in page.text
    assert "No patch has the bands to measure" in page.text
    many = Page(write_report(make_dataset(30).drop_vars(["s1", "s2", "labels"]), tmp_path / "many.html"))
    assert "No patch has both a label and the bands to measure" in many.text


def test_few_patches_are_measured_one_by_one_and_not_by_label(tmp_path: Path) -> None:
    few, many = (Page(write_report(make_dataset(count), tmp_path / f"{count}.html")) for count in (29, 30))
    assert "What they measure, patch by patch" in few.text
    assert "What they measure, by label" not in few.text
    assert few.markup.count('class="measured"') == 2 * 29
    assert "What they measure, by label" in many.text
    assert "patch by patch" not in many.text


def test_a_patch_bears_its_own_number_and_all_its_labels() -> None:
    ds = make_dataset(5)
    ds["s2"] = ds.s2.where(ds.patch != ds.patch[3], 0).astype(np.uint16)
    nir, red = (ds.s2.sel(band=band).values.astype(float) for band in ("B08", "B04"))
    for place, (entry, medians) in enumerate(by_patch(ds)):
        assert entry.labels == tuple(ds.label.values[ds.labels.values[place]])
        ratio = np.median((ds.s1[place, 0] - ds.s1[place, 1]).values)
        np.testing.assert_allclose(medians["VV − VH"], ratio, rtol=1e-5)
        if place == 3:
            assert "NDVI" not in medians
        else:
            ndvi = np.median((nir[place] - red[place]) / (nir[place] + red[place]))
            np.testing.assert_allclose(medians["NDVI"], ndvi, rtol=1e-5)
    assert render("chart.html", chart=draw_chart(ds), patches=5).count("no finite pixel") == 1


def test_no_cell_of_the_countries_is_empty(page: Page) -> None:
    assert "·</td>" not in page.markup
    assert "<td></td>" not in page.markup
    assert re.search(r"Belgium</th><td>0</td>", page.markup)


def test_of_many_patches_some_are_shown_and_the_page_says_so(tmp_path: Path) -> None:
    page = Page(write_report(make_dataset(60), tmp_path / "report.html"))
    assert page.tags["article"] == 48
    assert "48 patches (of 60, spread out evenly over the rows)" in page.text
    assert len(page.all("a", "href")) == 48


def test_an_empty_dataset_is_refused(ds: xr.Dataset, tmp_path: Path) -> None:
    with pytest.raises(SelectionError, match=r"has no patch to report on, expected at least one; check"):
        write_report(ds.isel(patch=slice(0)), tmp_path / "report.html")


def test_the_page_says_what_ingest_left_out(ds: xr.Dataset, tmp_path: Path) -> None:
    problem = SimpleNamespace(patch="S1A_lonely", kind="unpaired", message="S1A_lonely has no partner")
    counts = {"release": "v1", "profile": "fast", "found": 7, "stored": 6}
    ingest: Any = SimpleNamespace(**counts, quarantined={"S2A_cut": "B04 is cut short"}, problems=(problem,))
    page = Page(write_report(ds, tmp_path / "report.html", ingest=ingest))
    assert "7 patches found, 6 stored; left out: 1 quarantined, 1 unpaired." in page.text
    assert "B04 is cut short" in page.text
    assert "S1A_lonely has no partner" in page.text


@dataclass(eq=False)
class CountedArray(BackendArray):
    """An array on a disk that remembers how much was read at once."""

    array: NDArray[Any]
    most_patches: int = 0
    bands: frozenset[int] = frozenset()

    @property
    def shape(self) -> tuple[int, ...]:
        return self.array.shape

    @property
    def dtype(self) -> np.dtype[Any]:
        return self.array.dtype

    def __getitem__(self, key: indexing.ExplicitIndexer) -> Any:
        return indexing.explicit_indexing_adapter(key, self.shape, indexing.IndexingSupport.OUTER, self._read)

    def _read(self, key: tuple[Any, ...]) -> Any:
        self.most_patches = max(self.most_patches, np.arange(self.shape[0])[key[0]].size)
        self.bands |= frozenset(np.atleast_1d(np.arange(self.shape[1])[key[1]]).tolist())
        return self.array[np.ix_(*(np.atleast_1d(np.arange(n)[k]) for n, k in zip(self.shape, key, strict=True)))]


def with_pixels(ds: xr.Dataset, wrap: Any) -> xr.Dataset:
    """Hold the pixels of both sensors in another kind of array."""
    return ds.assign({name: (ds[name].dims, wrap(ds[name].values)) for name in ("s2", "s1")})


def test_memory_dask_and_lazy_arrays_give_one_page(ds: xr.Dataset, tmp_path: Path) -> None:
    wraps = {
        "memory": np.asarray,
        "dask": lambda array: da.from_array(array, chunks=(2, -1, -1, -1)),
        "lazy": lambda array: indexing.LazilyIndexedArray(CountedArray(array)),
    }
    pages = {
        write_report(with_pixels(ds, wrap), tmp_path / f"{name}.html").read_bytes() for name, wrap in wraps.items()
    }
    assert len(pages) == 1


def test_pixels_are_read_chunk_by_chunk_and_only_the_bands_used(tmp_path: Path) -> None:
    ds = make_dataset(300)
    wide = ds.reindex(band=[*BANDS, "B05"], fill_value=0)
    counted: list[CountedArray] = []

    def wrap(array: NDArray[Any]) -> indexing.LazilyIndexedArray:
        counted.append(CountedArray(array))
        return indexing.LazilyIndexedArray(counted[-1])

    write_report(with_pixels(wide, wrap), tmp_path / "report.html")
    assert [array.most_patches for array in counted] == [128, 128]
    assert counted[0].bands == {0, 1, 2, 3}


def test_statistics_are_those_of_brute_force() -> None:
    ds = make_dataset(200)
    measured = {one.label: one for one in by_label(ds)}
    for label, bearers in zip(ds.label.values, ds.labels.values.T, strict=True):
        nir, red = (ds.s2.sel(band=band).values[bearers].astype(float) for band in ("B08", "B04"))
        ndvi = np.median(((nir - red) / (nir + red)).reshape(bearers.sum(), -1), axis=1)
        ratio = np.median((ds.s1[:, 0] - ds.s1[:, 1]).values[bearers].reshape(bearers.sum(), -1), axis=1)
        assert measured[label].patches == bearers.sum()
        for name, values in (("NDVI", ndvi), ("VV − VH", ratio)):
            expected = np.percentile(values, [25, 50, 75])
            np.testing.assert_allclose(quartiles(measured[label].medians[name]), expected, rtol=1e-5, atol=1e-6)


def test_empty_patches_are_not_measured() -> None:
    ds = make_dataset(2)
    ds["labels"] = ds.labels | True
    ds["s2"], ds["s1"] = ds.s2 * (ds.patch == ds.patch[0]).astype(np.uint16), ds.s1 * np.inf
    first = by_label(ds)[0]
    assert (first.patches, first.medians["NDVI"].size, "VV − VH" in first.medians) == (2, 1, False)


@given(pair=st.tuples(st.integers(0, 65535), st.integers(0, 65535)))
def test_normalized_difference_does_not_wrap_around(pair: tuple[int, int]) -> None:
    a, b = pair
    expected = (a - b) / (a + b) if a + b else np.nan
    index = np.asarray(normalized_difference(np.array([a], np.uint16), np.array([b], np.uint16)))
    np.testing.assert_allclose(index, [expected], rtol=1e-6)


def test_indices_stay_lazy_on_dask() -> None:
    pixels = da.ones((4, 8, 8), chunks=1, dtype=np.float32)
    for index in (normalized_difference, radar_ratio_db):
        assert isinstance(index(pixels, pixels), da.Array)


def test_maps_have_the_colours_of_corine() -> None:
    codes = [[int(one.clc_codes[0]) for one in labels.CLASSES_43]]
    assert color_map(codes)[0, :, :3].tolist() == [list(one.color) for one in labels.CLASSES_43]
    assert color_map([[0, 999, 65535]])[..., 3].tolist() == [[0, 0, 0]]


def test_the_projection_has_its_origin_where_its_definition_says() -> None:
    np.testing.assert_allclose(project(4326, 10, 52), [4_321_000, 3_210_000], atol=1e-3)


def test_squares_hold_every_listed_patch() -> None:
    noise = np.random.default_rng(0)
    tiles = noise.choice(TILES, 5000)
    columns, rows = noise.integers(0, 91, (2, 5000))
    corners, patches = density_of(pa.table({"tile": tiles, "column": columns, "tile_row": rows}))
    counted = Counter(zip(tiles.tolist(), (columns // 7).tolist(), (rows // 7).tolist(), strict=True))
    assert sorted(patches.tolist()) == sorted(counted.values())
    # The projection keeps areas: a square of 8.4 km stays one, but for the scale of UTM.
    a, b = (corners[:, 2] - corners[:, 0]).T, (corners[:, 3] - corners[:, 1]).T
    np.testing.assert_allclose(np.abs(a[0] * b[1] - a[1] * b[0]) / 2, 8400**2, rtol=2e-3)
