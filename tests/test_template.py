"""The fast path gives the pixels that tifffile gives, or none: whatever happens to a file."""

import io

import numpy as np
import pytest
import tifffile
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from bigearth_xr.archive import tiff
from bigearth_xr.archive.patch_files import REFERENCE_MAP_BAND
from bigearth_xr.archive.tiff import decode_band, decode_tiff
from bigearth_xr.bands import Band, band
from bigearth_xr.errors import PatchError
from bigearth_xr.testing import encode_tiff

EPSG, ULX, ULY = 32633, 331200, 5331600
Encoding = tuple[str | None, int, int]

ENCODINGS: list[Encoding] = [(None, 1, 120), ("zlib", 1, 16), ("zlib", 2, 120), ("deflate", 2, 34), ("deflate", 1, 120)]
"""Compression, predictor and rows of a strip: codes 1, 8 and 32946."""


pytestmark = pytest.mark.usefixtures("no_header_met")


def pixels_of(seed: int, one: Band = REFERENCE_MAP_BAND) -> np.ndarray:
    values = np.random.default_rng(seed).integers(0, 400, (one.size, one.size))
    return values.astype(one.dtype)


def encode(seed: int, encoding: Encoding, ulx: int = ULX) -> bytes:
    """A file of the archive, stored or compressed."""
    compression, predictor, rows = encoding
    plain = encode_tiff(pixels_of(seed), epsg=EPSG, ulx=ulx, uly=ULY)
    if compression is None:
        return plain
    with tifffile.TiffFile(io.BytesIO(plain)) as file:
        tags = file.pages.first.tags
        extra = [(code, tags[code].dtype, tags[code].count, tags[code].value, True) for code in (33550, 33922, 34735)]
    out = io.BytesIO()
    code = {"zlib": 8, "deflate": 32946}[compression]
    tifffile.imwrite(
        out,
        pixels_of(seed),
        compression=code,
        predictor=predictor == 2,
        rowsperstrip=rows,
        extratags=extra,
        metadata=None,
    )
    return out.getvalue()


def read(data: bytes, ulx: int = ULX) -> np.ndarray:
    return decode_band(data, band=REFERENCE_MAP_BAND, epsg=EPSG, ulx=ulx, uly=ULY, where=lambda: "map")


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_the_second_file_is_not_parsed_and_exact(encoding: Encoding, monkeypatch: pytest.MonkeyPatch) -> None:
    assert np.array_equal(read(encode(0, encoding)), pixels_of(0))
    monkeypatch.setattr(tiff, "_parse", None)
    for seed in (1, 2):
        found = read(encode(seed, encoding, ULX + 1200 * seed), ULX + 1200 * seed)
        assert np.array_equal(found, pixels_of(seed))
        assert found.dtype == np.dtype("uint16")
        assert not found.flags.writeable


@pytest.mark.parametrize("name", ["B02", "B05", "B01", "VV"])
def test_bands_are_exact_by_either_way(name: str) -> None:
    one = band(name)
    for seed in range(3):
        data = encode_tiff(pixels_of(seed, one), epsg=EPSG, ulx=ULX, uly=ULY)
        found = decode_band(data, band=one, epsg=EPSG, ulx=ULX, uly=ULY, where=lambda: name)
        assert np.array_equal(found, tifffile.imread(io.BytesIO(data)))
        assert str(found.dtype) == one.dtype


@st.composite
def damages(draw: st.DrawFn) -> list[tuple[str, int, int]]:
    """A few things that happen to a file: a byte changes, most of them in the header; an end is lost or added."""
    place = st.one_of(st.integers(0, 500), st.integers(0, 29_000))
    kinds = st.sampled_from(["set", "set", "set", "cut", "add"])
    return draw(st.lists(st.tuples(kinds, place, st.integers(0, 255)), min_size=1, max_size=4))


def damaged(data: bytes, damage: list[tuple[str, int, int]]) -> bytes:
    copy = bytearray(data)
    for kind, place, value in damage:
        if kind == "set" and copy:
            copy[place % len(copy)] = value
        elif kind == "cut":
            del copy[len(copy) - place % (len(copy) + 1) :]
        elif kind == "add":
            copy += bytes([value]) * (place % 600)
    return bytes(copy)


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(damage=damages())
@example(damage=[("cut", 1, 0)])
@example(damage=[("add", 1, 0)])
@example(damage=[("set", 202, 1)])
def test_a_damaged_file_gives_what_a_first_look_gives(encoding: Encoding, damage: list[tuple[str, int, int]]) -> None:
    read(encode(0, encoding))
    data = damaged(encode(1, encoding), damage)
    try:
        fast = read(data)
    except PatchError:
        fast = None
    met = tiff._met.copy(), tiff._right.copy()
    tiff._met.clear()
    tiff._right.clear()
    try:
        slow = read(data)
    except PatchError:
        slow = None
    tiff._met[:], tiff._right = met
    # What is not known by heart is parsed: so where the fast way gives pixels, the slow way gives the same.
    assert (fast is None) == (slow is None)
    if fast is not None and slow is not None:
        assert np.array_equal(fast, slow)
        # Of the first image: where the damage points to more of them, imread gives up.
        with tifffile.TiffFile(io.BytesIO(data)) as file:
            assert np.array_equal(fast, file.pages.first.asarray())


@pytest.mark.parametrize("encoding", ENCODINGS, ids=str)
def test_a_file_of_another_corner_or_zone_is_refused(encoding: Encoding) -> None:
    read(encode(0, encoding))
    with pytest.raises(PatchError, match="map: upper left corner is"):
        read(encode(1, encoding, ULX + 1200))
    assert decode_tiff(encode(1, encoding, ULX + 1200), where="map").ulx == ULX + 1200
    with pytest.raises(PatchError, match="map: coordinate reference system is EPSG:32633, expected EPSG:32634"):
        decode_band(encode(1, encoding), band=REFERENCE_MAP_BAND, epsg=32634, ulx=ULX, uly=ULY, where=lambda: "map")
