"""The file of a table: the same bytes for the same table, and no flipped bit of it is read."""

import random
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bigearth_stac.catalog import read_source

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.errors import ChecksumError, MetadataError
from bigearth_xr.testing import write_archive


@pytest.fixture(scope="module")
def rows(tmp_path_factory: pytest.TempPathFactory) -> pa.Table:
    return table.from_lists(write_archive(tmp_path_factory.mktemp("lists") / "archive", pairs=20))


@pytest.fixture
def path(rows: pa.Table, tmp_path: Path) -> Path:
    table.write(rows, tmp_path / "ben.parquet")
    return tmp_path / "ben.parquet"


def test_it_comes_back_whole_and_is_written_alike(path: Path, rows: pa.Table, tmp_path: Path) -> None:
    back = table.read(path)
    assert back.equals(rows, check_metadata=True)
    table.write(back, tmp_path / "again.parquet")
    assert (tmp_path / "again.parquet").read_bytes() == path.read_bytes()


def test_others_read_it_and_verify_its_pages(path: Path, rows: pa.Table) -> None:
    theirs = pq.read_table(path, page_checksum_verification=True)
    assert theirs["patch"].to_pylist() == rows["patch"].to_pylist()


def test_no_flipped_bit_is_read(path: Path) -> None:
    sound = path.read_bytes()
    footer = 8 * (len(sound) - 1200)
    bits = random.Random(0).sample(range(8 * len(sound)), 500) + list(range(footer, 8 * len(sound), 5))
    for bit in bits:
        changed = bytearray(sound)
        changed[bit // 8] ^= 1 << bit % 8
        path.write_bytes(changed)
        with pytest.raises(ChecksumError, match=r"ben\.parquet: its checksum is .* was written; .*--repair"):
            table.read(path)


@pytest.mark.parametrize("share", [0, 0.3, 0.999])
def test_a_cut_table_is_refused_by_name(path: Path, share: float) -> None:
    path.write_bytes(path.read_bytes()[: int(share * path.stat().st_size)])
    with pytest.raises((MetadataError, ChecksumError), match=r"ben\.parquet: (cannot be read|its checksum).*--repair"):
        table.read(path)


def test_the_catalogue_refuses_a_damaged_table(path: Path) -> None:
    changed = bytearray(path.read_bytes())
    changed[len(changed) // 2] ^= 1
    path.write_bytes(changed)
    with pytest.raises(ChecksumError, match=r"ben\.parquet: its checksum"):
        read_source(path)


def test_a_table_of_format_1_has_none_and_is_read(rows: pa.Table, tmp_path: Path) -> None:
    pq.write_table(rows, tmp_path / "old.parquet", compression="zstd")
    assert table.read(tmp_path / "old.parquet").equals(rows)


def test_another_tool_does_not_take_the_checksum_along(path: Path, rows: pa.Table) -> None:
    pq.write_table(pq.read_table(path).slice(1), path)
    assert table.read(path).equals(rows.slice(1))


def test_another_parquet_is_no_table(tmp_path: Path) -> None:
    pq.write_table(pa.table({"a": [1]}), tmp_path / "other.parquet")
    with pytest.raises(MetadataError, match=r"other\.parquet: cannot be read as a table"):
        bex.table.read(tmp_path / "other.parquet")


def test_no_table(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"none\.parquet"):
        table.read(tmp_path / "none.parquet")
