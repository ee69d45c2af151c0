"""The tree shows every array as it is stored."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import xarray as xr

import bigearth_xr as bex
from bigearth_xr.bands import GROUPS
from bigearth_xr.releases import Release
from bigearth_xr.testing import count_reads, formula_pixels


@pytest.mark.parametrize("chunks", [None, {}])
def test_tree_shows_every_array_at_its_native_resolution(store: Path, chunks: dict[str, int] | None) -> None:
    tree = xr.open_datatree(store, engine="bigearth", chunks=chunks).to_dataset()
    patch = str(tree.patch.values[5])
    for group in GROUPS:
        found = tree[group.array]
        names = [b.name for b in group.bands]
        assert found.dims == ("patch", group.dim, group.y, group.x)
        assert tree[group.dim].values.tolist() == names
        np.testing.assert_array_equal(found[5], [formula_pixels(patch, name) for name in names])
        res_m = 1200 / group.size
        np.testing.assert_array_equal(tree[group.x], np.arange(group.size) * res_m + res_m / 2)
        np.testing.assert_array_equal(tree[group.y], -tree[group.x].values)


def test_tree_shows_every_nomenclature_and_the_maps(store: Path, table: pa.Table, release: Release) -> None:
    tree = xr.open_datatree(store, engine="bigearth").to_dataset()
    ours = {"v1": {"labels_19", "labels_43"}, "v2": {"labels_19", "reference_map"}}[release]
    assert set(tree.data_vars) == {group.array for group in GROUPS} | ours
    for name in ours - {"reference_map"}:
        dim = name.replace("labels", "label")
        expected = [[label in labels for label in tree[dim].values] for labels in table[name].to_pylist()]
        np.testing.assert_array_equal(tree[name], expected)


def test_tree_reads_only_what_is_asked_for(store: Path) -> None:
    tree = xr.open_datatree(store, engine="bigearth")
    with count_reads() as reads:
        tree["s2_60m"].isel(patch=[3, 1]).compute()
    assert reads == {"s2_60m": 2}


def test_tree_hides_the_same_rows(partial: Path) -> None:
    tree = xr.open_datatree(partial, engine="bigearth")
    assert tree.patch.values.tolist() == bex.open(partial).patch.values.tolist()
    everything = xr.open_datatree(partial, engine="bigearth", states="all")
    assert everything.sizes["patch"] == 6
    assert "state" in everything.coords


def test_variables_of_the_tree_can_be_dropped(store: Path) -> None:
    tree = xr.open_datatree(store, engine="bigearth", drop_variables=["s1", "lon"])
    assert not {"s1", "lon"} & set(tree.to_dataset().variables)
