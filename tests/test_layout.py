"""Names of both releases are read, with all their quirks; all else is refused."""

from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from bigearth_xr.archive.names import S1Name, S2Name, parse_s1, parse_s2, recognize, scene_folder
from bigearth_xr.errors import ArchiveError


def test_a_v1_name_keeps_its_date_but_not_its_time() -> None:
    # Hours without a leading zero and seconds past 59 are in the real archive.
    for name, date in [
        ("S2A_MSIL2A_20170613T101031_0_45", "2017-06-13"),
        ("S2B_MSIL2A_20170924T93020_69_24", "2017-09-24"),
        ("S2B_MSIL2A_20180204T94160_57_38", "2018-02-04"),
        ("S2B_MSIL2A_20180204T94161_57_38", "2018-02-04"),
    ]:
        parsed = parse_s2(name)
        assert (parsed.release, parsed.date) == ("v1", np.datetime64(date))
        assert (parsed.time, parsed.tile) == (None, None)


def test_a_v2_name_says_all() -> None:
    assert parse_s2("S2B_MSIL2A_20180525T094029_N9999_R036_T35VNK_05_83") == S2Name(
        name="S2B_MSIL2A_20180525T094029_N9999_R036_T35VNK_05_83",
        release="v2",
        platform="S2B",
        date=np.datetime64("2018-05-25"),
        time=np.datetime64("2018-05-25T09:40:29"),
        tile="35VNK",
        column=5,
        row=83,
    )


def test_a_radar_name_says_all() -> None:
    parsed = parse_s1("S1B_IW_GRDH_1SDV_20180524T154016_35VNK_5_83")
    assert parsed == S1Name(
        name="S1B_IW_GRDH_1SDV_20180524T154016_35VNK_5_83",
        platform="S1B",
        time=np.datetime64("2018-05-24T15:40:16"),
        tile="35VNK",
        column=5,
        row=83,
    )
    assert parsed.date == np.datetime64("2018-05-24")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "BigEarthNet-S2",
        "S2C_MSIL2A_20170613T101031_0_45",
        "S2A_MSIL2A_20171313T101031_0_45",
        "S2A_MSIL2A_20170613T101031_91_45",
        "S2A_MSIL2A_20170613T101031_0_45_B02",
        "S2A_MSIL2A_20170613T101031_0_45\n",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_1_57",
        "S2A_MSIL2A_20170613T251031_N9999_R022_T33UUP_26_57",
        "S2A_MSIL2A_20170613T101031_N9999_R022_T99ZZZ_26_57",
    ],
)
def test_a_strange_optical_name_is_refused(name: str) -> None:
    assert recognize(name) is None
    with pytest.raises(ArchiveError, match="is not a Sentinel-2 patch name; expected S2A_MSIL2A_"):
        parse_s2(name)


@pytest.mark.parametrize(
    "name",
    [
        "S1A_IW_GRDH_1SDV_20170613T165043",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_91",
        "S1A_IW_GRDH_1SDV_20170631T165043_33UUP_61_39",
        "S1A_IW_GRDH_1SDV_20170613T165043_33UIP_61_39",
    ],
)
def test_a_strange_radar_name_is_refused(name: str) -> None:
    assert recognize(name) is None
    with pytest.raises(ArchiveError, match="is not a Sentinel-1 patch name; expected S1A_IW_GRDH"):
        parse_s1(name)


def test_every_published_name_is_read_as_its_row_says(shared: Path) -> None:
    table = pq.read_table(shared / "data" / "v2" / "metadata.parquet").slice(0, 480_038)
    some = table.take(np.arange(0, table.num_rows, 37)).to_pylist()
    for row in some:
        v2, v1, s1 = parse_s2(row["patch_id"]), parse_s2(row["s2v1_name"]), parse_s1(row["s1_name"])
        assert (v2.release, v1.release) == ("v2", "v1")
        assert v2.date == v1.date
        assert (v2.tile, v2.column, v2.row) == (s1.tile, s1.column, s1.row)
        assert (v1.column, v1.row) == (v2.column, v2.row)


def test_scene_folders_are_those_of_the_real_archive(shared: Path) -> None:
    for folder in (shared / "data" / "v2" / "reconstructed").glob("*/*/*/"):
        name = recognize(folder.name)
        assert name is not None
        assert scene_folder(name) == folder.parent.name
