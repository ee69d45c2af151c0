"""The published lists alone say what the archive says, and each fault of theirs is named."""

import bz2
import gzip
import shutil
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from bigearth_xr import table
from bigearth_xr.errors import MetadataError
from bigearth_xr.grid import split_by_position
from bigearth_xr.labels import label_names
from bigearth_xr.releases import Release
from bigearth_xr.table.lists import find_lists, read_lists
from bigearth_xr.table.lists_v2 import V2_EXCLUDED, V2_RECOMMENDED
from bigearth_xr.testing import synthetic_pair, write_archive

PAIRS = 40  # the fortieth has no 19-class label in v1


@pytest.fixture(scope="module")
def v1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("lists") / "v1", pairs=PAIRS, version="v1") / "lists"


@pytest.fixture(scope="module")
def v2(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("lists") / "v2", pairs=PAIRS)


def copied(lists: Path, to: Path, change: Callable[[bytes], bytes] = bytes, suffix: str = "") -> Path:
    """Copy the files of a folder of lists, each changed."""
    to.mkdir(exist_ok=True)
    for file in lists.iterdir():
        if file.is_file():
            (to / f"{file.name}{suffix}").write_bytes(change(file.read_bytes()))
    return to


@pytest.mark.parametrize("release", ["v1", "v2"])
def test_every_pair_is_listed_as_it_was_written(release: Release, v1: Path, v2: Path) -> None:
    rows = {row["patch"]: row for row in table.from_lists(v1 if release == "v1" else v2).to_pylist()}
    assert len(rows) == PAIRS
    for index in range(PAIRS):
        pair = synthetic_pair(index, release=release)
        row = rows[pair.patch]
        assert (row["s1_name"], row["country"], row["tile"]) == (pair.s1_name, pair.country, pair.product.tile)
        assert (row["column"], row["tile_row"]) == (pair.column, pair.row)
        assert (row["ulx"], row["uly"]) == pair.corner
        assert (row["seasonal_snow"], row["cloud_or_shadow"]) == (pair.has_snow, pair.has_cloud)
        left_out = pair.has_snow or pair.has_cloud or not pair.labels_19
        assert row["recommended"] is not left_out
        # v1 has no split for what is left out, v2 has.
        expected = None if release == "v1" and left_out else str(split_by_position(pair.column, pair.row))
        assert row["split"] == expected


def test_lists_of_v1_hold_no_labels_but_of_those_that_have_none(v1: Path) -> None:
    labels = {row["patch"]: row["labels_19"] for row in table.from_lists(v1).to_pylist()}
    bare = {pair.patch for i in range(PAIRS) if not (pair := synthetic_pair(i, release="v1")).labels_19}
    assert bare
    assert {patch for patch, names in labels.items() if names == []} == bare
    assert {patch for patch, names in labels.items() if names is None} == labels.keys() - bare


def test_labels_of_v2_come_in_paper_order(v2: Path) -> None:
    published = pq.read_table(v2 / V2_RECOMMENDED).to_pylist()
    labels = {row["patch"]: row["labels_19"] for row in table.from_lists(v2).to_pylist()}
    for row in published:
        assert labels[row["patch_id"]] == sorted(row["labels"], key=label_names(19).index)


@pytest.mark.parametrize(("suffix", "compress"), [(".bz2", bz2.compress), (".gz", gzip.compress)])
def test_compressed_lists_say_the_same(
    v1: Path, tmp_path: Path, suffix: str, compress: Callable[[bytes], bytes]
) -> None:
    assert table.from_lists(copied(v1, tmp_path / "lists", compress, suffix)).equals(table.from_lists(v1))


def test_of_a_folder_with_lists_of_both_the_release_can_be_chosen(v1: Path, v2: Path, tmp_path: Path) -> None:
    both = copied(v2, copied(v1, tmp_path / "both"))
    assert find_lists(both) == "v2"
    assert [table.release_of(table.from_lists(both, version)) for version in (None, "v1", "v2")] == ["v2", "v1", "v2"]


def test_a_parquet_can_be_named_without_its_folder(v2: Path) -> None:
    excluded = table.from_lists(v2 / V2_EXCLUDED)
    assert 0 < excluded.num_rows < PAIRS
    assert not any(excluded["recommended"].to_pylist())


# What is refused.


def test_a_place_that_does_not_exist_is_named(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match="nowhere: no such folder or parquet of lists; check the path"):
        table.from_lists(tmp_path / "nowhere")


def test_a_folder_without_lists_is_told_what_was_looked_for(tmp_path: Path) -> None:
    with pytest.raises(MetadataError, match=r"no lists found; expected metadata.parquet \(v2\) or s1_s2_name_country_"):
        table.from_lists(tmp_path)


def test_a_release_that_the_folder_lacks_is_named(v1: Path) -> None:
    with pytest.raises(MetadataError, match="no lists of v2 found"):
        table.from_lists(v1, "v2")


def test_two_folders_are_refused(v1: Path, v2: Path) -> None:
    with pytest.raises(MetadataError, match="2 folders of lists given; give one folder, or parquet files"):
        read_lists([v1, v2])


def test_a_missing_list_is_named(v1: Path, tmp_path: Path) -> None:
    lists = copied(v1, tmp_path / "lists")
    (lists / "val.csv").unlink()
    with pytest.raises(MetadataError, match=r"val\.csv is missing; the v1 lists are .*train\.csv.*: copy it there"):
        table.from_lists(lists)


def test_pairs_without_a_country_are_refused(v1: Path, tmp_path: Path) -> None:
    lists = copied(v1, tmp_path / "lists")
    pairs = lists / "s1_s2_name_country_season.csv"
    pairs.write_text("".join(f"{','.join(line.split(',')[:2])}\n" for line in pairs.read_text().splitlines()))
    with pytest.raises(
        MetadataError, match=r"season\.csv, line 2: 'S1.*' names no country; expected a line such as S1A"
    ):
        table.from_lists(lists)


def test_a_missing_column_of_a_parquet_is_named(v2: Path, tmp_path: Path) -> None:
    rows = pq.read_table(v2 / V2_RECOMMENDED).drop_columns(["split"])
    pq.write_table(rows, tmp_path / V2_RECOMMENDED)
    with pytest.raises(MetadataError, match=r"metadata\.parquet: no column split; it has patch_id, labels"):
        table.from_lists(tmp_path)


def test_what_is_no_list_at_all_is_named(v1: Path, tmp_path: Path) -> None:
    (tmp_path / "some.txt").write_text("no parquet")
    with pytest.raises(MetadataError, match=r"some\.txt: no parquet, or a damaged one \(.*\); give metadata"):
        read_lists([tmp_path / "some.txt"])
    lists = shutil.copytree(v1, tmp_path / "lists")
    (lists / "s1_s2_name_country_season.csv").write_text("s1_name,s2_name\na,b,c\n")
    with pytest.raises(MetadataError, match=r"season\.csv, line 2: 'a,b,c' names no Sentinel-2 patch of v1; expected"):
        read_lists([lists])


def test_a_name_of_no_release_is_named(v1: Path, tmp_path: Path) -> None:
    name = synthetic_pair(3, release="v1").s1_name
    lists = copied(v1, tmp_path / "lists", lambda data: data.replace(name.encode(), b"S1C_anything"))
    with pytest.raises(MetadataError, match=r"line 5: 'S1C_anything,S2A\S+' names no Sentinel-1 patch; expected"):
        table.from_lists(lists)


def test_an_unknown_label_is_named_with_its_patch(v2: Path, tmp_path: Path) -> None:
    rows = pq.read_table(v2 / V2_RECOMMENDED)
    labels = rows["labels"].to_pylist()
    labels[2] = ["Pastures", "Meadow"]
    pq.write_table(rows.set_column(1, "labels", pa.array(labels)), tmp_path / V2_RECOMMENDED)
    patch = rows["patch_id"][2].as_py()
    with pytest.raises(MetadataError, match=f"{patch}: 'Meadow' is not a label of the 19-class nomenclature"):
        table.from_lists(tmp_path)


def test_an_unknown_split_or_country_is_named(v2: Path, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v2", pairs=2)
    rows = pq.read_table(archive / V2_RECOMMENDED)
    at = rows.schema.get_field_index("country")
    pq.write_table(rows.set_column(at, "country", pa.array(["Utopia"] * len(rows))), archive / V2_RECOMMENDED)
    from bigearth_xr import ingest

    with pytest.raises(MetadataError, match="unknown country 'Utopia'; expected one of Austria, "):
        ingest(archive, tmp_path / "ben.zarr")
    assert not (tmp_path / "ben.zarr").exists()
