"""Our reader of tars obeys nothing that no archive has, and survives any damage."""

import os
import tarfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tar_members import AFTER, BLOCK, END, Trickle, by_tarfile, files, index, member, pack, read, split

from bigearth_xr.archive.source import Refusal
from bigearth_xr.archive.tar import LIST_BYTES, PATCH_FILE_BYTES, read_members, walk
from bigearth_xr.archive.tar_source import FileTape, TarFile
from bigearth_xr.errors import ArchiveError

HOSTILE: list[tuple[bytes, str]] = [
    (member("../etc/passwd"), r"\.\./etc/passwd leads outside; it is passed over"),
    (member("a/../../b.tif", b"x"), "leads outside"),
    (member("/etc/passwd"), "/etc/passwd leads outside"),
    (member("..", type=tarfile.DIRTYPE), "leads outside"),
    (member("a\\..\\b.tif"), "has characters in its name that no archive has"),
    (member("a\nb.tif"), r"a\\nb\.tif has characters in its name"),
    (member("a\x1b[31m.tif"), "has characters in its name"),
    (member("a\udcff.tif"), "has characters in its name"),
    (member(data=b"12 path=a\0b\n", type=b"x") + member(), "has characters in its name"),
    (member("hard", type=tarfile.LNKTYPE, linkname="/etc/passwd"), "is a hard link, which no archive has"),
    (member("soft", type=tarfile.SYMTYPE, linkname="/etc/passwd"), "is a symbolic link"),
    (member("tty", type=tarfile.CHRTYPE), "is a device"),
    (member("sda", type=tarfile.BLKTYPE), "is a device"),
    (member("pipe", type=tarfile.FIFOTYPE), "is a named pipe"),
    (member("holes", b"x", type=tarfile.GNUTYPE_SPARSE), "is a file with holes"),
    (member("dump", b"x", type=b"D"), "is of unknown kind b'D'"),
    (member(data=b"22 GNU.sparse.major=1\n", type=b"x") + member("holes"), "is a file with holes"),
    (member(data=b"11 size=-1\n", type=b"x") + member("minus"), "minus has a size that is not a number"),
    (member(data=b"99 path=a\n", type=b"x") + member("odd"), "odd has damaged records before it"),
    (member("long", bytes(70_000), type=b"L") + member("b.tif"), "has 70,000 bytes of name or records"),
    (member("a_B02.tif", bytes(PATCH_FILE_BYTES + 1)), "has 1,048,577 bytes, no such file of an archive has more than"),
    (member("film.mkv", bytes(PATCH_FILE_BYTES + 1)), "has 1,048,577 bytes"),
]


@pytest.mark.parametrize(("hostile", "message"), HOSTILE, ids=[message[-30:] for _, message in HOSTILE])
def test_what_no_archive_has_is_passed_over_and_reported(scratch: Path, hostile: bytes, message: str) -> None:
    for found, refusals in (index(hostile + AFTER + END, scratch), read(hostile + AFTER + END)):
        assert [item if isinstance(item, str) else item[0] for item in found] == ["after_B03.tif"]
        (refusal,) = refusals
        assert refusal.kind == "refused"
        with pytest.raises(ArchiveError, match=f"^S2.tar: .*{message}"):
            raise ArchiveError(refusal.message)


def test_the_map_of_a_file_with_many_holes_is_passed_over_too(scratch: Path) -> None:
    header = bytearray(member("holes", type=tarfile.GNUTYPE_SPARSE)[:BLOCK])
    header[482] = 1
    header[148:156] = b" " * 8
    header[148:156] = b"%06o\0 " % sum(header)
    more, last = bytearray(BLOCK), bytearray(b"\1" * 100 + bytes(BLOCK - 100))
    more[504] = 1
    (entry,), (refusal,) = index(bytes(header + more + last) + AFTER + END, scratch)
    assert entry[0] == "after_B03.tif"
    assert "is a file with holes" in refusal.message


def test_big_lists_are_taken(scratch: Path) -> None:
    header = member("metadata.parquet", size=LIST_BYTES)
    with open(scratch, "wb") as file:
        file.write(header)
        file.truncate(len(header) + LIST_BYTES + 2 * BLOCK)
    assert split(walk(FileTape(TarFile([scratch])), where="")) == ([("metadata.parquet", BLOCK, LIST_BYTES)], [])
    scratch.unlink()


def test_a_bomb_is_not_kept() -> None:
    size = 2**33

    class Bomb:
        given = 0

        def read(self, size_asked: int, /) -> bytes:
            self.given += 1
            if self.given == 1:
                return member("bomb.tif", size=size)
            return bytes(size_asked) if self.given < 20 else b""

    refused, cut = read_members(Bomb(), where="bomb.tar")
    assert isinstance(refused, Refusal)
    assert "has 8,589,934,592 bytes" in refused.message
    assert isinstance(cut, Refusal)
    assert cut.kind == "truncated"


# Damage.


def test_a_tar_without_its_end_says_so(scratch: Path) -> None:
    data = member(data=b"x" * 600) + AFTER
    for found, refusals in (index(data, scratch), read(data)):
        assert len(found) == 2
        (refusal,) = refusals
        assert (refusal.member, refusal.kind) == ("S2.tar", "truncated")
        assert refusal.message == (
            "S2.tar ends at byte 2,560, without the mark that ends a tar, after 2 whole files; "
            "download or copy it again"
        )


@pytest.mark.parametrize(
    ("length", "message"),
    [
        (700, "ends at byte 700, inside of patch_B02.tif, after 0 whole files"),
        (1536 + 100, "ends at byte 1,636, in the middle of a member, after 1 whole files"),
        (1200, "ends at byte 1,200, in the middle of a member, after 1 whole files"),
    ],
)
def test_a_cut_tar_says_where_it_ends(scratch: Path, length: int, message: str) -> None:
    data = (member(data=b"x" * 600) + AFTER)[:length]
    for _, (refusal,) in (index(data, scratch), read(data)):
        assert message in refusal.message


def test_one_block_of_zeros_is_an_end(scratch: Path) -> None:
    for end in (BLOCK, 2 * BLOCK, 40 * BLOCK, 100_000):
        assert len(index(AFTER + bytes(end), scratch)[0]) == 1
        assert index(AFTER + bytes(end), scratch)[1] == []
        assert read(AFTER + bytes(end))[1] == []


def test_what_follows_the_end_is_reported(scratch: Path) -> None:
    data = AFTER + END + member("second_B02.tif") + END
    for found, (refusal,) in (index(data, scratch), *(read(data, step) for step in (1, 500, 512, 800, 9000))):
        assert len(found) == 1
        assert refusal.kind == "refused"
        assert refusal.message.startswith(
            "S2.tar has its end at byte 1,024, but more follows, as where tars are joined"
        )


def test_behind_a_damaged_header_the_next_one_is_found(scratch: Path) -> None:
    damaged = bytearray(member(data=b"x" * 1500))
    damaged[3] ^= 1
    data = member("first.tif") + bytes(damaged) + AFTER + END
    for found, (refusal,) in (index(data, scratch), read(data)):
        assert [item if isinstance(item, str) else item[0] for item in found] == ["first.tif", "after_B03.tif"]
        assert refusal.kind == "refused"
        assert "is damaged at byte 512: the 2,048 bytes up to the next header are lost" in refusal.message


def test_damage_without_a_header_behind_it_ends_a_tar(scratch: Path) -> None:
    damaged = bytearray(member(data=b"x" * 1500))
    damaged[3] ^= 1
    data = member("first.tif") + bytes(damaged) + END
    for found, (refusal,) in (index(data, scratch), read(data)):
        assert len(found) == 1
        assert refusal.kind == "truncated"
        assert "damaged at byte 512: everything behind it is lost, after 1 whole files" in refusal.message


def test_a_fault_of_the_stream_ends_the_tar_and_is_told() -> None:
    class Faulty(Trickle):
        def read(self, size: int = -1) -> bytes:
            if not self._rest:
                raise ArchiveError("S2.tar.gz: its gzip data are damaged")
            return super().read(size)

    for data, whole in ((AFTER + member(data=b"x" * 600)[:700], 1), (AFTER + END, 1)):
        _, refusal = read_members(Faulty(data), where="S2.tar.gz")
        assert isinstance(refusal, Refusal)
        assert refusal.kind == "truncated"
        assert f"after {whole} whole files (S2.tar.gz: its gzip data are damaged)" in refusal.message


@settings(suppress_health_check=[HealthCheck.too_slow])
@given(
    files=files.filter(len),
    form=st.sampled_from(["gnu", "pax"]),
    data=st.data(),
    step=st.integers(300, 5000),
)
def test_damage_never_gives_what_was_not_there(
    scratch: Path, files: list[tuple[str, bytes | None]], form: str, data: st.DataObject, step: int
) -> None:
    whole = pack(files, form)
    expected = by_tarfile(whole)
    damaged = bytearray(whole)
    flips = data.draw(st.lists(st.integers(0, len(whole) - 1), max_size=4))
    for flip in flips:
        damaged[flip] ^= data.draw(st.integers(1, 255))
    cut = data.draw(st.just(len(whole)) | st.integers(0, len(whole)))
    entries, refusals = index(bytes(damaged[:cut]), scratch)

    starts = [0, *(offset + size + -size % BLOCK for _, offset, size in expected)]
    first = min([*flips, cut])
    unharmed = [entry for entry in expected if entry[1] + entry[2] <= first]
    assert entries[: len(unharmed)] == unharmed
    for entry in entries:
        _, offset, size = entry
        assert 0 <= offset <= offset + size <= cut
        # A name or size that was not there has a flipped bit in the headers before its data.
        before = max((start for start in starts if start < offset), default=0)
        assert entry in expected or any(before <= flip < offset for flip in flips)
    if cut < len(whole) - 10240 + BLOCK:
        assert refusals

    members, told = read(bytes(damaged[:cut]), step)
    assert [refusal.message for refusal in told] == [refusal.message for refusal in refusals]
    assert members == {
        name: bytes(damaged[offset : offset + size]) for name, offset, size in entries if not name.endswith("/")
    }


@given(data=st.binary(max_size=3000))
def test_any_bytes_are_survived(scratch: Path, data: bytes) -> None:
    entries, refusals = index(data, scratch)
    assert entries == []
    assert refusals or not any(data)
    assert read(data)[1] == refusals


def test_a_file_that_shrinks_meanwhile_is_survived(scratch: Path) -> None:
    scratch.write_bytes(member("a.tif", bytes(9000)) + AFTER + END)
    items = walk(FileTape(TarFile([scratch])), where="S2.tar")
    next(items)
    os.truncate(scratch, 3000)
    (refusal,) = items
    assert isinstance(refusal, Refusal)
    assert refusal.kind == "truncated"
