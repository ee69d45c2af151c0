"""What a Dataset says of itself."""

from collections import Counter
from pathlib import Path

import pyarrow as pa
import pytest
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.releases import Release
from bigearth_xr.summary import Summary, summarize
from bigearth_xr.testing import count_reads

TITLES: dict[Release, str] = {"v1": "BigEarthNet-MM (v1), 24 patches", "v2": "reBEN (v2), 24 patches"}


def counted(text: str) -> dict[str, int]:
    """Read ``"train 1,200, test 7"`` back."""
    pairs = (part.rsplit(" ", 1) for part in text.split(", "))
    return {name: int(count.replace(",", "")) for name, count in pairs}


def test_title_says_release_and_count(ds: xr.Dataset, release: Release) -> None:
    assert summarize(ds).title == TITLES[release]


@pytest.mark.parametrize("column", ["split", "country", "season"])
def test_counts_are_those_of_the_table(ds: xr.Dataset, table: pa.Table, column: str) -> None:
    expected = Counter(value or "unknown" for value in table[column].to_pylist())
    assert counted(summarize(ds).facts[column]) == expected


def test_facts_are_those_of_the_table(ds: xr.Dataset, store: Path, table: pa.Table) -> None:
    facts = summarize(ds).facts
    days = [time.date().isoformat() for time in table["s2_time"].to_pylist()]
    recommended = table["recommended"].to_pylist()
    assert facts["Sentinel-2"] == f"{min(days)} to {max(days)}"
    assert facts["recommended"] == f"{recommended.count(True)} of {24 - recommended.count(None)} listed"
    assert facts["labels"] == "19 classes"
    assert facts["store"] == str(store)


def test_two_releases_together_are_both_named(tmp_path: Path) -> None:
    releases: tuple[Release, ...] = ("v1", "v2")
    paths = [
        bex.testing.write_store(tmp_path / f"{name}.zarr", pairs=pairs, version=name)
        for name, pairs in zip(releases, (2, 3), strict=True)
    ]
    parts = [bex.open(path).reset_coords(drop=True).drop_vars("reference_map", errors="ignore") for path in paths]
    for both in (xr.concat(parts, "patch"), xr.concat(parts, "patch").compute()):
        title = "BigEarthNet-MM (v1) 2 and reBEN (v2) 3, 5 patches"
        assert repr(both.ben).splitlines()[0] == title
        assert title in both.ben._repr_html_()
        assert summarize(both).facts["store"].startswith(f"{paths[0]}, and maybe others: some pixels were loaded")
        # Of the second alone, the attributes of the first are wrong.
        assert summarize(both.isel(patch=[4])).title == "reBEN (v2), 1 patch"
    assert summarize(parts[1]).facts["store"] == str(paths[1])


def test_size_is_that_of_all_pixels(ds: xr.Dataset, release: Release) -> None:
    s2, s1, reference_map = 24 * 12 * 120**2 * 2, 24 * 2 * 120**2 * 4, 24 * 120**2 * 2
    size_mb = (s2 + s1 + reference_map * (release == "v2")) / 1e6
    maps = ", reference maps" if release == "v2" else ""
    assert summarize(ds).facts["pixels"] == f"{size_mb:.1f} MB at 10 m: 12 bands, 2 polarizations{maps}"


def test_a_summary_reads_no_pixel(ds: xr.Dataset) -> None:
    with count_reads() as reads:
        repr(ds.ben), ds.ben._repr_html_()
    assert reads == {}


def test_text_has_a_fact_a_line(ds: xr.Dataset) -> None:
    summary = summarize(ds)
    title, *lines = repr(ds.ben).splitlines()
    assert title == summary.title
    assert [line.split(maxsplit=1)[0] for line in lines] == [name.split()[0] for name in summary.facts]


def test_html_says_release_counts_and_size(ds: xr.Dataset, release: Release) -> None:
    html = ds.ben._repr_html_()
    for text in (TITLES[release], *summarize(ds).facts.values()):
        assert text in html


def test_html_is_escaped() -> None:
    html = Summary(title="<b>", facts={"a&b": "<script>"}).as_html()
    assert "<b>&lt;b&gt;</b>" in html
    assert "a&amp;b" in html
    assert "<script>" not in html


@pytest.mark.parametrize(
    ("part", "title"),
    [
        (lambda ds: ds.isel(patch=[3]), "1 patch"),
        (lambda ds: ds.isel(patch=3), "1 patch"),
        (lambda ds: ds.isel(patch=slice(0)), "0 patches"),
        (lambda ds: ds.isel(patch=slice(2), band=0), "2 patches"),
        (lambda ds: ds[["s1"]].drop_vars(["split", "s2_time", "listed"]), "24 patches"),
        (lambda ds: ds.drop_dims(["y", "x"]), "24 patches"),
        (lambda ds: ds.drop_attrs(), "Dataset, 24 patches"),
        (lambda ds: xr.Dataset(), "Dataset"),
    ],
)
def test_any_part_of_a_dataset_is_summarized(ds: xr.Dataset, part: object, title: str) -> None:
    assert callable(part)
    summary = summarize(part(ds))
    assert title in summary.title
    assert summary.as_text()
    assert summary.as_html()


def test_large_datasets_are_measured_in_gigabytes(store: Path) -> None:
    ds = bex.open(store)
    many = ds.isel(patch=[place % 24 for place in range(4096)])
    assert (
        summarize(many).facts["pixels"].startswith(f"{sum(many[n].nbytes for n in many if n != 'labels') / 1e9:.1f} GB")
    )
