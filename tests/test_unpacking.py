"""Packed patches are decoded as Blosc itself decodes them, and damaged ones touch no memory but theirs."""

import ctypes
import mmap
from collections.abc import Callable, Iterator
from typing import Any

import imagecodecs
import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_xr.device.host import unpack
from bigearth_xr.device.kernels.blosc import decompress
from bigearth_xr.device.kernels.memory import bytes_at, kernel

SHAPES = [(np.uint16, 800), (np.uint16, 14_400), (np.uint16, 21_600), (np.uint16, 57_600), (np.float32, 28_800)]
"""Of every array of a store: data type, and pixels of a patch."""

KINDS: dict[str, Callable[[np.random.Generator, int], NDArray[Any]]] = {
    "nothing": lambda rng, size: np.zeros(size),
    "one value": lambda rng, size: np.full(size, 999),
    "noise": lambda rng, size: rng.integers(0, 1 << 16, size),
    "dark": lambda rng, size: rng.integers(0, 300, size),
    "a slope": lambda rng, size: np.arange(size) // 7,
    "a land": lambda rng, size: np.cumsum(rng.integers(-9, 10, size)) % 5000,
    "stripes": lambda rng, size: np.arange(size) % 11 * 100,
    "edges": lambda rng, size: np.where(rng.random(size) < 0.01, 65_535, 0),
}


class Guarded:
    """Memory that ends where a page begins that nobody may touch."""

    def __init__(self, size: int) -> None:
        page = mmap.PAGESIZE
        self.size, whole = size, -(-size // page) * page
        self._map = mmap.mmap(-1, whole + page)
        self._start = ctypes.addressof(ctypes.c_char.from_buffer(self._map))
        libc = ctypes.CDLL(None, use_errno=True)
        protected = libc.mprotect(ctypes.c_void_p(self._start + whole), ctypes.c_size_t(page), 0)
        assert protected == 0
        self.address = self._start + whole - size
        self.bytes = np.ctypeslib.as_array((ctypes.c_uint8 * size).from_address(self.address))


def packed(pixels: NDArray[Any], **options: Any) -> bytes:
    options = {"level": 5, "compressor": "lz4", "shuffle": "bitshuffle", "numthreads": 1, **options}
    numbers: Any = pixels  # the types of imagecodecs know of bytes alone, whose bits it would shuffle one by one
    return bytes(imagecodecs.blosc_encode(numbers, typesize=pixels.itemsize, **options))


def decoded(data: bytes, like: NDArray[Any]) -> NDArray[Any] | None:
    """What comes of packed bytes, between guards; None of what is not known."""
    source, target = Guarded(len(data)), Guarded(like.nbytes)
    source.bytes[:] = np.frombuffer(data, np.uint8)
    done = unpack(
        np.array([source.address], np.uint64),
        np.array([len(data)]),
        np.array([target.address], np.uint64),
        patch_bytes=like.nbytes,
        itemsize=like.itemsize,
    )
    return target.bytes.copy().view(like.dtype) if done[0] else None


@pytest.fixture(params=SHAPES, ids=lambda shape: f"{shape[0].__name__}-{shape[1]}")
def shape(request: pytest.FixtureRequest) -> tuple[type, int]:
    dtype, size = request.param
    return dtype, size


@pytest.mark.parametrize("level", [5, 9])
@pytest.mark.parametrize("kind", KINDS)
def test_patches_are_those_that_were_packed(shape: tuple[type, int], kind: str, level: int) -> None:
    dtype, size = shape
    pixels: NDArray[Any] = KINDS[kind](np.random.default_rng(1), size).astype(dtype)
    data = packed(pixels, level=level)
    found = decoded(data, pixels)
    # Blosc copies what it makes no smaller, and so says in its header; that is left to it.
    assert (found is None) == bool(data[2] & 0x2)
    if found is not None:
        np.testing.assert_array_equal(found.view(np.uint8), pixels.view(np.uint8))


def test_bits_of_floats_are_kept(shape: tuple[type, int]) -> None:
    dtype, size = shape
    bits = np.random.default_rng(2).integers(0, 1 << 12, size * np.dtype(dtype).itemsize // 2).astype(np.uint16)
    pixels: NDArray[Any] = bits.view(dtype)
    found = decoded(packed(pixels), pixels)
    assert found is not None
    np.testing.assert_array_equal(found.view(np.uint16), bits)


@pytest.mark.parametrize(
    "options",
    [
        {"compressor": "zstd"},
        {"compressor": "blosclz"},
        {"shuffle": "shuffle"},
        {"shuffle": "noshuffle"},
        {"blocksize": 4096},
        {"level": 0},
    ],
    ids=str,
)
def test_what_is_packed_otherwise_is_left_to_the_library(options: dict[str, Any]) -> None:
    pixels = (np.arange(57_600) // 7).astype(np.uint16)
    assert decoded(packed(pixels, **options), pixels) is None


def test_another_size_is_refused() -> None:
    pixels = (np.arange(800) // 7).astype(np.uint16)
    data = packed(pixels)
    for like in (np.zeros(720, np.uint16), np.zeros(1600, np.uint16), np.zeros(400, np.float32)):
        assert decoded(data, like) is None
    assert decoded(data + b"\0", pixels) is None
    for length in range(len(data)):
        assert decoded(data[:length], pixels) is None


def damages(data: bytes) -> Iterator[bytes]:
    """Packed bytes with something wrong in them."""
    rng = np.random.default_rng(3)
    for _ in range(2000):
        damaged = bytearray(data)
        for place in rng.integers(16, len(data), rng.integers(1, 4)):
            damaged[place] = rng.choice([0, 1, 15, 240, 255, int(rng.integers(0, 256))])
        yield bytes(damaged)


@pytest.mark.parametrize("kind", ["dark", "a land", "edges"])
def test_damage_is_refused_or_decoded_as_the_library_does(kind: str) -> None:
    pixels = KINDS[kind](np.random.default_rng(4), 1600).astype(np.uint16)
    refused = 0
    for data in damages(packed(pixels)):
        found = decoded(data, pixels)
        refused += found is None
        if found is not None:
            np.testing.assert_array_equal(found.view(np.uint8), np.frombuffer(imagecodecs.blosc_decode(data), np.uint8))
    assert refused


@kernel
def unpack_block(block: Any, length: Any, numbers: Any, size: Any) -> Any:
    return decompress(bytes_at(block), length, bytes_at(numbers), size)


def block_of(block: bytes, size: int) -> bytes | None:
    source, target = Guarded(len(block)), Guarded(size)
    source.bytes[:] = np.frombuffer(block, np.uint8)
    done = unpack_block(np.uint64(source.address), len(block), np.uint64(target.address), size)
    return target.bytes.tobytes() if done else None


PIECES = st.one_of(st.binary(max_size=40), st.tuples(st.binary(min_size=1, max_size=20), st.integers(1, 400)))


@settings(max_examples=200, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(PIECES, max_size=30))
@example([(bytes([offset]) * 3 + bytes(range(offset)), 300) for offset in range(1, 20)])
def test_blocks_are_decompressed(pieces: list[Any]) -> None:
    data = b"".join(piece if isinstance(piece, bytes) else piece[0] * piece[1] for piece in pieces)
    for level in (1, 9):
        assert block_of(bytes(imagecodecs.lz4_encode(data, level=level, hc=level == 9)), len(data)) == data


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=80), st.integers(0, 200))
def test_no_block_reads_or_writes_past_its_end(block: bytes, size: int) -> None:
    found = block_of(block, size)
    assert found is None or len(found) == size
    if found is not None and size:
        assert bytes(imagecodecs.lz4_decode(block, out=size)) == found
