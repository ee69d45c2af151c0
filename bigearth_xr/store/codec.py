"""How bytes of a store are encoded: patches by profile, small arrays, and the CRC-32C that tells a flipped bit."""

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store.schema import EMBEDDINGS, PixelArray

__all__ = [
    "CRC_BYTES",
    "PROFILES",
    "ProfileName",
    "chunk_key",
    "combine_crc32c",
    "crc32c",
    "decode_chunk",
    "encode_chunk",
]

ProfileName = Literal["fast", "compact"]
"""Names of the values of `PROFILES`."""

CRC_BYTES = 4

_SOUND = 0x48674BC7
"""The checksum of any bytes that are followed by their own: a property of CRCs that spares taking the two apart."""


def crc32c(data: bytes) -> bytes:
    """Checksum bytes as Zarr's ``crc32c`` codec appends it: four bytes, little-endian.

    Examples
    --------
    >>> crc32c(b"123456789").hex()
    '839206e3'
    """
    import google_crc32c

    value: int = google_crc32c.value(data)
    return value.to_bytes(CRC_BYTES, "little")


_REMEDY = "delete it and ingest the archive again into the same store"


def checked(data: bytes, *, where: str, remedy: str = _REMEDY) -> bytes:
    """Strip the trailing checksum off bytes, or refuse them, with what to do about it.

    Raises
    ------
    ChecksumError
        If the bytes are not those that were written.
    """
    body, stored = data[:-CRC_BYTES], data[-CRC_BYTES:]
    if crc32c(body) != stored:
        raise ChecksumError(
            f"{where}: checksum is {crc32c(body).hex()}, {stored.hex()} was written; the file was damaged after "
            f"ingest: {remedy}"
        )
    return body


def are_sound(chunks: Sequence[NDArray[np.uint8]]) -> NDArray[np.bool_]:
    """Tell which encoded patches are those that were written: 4.5 µs for the largest.

    Parameters
    ----------
    chunks
        One-dimensional each, the checksum at the end.

    Returns
    -------
    numpy.ndarray
        Shape ``(chunk,)``.
    """
    import google_crc32c

    sound: NDArray[np.bool_] = np.fromiter(map(google_crc32c.value, chunks), np.uint32, len(chunks)) == _SOUND
    return sound


@dataclass(frozen=True, slots=True, kw_only=True)
class Compression:
    """What makes the bytes of a patch fewer."""

    zarr_codec: Callable[[PixelArray], Any]
    """The codec of an array's patches, as zarr-python calls it."""

    compress: Callable[[NDArray[Any], PixelArray], bytes]
    """Compress one patch."""

    decompress: Callable[[NDArray[np.uint8], NDArray[np.uint8]], None]
    """Decompress one patch into memory of its length; ChecksumError if that is not what it decompresses to."""

    header_bytes: int
    """Bytes at the beginning of a compressed patch that say how long it is."""

    lengths: Callable[[bytes], tuple[int, int]]
    """Of such a header: bytes of the patch as it is, and compressed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Profile:
    """How patches are encoded: little-endian bytes, compressed or not, and a CRC-32C.

    A codec is a value of this in `PROFILES`; what else there is of Blosc is a faster decoder, in `bigearth_xr.device`.
    """

    name: ProfileName
    """Name in the API and in the metadata of stores."""

    compression: Compression | None = None
    """What compresses patches; None leaves them as they are, each at a fixed offset, to be mapped into memory."""

    @property
    def is_packed(self) -> bool:
        """Whether patches are compressed, so that each has a length of its own."""
        return self.compression is not None

    def zarr_codecs(self, array: PixelArray) -> list[Any]:
        """What stands between the bytes of an array's patches and its shards, as zarr-python calls it."""
        from zarr.codecs import Crc32cCodec

        return [*([self.compression.zarr_codec(array)] if self.compression else []), Crc32cCodec()]

    def encode(self, pixels: NDArray[Any], array: PixelArray) -> bytes:
        """Encode one patch, shape and dtype of `array`."""
        values = np.ascontiguousarray(pixels, dtype=np.dtype(array.dtype).newbyteorder("<"))
        data = self.compression.compress(values, array) if self.compression else values.tobytes()
        return data + crc32c(data)

    def decode(self, chunk: bytes, array: PixelArray, *, where: str) -> NDArray[Any]:
        """Decode one patch.

        Returns
        -------
        numpy.ndarray
            Shape and dtype of `array`; read-only in `fast`.

        Raises
        ------
        ChecksumError
            If the bytes are damaged.

        Examples
        --------
        >>> from bigearth_xr.store.schema import pixel_arrays
        >>> array, = pixel_arrays(["B01"], reference_map=False)
        >>> chunk = PROFILES["compact"].encode(np.full((1, 20, 20), 7), array)
        >>> PROFILES["compact"].decode(chunk, array, where="here")[0, 0, :3]
        array([7, 7, 7], dtype=uint16)
        """
        import google_crc32c

        if google_crc32c.value(chunk) != _SOUND:
            checked(chunk, where=where)
        data = np.frombuffer(chunk, np.uint8)[:-CRC_BYTES]
        if self.is_packed:
            packed, data = data, np.empty(array.patch_bytes, np.uint8)
            try:
                self.unpack(packed, data)
            except ChecksumError as error:
                raise ChecksumError(f"{where}: {error}") from None
        if len(data) != array.patch_bytes:
            raise ChecksumError(
                f"{where}: {len(data)} bytes, expected {array.patch_bytes} for {array.patch_shape} {array.dtype}"
            )
        return data.view(np.dtype(array.dtype).newbyteorder("<")).reshape(array.patch_shape)

    def unpack(self, packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
        """Decompress one patch, less its checksum, into memory of its length; ChecksumError where that fails."""
        assert self.compression is not None
        self.compression.decompress(packed, out)


def _blosc_codec(array: PixelArray) -> Any:
    from zarr.codecs import BloscCodec

    return BloscCodec(typesize=array.itemsize, cname="lz4", clevel=5, shuffle="bitshuffle")


def _by_blosc(values: NDArray[Any], array: PixelArray) -> bytes:
    import imagecodecs

    # Numbers, not bytes, whose bits imagecodecs would shuffle one by one whatever typesize says. One thread: blosc
    # lays out blocks in the order in which threads finish, and bytes must not depend on that.
    packed = imagecodecs.blosc_encode(
        values,  # type: ignore[arg-type]  # its types know of bytes alone
        level=5,
        compressor="lz4",
        shuffle="bitshuffle",
        typesize=array.itemsize,
        numthreads=1,
    )
    return bytes(packed)


def _from_blosc(packed: NDArray[np.uint8], out: NDArray[np.uint8]) -> None:
    import imagecodecs

    try:
        decoded = imagecodecs.blosc_decode(
            packed,  # type: ignore[arg-type]  # its types know of bytes alone
            numthreads=1,
            out=out,  # type: ignore[arg-type]  # as above
        )
    except RuntimeError as error:
        raise ChecksumError(f"does not decompress ({error}); the file was damaged after ingest") from None
    if len(decoded) != len(out):
        raise ChecksumError(f"decompresses to {len(decoded)} bytes, expected {len(out)}")


def _lengths_by_blosc(header: bytes) -> tuple[int, int]:
    plain, _, packed = np.frombuffer(header, "<u4", count=3, offset=4).tolist()
    return plain, packed


_BLOSC = Compression(
    zarr_codec=_blosc_codec,
    compress=_by_blosc,
    decompress=_from_blosc,
    header_bytes=16,
    lengths=_lengths_by_blosc,
)

PROFILES: Mapping[ProfileName, Profile] = {
    "fast": Profile(name="fast"),
    "compact": Profile(name="compact", compression=_BLOSC),
}
"""`fast`: raw bytes, to be mapped into memory; `compact`: Blosc, lz4 with bit shuffle. Both with crc32c."""


REMEDY = "repair it with: bigearth verify STORE --against ARCHIVE --repair"
"""What to do about damage of anything but pixels."""

_ZSTD_LEVEL = 0


def chunk_key(name: str, dimensions: int) -> str:
    """Name the only chunk of an array.

    Examples
    --------
    >>> chunk_key("labels_19", 2)
    'labels_19/c/0/0'
    """
    return "/".join([name, "c", *"0" * dimensions])


def small_codecs(*, has_checksum: bool) -> list[Any]:
    """Give what compresses a small array, as zarr-python calls it, and the checksum after it."""
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=_ZSTD_LEVEL), *([Crc32cCodec()] if has_checksum else [])]


def is_fill(values: NDArray[Any]) -> bool:
    """Tell whether values are all what readers show without a chunk."""
    if values.dtype.kind == "f":
        return bool(np.isnan(values).all())
    return bool((values == ("" if values.dtype == object else 0)).all())


def encode_chunk(values: NDArray[Any], *, has_checksum: bool = True) -> bytes:
    """Encode a small array whole: little-endian, or UTF-8 of texts; zstd; crc32c."""
    from numcodecs import VLenUTF8, zstd  # type: ignore[import-untyped]  # ships no types

    if values.dtype == object:
        plain = bytes(VLenUTF8().encode(np.ascontiguousarray(values).ravel()))
    else:
        plain = values.astype(values.dtype.newbyteorder("<")).tobytes()
    packed = bytes(zstd.compress(plain, _ZSTD_LEVEL))
    return packed + crc32c(packed) if has_checksum else packed


def decode_chunk(
    data: bytes, member: Mapping[str, Any], *, where: str, has_checksum: bool = True, remedy: str = REMEDY
) -> NDArray[Any]:
    """Decode a small array, or refuse what is not what was written.

    Parameters
    ----------
    data
        The chunk.
    member
        The array's metadata.
    where
        What to call the chunk.
    has_checksum
        Whether there must be one. In format version 1 there may be: where bringing the store up was cut short.
    remedy
        What to do about damage.

    Returns
    -------
    numpy.ndarray
        Of the array's shape, texts as objects.

    Raises
    ------
    ChecksumError
        If the bytes are damaged.
    """
    is_sealed = has_checksum or crc32c(data[:-CRC_BYTES]) == data[-CRC_BYTES:]
    packed = checked(data, where=where, remedy=remedy) if is_sealed else data
    try:
        return _decoded(packed, member)
    except Exception as error:  # damaged bytes raise whatever their codec raises
        raise ChecksumError(f"{where}: cannot be decoded ({error}); the file was damaged: {remedy}") from None


def remedy_of(name: str) -> str:
    """Say what to do about damage of an array."""
    if name.startswith(f"{EMBEDDINGS}/"):
        return f"make the embedding again with bex.embed(..., name={name.split('/')[1]!r}, overwrite=True)"
    return REMEDY


def _decoded(packed: bytes, member: Mapping[str, Any]) -> NDArray[Any]:
    import imagecodecs
    from numcodecs import VLenUTF8, zstd

    shape = tuple(member["shape"])
    count = math.prod(shape)
    if member["data_type"] == "string":
        texts: NDArray[Any] = VLenUTF8().decode(zstd.decompress(packed))
        if texts.size != count:
            raise ValueError(f"{texts.size} texts, expected {count}")
        return texts.reshape(shape)
    values = np.empty(count, np.dtype(member["data_type"]).newbyteorder("<"))
    # Into memory that is there, which is three times as fast.
    plain = imagecodecs.zstd_decode(packed, out=values.view(np.uint8))  # type: ignore[arg-type]  # its types know of bytes alone
    if len(plain) != values.nbytes:
        raise ValueError(f"{len(plain)} bytes, expected {values.nbytes}")
    return values.astype(values.dtype.newbyteorder("="), copy=False).reshape(shape)


_POLYNOMIAL = 0x82F63B78
"""CRC-32C's, bits reversed (Castagnoli 1993; RFC 3720, appendix B.4)."""


def combine_crc32c(parts: NDArray[np.uint32], length: int) -> NDArray[np.uint32]:
    """Compute the checksum of parts of one length, laid end to end.

    Parameters
    ----------
    parts
        Checksums, shape ``(…, part)``, at least one part.
    length
        Bytes of each part.

    Returns
    -------
    numpy.ndarray
        Shape ``(…)``, uint32.

    Examples
    --------
    >>> import google_crc32c
    >>> parts = np.array([google_crc32c.value(b"1234"), google_crc32c.value(b"5678")], np.uint32)
    >>> int(combine_crc32c(parts, 4)) == google_crc32c.value(b"12345678")
    True
    """
    tables = _tables(length)
    total: NDArray[np.uint32] = parts[..., 0]
    for part in range(1, parts.shape[-1]):
        total = _shifted(total, tables) ^ parts[..., part]
    return total


def _shifted(crc: NDArray[np.uint32], tables: NDArray[np.uint32]) -> NDArray[np.uint32]:
    """Move checksums over as many zero bytes as the tables are made for: linear, so byte by byte."""
    shifted: NDArray[np.uint32] = np.bitwise_xor.reduce([tables[i, (crc >> (8 * i)) & 0xFF] for i in range(4)])
    return shifted


@cache
def _tables(length: int) -> NDArray[np.uint32]:
    """What each value of each of the four bytes of a checksum becomes after N zero bytes, shape ``(4, 256)``."""
    bits = np.array([_after_zeros(1 << bit, length) for bit in range(32)], np.uint32).reshape(4, 8)
    values = np.arange(256, dtype=np.uint32)
    is_set = (values[:, None] >> np.arange(8)) & 1
    tables: NDArray[np.uint32] = np.bitwise_xor.reduce(np.where(is_set, bits[:, None, :], np.uint32(0)), axis=-1)
    return tables


def _after_zeros(crc: int, length: int) -> int:
    """Multiply a polynomial by x to the power of 8 × length, modulo CRC-32C's: square and multiply."""
    # x to the power of 0 is the highest bit, bits being reversed; 8 × length steps of it, by squaring.
    factor, power, steps = 1 << 31, 1 << 30, 8 * length
    while steps:
        if steps & 1:
            factor = _multiply(factor, power)
        power = _multiply(power, power)
        steps >>= 1
    return _multiply(crc, factor)


def _multiply(a: int, b: int) -> int:
    """Multiply two polynomials modulo CRC-32C's, bits reversed."""
    product = 0
    for bit in range(31, -1, -1):
        if a >> bit & 1:
            product ^= b
        b = b >> 1 ^ (_POLYNOMIAL if b & 1 else 0)
    return product
