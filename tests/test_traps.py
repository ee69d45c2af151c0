"""Every row of docs/traps.md: what the plain line gives on our arrays, and that the line beside it is right."""

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import xarray as xr
from openings import OPENERS

import bigearth_xr as bex

PAGE = Path(__file__).resolve().parent.parent / "docs" / "traps.md"
ROWS = re.findall(r"^\| `(.+?)` \| `(.+?)` \| `(.+?)` \| `(.+?)` \|$", PAGE.read_text(), re.MULTILINE)

Oracle = Callable[["Numbers"], Any]


class Numbers:
    """What a store of 20 pairs holds, in 64 bits."""

    def __init__(self, ds: xr.Dataset) -> None:
        bands = list(ds.band.values)
        self.b4, self.b5, self.b8 = (
            ds.s2.values[:, bands.index(band)].astype(np.int64) for band in ("B04", "B05", "B08")
        )
        self.map, self.labels, self.s1 = ds.reference_map.values, ds.labels.values, ds.s1.values.astype(np.float64)
        self.day, self.y = ds.s2_time.values.astype("datetime64[D]"), ds.y.values
        self.kept = self.b4[self.map != 999]


RIGHT: dict[str, Oracle] = {
    "(w8 - w4).min()": lambda n: (n.b8 - n.b4).min(),
    "((w8 - w4) / (w8 + w4)).max()": lambda n: ((n.b8 - n.b4) / (n.b8 + n.b4)).max(),
    "(w4 * 10).max()": lambda n: (n.b4 * 10).max(),
    "(w4**2).max()": lambda n: (n.b4**2).max(),
    "abs(w4 - w8).max()": lambda n: np.abs(n.b4 - n.b8).max(),
    "(-w4).min()": lambda n: (-n.b4).min(),
    "w4.diff('x').max()": lambda n: np.diff(n.b4).max(),
    "xr.dot(b4.astype('float64'), b4, dim=['patch', 'y', 'x'])": lambda n: (n.b4**2).sum(),
    "b4.astype('float64').weighted(mask).mean()": lambda n: n.kept.mean(),
    "b4.where(mask).mean(dtype='float64')": lambda n: n.kept.mean(),
    "(b4.astype('int32') + 60000).max()": lambda n: n.b4.max() + 60000,
    "xr.where(mask, w4, -1).min()": lambda n: np.where(n.map != 999, n.b4, -1).min(),
    "ds.reference_map.where(mask).mean(dtype='float64')": lambda n: n.map[n.map != 999].mean(),
    "ds.reference_map.where(mask).coarsen(y=2, x=2).max().max()": lambda n: n.map[n.map != 999].max(),
    "(~ds.labels).sum()": lambda n: n.labels.size - np.count_nonzero(n.labels),
    "b4.mean()": lambda n: n.b4.mean(),
    "b4.std()": lambda n: n.b4.std(),
    "ds.sel(y=slice(0, -100)).sizes['y']": lambda n: np.count_nonzero((n.y <= 0) & (n.y >= -100)),
    "(ds.s1.isel(x=slice(60)) - ds.s1.isel(x=slice(60, None)).variable).sizes['x']": lambda n: n.s1.shape[-1] // 2,
    "(ds.s2_time < np.datetime64('2017-06-18')).sum()": lambda n: (n.day <= np.datetime64("2017-06-17")).sum(),
    "xr.align(ds.s1, ds.s2, join='exact')[0].sizes['patch']": lambda n: len(n.b4),
    "(w4 - wide.s2.sel(band='B05')).size": lambda n: (n.b4 - n.b5).size,
    "10 * np.log10((10 ** (ds.s1.astype('float64') / 10)).mean())": lambda n: 10 * np.log10((10 ** (n.s1 / 10)).mean()),
}


@pytest.fixture(scope="module")
def twenty(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("twenty") / "ben.zarr", pairs=20)


@pytest.fixture(scope="module")
def numbers(twenty: Path) -> Numbers:
    return Numbers(bex.open(twenty))


def run(line: str, store: Path, opening: str) -> float:
    """Run a line of the page."""
    ds, wide = (OPENERS[opening](store, dtype=dtype) for dtype in (None, "float32"))
    names = {
        "ds": ds, "wide": wide, "np": np, "xr": xr, "mask": ds.reference_map != 999,
        "tree": xr.open_datatree(store, engine="bigearth"),
        "b4": ds.s2.sel(band="B04"), "b8": ds.s2.sel(band="B08"),
        "w4": wide.s2.sel(band="B04"), "w8": wide.s2.sel(band="B08"),
    }  # fmt: skip
    found = eval(line, names)
    return float(np.asarray(getattr(found, "values", found)).item())


def test_the_page_has_a_right_line_for_each_trap() -> None:
    assert len(ROWS) >= 20
    assert {right for _, _, right, _ in ROWS} == set(RIGHT)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize(("line", "gives"), [row[:2] for row in ROWS], ids=lambda text: str(text)[:40])
def test_the_plain_line_gives_what_the_page_says(line: str, gives: str, twenty: Path) -> None:
    try:
        found = run(line, twenty, "bex.open")
    except OverflowError:  # from NumPy 2.5 on for numbers that the type does not hold
        assert "-1" in line
        return
    np.testing.assert_allclose(found, float(gives), rtol=1e-5)


@pytest.mark.sampled(2)
@pytest.mark.parametrize("opening", OPENERS)
@pytest.mark.parametrize(("line", "gives"), [row[2:] for row in ROWS], ids=lambda text: str(text)[:40])
def test_the_line_beside_it_is_right(line: str, gives: str, opening: str, twenty: Path, numbers: Numbers) -> None:
    right = RIGHT[line](numbers)
    np.testing.assert_allclose(run(line, twenty, opening), right, rtol=1e-6)
    np.testing.assert_allclose(float(gives), right, rtol=1e-6)
