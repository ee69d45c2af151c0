"""A GeoTIFF reads as in rasterio, or is refused: never with pixels it does not hold."""

import io
import logging
import struct
import threading
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import rasterio
import tifffile
from hypothesis import given
from hypothesis import strategies as st

from bigearth_xr.archive import tiff
from bigearth_xr.archive.tiff import Raster, check_raster, decode_tiff
from bigearth_xr.bands import band
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import encode_tiff, formula_pixels

PLACE: dict[str, Any] = {"epsg": 32633, "ulx": 331200, "uly": 5331600}
PATCH = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"


@pytest.fixture(autouse=True)
def _forget_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_met", [])
    monkeypatch.setattr(tiff, "_right", {})


@pytest.fixture(params=["B02", "B05", "B01", "VV", "deflated"])
def data(request: pytest.FixtureRequest) -> bytes:
    if request.param == "deflated":
        return encode_tiff(formula_pixels(PATCH, "B02"), **PLACE, is_deflated=True)
    return encode_tiff(formula_pixels(PATCH, request.param), **PLACE)


def assert_reads_as_rasterio(data: bytes) -> None:
    raster = decode_tiff(data, where="patch")
    with rasterio.MemoryFile(data) as file, file.open() as oracle:
        expected = oracle.read(1)
        assert raster.pixels.dtype == expected.dtype
        assert raster.pixels.tobytes() == expected.tobytes()
        assert raster.epsg == oracle.crs.to_epsg()
        assert (raster.ulx, raster.uly) == (oracle.transform.c, oracle.transform.f)
        assert raster.res_m == oracle.transform.a == -oracle.transform.e


def test_a_file_reads_as_in_rasterio_whether_its_header_was_met_or_not(data: bytes) -> None:
    for _ in range(2):
        assert_reads_as_rasterio(data)


def test_every_real_file_reads_as_in_rasterio(shared: Path) -> None:
    files = sorted((shared / "data").glob("v*/**/*.tif"))
    assert len(files) > 900
    for file in files:
        assert_reads_as_rasterio(file.read_bytes())


def test_a_known_header_is_not_parsed_again(monkeypatch: pytest.MonkeyPatch) -> None:
    first, second = (np.full((120, 120), value, "uint16") for value in (1, 2))
    decode_tiff(encode_tiff(first, **PLACE), where="first")
    monkeypatch.setattr(tifffile, "TiffFile", None)
    raster = decode_tiff(encode_tiff(second, epsg=32633, ulx=1200, uly=2400), where="second")
    assert (raster.ulx, raster.uly) == (1200, 2400)
    assert (raster.pixels == 2).all()


def test_the_headers_of_a_damaged_disk_do_not_fill_the_memory() -> None:
    for zone in range(1, 61):
        for column in (0, 1):
            data = bytearray(encode_tiff(np.zeros((20, 20), "uint16"), **PLACE | {"epsg": 32600 + zone}))
            # The description of the zone: any text is a valid header.
            data[data.index(b"WGS 84 / UTM")] += column
            decode_tiff(bytes(data), where="patch")
    assert len(tiff._met) == 64


@given(cut=st.floats(0, 1, exclude_max=True))
@pytest.mark.parametrize("is_deflated", [False, True])
def test_a_file_cut_anywhere_is_refused(cut: float, is_deflated: bool) -> None:
    data = encode_tiff(formula_pixels(PATCH, "B05"), **PLACE, is_deflated=is_deflated)
    with pytest.raises(PatchError, match=r"^B05 .*; unpack the archive again, or remove the patch$"):
        decode_tiff(data[: int(cut * len(data))], where="B05 of the patch")


@pytest.mark.parametrize("length", [1, 4, 8, 100, 160, 200, 260, 300])
def test_a_file_cut_in_its_header_is_refused(data: bytes, length: int) -> None:
    with pytest.raises(PatchError, match=r"^B05"):
        decode_tiff(data[:length], where="B05")


@pytest.mark.parametrize("lost", [1, 2, 100])
def test_a_file_cut_in_its_last_strip_says_how_much_is_lost(lost: int) -> None:
    data = encode_tiff(formula_pixels(PATCH, "B02"), **PLACE)
    decode_tiff(data, where="B02")
    with pytest.raises(PatchError, match=f"B02 is cut short: it has {len(data) - lost:,} bytes of {len(data):,}"):
        decode_tiff(data[:-lost], where="B02")


def test_an_empty_file_is_refused() -> None:
    with pytest.raises(PatchError, match=r"B02 is empty; unpack the archive again"):
        decode_tiff(b"", where="B02")


def test_what_is_no_tiff_is_refused() -> None:
    with pytest.raises(PatchError, match=r"B02 is not a readable GeoTIFF \(.*\); unpack"):
        decode_tiff(b"<html>not found</html>", where="B02")


def test_a_damaged_header_is_reported_by_the_error_alone(caplog: pytest.LogCaptureFixture) -> None:
    damaged = b"II*\0\x08\0\0\0" + b"\x05\0" * 40
    with pytest.raises(PatchError, match="B02: its header has no place of the pixels"):
        decode_tiff(damaged, where="B02")
    assert caplog.records == []
    tifffile.TiffFile(io.BytesIO(damaged)).close()
    assert "invalid value offset" in caplog.text


def test_only_the_thread_that_decodes_is_kept_from_logging(caplog: pytest.LogCaptureFixture) -> None:
    with tiff._unlogged():
        for log in (logging.getLogger("tifffile").error, logging.getLogger("tifffile").warning):
            log("here")
            other = threading.Thread(target=log, args=("elsewhere",))
            other.start()
            other.join()
    logging.getLogger("tifffile").error("afterwards")
    assert caplog.messages == ["elsewhere", "elsewhere", "afterwards"]


def test_a_damaged_compressed_strip_is_refused() -> None:
    data = bytearray(encode_tiff(formula_pixels(PATCH, "B02"), **PLACE, is_deflated=True))
    data[-200] ^= 255
    with pytest.raises(PatchError, match=r"map is not a readable GeoTIFF"):
        decode_tiff(bytes(data), where="map")


def test_a_compressed_strip_of_too_few_rows_is_refused() -> None:
    data = bytearray(encode_tiff(np.zeros((20, 20), "uint16"), **PLACE, is_deflated=True))
    start = data.index(zlib.compress(bytes(800), 6)[:2], 300)
    short = zlib.compress(bytes(400))
    data[start : start + len(short)] = short
    with pytest.raises(PatchError, match=r"map is not a readable GeoTIFF"):
        decode_tiff(bytes(data), where="map")


def patched(tag: int, old: bytes, new: bytes) -> bytes:
    """Encode a file and replace bytes of one entry of its header, found by its tag."""
    data = encode_tiff(np.zeros((60, 60), "uint16"), **PLACE)
    entry = data.index(struct.pack("<H", tag) + old)
    return data[:entry] + struct.pack("<H", tag) + new + data[entry + 2 + len(old) :]


def test_strips_that_do_not_hold_the_pixels_are_refused() -> None:
    data = patched(279, struct.pack("<HII", 4, 1, 7200), struct.pack("<HII", 4, 1, 7198))
    with pytest.raises(PatchError, match="its strips hold 7,198 bytes, expected 7,200"):
        decode_tiff(data, where="B05")


def test_a_missing_strip_is_refused() -> None:
    data = patched(278, struct.pack("<HII", 4, 1, 60), struct.pack("<HII", 4, 1, 20))
    with pytest.raises(PatchError, match="its header tells of 1 strips of pixels, expected 3"):
        decode_tiff(data, where="B05")


@pytest.mark.parametrize(
    ("tag", "kind", "count", "name"),
    [
        (33550, 12, 3, r"pixel size \(tag ModelPixelScale\)"),
        (33922, 12, 6, r"corner on the ground \(tag ModelTiepoint\)"),
        (34735, 3, 32, r"coordinate reference system \(tag GeoKeyDirectory\)"),
    ],
)
def test_a_file_without_its_place_is_refused(tag: int, kind: int, count: int, name: str) -> None:
    entry = struct.pack("<HI", kind, count)
    data = patched(tag, entry, entry)
    # A private tag in its place.
    data = data.replace(struct.pack("<H", tag) + entry, struct.pack("<H", 65000) + entry)
    with pytest.raises(PatchError, match=f"its header has no {name}; unpack"):
        decode_tiff(data, where="B05")


def test_a_file_without_a_utm_zone_is_refused() -> None:
    data = encode_tiff(np.zeros((60, 60), "uint16"), **PLACE)
    key = struct.pack("<4H", 3072, 0, 1, 32633)
    assert key in data
    with pytest.raises(PatchError, match="names no projected coordinate reference system"):
        decode_tiff(data.replace(key, struct.pack("<4H", 3073, 0, 1, 32633)), where="B05")


def test_pixels_that_are_no_squares_are_refused() -> None:
    data = encode_tiff(np.zeros((60, 60), "uint16"), **PLACE)
    with pytest.raises(PatchError, match=r"pixels are 20\.0 m × 10\.0 m, expected squares"):
        decode_tiff(data.replace(struct.pack("<2d", 20, 20), struct.pack("<2d", 20, 10)), where="B05")


def test_infinite_and_missing_backscatter_is_kept_as_it_is() -> None:
    pixels = formula_pixels(PATCH, "VV").copy()
    pixels[0, :3] = [-np.inf, np.nan, -0.0]
    for _ in range(2):
        raster = decode_tiff(encode_tiff(pixels, **PLACE), where="VV")
        assert raster.pixels.tobytes() == pixels.tobytes()


def test_big_endian_files_read_as_native() -> None:
    with rasterio.MemoryFile() as file:
        with file.open(
            driver="GTiff", width=120, height=120, count=1, dtype="uint16", crs="EPSG:32633",
            transform=rasterio.Affine(10, 0, 331200, 0, -10, 5331600), ENDIANNESS="BIG",
        ) as image:  # fmt: skip
            image.write(formula_pixels(PATCH, "B02"), 1)
        data = bytes(file.getbuffer())
    assert data[:2] == b"MM"
    assert_reads_as_rasterio(data)
    check_raster(decode_tiff(data, where="B02"), band=band("B02"), **PLACE, where="B02")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"pixels": np.zeros((60, 60), "uint16")}, r"shape is \(60, 60\), expected \(120, 120\)"),
        ({"pixels": np.zeros((120, 120), "int16")}, "dtype is int16, expected uint16"),
        ({"epsg": 32634}, "coordinate reference system is EPSG:32634, expected EPSG:32633"),
        ({"res_m": 20.0}, r"pixel size in metres is 20\.0, expected 10"),
        ({"ulx": 331210.0}, r"upper left corner is \(331210\.0, 5331600\), expected \(331200, 53316"),
    ],
)
def test_a_raster_of_something_else_is_refused(change: dict[str, Any], message: str) -> None:
    found: dict[str, Any] = {"pixels": np.zeros((120, 120), "uint16"), "res_m": 10.0, **PLACE} | change
    with pytest.raises(PatchError, match=f"^patch: {message}"):
        check_raster(Raster(**found), band=band("B02"), **PLACE, where="patch")
