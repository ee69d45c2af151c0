"""A stream gives the bytes that were compressed, whoever compressed them, or says where it is damaged."""

import bz2
import gzip
import io
import lzma
import random
import struct
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from backports import zstd
from hypothesis import given
from hypothesis import strategies as st

from bigearth_xr.archive.bytestream import ByteStream, ReadAhead, compression_of, open_bytes
from bigearth_xr.errors import ArchiveError, ArchiveNotFoundError, DownloadError

COMPRESS: dict[str, Callable[[bytes], bytes]] = {
    "gzip": gzip.compress,
    "zstd": lambda data: zstd.compress(data, options={zstd.CompressionParameter.checksum_flag: 1}),
    "bzip2": bz2.compress,
    "xz": lzma.compress,
}
each_compression = pytest.mark.parametrize("compression", COMPRESS)
# Half of it compresses well, half not at all.
DATA = random.Random(0).randbytes(900_000) + bytes(900_000)


def drain(stream: ByteStream | ReadAhead, size: int = 2**20) -> bytes:
    """Read a stream to its end."""
    return b"".join(bytes(block) for block in iter(lambda: bytes(stream.read(size)), b""))


def drain_until_fault(stream: ByteStream | ReadAhead) -> tuple[bytes, str]:
    """Read a stream up to the error that ends it."""
    read = []
    try:
        while block := stream.read(2**20):
            read.append(bytes(block))
    except ArchiveError as error:
        return b"".join(read), str(error)
    pytest.fail("the stream ended without an error")


@each_compression
def test_what_was_compressed_comes_back(tmp_path: Path, compression: str) -> None:
    path = tmp_path / "S2.tar"
    path.write_bytes(COMPRESS[compression](DATA))
    with open_bytes(path) as stream:
        assert stream.compression == compression
        assert drain(stream) == DATA
        assert stream.position == stream.size == path.stat().st_size
        assert stream.read(9) == b""


def test_what_is_not_compressed_passes_through(tmp_path: Path) -> None:
    for data in (DATA, b"", b"II*"):
        with open_bytes(io.BytesIO(data), name="S2.tar", size=len(data)) as stream:
            assert stream.compression is None
            assert drain(stream) == data
            assert stream.position == len(data)


@each_compression
def test_compressed_parts_in_a_row_are_one_stream(compression: str) -> None:
    compress = COMPRESS[compression]
    for parts in ([b"a", b"", b"b" * 99], [DATA, DATA]):
        packed = b"".join(map(compress, parts))
        # Padding, as tapes have it.
        for end in (b"", bytes(512)):
            assert drain(open_bytes(io.BytesIO(packed + end))) == b"".join(parts)


def test_frames_that_are_to_be_skipped_are() -> None:
    skipped = struct.pack("<II", 0x184D2A50, 4) + b"\1\2\3\4"
    assert compression_of(skipped) == "zstd"
    packed = skipped + zstd.compress(b"a") + skipped + zstd.compress(b"b") + skipped
    assert drain(open_bytes(io.BytesIO(packed))) == b"ab"


@given(
    data=st.binary(max_size=300),
    compression=st.sampled_from(sorted(COMPRESS)),
    given_at_once=st.integers(1, 40),
    read_at_once=st.integers(1, 400),
)
def test_the_sizes_of_reads_do_not_matter(data: bytes, compression: str, given_at_once: int, read_at_once: int) -> None:
    class Slow(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return super().read(given_at_once)

    stream = open_bytes(Slow(COMPRESS[compression](data) * 2))
    assert drain(stream, read_at_once) == data * 2


@each_compression
def test_a_cut_stream_gives_what_came_before_and_says_where_it_ends(compression: str) -> None:
    packed = COMPRESS[compression](DATA)
    for cut in (len(packed) * 2 // 3, len(packed) - 1, 8):
        read, message = drain_until_fault(open_bytes(io.BytesIO(packed[:cut]), name="S2.tar.x"))
        assert DATA.startswith(read)
        assert message == (
            f"S2.tar.x ends at byte {cut:,}, in the middle of its {compression} data; download or copy it again"
        )
    if compression in ("gzip", "zstd"):
        assert len(drain_until_fault(open_bytes(io.BytesIO(packed[:600_000])))[0]) > 300_000


@each_compression
def test_a_damaged_stream_says_about_where(compression: str) -> None:
    packed = bytearray(COMPRESS[compression](DATA))
    packed[700_000] ^= 255
    _, message = drain_until_fault(open_bytes(io.BytesIO(packed), name="S2.tar.x"))
    assert message.startswith(
        f"S2.tar.x is damaged: its {compression} data do not decompress, or have another checksum"
    )


@pytest.mark.parametrize("compression", ["gzip", "zstd"])
def test_the_checksum_at_the_end_is_checked(compression: str) -> None:
    packed = bytearray(COMPRESS[compression](DATA))
    packed[-7 if compression == "gzip" else -1] ^= 1
    read, message = drain_until_fault(open_bytes(io.BytesIO(packed)))
    assert DATA.startswith(read)
    assert "is damaged" in message


def test_what_follows_compressed_data_is_not_silently_dropped() -> None:
    with pytest.raises(ArchiveError, match="the stream is damaged: its gzip data do not decompress"):
        drain(open_bytes(io.BytesIO(gzip.compress(b"a") + b"this is no gzip")))


def test_a_bomb_is_decompressed_as_it_is_asked_for() -> None:
    for compress in (COMPRESS["gzip"], COMPRESS["zstd"]):
        packed = compress(bytes(2**27))
        assert len(packed) < 2**18
        stream = open_bytes(io.BytesIO(packed))
        assert all(len(stream.read(2**20)) <= 2**20 for _ in range(40))


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ArchiveNotFoundError, match=r"there is no archive at .*nowhere; check the path"):
        open_bytes(tmp_path / "nowhere")


# Reading ahead.


@each_compression
def test_reading_ahead_gives_the_same_bytes(compression: str) -> None:
    for size in (1000, 2**22):
        with ReadAhead(open_bytes(io.BytesIO(COMPRESS[compression](DATA * 3)))) as stream:
            assert drain(stream, size) == DATA * 3
            assert stream.read(1) == b""
            assert (stream.position, stream.size) == (stream.position, None)


def test_what_goes_wrong_while_reading_ahead_is_raised_where_it_is_read() -> None:
    packed = gzip.compress(DATA)[:600_000]
    with ReadAhead(open_bytes(io.BytesIO(packed))) as stream:
        read, message = drain_until_fault(stream)
        assert DATA.startswith(read)
        assert "in the middle of its gzip data" in message
        with pytest.raises(ArchiveError, match="in the middle"):
            stream.read(1)


def test_errors_of_the_source_keep_their_kind() -> None:
    class Gone(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            if self.tell() > 300_000:
                raise DownloadError("the server is gone")
            return super().read(size)

    with (
        ReadAhead(open_bytes(Gone(gzip.compress(DATA)))) as stream,
        pytest.raises(DownloadError, match="server is gone"),
    ):
        drain(stream)


def test_closing_stops_the_thread_and_closes_the_source() -> None:
    class Endless(io.BytesIO):
        def read(self, size: int | None = -1, /) -> bytes:
            return bytes(2**20)

    source, before = Endless(), threading.active_count()
    with ReadAhead(open_bytes(source), blocks=2) as stream:
        assert len(stream.read(5)) == 5
        assert threading.active_count() == before + 1
    assert threading.active_count() == before
    assert source.closed
