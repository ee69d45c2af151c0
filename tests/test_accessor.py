"""`.ben` answers a name or an option that it has not with those that it has."""

from pathlib import Path
from typing import Any

import pytest

import bigearth_xr as bex


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of 3 synthetic pairs."""
    return bex.testing.write_store(tmp_path_factory.mktemp("small") / "ben.zarr", pairs=3)


@pytest.mark.parametrize(
    ("name", "problem"),
    [
        ("ndvii", "no 'ndvii' here; it has image, index, mndwi, .*, to_gpu; did you mean 'ndvi'"),
        ("RGB", "did you mean 'rgb'"),
        ("normalize", r"no 'normalize' here; .*; images have it: ds.ben.image\(…\).ben"),
    ],
)
def test_names_of_datasets(small: Path, name: str, problem: str) -> None:
    with pytest.raises(AttributeError, match=problem):
        getattr(bex.open(small).ben, name)


@pytest.mark.parametrize(
    ("name", "problem"), [("standardize", "it has augment, .*normalize"), ("patch", "Datasets have it: ds.ben")]
)
def test_names_of_images(small: Path, name: str, problem: str) -> None:
    with pytest.raises(AttributeError, match=problem):
        getattr(bex.open(small).s2.ben, name)


@pytest.mark.parametrize(
    ("method", "options", "problem"),
    [
        ("select", {"splt": "train"}, "select has no option 'splt'; it has .*; did you mean 'split'"),
        ("select", {"year": 2017}, "select has no option 'year'; it has split, country, .*recommended"),
        (
            "image",
            {"bands": ["B04"], "resample": "nearest"},
            "no option 'resample'; it has .*; did you mean 'resampling'",
        ),
        ("patch", {"resolution": 20}, "patch has no option 'resolution'; it has id, bands, res_m, resampling"),
    ],
)
def test_options_of_datasets(small: Path, method: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        getattr(bex.open(small).ben, method)(**options)


@pytest.mark.parametrize(
    ("method", "options", "problem"),
    [
        ("normalize", {"statistics": None}, "normalize has no option 'statistics'; it has method, stats, units"),
        ("augment", {"flip": True}, "augment has no option 'flip'; it has .*; did you mean 'flips'"),
    ],
)
def test_options_of_images(small: Path, method: str, options: dict[str, Any], problem: str) -> None:
    with pytest.raises(TypeError, match=problem):
        getattr(bex.open(small).s2.ben, method)(**options)


def test_options_of_functions(small: Path) -> None:
    with pytest.raises(TypeError, match=r"open has no option 'resample'; it has .*; did you mean 'resampling'"):
        bex.open(small, resample="bilinear")  # type: ignore[call-arg]  # the mistake
    with pytest.raises(TypeError, match=r"embed has no option 'normalise'; it has .*; did you mean 'normalize'"):
        bex.embed(bex.open(small), "spectral", name="x", normalise=None)  # type: ignore[call-arg]  # the mistake
