"""A list of v1 names the same patches whatever columns, separators and ends of lines it was saved with."""

import csv
import gzip
import io
import shutil
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import bigearth_xr as bex
from bigearth_xr import table
from bigearth_xr.errors import MetadataError
from bigearth_xr.releases import release
from bigearth_xr.testing import synthetic_pair, write_archive

PAIRS = 40
SOME: tuple[str, ...] = (
    "train",
    "val",
    "test",
    "patches_with_seasonal_snow",
    "patches_with_cloud_and_shadow",
    "patches_with_no_19_class_targets",
)
ALL = "s1_s2_name_country_season"
PARTNER = {pair.patch: pair.s1_name for pair in (synthetic_pair(i, release="v1") for i in range(PAIRS))}


@pytest.fixture(scope="module")
def lists(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_archive(tmp_path_factory.mktemp("v1") / "v1", pairs=PAIRS, version="v1") / "lists"


@pytest.fixture(scope="module")
def expected(lists: Path) -> pa.Table:
    """The table of the lists, by the csv module and what each pair is."""
    found = table.from_lists(lists)
    named = {name: {row[0] for row in csv.reader((lists / f"{name}.csv").read_text().splitlines())} for name in SOME}
    for row in found.to_pylist():
        splits = [split for split, name in SPLITS.items() if row["patch"] in named[name]]
        assert ([row["split"]] if row["split"] else []) == splits
        assert row["seasonal_snow"] == (row["patch"] in named["patches_with_seasonal_snow"])
        assert row["cloud_or_shadow"] == (row["patch"] in named["patches_with_cloud_and_shadow"])
    assert 0 < sum(found["seasonal_snow"].to_pylist()) < PAIRS
    return found


SPLITS = {"train": "train", "validation": "val", "test": "test"}


def rewritten(lists: Path, to: Path, write: Callable[[list[str]], bytes]) -> Path:
    """Copy the lists, those of some patches written otherwise."""
    shutil.copytree(lists, to)
    for name in SOME:
        (to / f"{name}.csv").write_bytes(write((lists / f"{name}.csv").read_text().splitlines()))
    return to


def lines(form: str, *, end: str = "\n", header: str = "", encoding: str = "utf-8") -> Callable[[list[str]], bytes]:
    """Write each name by a form."""

    def write(names: list[str]) -> bytes:
        body = [form.format(row=row, s2=name, s1=PARTNER[name]) for row, name in enumerate(names)]
        return "".join(f"{line}{end}" for line in [header] * bool(header) + body).encode(encoding)

    return write


def by_pandas(**options: object) -> Callable[[list[str]], bytes]:
    """Write a data frame of names, its index too."""
    return lambda names: pd.DataFrame({"s2": names}, dtype=str).to_csv(**options).encode()


DIALECTS: Mapping[str, Callable[[list[str]], bytes]] = {
    "two columns": lines("{s2},{s1}"),
    "columns swapped": lines("{s1},{s2}"),
    "Sentinel-1 alone": lines("{s1}"),
    "semicolons": lines("{row};{s1};{s2};Austria"),
    "tabs": lines("{s1}\t{s2}"),
    "blanks": lines("  {s1}   {s2}  "),
    "bars": lines("|{s2}|{s1}|"),
    "trailing blanks": lines("{s2} \t"),
    "trailing separator": lines("{s2},"),
    "Windows": lines("{s2}", end="\r\n"),
    "an old Mac": lines("{s2}", end="\r"),
    "blank lines": lines("{s2}", end="\n\n \n"),
    "a header": lines("{s2}", header="name"),
    "a comment before": lines("{s2}", header="# names of patches"),
    "an index": by_pandas(),
    "an index and no header": by_pandas(header=False),
    "an index and tabs": by_pandas(sep="\t"),
    "quotes": by_pandas(quoting=csv.QUOTE_ALL),
    "quotes and swapped": lines('"{s1}";"{s2}"'),
    "byte order mark": lines("{s2}", encoding="utf-8-sig"),
    "byte order mark and header": lines("{s2}", encoding="utf-8-sig", header="s2_name"),
    "UTF-16": lines("{s2}", encoding="utf-16"),
    "folder and name": lines("BigEarthNet-v1.0/{s2}"),
    "a folder's slash": lines("./{s2}/"),
    "a file": lines("{s2}/{s2}_B02.tif"),
    "a file's name": lines("{s2}.tif"),
    "a JSON": lines("C:\\data\\{s2}\\{s2}_labels_metadata.json"),
    "a file of Sentinel-1": lines("{s1}/{s1}_VV.tif"),
    "twice": lambda names: lines("{s2}")([*names, *names]),
    "NumPy": lambda names: saved_by_numpy(names),
}


def saved_by_numpy(names: list[str]) -> bytes:
    file = io.BytesIO()
    np.savetxt(file, np.array(names, dtype=str), fmt="%s", header="patch")
    return file.getvalue()


@pytest.mark.parametrize("dialect", DIALECTS)
def test_lists_say_the_same_in_every_dialect(dialect: str, lists: Path, expected: pa.Table, tmp_path: Path) -> None:
    assert table.from_lists(rewritten(lists, tmp_path / "lists", DIALECTS[dialect])).equals(expected)


@st.composite
def dialects(draw: st.DrawFn) -> Callable[[list[str]], bytes]:
    separator = draw(st.sampled_from([",", ";", "\t", " ", "  ", "|", ", "]))
    names = draw(st.sampled_from([("{s2}",), ("{s1}",), ("{s1}", "{s2}")]))
    around = draw(st.lists(st.sampled_from(["{row}", "Austria", "0.5", ""]), max_size=3))
    columns = draw(st.permutations([draw(st.sampled_from(WRITTEN)).format(name) for name in names] + around))
    form = separator.join(columns)
    blank = draw(st.sampled_from(["", "\n", " \t\n"]))
    end = draw(st.sampled_from(["\n", "\r\n"]))
    header = draw(st.sampled_from(["", "name", separator.join(str(column) for column in range(len(columns)))]))
    encoding = draw(st.sampled_from(["utf-8", "utf-8-sig", "utf-16"]))
    return lines(form, end=f"{end}{blank}", header=header, encoding=encoding)


WRITTEN = ["{}", '"{}"', "./{}", "{}/", "'{}'", "{}.tif", "BigEarthNet/{}/"]


@settings(max_examples=30)
@given(write=dialects())
def test_any_dialect_is_read(
    write: Callable[[list[str]], bytes], lists: Path, expected: pa.Table, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("dialect")
    assert table.from_lists(rewritten(lists, folder / "lists", write)).equals(expected)


PAIR_DIALECTS: Mapping[str, Callable[[str], bytes]] = {
    "semicolons": lambda text: text.replace(",", ";").encode(),
    "tabs and Windows": lambda text: text.replace(",", "\t").replace("\n", "\r\n").encode(),
    "no header": lambda text: text.partition("\n")[2].encode(),
    "other names": lambda text: text.replace("country", "land").replace("s1_name", "radar").encode(),
    "byte order mark": lambda text: text.encode("utf-8-sig"),
    "an index": lambda text: pd.read_csv(io.StringIO(text)).to_csv().encode(),
    "columns reversed": lambda text: pd.read_csv(io.StringIO(text)).iloc[:, ::-1].to_csv(index=False).encode(),
    "quotes": lambda text: pd.read_csv(io.StringIO(text)).to_csv(index=False, quoting=csv.QUOTE_ALL).encode(),
    "blank lines and blanks": lambda text: text.replace("\n", " \n\n").encode(),
    "each line twice": lambda text: (text + text.partition("\n")[2]).encode(),
}


@pytest.mark.parametrize("dialect", PAIR_DIALECTS)
def test_the_list_of_pairs_too(dialect: str, lists: Path, expected: pa.Table, tmp_path: Path) -> None:
    folder = shutil.copytree(lists, tmp_path / "lists")
    text = (folder / f"{ALL}.csv").read_text()
    (folder / f"{ALL}.csv").write_bytes(PAIR_DIALECTS[dialect](text))
    assert table.from_lists(folder).equals(expected)


@pytest.mark.parametrize("suffix", ["", ".gz"])
def test_the_validation_list_goes_by_either_name(suffix: str, lists: Path, expected: pa.Table, tmp_path: Path) -> None:
    folder = shutil.copytree(lists, tmp_path / "lists")
    data = (folder / "val.csv").read_bytes()
    (folder / "val.csv").unlink()
    (folder / f"validation.csv{suffix}").write_bytes(gzip.compress(data) if suffix else data)
    assert table.from_lists(folder).equals(expected)


def test_names_are_known_however_they_write_their_zeros(lists: Path, tmp_path: Path) -> None:
    # As v1 has them, and as a program writes them that takes the place and time apart.
    s2, s1 = "S2B_MSIL2A_20170924T93020_69_24", "S1A_IW_GRDH_1SDV_20170925T043256_35VPK_69_24"
    near_s2, near_s1 = "S2A_MSIL2A_20170617T113321_4_55", "S1A_IW_GRDH_1SDV_20170617T064724_29UPU_4_55"
    for name in SOME:
        (tmp_path / f"{name}.csv").write_text("")
    (tmp_path / f"{ALL}.csv").write_text(f"{s1},{s2},Finland,Fall\n{near_s1},{near_s2},Ireland,Summer\n")
    (tmp_path / "train.csv").write_text(f"{s2.replace('T9', 'T09')}\n")
    (tmp_path / "test.csv").write_text(f"{near_s1.replace('_4_', '_04_')}\n")
    found = {row["patch"]: row["split"] for row in table.from_lists(tmp_path).to_pylist()}
    assert found == {s2: "train", near_s2: "test"}


def test_the_published_lists_have_the_published_counts_in_other_columns_too(
    published_lists: Path, tmp_path: Path
) -> None:
    pairs = pd.read_csv(published_lists / f"{ALL}.csv", index_col="s2_name")
    shutil.copy(published_lists / f"{ALL}.csv", tmp_path)
    for name in SOME:
        names = pd.read_csv(published_lists / f"{name}.csv", header=None)[0]
        frame = pd.DataFrame({"s1": pairs.s1_name.loc[names].to_numpy(), "s2": names})
        frame.to_csv(tmp_path / f"{name}.csv", sep=";", header=name != "val")
    found, facts = table.from_lists(tmp_path), release("v1")
    counts = {entry["values"]: entry["counts"] for entry in found["split"].value_counts().to_pylist()}
    assert counts == {"train": 269_695, "validation": 123_723, "test": 125_866, None: 71_042}
    assert sum(facts.split_pairs.values()) == 269_695 + 123_723 + 125_866
    for column, count in (("seasonal_snow", 61_707), ("cloud_or_shadow", 9_280), ("recommended", 519_284)):
        assert found[column].value_counts().to_pylist()[0]["counts"] in (count, 590_326 - count)
    assert found.equals(table.from_lists(published_lists))


# What is refused.


def changed(lists: Path, to: Path, name: str, change: Callable[[list[str]], list[str]]) -> Path:
    """Copy the lists, the lines of one changed."""
    folder = shutil.copytree(lists, to)
    path = folder / f"{name}.csv"
    path.write_text("".join(f"{line}\n" for line in change(path.read_text().splitlines())))
    return folder


V2 = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"


@pytest.mark.parametrize(
    ("line", "what"),
    [
        ("S2A_MSIL2A_20170613T101031_0", "names no patch; expected a name such as S2A_MSIL2A_20170613T101031_0_45"),
        ("S2A_MSIL2A_20170613T101031_91_45", "names no patch"),
        ("S2A_MSIL2A_20170613T101031_0_456", "names no patch"),
        ("total: 3", "names no patch"),
        (V2, "names a patch of v2; give the lists of v1"),
        ("S2A_MSIL2A_20170613T101031_0_45,S2A_MSIL2A_20170613T101031_0_46", "names several patches"),
        ("S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_39 S1A_IW_GRDH_1SDV_20170613T165043_33UUP_61_40", "names several"),
        (
            f"{next(iter(PARTNER))},{list(PARTNER.values())[1]}",
            "names two patches that are not a pair in .*season.csv; correct",
        ),
    ],
)
def test_a_line_that_cannot_be_understood_is_named(line: str, what: str, lists: Path, tmp_path: Path) -> None:
    folder = changed(lists, tmp_path / "lists", "train", lambda names: [*names[:3], "", line, *names[3:]])
    with pytest.raises(MetadataError, match=rf"lists/train\.csv, line 5: '.*' {what}"):
        table.from_lists(folder)


def test_a_damaged_first_line_is_no_header(lists: Path, tmp_path: Path) -> None:
    folder = changed(lists, tmp_path / "lists", "train", lambda names: [names[0][:-4], *names[1:]])
    with pytest.raises(MetadataError, match=r"train\.csv, line 1: 'S2\w+' names no patch"):
        table.from_lists(folder)


def test_a_patch_in_two_splits_is_named_with_both_lines(lists: Path, tmp_path: Path) -> None:
    stray = (lists / "train.csv").read_text().splitlines()[1]
    folder = changed(lists, tmp_path / "lists", "test", lambda names: ["name", *names, PARTNER[stray]])
    last = len((lists / "test.csv").read_text().splitlines()) + 2
    told = rf"test\.csv, line {last} and .*train\.csv, line 2 both name {stray}, expected each patch in one split"
    with pytest.raises(MetadataError, match=told):
        table.from_lists(folder)


def test_lists_of_another_archive_are_refused_and_one_of_them_is_told(lists: Path, tmp_path: Path) -> None:
    stranger = "S2B_MSIL2A_20170924T93020_69_24"
    folder = rewritten(lists, tmp_path / "all", lambda names: f"{stranger}\n".encode() if names else b"")
    with pytest.raises(
        MetadataError, match=r"none of the patches in train\.csv \(1\).* is in s1_s2\w+\.csv, which has 40"
    ):
        table.from_lists(folder)
    one = changed(lists, tmp_path / "one", "patches_with_seasonal_snow", lambda _: [stranger])
    with pytest.warns(UserWarning, match=r"none of the patches in patches_with_seasonal_snow\.csv \(1\) is in s1_s2"):
        assert not any(table.from_lists(one)["seasonal_snow"].to_pylist())


def test_pairs_that_contradict_are_refused(lists: Path, tmp_path: Path) -> None:
    def other_country(rows: list[str]) -> list[str]:
        return [*rows, rows[1].replace(rows[1].split(",")[2], "Kosovo")]

    with pytest.raises(MetadataError, match=r"season\.csv, line 42: '.*' says otherwise than line 2 of the same patch"):
        table.from_lists(changed(lists, tmp_path / "country", ALL, other_country))

    def sorted_apart(rows: list[str]) -> list[str]:
        radar = [row.split(",")[0] for row in rows]
        return [",".join([s1, *row.split(",")[1:]]) for s1, row in zip([radar[0], *radar[:0:-1]], rows, strict=True)]

    with pytest.raises(
        MetadataError, match=r"season\.csv, line 2: '.*' names no pair, expected two patches of one column"
    ):
        table.from_lists(changed(lists, tmp_path / "apart", ALL, sorted_apart))


def test_both_names_of_the_validation_list_at_once_are_refused(lists: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lists, tmp_path / "lists")
    shutil.copy(folder / "val.csv", folder / "validation.csv")
    with pytest.raises(MetadataError, match=r"both val\.csv and validation\.csv, expected one of them; take one out"):
        table.from_lists(folder)


def test_what_is_no_text_is_named(lists: Path, tmp_path: Path) -> None:
    folder = shutil.copytree(lists, tmp_path / "lists")
    (folder / "train.csv").write_bytes(b"PK\x03\x04\xff\xfe")
    with pytest.raises(
        MetadataError, match=r"train\.csv: no text in UTF-8 \(byte 4 is 0xff\); save the list as plain CSV"
    ):
        table.from_lists(folder)
    (folder / "train.csv").unlink()
    (folder / "train.csv.gz").write_bytes(gzip.compress(b"x" * 1000)[:20])
    with pytest.raises(MetadataError, match=r"train\.csv\.gz: cannot be read \(.*\); copy the list again"):
        table.from_lists(folder)


def test_ingest_and_verify_read_lists_in_the_same_way(lists: Path, expected: pa.Table, tmp_path: Path) -> None:
    archive = write_archive(tmp_path / "v1", pairs=PAIRS, version="v1")
    shutil.rmtree(archive / "lists")
    folder = rewritten(lists, tmp_path / "lists", DIALECTS["columns swapped"])
    assert bex.ingest(archive, tmp_path / "ben.zarr", bands=["B01"], sensors="s2", metadata=folder).unlisted == 0
    ds = bex.open(tmp_path / "ben.zarr")
    assert ds.patch.values.tolist() == expected["patch"].to_pylist()
    assert ds.seasonal_snow.values.tolist() == expected["seasonal_snow"].to_pylist()
    assert ds.ben.select(split="val").patch.values.tolist() == ds.ben.select(split="validation").patch.values.tolist()
    (folder / "train.csv").write_text("S2A_\n")
    with pytest.raises(MetadataError, match=r"train\.csv, line 1: 'S2A_' names no patch"):
        bex.ingest(archive, tmp_path / "other.zarr", metadata=folder)
    with pytest.raises(MetadataError, match=r"train\.csv, line 1: 'S2A_' names no patch"):
        bex.verify(tmp_path / "ben.zarr", metadata=folder)
