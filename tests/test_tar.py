"""Our reader of tars finds what tarfile finds."""

import tarfile
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tar_members import AFTER, BLOCK, END, FORMATS, by_tarfile, files, index, member, pack, plain, read

from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.tar import parse_header, parse_records, read_members

# Whole tars.


@given(files=files, form=st.sampled_from(["gnu", "pax"]), dot=st.booleans(), step=st.integers(1, 5000))
def test_members_are_those_of_tarfile(
    scratch: Path, files: list[tuple[str, bytes | None]], form: str, dot: bool, step: int
) -> None:
    data = pack([("./" * dot + name, content) for name, content in files], form)
    entries, refusals = index(data, scratch)
    assert entries == by_tarfile(data)
    assert refusals == []
    members, refusals = read(data, step)
    assert members == {plain(name): content for name, content in files if content is not None}
    assert refusals == []


@given(
    files=st.lists(
        st.tuples(
            st.lists(st.text("abcXYZ019_-. é", min_size=1, max_size=60), min_size=1, max_size=3)
            .map("/".join)
            .filter(lambda name: ".." not in name.split("/") and plain(name)),
            st.none() | st.binary(max_size=700),
        ),
        max_size=5,
    )
)
def test_split_names_are_those_of_tarfile(scratch: Path, files: list[tuple[str, bytes | None]]) -> None:
    fitting = [item for item in files if fits(item)]
    data = pack(fitting, "ustar")
    assert index(data, scratch) == (by_tarfile(data), [])


def fits(item: tuple[str, bytes | None]) -> bool:
    """Whether ustar can write such a name at all."""
    try:
        pack([item], "ustar")
    except ValueError:
        return False
    return True


def test_names_too_long_for_a_header_are_split_or_extended(scratch: Path) -> None:
    name = "BigEarthNet-S2/" + "a" * 60 + "/" + "b" * 50 + "_B02.tif"
    for form in FORMATS:
        data = pack([(name, b"II*")], form)
        assert index(data, scratch)[0] == by_tarfile(data) != []
        assert read(data) == ({name: b"II*"}, [])


def test_a_real_archive_is_read_as_by_tarfile(shared: Path, scratch: Path) -> None:
    root = shared / "data" / "v1" / "BigEarthNet-v1.0"
    with tarfile.open(scratch, "w") as tar:
        tar.add(root, "BigEarthNet-v1.0")
    data = scratch.read_bytes()
    entries, refusals = index(data, scratch)
    assert (len(entries), refusals) == (24 * 14 + 1, [])
    assert entries == by_tarfile(data)
    members, _ = read(data, 2**20)
    assert members == {
        f"BigEarthNet-v1.0/{file.relative_to(root)}": file.read_bytes() for file in root.rglob("*") if file.is_file()
    }


def test_tars_of_the_1980s_are_read(scratch: Path) -> None:
    block = bytearray(member("patch/patch_B02.tif", b"II*")[:BLOCK])
    block[156:] = bytes(BLOCK - 156)
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % sum(block)
    data = bytes(block) + b"II*".ljust(BLOCK, b"\0") + END
    assert index(data, scratch) == ([("patch/patch_B02.tif", BLOCK, 3)], [])


def test_a_checksum_of_signed_bytes_is_taken() -> None:
    block = bytearray(member("é.tif")[:BLOCK])
    block[148:156] = b" " * 8
    block[148:156] = b"%06o\0 " % (sum(block) - 256 * sum(byte > 127 for byte in block))
    assert parse_header(bytes(block)) is not None


def test_records_for_all_members_hold_until_others_do(scratch: Path) -> None:
    data = pack([("a.tif", b"1"), ("b.tif", b"2")], "pax", pax_headers={"comment": "from tarfile"})
    assert index(data, scratch) == (by_tarfile(data), [])
    size = b"10 size=4\n"
    data = member(data=size, type=b"g") + member(data=b"four") + member(data=b"also") + END
    assert [entry[2] for entry in index(data, scratch)[0]] == [4, 4]


def test_sizes_beyond_octal_digits_are_read(scratch: Path) -> None:
    header = member(size=2**40)
    assert parse_header(header) == (b"patch_B02.tif", 2**40, b"0", False)
    assert parse_header(member(size=-5)) is None


@pytest.mark.parametrize("records", [b"5", b"0 a=b\n", b"9 a=b\n", b"6 a=b ", b"x a=b\n", b"6 abc\n", b"9" * 5000])
def test_damaged_records_are_none(records: bytes) -> None:
    assert parse_records(records) is None


def test_views_into_big_blocks_are_not_copied() -> None:
    class Once:
        block = AFTER + END
        calls = 0

        def read(self, size: int, /) -> bytes:
            self.calls += 1
            return self.block if self.calls == 1 else b""

    stream = Once()
    (item,) = read_members(stream, where="S2.tar")
    assert not isinstance(item, Refusal)
    assert isinstance(item.data, memoryview)
    assert item.data.obj is stream.block
