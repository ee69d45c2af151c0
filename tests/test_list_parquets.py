"""The parquets of v2 say the same in whatever types, columns and parts a library saved them."""

from collections.abc import Callable, Mapping
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as pads
import pyarrow.parquet as pq
import pytest

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.errors import MetadataError
from bigearth_xr.table.lists import find_lists, read_lists
from bigearth_xr.table.lists_v2 import V2_EXCLUDED, V2_RECOMMENDED
from bigearth_xr.testing import write_archive

PAIRS = 40
FLAGS = ("contains_seasonal_snow", "contains_cloud_or_shadow")


@pytest.fixture(scope="module")
def archive(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("v2") / "v2", pairs=PAIRS)


@pytest.fixture(scope="module")
def rows(archive: Path) -> pa.Table:
    """The rows of both parquets."""
    return pa.concat_tables(pq.read_table(archive / name) for name in (V2_RECOMMENDED, V2_EXCLUDED))


@pytest.fixture(scope="module")
def expected(archive: Path, rows: pa.Table) -> pa.Table:
    """The table of both; its labels, splits and flags are those of the rows."""
    found = table.from_lists(archive)
    told = {row["patch_id"]: row for row in rows.to_pylist()}
    assert found.num_rows == len(told) == PAIRS
    for row in found.to_pylist():
        published = told[row["patch"]]
        assert (sorted(row["labels_19"]), row["split"]) == (sorted(published["labels"]), published["split"])
        assert (row["seasonal_snow"], row["cloud_or_shadow"]) == tuple(published[flag] for flag in FLAGS)
        assert row["recommended"] is not any(published[flag] for flag in FLAGS)
    return found


def of(rows: pa.Table, **columns: pa.Array) -> pa.Table:
    """Replace columns."""
    for name, column in columns.items():
        rows = rows.set_column(rows.schema.get_field_index(name), name, column)
    return rows


def texts(rows: pa.Table, change: Callable[[pa.Array], pa.Array]) -> pa.Table:
    """Change all columns of texts."""
    names = ("patch_id", "split", "country", "s1_name", "s2v1_name")
    return of(rows, **{name: change(rows[name].combine_chunks()) for name in names})


def flags(rows: pa.Table, values: Mapping[bool, object], kind: pa.DataType | None = None) -> pa.Table:
    """Write flags by other values."""
    return of(rows, **{flag: pa.array([values[flag] for flag in rows[flag].to_pylist()], kind) for flag in FLAGS})


def labels(rows: pa.Table, kind: pa.DataType) -> pa.Table:
    """Write labels in another type."""
    return of(rows, labels=pa.array(rows["labels"].to_pylist(), kind))


def by_pandas(rows: pa.Table) -> pa.Table:
    """Arrays of NumPy, categories, an index of strange numbers."""
    frame = rows.to_pandas().astype({"split": "category", "country": "category"})
    frame.index = range(1000, 1000 + len(frame))
    return pa.Table.from_pandas(frame.sample(frac=1, random_state=0), preserve_index=True)


SAVED: Mapping[str, Callable[[pa.Table], pa.Table]] = {
    "categories": lambda rows: texts(rows, lambda column: column.dictionary_encode()),
    "large strings": lambda rows: texts(rows, lambda column: column.cast(pa.large_string())),
    "string views": lambda rows: texts(rows, lambda column: column.cast(pa.string_view())),
    "bytes": lambda rows: texts(rows, lambda column: column.cast(pa.binary())),
    "integers": lambda rows: flags(rows, {True: 1, False: 0}, pa.int64()),
    "small integers": lambda rows: flags(rows, {True: 1, False: 0}, pa.uint8()),
    "floats": lambda rows: flags(rows, {True: 1.0, False: 0.0}),
    "words": lambda rows: flags(rows, {True: "True", False: "False"}),
    "words as categories": lambda rows: of(
        flags(rows, {True: "true", False: "false"}),
        **{FLAGS[0]: flags(rows, {True: "true", False: "false"})[FLAGS[0]].combine_chunks().dictionary_encode()},
    ),
    "large lists": lambda rows: labels(rows, pa.large_list(pa.large_string())),
    "lists of categories": lambda rows: labels(rows, pa.list_(pa.dictionary(pa.int8(), pa.string()))),
    "lists of views": lambda rows: labels(rows, pa.list_(pa.string_view())),
    "pandas": by_pandas,
    "pandas, indexed by patch": lambda rows: pa.Table.from_pandas(rows.to_pandas().set_index("patch_id")),
    "other columns": lambda rows: rows.select(rows.column_names[::-1]).append_column("fold", pa.array([0] * len(rows))),
    "val": lambda rows: of(
        rows, split=pa.array([{"validation": "val"}.get(split, split.title()) for split in rows["split"].to_pylist()])
    ),
    "each row twice": lambda rows: pa.concat_tables([rows, rows]),
}


@pytest.mark.parametrize("how", SAVED)
def test_rows_say_the_same_however_they_were_saved(
    how: str, rows: pa.Table, expected: pa.Table, tmp_path: Path
) -> None:
    assert "validation" in rows["split"].to_pylist()
    pq.write_table(SAVED[how](rows), tmp_path / V2_RECOMMENDED)
    assert table.from_lists(tmp_path).equals(expected)


def test_lists_of_one_length_are_lists(rows: pa.Table, tmp_path: Path) -> None:
    pairs = [["Pastures", "Arable land"]] * len(rows)
    pq.write_table(of(rows, labels=pa.array(pairs, pa.list_(pa.string(), 2))), tmp_path / V2_RECOMMENDED)
    assert table.from_lists(tmp_path)["labels_19"].to_pylist() == [["Arable land", "Pastures"]] * PAIRS


def test_flags_that_are_not_known_stay_so(rows: pa.Table, tmp_path: Path) -> None:
    unknown = of(rows, contains_seasonal_snow=pa.nulls(len(rows)), split=pa.nulls(len(rows), pa.float64()))
    pq.write_table(unknown, tmp_path / V2_RECOMMENDED)
    found = table.from_lists(tmp_path)
    assert set(found["seasonal_snow"].to_pylist()) == set(found["split"].to_pylist()) == {None}
    # A cloud is enough to leave a patch out; without one nobody can tell.
    assert set(zip(found["cloud_or_shadow"].to_pylist(), found["recommended"].to_pylist(), strict=True)) == {
        (True, False),
        (False, None),
    }


def as_dask(rows: pa.Table, folder: Path) -> None:
    for part in range(3):
        pq.write_table(rows.slice(part * 15, 15), folder / f"part.{part}.parquet")
    pq.write_table(rows.slice(40, 5), folder / "part.3.parquet")  # empty
    pq.write_metadata(rows.schema, folder / "_metadata")
    pq.write_metadata(rows.schema, folder / "_common_metadata")


def as_spark(rows: pa.Table, folder: Path) -> None:
    for part, kind in enumerate((pa.string(), pa.large_string())):
        some = rows.slice(part * 20, 20)
        some = texts(some, lambda column, kind=kind: column.cast(kind))  # type: ignore[misc]
        pq.write_table(some, folder / f"part-0000{part}-c0de.c000.snappy.parquet", compression="snappy")
        (folder / f".part-0000{part}-c0de.c000.snappy.parquet.crc").write_bytes(b"crc")
    (folder / "_SUCCESS").touch()


def by_split(rows: pa.Table, folder: Path) -> None:
    pads.write_dataset(
        rows, folder, format="parquet", partitioning=["split", FLAGS[0], "country"], partitioning_flavor="hive"
    )


@pytest.mark.parametrize("write", [as_dask, as_spark, by_split])
def test_a_folder_of_parts_is_one_parquet(
    write: Callable[[pa.Table, Path], None], rows: pa.Table, expected: pa.Table, tmp_path: Path
) -> None:
    lists = tmp_path / "lists"
    (lists / V2_RECOMMENDED).mkdir(parents=True)
    write(rows, lists / V2_RECOMMENDED)
    assert find_lists(lists) == "v2"
    for place in (lists, lists / V2_RECOMMENDED):
        assert table.from_lists(place).equals(expected)


def test_ingest_takes_parts_and_so_does_verify(archive: Path, rows: pa.Table, tmp_path: Path) -> None:
    parts = tmp_path / "by_split"
    by_split(rows, parts)
    (tmp_path / "archive").mkdir()
    for name in ("BigEarthNet-S1", "BigEarthNet-S2"):
        (tmp_path / "archive" / name).symlink_to(archive / name)
    report = bex.ingest(tmp_path / "archive", tmp_path / "ben.zarr", bands=["B01"], sensors="s2", metadata=parts)
    assert (report.unlisted, report.stored) == (0, PAIRS)
    assert set(bex.open(tmp_path / "ben.zarr").split.values) == set(rows["split"].to_pylist())
    assert bex.verify(tmp_path / "ben.zarr", metadata=parts).complete


def test_the_published_parquet_is_the_same_in_parts(shared: Path, tmp_path: Path) -> None:
    published = shared / "data" / "v2"
    frame = pq.read_table(published / V2_RECOMMENDED)
    as_categories = of(frame, split=frame["split"].dictionary_encode(), country=frame["country"].dictionary_encode())
    few = {"max_rows_per_file": 200_000, "max_rows_per_group": 100_000}
    pads.write_dataset(as_categories, tmp_path / V2_RECOMMENDED, format="parquet", **few)
    pads.write_dataset(
        pq.read_table(published / V2_EXCLUDED),
        tmp_path / V2_EXCLUDED,
        format="parquet",
        partitioning=["split"],
        partitioning_flavor="hive",
    )
    _, found = read_lists([tmp_path])
    counts = pa.chunked_array([found["split"].filter(found["recommended"])]).value_counts().to_pylist()
    assert {entry["values"]: entry["counts"] for entry in counts} == {
        "train": 237_871,
        "validation": 122_342,
        "test": 119_825,
    }
    assert len(found["patch"]) == 549_488


# What is refused.


@pytest.mark.parametrize(
    ("columns", "what"),
    [
        ({"split": ["train"] * 2 + ["dev"] * 38}, "column split, row 2: there is no split 'dev'; known are train"),
        ({"split": [None, 3] + [4] * 38}, r"column split, row 1: 3 \(int64\), expected text; correct it"),
        (
            {"country": ["Austria"] * 7 + ["Utopia"] * 33},
            "column country, row 7: unknown country 'Utopia'; expected one",
        ),
        ({FLAGS[0]: [0, 1, 2] + [0] * 37}, rf"column {FLAGS[0]}, row 2: 2 \(int64\), expected true or false"),
        ({FLAGS[1]: ["true", "maybe"] * 20}, rf"column {FLAGS[1]}, row 1: 'maybe' \(string\), expected true or false"),
        ({FLAGS[1]: [[True]] * 40}, rf"column {FLAGS[1]}, row 0: \[True\] \(list.*\), expected true or false"),
        ({"labels": ["['Pastures']"] * 40}, r"column labels, row 0: \"\['Pastures'\]\" \(string\), expected a list of"),
        ({"labels": [[], [1]] + [[]] * 38}, r"column labels, row 1: \[1\] \(list.*\), expected a list of labels"),
        ({"labels": [["Pastures"] * 2] * 40}, "column labels, row 0, S2A.*: 'Pastures' is there twice, expected each"),
        ({"labels": [[], ["Meadow"]] * 20}, "column labels, row 1, S2A.*: 'Meadow' is not a label of the 19-class"),
        (
            {"patch_id": ["S2A_MSIL2A_20170613T101031_0_45"] * 40},
            "column patch_id, row 0: 'S2A.*_0_45' is not a patch name",
        ),
        ({"patch_id": [b"\xff"] * 40}, "column patch_id is not UTF-8 .*, expected the name of a patch of v2"),
        (
            {"s1_name": ["S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39"] * 40},
            r"column s1_name, row \d: 'S1A.*the place of",
        ),
        ({"s1_name": ["S1A"] * 40}, "column s1_name, row 0: 'S1A' .*expected S1A_IW_GRDH_1SDV_<date>T<time>_"),
    ],
)
def test_a_value_that_cannot_be_understood_is_named(
    columns: dict[str, list[object]], what: str, rows: pa.Table, tmp_path: Path
) -> None:
    path = tmp_path / "saved.parquet"
    pq.write_table(of(rows, **{name: pa.array(values) for name, values in columns.items()}), path)
    with pytest.raises(MetadataError, match=rf"saved\.parquet: {what}"):
        table.from_lists(path)


def test_missing_columns_are_named_together(rows: pa.Table, tmp_path: Path) -> None:
    pq.write_table(rows.drop_columns(["labels", "split", FLAGS[0]]), tmp_path / "saved.parquet")
    told = r"saved\.parquet: no column labels, split, contains_seasonal_snow; it has patch_id, country"
    with pytest.raises(MetadataError, match=told):
        table.from_lists(tmp_path / "saved.parquet")


def test_a_column_that_is_there_twice_is_refused(rows: pa.Table, tmp_path: Path) -> None:
    pq.write_table(rows.append_column("split", rows["split"]), tmp_path / "saved.parquet")
    with pytest.raises(MetadataError, match=r"saved\.parquet: several columns split, expected one"):
        table.from_lists(tmp_path / "saved.parquet")


def test_rows_of_one_patch_that_contradict_are_named(rows: pa.Table, tmp_path: Path) -> None:
    parts = tmp_path / "parts"
    parts.mkdir()
    pq.write_table(rows, parts / "part.0.parquet")
    other = of(rows.slice(5, 2), labels=pa.array([rows["labels"][5].as_py(), ["Pastures"]]))
    pq.write_table(other, parts / "part.1.parquet")
    told = (
        rf"{rows['patch_id'][6]}: labels_19 is '.*' in .*part\.0\.parquet, row 6, but 'Pastures' in .*1\.parquet, row 1"
    )
    with pytest.raises(MetadataError, match=told):
        table.from_lists(parts)


def test_metadata_saved_as_csv_are_called_that(rows: pa.Table, tmp_path: Path) -> None:
    rows.to_pandas().to_csv(tmp_path / "metadata.csv")
    with pytest.raises(MetadataError, match=r"metadata\.csv: the metadata of v2 saved as CSV, in which labels are no"):
        table.from_lists(tmp_path / "metadata.csv")
    with pytest.raises(MetadataError, match=r"no lists found; .*and not metadata\.csv, in which labels are not lists"):
        table.from_lists(tmp_path)
    (tmp_path / "train.csv").write_text("S2A_MSIL2A_20170613T101031_0_45\n")
    with pytest.raises(
        MetadataError, match=r"train\.csv: a list of names, expected parquet \(v2\); of v1 give the folder"
    ):
        table.from_lists(tmp_path / "train.csv")


def test_a_folder_without_parts_is_named(tmp_path: Path) -> None:
    (tmp_path / V2_RECOMMENDED).mkdir()
    (tmp_path / V2_RECOMMENDED / "_SUCCESS").touch()
    with pytest.raises(MetadataError, match=r"metadata\.parquet: a folder without a part of parquet; expected part\.0"):
        table.from_lists(tmp_path)
