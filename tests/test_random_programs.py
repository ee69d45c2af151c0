"""Random programs of xarray steps give what they give on a NumPy copy of all pixels, or are refused in our words."""

import os
import shutil
from pathlib import Path

import pytest
import xarray as xr
from holdings import copy_store
from programs import plain_copy, run_program

import bigearth_xr as bex

PROGRAMS = 40
PROVEN = 300

pytestmark = pytest.mark.filterwarnings("ignore:.*(chunk|Zarr V3|large|Increasing number|dtype=object).*")


@pytest.fixture(scope="module")
def eight(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return bex.testing.write_store(tmp_path_factory.mktemp("eight") / "ben.zarr", pairs=8)


@pytest.fixture(scope="module")
def plain(eight: Path) -> xr.Dataset:
    return plain_copy(eight)


def test_random_programs_are_right(eight: Path, plain: xr.Dataset, tmp_path: Path) -> None:
    ends = [run_program(seed, eight, plain.copy(), tmp_path, []) for seed in range(PROGRAMS)]
    assert ends.count("right") > PROGRAMS * 0.8, ends


@pytest.mark.prove
def test_hundreds_of_random_programs_are_right(eight: Path, plain: xr.Dataset, tmp_path: Path) -> None:
    ends = [run_program(1000 + seed, eight, plain.copy(), tmp_path, []) for seed in range(PROVEN)]
    assert ends.count("right") > PROVEN * 0.8, ends


@pytest.mark.parametrize("change", ["moved", "ingested again", "removed"])
def test_programs_over_a_store_that_is_another_are_right_or_refused(
    eight: Path, other_twelve: Path, plain: xr.Dataset, tmp_path: Path, change: str
) -> None:
    ends = []
    for seed in range(8):
        home = tmp_path / str(seed)
        home.mkdir()
        own = copy_store(eight, home)

        def make(given: xr.Dataset, own: Path = own) -> xr.Dataset:
            own.rename(own.with_name("elsewhere.zarr"))
            if change == "ingested again":
                shutil.copytree(other_twelve, own)
            elif change == "removed":
                shutil.rmtree(own.with_name("elsewhere.zarr"))
            return given

        ends.append(run_program(seed, own, plain.copy(), home, [make]))
    assert any(end.startswith("refused") for end in ends), os.linesep.join(ends)
