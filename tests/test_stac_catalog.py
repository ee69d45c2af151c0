"""A catalogue on disk passes the schemas, leads to the pixels, and refuses what it cannot be made of."""

import json
import shutil
from pathlib import Path

import bigearth_stac
import imagecodecs
import numpy as np
import pyarrow.parquet as pq
import pystac
import pytest
import xarray as xr
from bigearth_stac import build_catalog, find_items, open_search, validate_catalog
from bigearth_stac.catalog import Catalog
from bigearth_stac.cli import app, main
from pystac.extensions.scientific import ScientificExtension
from typer.testing import CliRunner

import bigearth_xr as bex
from bigearth_xr.errors import BandError, DependencyError, MetadataError, SelectionError
from bigearth_xr.releases import RELEASES, Release

PAIRS = 24
UNCHECKED = ("scientific",)  # of which there is no schema among ours


@pytest.fixture(scope="module")
def catalog(fast_store: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("catalog")
    return build_catalog(fast_store, folder, static_items=True, thumbnails=True).folder


@pytest.fixture(scope="module")
def collection(catalog: Path) -> pystac.Collection:
    return pystac.Collection.from_file(str(catalog / "collection.json"))


def test_every_item_and_the_collection_pass_the_schemas(catalog: Path, shared: Path) -> None:
    report = validate_catalog(catalog, schemas=shared / "schemas", sample=None)
    assert (report.failures, report.checked, report.unchecked) == ((), PAIRS, UNCHECKED)


def test_pystac_walks_from_the_collection_to_every_item(collection: pystac.Collection, fast_store: Path) -> None:
    items = {item.id: item for item in collection.get_items(recursive=True)}
    assert set(items) == set(bex.open(fast_store).patch.values)
    for item in items.values():
        assert item.get_collection() is collection
        assert item.get_parent().id == item.properties["grid:code"]  # type: ignore[union-attr]  # none: a failure too
        assert Path(item.assets["thumbnail"].get_absolute_href() or "").is_file()


def test_the_collection_cites_its_paper(collection: pystac.Collection, release: Release) -> None:
    [publication] = ScientificExtension.ext(collection).publications or []
    assert publication.doi == RELEASES[release].citation.doi


def test_an_asset_leads_to_the_pixels_of_its_patch(collection: pystac.Collection, fast_store: Path) -> None:
    import zarr

    ds = bex.open(fast_store)
    for item in list(collection.get_items(recursive=True))[::7]:
        asset = item.assets["s2_10m"]
        found = zarr.open_array(asset.href, mode="r")[asset.extra_fields["bigearth:selection"]["patch"]]
        bands = [band["name"] for band in asset.to_dict()["bands"]]
        np.testing.assert_array_equal(found, ds.s2.sel(patch=item.id, band=bands).values)


def test_the_store_opens_from_the_collection(collection: pystac.Collection, fast_store: Path) -> None:
    asset = collection.assets["zarr"]
    assert Path(asset.href) == fast_store
    plain = xr.open_zarr(asset.href)
    theirs = xr.open_dataset(asset, engine="stac")  # type: ignore[arg-type]  # xpystac takes assets
    with_kwargs = xr.open_dataset(asset.href, **asset.extra_fields["xarray:open_kwargs"])
    assert plain.sizes["patch"] == theirs.sizes["patch"] == PAIRS
    xr.testing.assert_identical(theirs.s1.load(), plain.s1.load())
    assert with_kwargs.s1.chunks is not None
    cube = collection.extra_fields
    assert {name: tuple(one["dimensions"]) for name, one in cube["cube:variables"].items()} == {
        name: plain[name].dims for name in cube["cube:variables"]
    }
    assert cube["cube:dimensions"]["band_20m"]["values"] == list(plain["band_20m"].values)


def test_a_thumbnail_shows_the_patch_upright(catalog: Path, fast_store: Path) -> None:
    ds = bex.open(fast_store)
    paths = sorted(catalog.glob("thumbnails/*/*.png"))
    assert len(paths) == PAIRS
    picture = imagecodecs.png_decode(paths[0].read_bytes())
    assert picture.shape == (120, 120, 3)
    red = ds.s2.sel(patch=paths[0].stem, band="B04").values.astype(float)
    # Brighter where there is more red: a flipped or foreign picture does not follow.
    assert np.corrcoef(picture[..., 0].ravel(), red.ravel())[0, 1] > 0.8


def test_the_same_store_gives_the_same_bytes(fast_store: Path, tmp_path: Path) -> None:
    first, second = (build_catalog(fast_store, tmp_path / name).folder for name in ("a", "b"))
    for name in ("collection.json", "items.parquet"):
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_a_store_of_one_sensor_is_catalogued(archive: Path, tmp_path: Path, shared: Path) -> None:
    bex.ingest(archive, tmp_path / "s1.zarr", sensors=("s1",))
    built = build_catalog(tmp_path / "s1.zarr", tmp_path / "catalog", thumbnails=True)
    report = validate_catalog(built.folder, schemas=shared / "schemas")
    assert (report.failures, built.thumbnails) == ((), PAIRS)


def test_rows_without_pixels_have_no_item_but_keep_their_number(archive: Path, tmp_path: Path) -> None:
    broken = tmp_path / "archive"
    shutil.copytree(archive, broken)
    [victim] = sorted(broken.rglob("*_B02.tif"))[3:4]
    victim.write_bytes(b"")
    store = tmp_path / "ben.zarr"
    bex.ingest(broken, store)
    build_catalog(store, tmp_path / "catalog")
    items = pq.read_table(tmp_path / "catalog" / "items.parquet")
    ds = bex.open(store)
    assert items.num_rows == PAIRS - 1
    assert dict(zip(items["id"].to_pylist(), items["bigearth:row"].to_pylist(), strict=True)) == dict(
        zip(ds.patch.values, ds.row.values, strict=True)
    )


def test_a_table_alone_is_enough(fast_store: Path, tmp_path: Path, shared: Path) -> None:
    bare = build_catalog(fast_store.with_suffix(".parquet"), tmp_path / "bare")
    assert bare.summary() == f"{tmp_path / 'bare'}: 24 items"
    report = validate_catalog(bare.folder, schemas=shared / "schemas")
    assert report.failures == ()
    assert "zarr" not in json.loads((bare.folder / "collection.json").read_text())["assets"]
    told = build_catalog(fast_store.with_suffix(".parquet"), tmp_path / "told", zarr_href="s3://ben/ben.zarr/").folder
    assert json.loads((told / "collection.json").read_text())["assets"]["zarr"]["href"] == "s3://ben/ben.zarr"


def test_a_catalogue_of_the_table_alone_promises_no_pixels(fast_store: Path, tmp_path: Path) -> None:
    bare = build_catalog(fast_store.with_suffix(".parquet"), tmp_path / "bare").folder
    collection = json.loads((bare / "collection.json").read_text())
    assert "leads to no pixels" in collection["description"]
    assert "Zarr" not in json.dumps(collection)
    assert not [key for key in collection if key.startswith("cube:")]
    assert collection["item_assets"] == {}
    assert (
        "Zarr store"
        in json.loads((build_catalog(fast_store, bare).folder / "collection.json").read_text())["description"]
    )


def test_assets_say_that_they_are_arrays(catalog: Path) -> None:
    collection = json.loads((catalog / "collection.json").read_text())
    for asset in (
        *collection["item_assets"].values(),
        *find_items(catalog, max_items=1)[0].to_dict()["assets"].values(),
    ):
        assert asset.get("zarr:node_type") == (None if asset["type"] == "image/png" else "array")


def test_a_second_catalogue_in_a_folder_leaves_nothing_of_the_first(
    catalog: Path, fast_store: Path, tmp_path: Path
) -> None:
    shutil.copytree(catalog, tmp_path / "used")
    (tmp_path / "used" / "items" / "notes.txt").write_text("not ours")
    table = bex.table.read(fast_store.with_suffix(".parquet"))
    bex.table.write(table.slice(20), tmp_path / "few.parquet")
    again = build_catalog(tmp_path / "few.parquet", tmp_path / "used", static_items=True).folder
    fresh = build_catalog(tmp_path / "few.parquet", tmp_path / "fresh", static_items=True).folder
    left = {path.relative_to(again): path.read_bytes() for path in again.rglob("*") if path.is_file()}
    assert left.pop(Path("items/notes.txt")) == b"not ours"
    assert left == {path.relative_to(fresh): path.read_bytes() for path in fresh.rglob("*") if path.is_file()}


def test_a_catalogue_that_cannot_be_replaced_stays(archive: Path, catalog: Path, tmp_path: Path) -> None:
    bex.ingest(archive, tmp_path / "one.zarr", sensors=("s2",), bands=["B08"])
    shutil.copytree(catalog, tmp_path / "used")
    with pytest.raises(BandError, match="thumbnails need"):
        build_catalog(tmp_path / "one.zarr", tmp_path / "used", thumbnails=True)
    assert find_items(tmp_path / "used").ids == find_items(catalog).ids


def test_store_and_catalogue_move_together(fast_store: Path, tmp_path: Path) -> None:
    first = tmp_path / "my data"
    shutil.copytree(fast_store, first / "ben 10%25.zarr")
    for href in ("../ben 10%25.zarr", "../ben%2010%2525.zarr"):
        build_catalog(fast_store, first / "catalog", zarr_href=href, static_items=True)
        second = first.rename(tmp_path / "moved")
        collection = pystac.Collection.from_file(str(second / "catalog" / "collection.json"))
        by_links = list(collection.get_items(recursive=True))
        for way in (find_items(second / "catalog"), second / "catalog", by_links):
            assert open_search(way).sizes["patch"] == PAIRS
        second.rename(first)


def test_a_file_address_is_a_place_on_this_machine(fast_store: Path, tmp_path: Path) -> None:
    shutil.copytree(fast_store, tmp_path / "ben 1.zarr")
    address = (tmp_path / "ben 1.zarr").as_uri()
    for href in (address, address.replace("file:///", "file:/"), address.replace("file:///", "file://localhost/")):
        catalog = build_catalog(fast_store, tmp_path / "catalog", zarr_href=href, static_items=True).folder
        assert open_search(find_items(catalog)).sizes["patch"] == PAIRS
        [document] = [json.loads(path.read_text()) for path in sorted(catalog.glob("items/*/S2*.json"))[:1]]
        assert document["assets"]["s2_10m"]["href"] == f"{href}/s2_10m"


def test_what_the_schemas_forbid_is_reported(catalog: Path, shared: Path, tmp_path: Path) -> None:
    shutil.copy(catalog / "items.parquet", tmp_path)
    document = json.loads((catalog / "collection.json").read_text())
    document["item_assets"]["s2_10m"]["bands"][0]["eo:common_name"] = "ultra-blue"
    del document["license"]
    (tmp_path / "collection.json").write_text(json.dumps(document))
    [failure] = validate_catalog(tmp_path, schemas=shared / "schemas", sample=1).failures
    assert "license" in failure
    items = pq.read_table(catalog / "items.parquet")
    pq.write_table(items.take([0, 0, 1]), tmp_path / "items.parquet")
    failures = validate_catalog(tmp_path, schemas=shared / "schemas", sample=1).failures
    assert failures[1] == f"{items['id'][0].as_py()}: the id of 2 items"


def test_a_summary_names_what_was_not_checked(catalog: Path, shared: Path) -> None:
    text = validate_catalog(catalog, schemas=shared / "schemas", sample=2).summary()
    assert text == "collection and 2 of 24 items: valid\nnot checked, no schema at hand: scientific"


def test_without_a_network_the_remedy_is_named(catalog: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*_: object, **__: object) -> str:
        raise OSError("no network")

    monkeypatch.setattr(pystac.StacIO.default(), "read_text", unreachable)
    with pytest.raises(MetadataError, match=r"cannot be downloaded; without a network, give a folder .*--schemas"):
        validate_catalog(catalog)


def test_a_folder_without_schemas_is_refused(catalog: Path, tmp_path: Path) -> None:
    (tmp_path / "other.json").write_text("{}")
    for folder in (tmp_path, tmp_path / "nowhere"):
        with pytest.raises(
            SelectionError, match=r"no folder with schemas; expected \*\.json files that have \$schema and \$id"
        ):
            validate_catalog(catalog, schemas=folder)


def test_faults_of_a_source_are_named(fast_store: Path, tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="nothing here; expected a store, its table"):
        build_catalog(tmp_path / "none", tmp_path / "out")
    with pytest.raises(SelectionError, match="thumbnails need the pixels of a store"):
        build_catalog(fast_store.with_suffix(".parquet"), tmp_path / "out", thumbnails=True)
    shutil.copytree(fast_store, tmp_path / "alone.zarr")
    with pytest.raises(MetadataError, match=r"its table alone\.parquet is not beside it"):
        build_catalog(tmp_path / "alone.zarr", tmp_path / "out")
    with pytest.raises(SelectionError, match=r"no collection\.json here"):
        validate_catalog(tmp_path)
    assert not (tmp_path / "out").exists()


def test_faults_of_an_empty_or_narrow_store_are_named(archive: Path, tmp_path: Path) -> None:
    bex.ingest(archive, tmp_path / "one.zarr", sensors=("s2",), bands=["B08"])
    with pytest.raises(BandError, match="thumbnails need B04, B03, B02 or VV, VH, the store has B08"):
        build_catalog(tmp_path / "one.zarr", tmp_path / "out", thumbnails=True)


def test_the_command_line_builds_and_validates(fast_store: Path, tmp_path: Path, shared: Path) -> None:
    out, run = tmp_path / "catalog", CliRunner().invoke
    built = run(app, ["build", str(fast_store), "--out", str(out), "--zarr-href", "ben.zarr", "--items"])
    assert (built.exit_code, "24 items" in built.output) == (0, True)
    assert len(list(out.glob("items/*/S2*.json"))) == PAIRS
    check = ["validate", str(out), "--schemas", str(shared / "schemas"), "--all"]
    assert "24 of 24 items: valid" in run(app, check).output
    document = json.loads((out / "collection.json").read_text())
    (out / "collection.json").write_text(json.dumps(document | {"extent": None}))
    refused = run(app, check)
    assert (refused.exit_code, "1 failure" in refused.output) == (1, True)


def test_the_command_line_says_in_words_what_went_wrong(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("sys.argv", ["bigearth-stac", "validate", str(tmp_path)])
    with pytest.raises(SystemExit) as stopped:
        main()
    assert stopped.value.code == 2
    assert "error: " in capsys.readouterr().err


def test_without_pystac_a_catalogue_is_built_and_the_extra_named(
    fast_store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("bigearth_stac.find_spec", lambda _: None)
    assert bigearth_stac.build_catalog(fast_store, tmp_path).items == PAIRS
    with pytest.raises(DependencyError, match=r"validate_catalog needs pystac.*pip install 'bigearth-xr\[stac\]'"):
        _ = bigearth_stac.validate_catalog


def test_a_catalog_says_what_it_holds() -> None:
    assert Catalog(folder=Path("c"), items=1200, thumbnails=3).summary() == "c: 1,200 items, 3 thumbnails"
