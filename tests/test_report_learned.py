"""The report tells what a model is given, what it makes of it, and no more than that."""

import base64
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import imagecodecs
import numpy as np
import pytest
import xarray as xr
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

import bigearth_xr as bex
from bigearth_xr.errors import SelectionError
from bigearth_xr.labels import label_names
from bigearth_xr.report import Catalogue, Learned, Neighbourhood, write_report
from bigearth_xr.report.learned import draw_learned
from bigearth_xr.report.measures import axis_over
from bigearth_xr.report.page import render
from bigearth_xr.thumbnails import RGB_STRETCH, SAR_STRETCH, color_optical, color_radar, color_standardised

PATCHES = ("a", "b", "c")
WATER, FOREST, URBAN = label_names()[-1], label_names()[8], label_names()[0]


def make_pixels(*bands: str, patches: tuple[str, ...] = PATCHES, scale: float = 1000) -> xr.DataArray:
    """Build an image of noise around a mean of three deviations."""
    noise = np.random.default_rng(0).normal(3, 1, (len(patches), len(bands), 12, 12)) * scale
    coords = {"patch": np.array(patches, object), "band": np.array(bands, object)}
    return xr.DataArray(noise.astype(np.float32), coords=coords, dims=("patch", "band", "y", "x"))


def make_learned(**changes: Any) -> Learned:
    """Tell of three patches and one search."""
    given = make_pixels("B02", "B03", "B04", patches=("a",), scale=0.2)
    whole: dict[str, Any] = {
        "images": make_pixels("B02", "B03", "B04"),
        "labels": {"a": (FOREST, WATER), "b": (URBAN, WATER), "c": ()},
        "normalised": given,
        "augmented": given.isel(x=slice(None, None, -1)),
        "augmentation": "flipped",
        "embedding": "Means of bands; Euclidean distance",
        "losses": (0.75, 0.5, 0.25),
        "neighbourhoods": (Neighbourhood(query="a", found={"b": 0.125, "c": 0.5}),),
        "scores": {"precision": (0.625, 0.375)},
    }
    return Learned(**(whole | changes))


def drawn(learned: Learned) -> str:
    """The sections on models."""
    return render("models.html", models=draw_learned(learned), card_ids={})


def curve_of(losses: list[float]) -> str:
    return drawn(make_learned(losses=tuple(losses)))


def drawn_catalogue(catalogue: Catalogue) -> str:
    return render("catalogue.html", catalogue=catalogue)


def pictures_of(markup: str) -> list[NDArray[np.uint8]]:
    return [imagecodecs.png_decode(base64.b64decode(png)) for png in re.findall(r"base64,([^\"]+)", markup)]


def text_of(markup: str) -> str:
    return re.sub(r"<[^>]*>", " ", markup)


def titles_of(markup: str) -> list[str]:
    return re.findall(r"<h2>(.*?)</h2>", markup)


def test_pictures_hold_what_is_stored_normalised_and_augmented() -> None:
    learned = make_learned()
    stored, normalised, augmented, *_ = pictures_of(drawn(learned))
    rgb = ["B04", "B03", "B02"]
    np.testing.assert_array_equal(stored, color_optical(learned.images.sel(patch="a", band=rgb).values))
    bands = learned.normalised.sel(patch="a", band=rgb).values.transpose(1, 2, 0).astype(float)
    expected = ((bands.clip(-2, 2) + 2) / 4 * 255).astype(int)
    np.testing.assert_allclose(normalised.astype(int), expected, atol=1)
    np.testing.assert_array_equal(augmented, normalised[:, ::-1])


def test_standardised_bands_are_black_to_white_over_four_deviations() -> None:
    values = np.array([[-9, -2, 0, 2, 9, np.nan, np.inf]], np.float32)
    assert color_standardised([values])[0].tolist() == [[n] * 3 for n in (0, 0, 128, 255, 255, 0, 255)]


@pytest.mark.parametrize(
    ("bands", "stored", "channels"),
    [
        (("B02", "VV", "B03", "B04"), RGB_STRETCH, "red, green, blue = B04, B03, B02; from −2 to 2"),
        (("VH", "VV"), SAR_STRETCH, "grey = VH; from −2 to 2"),
        (("B08", "B05", "B11", "B12"), "grey = B08; per patch, from −2", "red, green, blue = B08, B05, B11; from −2"),
    ],
)
def test_each_picture_says_what_it_is_made_of(bands: tuple[str, ...], stored: str, channels: str) -> None:
    given = make_pixels(*bands, patches=("a",), scale=0.2)
    markup = drawn(make_learned(images=make_pixels(*bands), normalised=given, augmented=given))
    assert stored in text_of(markup)
    assert channels in text_of(markup)
    assert {picture.shape for picture in pictures_of(markup)} == {(12, 12, 3)}


def test_radar_alone_is_drawn_as_radar() -> None:
    images = make_pixels("VV", "VH", scale=-5)
    *_, query, _, _ = pictures_of(drawn(make_learned(images=images)))
    np.testing.assert_array_equal(query, color_radar(*images.sel(patch="a").values))


def test_shared_labels_are_emphasised() -> None:
    markup = drawn(make_learned())
    shared = re.findall(r'<li class="shared">.*?</li>', markup)
    assert [text_of(chip).strip() for chip in shared] == [WATER]
    told = " ".join(text_of(markup).split())
    assert "0.125 · 1 of 2 labels" in told
    assert "0.500 · 0 of 2 labels None of the classes" in told


@pytest.mark.parametrize("labels", [{}, {"a": (WATER,)}])
def test_labels_that_are_not_known_are_not_counted(labels: Mapping[str, tuple[str, ...]]) -> None:
    text = text_of(drawn(make_learned(labels=labels)))
    assert "Labels not known" in text
    assert "of 1 labels" not in text


def test_the_page_says_how_little_it_shows() -> None:
    text = " ".join(text_of(drawn(make_learned())).split())
    assert "So few patches prove nothing about its quality." in text
    assert "of so few patches it learns little but these patches" in text
    assert "precision 0.625 0.375" in text


def test_without_scores_the_page_says_why() -> None:
    text = " ".join(text_of(drawn(make_learned(scores={}))).split())
    assert "Among 3 patches something is always nearest" in text
    assert "There are no scores of so few." in text
    assert "precision" not in text


@pytest.mark.parametrize(
    ("absent", "title"),
    [
        ({"losses": ()}, "Trained for a moment"),
        ({"neighbourhoods": (), "scores": {}}, "Nearest patches"),
        ({name: make_pixels("B02", patches=()) for name in ("normalised", "augmented")}, "As a model sees them"),
    ],
)
def test_what_there_is_nothing_of_has_no_section(absent: dict[str, Any], title: str) -> None:
    every = titles_of(drawn(make_learned()))
    assert every == ["As a model sees them", "Trained for a moment", "Nearest patches"]
    assert titles_of(drawn(make_learned(**absent))) == [one for one in every if one != title]


def test_scores_are_told_without_a_search_to_show_and_the_other_way_round() -> None:
    assert "<table" in drawn(make_learned(neighbourhoods=()))
    assert "<table" not in drawn(make_learned(scores={}))


@given(losses=st.lists(st.floats(0, 1e6) | st.sampled_from([float("nan"), float("inf")]), min_size=1, max_size=80))
def test_the_curve_stays_within_its_frame(losses: list[float]) -> None:
    finite = np.isfinite(losses).sum()
    curve = curve_of(losses)
    points = np.array(re.findall(r"([\d.-]+),([\d.-]+)", curve), float)
    assert len(points) == finite
    assert ((points >= 0) & (points <= 100)).all()
    assert curve.count("<circle") == (finite if finite <= 60 else 0)
    assert ("finite in no epoch" in curve) == (finite == 0)


def test_the_curve_falls_with_the_loss() -> None:
    points = np.array(re.findall(r"([\d.]+),([\d.]+)", curve_of([0.75, 0.5, 0.25])), float)
    assert points[:, 0].tolist() == [0, 50, 100]
    assert (np.diff(points[:, 1]) > 0).all()  # y of a drawing points down


@given(pair=st.tuples(st.floats(-1e6, 1e6), st.floats(-1e6, 1e6)))
def test_an_axis_spans_its_values_in_few_round_steps(pair: tuple[float, float]) -> None:
    axis = axis_over(min(pair), max(pair))
    slack = 1e-6 * axis.step
    assert axis.low - slack <= min(pair) <= max(pair) <= axis.high + slack
    assert 2 <= len(list(axis.ticks())) <= 6


def test_patches_without_pixels_are_refused() -> None:
    images = make_pixels("B02", "B03", "B04", patches=("a", "b"))
    with pytest.raises(SelectionError, match=r"images lacks 1 of the patches to show, the first of them c; expected"):
        make_learned(images=images)


@pytest.mark.parametrize(("dim", "other"), [("patch", ["b"]), ("band", ["B02", "B03", "B08"])])
def test_views_of_different_patches_or_bands_are_refused(dim: str, other: list[str]) -> None:
    learned = make_learned()
    with pytest.raises(SelectionError, match=rf"differ along '{dim}', expected the same patches and bands; augment"):
        replace(learned, augmented=learned.augmented.assign_coords({dim: other}))


@pytest.mark.parametrize(("found", "rows", "left"), [(0, 0, 0), (12, 12, 0), (1500, 12, 1488)])
def test_the_first_items_found_are_listed_and_the_rest_counted(found: int, rows: int, left: int) -> None:
    items = tuple((f"patch {number}", "Finland", "2017-06-13") for number in range(found))
    markup = drawn_catalogue(Catalogue(items=2000, search="Finland in June", found=items))
    assert f"2,000 items; searched for Finland in June: {found:,} found." in markup
    assert markup.count("<td") == 3 * rows
    assert ("more" in markup) == bool(left)
    assert f"and {left:,} more" in markup or not left


def test_nothing_in_the_words_becomes_markup() -> None:
    evil = "<script>alert('1')</script>\"&amp;"
    words = {"augmentation": evil, "embedding": evil, "scores": {evil: (1.0, 0.0)}, "labels": {"a": (evil,)}}
    catalogue = Catalogue(items=1, search=evil, found=((evil, evil, evil),))
    markup = drawn(make_learned(**words)) + drawn_catalogue(catalogue)
    assert "<script" not in markup
    assert markup.count("&lt;script") == 8


def test_a_store_is_told_of_from_its_pixels_to_its_neighbours(tmp_path: Path) -> None:
    ds = bex.open(bex.testing.write_store(tmp_path / "ben.zarr", pairs=4))
    images = ds.ben.image(["B04", "B03", "B02"])
    normalised = images[:2].ben.normalize().load()
    vectors = bex.embed(ds, "spectral", name="spectral").load()
    nearest = bex.retrieval.Index(vectors).query(vectors[:1], k=3)
    assert nearest.patches is not None
    query, *found = nearest.patches[0].tolist()
    searched = Neighbourhood(query=query, found=dict(zip(found, nearest.distances[0, 1:].tolist(), strict=True)))
    learned = make_learned(
        images=images.load(), normalised=normalised, augmented=normalised.ben.augment(1), neighbourhoods=(searched,)
    )
    catalogue = Catalogue(items=4, search="everything", found=((query, "Austria", "2017-06-13"),))
    page = write_report(ds, tmp_path / "report.html", learned=learned, catalogue=catalogue).read_text("utf-8")
    assert titles_of(page)[-4:] == [*titles_of(drawn(learned)), "Found in the catalogue"]
    cards = set(re.findall(r'<article class="card" id="([^"]+)"', page))
    links = re.findall(r'<a href="#([^"]+)"><figure', page)
    assert len(links) == 3
    assert set(links) <= cards
    alone = write_report(ds, tmp_path / "alone.html").read_text("utf-8")
    assert len(titles_of(alone)) == len(titles_of(page)) - 4
