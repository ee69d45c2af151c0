"""What is no store is named for what it is, with how it is opened; a store without consolidated metadata is read."""

import json
import shutil
from pathlib import Path

import pytest
import xarray as xr
import zarr
from holdings import copy_store, holdings
from openings import of_patches
from resavings import save

import bigearth_xr as bex
from bigearth_xr.errors import ChecksumError, FormatError, StoreError
from bigearth_xr.verification import verify


@pytest.fixture(scope="module")
def subset(twelve: Path) -> xr.Dataset:
    return bex.open(twelve).isel(patch=[4, 1])


@pytest.fixture
def store(twelve: Path, tmp_path: Path) -> Path:
    return copy_store(twelve, tmp_path)


@pytest.mark.parametrize("version", [2, 3])
def test_a_saved_subset_is_named_and_opens_as_it_is_told(subset: xr.Dataset, version: int, tmp_path: Path) -> None:
    path = tmp_path / "part.zarr"
    save(subset, path, zarr_format=version)
    said = rf"a subset of a store \(v2\) that xarray saved, no store itself; open it with xr.open_zarr\('{path}'\)"
    for use in (bex.open, verify, lambda path: xr.open_dataset(path, engine="bigearth")):
        with pytest.raises(FormatError, match=said):
            use(path)
    assert xr.open_zarr(path).ben.image(["B04"]).shape == (2, 1, 120, 120)
    assert xr.open_dataset(path, chunks={}).sizes["patch"] == 2


def test_files_are_named(subset: xr.Dataset, store: Path, tmp_path: Path) -> None:
    subset.to_netcdf(tmp_path / "part.nc", engine="scipy")
    (tmp_path / "four.nc").write_bytes(b"\x89HDF\r\n\x1a\n" + bytes(100))
    for name in ("part.nc", "four.nc"):
        with pytest.raises(
            FormatError, match=rf"is a netCDF file, no store; open it with xr.open_dataset\('.*{name}'\)"
        ):
            bex.open(tmp_path / name)
    shutil.make_archive(str(tmp_path / "ben"), "zip", store)
    with pytest.raises(FormatError, match=r"is a ZIP file, and a store is a folder; unpack one with: .*zipfile -e"):
        bex.open(tmp_path / "ben.zip")
    for kind, name in (("tar", "ben.tar"), ("gztar", "ben.tar.gz")):
        shutil.make_archive(str(tmp_path / "ben"), kind, store)
        with pytest.raises(FormatError, match="is a packed file, and a store is a folder; unpack it"):
            bex.open(tmp_path / name)
    (tmp_path / "notes.txt").write_text("none")
    with pytest.raises(FormatError, match="is a file, and a store is a folder"):
        bex.open(tmp_path / "notes.txt")


def test_other_zarr_stores_are_named(tmp_path: Path) -> None:
    zarr.create_group(tmp_path / "two.zarr", zarr_format=2, attributes={"mine": 1})
    with pytest.raises(
        FormatError, match=r"is a Zarr store of version 2, not one of bigearth_xr; open it with xr.open"
    ):
        bex.open(tmp_path / "two.zarr")
    zarr.create_group(tmp_path / "three.zarr", attributes={"bigearth": "{cut"})
    with pytest.raises(FormatError, match="not one of bigearth_xr: no attribute 'bigearth' of format 'bigearth-xr'"):
        bex.open(tmp_path / "three.zarr")


@pytest.mark.filterwarnings("ignore:Consolidated metadata")
@pytest.mark.parametrize("version", [2, 3])
def test_a_rewritten_store_is_no_damaged_one(twelve: Path, version: int, tmp_path: Path) -> None:
    plain = xr.open_zarr(twelve, chunks=None).drop_encoding()
    plain.chunk(patch=4).to_zarr(tmp_path / "copy.zarr", zarr_format=version)
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    for use in (bex.open, verify, lambda path: verify(path, repair=True)):
        with pytest.raises(FormatError, match=r"is a copy of a store that other software wrote.*xr.open_zarr"):
            use(tmp_path / "copy.zarr")
    assert before == {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}


def test_a_store_without_consolidated_metadata_is_read_and_told(store: Path, subset: xr.Dataset) -> None:
    vectors = bex.embed(bex.open(store), "spectral", name="mine", bands=["B04"]).values
    before, path = holdings(store), store / "zarr.json"
    document = json.loads(path.read_text())
    document["consolidated_metadata"] = None
    path.write_text(json.dumps(document))
    ds = bex.open(store)
    assert (ds.ben.image(["B8A"]).values == of_patches(ds.patch, ["B8A"])).all()
    assert (xr.open_datatree(store, engine="bigearth")["embeddings/mine"].embedding.values == vectors).all()
    (failure,) = verify(store).failures
    assert "its metadata are not consolidated; repair it with --repair" in failure
    assert verify(store, repair=True).sound
    assert holdings(store) == before


def test_metadata_that_are_not_consolidated_are_still_those_that_were_written(store: Path) -> None:
    document = json.loads((store / "zarr.json").read_text())
    del document["consolidated_metadata"]
    (store / "zarr.json").write_text(json.dumps(document))
    split = json.loads((store / "split" / "zarr.json").read_text())
    split["attributes"]["flag_meanings"] = "test train validation"
    (store / "split" / "zarr.json").write_text(json.dumps(split))
    with pytest.raises(ChecksumError, match="its metadata have the digest"):
        bex.open(store)
    (store / "split" / "zarr.json").write_text("{")
    with pytest.raises(StoreError, match=r"is damaged .*so the store cannot be opened"):
        bex.open(store)
