"""A GeoTIFF in any layout gives the pixels of the archive's own strips, or is refused: also where it was cut."""

import io
import struct
from functools import cache
from pathlib import Path

import numpy as np
import pytest
import rasterio
import tifffile
from layouts import LAYOUTS, tiled

from bigearth_xr.archive import tiff
from bigearth_xr.archive.patch_files import REFERENCE_MAP_BAND
from bigearth_xr.archive.tiff import decode_band, decode_tiff
from bigearth_xr.bands import Band, band
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import encode_tiff, formula_pixels

EPSG, ULX, ULY = 32633, 331200, 5331600
PATCH = "S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_26_57"
BANDS = {name: band(name) for name in ("B01", "B05", "B8A", "B02", "VV", "VH")} | {"map": REFERENCE_MAP_BAND}

every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture(autouse=True)
def _forget_headers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tiff, "_met", [])
    monkeypatch.setattr(tiff, "_right", {})


def pixels_of(name: str, seed: int) -> np.ndarray:
    """Noise, so that a row or a tile that is not where it belongs shows; the formula for maps, which compress well."""
    one = BANDS[name]
    if name == "map":
        return formula_pixels(PATCH, "B02")
    values = np.random.default_rng(seed).normal(600, 300, (one.size, one.size)).clip(1, None)
    return (np.log10(values) * 10).astype(one.dtype) if one.dtype == "float32" else values.astype(one.dtype)


@cache
def encoded(layout: str, name: str, seed: int = 0) -> bytes:
    plain = encode_tiff(pixels_of(name, seed), epsg=EPSG, ulx=ULX + 1200 * seed, uly=ULY, is_deflated=name == "map")
    return LAYOUTS[layout](plain)


def read(data: bytes, one: Band, seed: int = 0) -> np.ndarray:
    return decode_band(data, band=one, epsg=EPSG, ulx=ULX + 1200 * seed, uly=ULY, where=lambda: "patch")


def with_tag(data: bytes, code: int, *, new: int | None = None, count: int | None = None, value: int = 0) -> bytes:
    """Write one entry of a header anew: under another code, with another count, or with a value."""
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        tag = file.pages.first.tags[code]
    entry = bytearray(data[tag.offset : tag.offset + 12])
    if new is not None:
        struct.pack_into("<H", entry, 0, new)
    elif count is not None:
        struct.pack_into("<I", entry, 4, count)
    else:
        struct.pack_into("<HII", entry, 2, 4, 1, value)
    return data[: tag.offset] + entry + data[tag.offset + 12 :]


def by_rasterio(data: bytes) -> np.ndarray:
    """Pixels by rasterio."""
    with rasterio.MemoryFile(data) as file, file.open() as image:
        found: np.ndarray = image.read(1)
        return found


@pytest.mark.sampled(2)
@every_layout
def test_pixels_are_those_of_strips_whether_the_layout_was_met_or_not(layout: str) -> None:
    for name, one in BANDS.items():
        for seed in (0, 1, 0):
            found, expected = read(encoded(layout, name, seed), one, seed), pixels_of(name, seed)
            assert found.dtype == expected.dtype == np.dtype(one.dtype)
            assert found.tobytes() == expected.tobytes()
            assert not found.flags.writeable
            if not layout.endswith("first"):
                assert found.tobytes() == by_rasterio(encoded(layout, name, seed)).tobytes()


@pytest.mark.parametrize("layout", [name for name in LAYOUTS if not name.endswith(("first", "LERC"))])
def test_a_layout_that_was_met_is_not_parsed_again(layout: str, monkeypatch: pytest.MonkeyPatch) -> None:
    others = {name: encoded(layout, name, 1) for name in BANDS}
    for name, one in BANDS.items():
        read(encoded(layout, name), one)
    monkeypatch.setattr(tifffile, "TiffFile", None)
    for name, one in BANDS.items():
        assert np.array_equal(read(others[name], one, 1), pixels_of(name, 1))


@every_layout
def test_a_file_cut_anywhere_is_refused_or_right(layout: str) -> None:
    messages = []
    for name in ("B02", "VV", "map"):
        data = encoded(layout, name)
        cuts = [*np.linspace(0, len(data) - 1, 20).astype(int), *range(len(data) - 9, len(data))]
        for is_met in (False, True):
            if is_met:
                read(data, BANDS[name])
            for cut in cuts:
                try:
                    found = read(data[:cut], BANDS[name])
                except PatchError as error:
                    messages.append(str(error))
                else:
                    assert found.tobytes() == pixels_of(name, 0).tobytes()
    # Of some, overviews lie behind the pixels, and texts.
    assert len(messages) >= 3 * 2 * 10
    assert all(one.startswith("patch") and "unpack the archive again" in one for one in messages)


@every_layout
def test_a_file_of_another_place_is_refused(layout: str) -> None:
    data, one = encoded(layout, "B05"), BANDS["B05"]
    for _ in range(2):
        with pytest.raises(PatchError, match="patch: upper left corner is"):
            read(data, one, seed=1)
        with pytest.raises(PatchError, match="patch: coordinate reference system is EPSG:32633, expected EPSG:32634"):
            decode_band(data, band=one, epsg=32634, ulx=ULX, uly=ULY, where=lambda: "patch")
        with pytest.raises(PatchError, match=r"patch: shape is \(60, 60\), expected \(120, 120\)"):
            read(data, BANDS["B02"])
        assert np.array_equal(read(data, one), pixels_of("B05", 0))


def test_tiles_that_were_never_written_are_nodata() -> None:
    pixels = pixels_of("B02", 0)
    pixels[16:48, 32:64] = 0
    data = tiled(16, sparse_ok=True, compress="DEFLATE", predictor=2)(encode_tiff(pixels, epsg=EPSG, ulx=ULX, uly=ULY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        assert file.pages.first.dataoffsets.count(0) == 4
    for _ in range(2):
        assert np.array_equal(read(data, BANDS["B02"]), pixels)


def test_a_file_none_of_whose_tiles_was_written_is_refused() -> None:
    data = encode_tiff(np.zeros((120, 120), "uint16"), epsg=EPSG, ulx=ULX, uly=ULY)
    with pytest.raises(PatchError, match=r"patch is not a readable GeoTIFF \(none of its pixels was ever written\)"):
        read(tiled(16, sparse_ok=True, compress="DEFLATE")(data), BANDS["B02"])


@pytest.mark.parametrize(
    ("tag", "name"),
    [(324, r"place of the pixels \(tag TileOffsets\)"), (325, r"size of the pixels \(tag TileByteCounts\)")],
)
def test_a_header_without_a_tile_is_refused(tag: int, name: str) -> None:
    data = tiled(64, compress="DEFLATE")(encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY))
    with pytest.raises(PatchError, match=r"patch: its header tells of [34] tiles of pixels, expected 4"):
        read(with_tag(data, tag, count=3), BANDS["B02"])
    with pytest.raises(PatchError, match=rf"patch: its header has no {name}; unpack"):
        read(with_tag(data, tag, new=65000), BANDS["B02"])


def test_a_tile_of_too_few_or_too_many_pixels_is_refused() -> None:
    data = tiled(64)(encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        at = file.pages.first.tags[325].valueoffset
    read(data, BANDS["B02"])
    for size in (8190, 8194):
        wrong = data[:at] + struct.pack("<I", size) + data[at + 4 :]
        with pytest.raises(PatchError, match=r"a segment at byte [\d,]+ holds 8,19\d bytes, expected 8,192"):
            read(wrong, BANDS["B02"])


@pytest.mark.parametrize("compress", ["LZW", "PACKBITS", "ZSTD", "LZMA", "DEFLATE"])
def test_a_tile_that_decodes_to_too_little_is_refused(compress: str) -> None:
    data = tiled(64, compress=compress)(encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        page = file.pages.first
        at, size = page.tags[325].valueoffset, page.databytecounts[0]
    wrong = data[:at] + struct.pack("<I", size // 2) + data[at + 4 :]
    for _ in range(2):
        with pytest.raises(PatchError, match="patch is not a readable GeoTIFF"):
            read(wrong, BANDS["B02"])
        read(data, BANDS["B02"])


def test_a_tile_that_claims_to_be_huge_is_refused_before_it_is_decoded() -> None:
    data = tiled(256, compress="DEFLATE")(encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY))
    for tag in (322, 323):
        data = with_tag(data, tag, value=1 << 20)
    with pytest.raises(PatchError, match="its tiles are of 1,048,576 × 1,048,576 pixels, expected 67,108,864 bytes"):
        read(data, BANDS["B02"])


def test_a_shape_that_is_none_of_the_band_is_refused_before_it_is_decoded() -> None:
    data = encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY, is_deflated=True)
    for tag in (256, 257):
        data = with_tag(data, tag, value=1 << 24)
    with pytest.raises(PatchError, match=r"patch: shape is \(16777216, 16777216\), expected \(120, 120\)"):
        read(data, BANDS["B02"])


def test_overviews_alone_are_refused() -> None:
    data = LAYOUTS["tifffile, the overview first"](encode_tiff(pixels_of("B02", 0), epsg=EPSG, ulx=ULX, uly=ULY))
    with tifffile.TiffFile(io.BytesIO(data)) as file:
        second = file.pages[1].offset
    data = data.replace(struct.pack("<I", second), bytes(4), 1)
    with pytest.raises(PatchError, match="patch holds overviews or masks alone, expected the image"):
        read(data, BANDS["B02"])


def test_several_bands_in_a_file_are_refused() -> None:
    data, planes = io.BytesIO(), np.stack([pixels_of("B02", 0)] * 2)
    tifffile.imwrite(data, planes, tile=(64, 64), photometric="minisblack", planarconfig="separate", metadata=None)
    with pytest.raises(PatchError, match=r"patch: shape is \(2, 120, 120\), expected \(120, 120\)"):
        read(data.getvalue(), BANDS["B02"])


def test_real_maps_and_bands_of_every_layout_are_those_of_their_strips(shared: Path) -> None:
    for name in ("B02", "VV", "reference_map"):
        data = min((shared / "data" / "v2").rglob(f"*_{name}.tif")).read_bytes()
        expected = by_rasterio(data)
        for layout in LAYOUTS.values():
            raster = decode_tiff(layout(data), where="patch")
            assert raster.pixels.tobytes() == expected.tobytes()
