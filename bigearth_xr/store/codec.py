"""Encode and decode one patch: little-endian bytes, blosc in `compact`, and a CRC-32C that tells a flipped bit."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store.schema import PixelArray, Profile

__all__ = ["CRC_BYTES", "checked", "crc32c", "decode_patch", "encode_patch"]

CRC_BYTES = 4


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


def checked(data: bytes, *, where: str) -> bytes:
    """Strip the trailing checksum off bytes, or refuse them.

    Raises
    ------
    ChecksumError
        If the bytes are not those that were written.

    Examples
    --------
    >>> checked(b"abc" + crc32c(b"abc"), where="a shard")
    b'abc'
    """
    body, stored = data[:-CRC_BYTES], data[-CRC_BYTES:]
    if crc32c(body) != stored:
        raise ChecksumError(
            f"{where}: checksum is {crc32c(body).hex()}, {stored.hex()} was written; the file was damaged after "
            "ingest: delete it and ingest the archive again into the same store"
        )
    return body


def encode_patch(pixels: NDArray[Any], array: PixelArray, profile: Profile) -> bytes:
    """Encode one patch, shape and dtype of `array`.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> array, = pixel_arrays(["B01"], reference_map=False)
    >>> len(encode_patch(np.zeros((1, 20, 20), np.uint16), array, "fast"))
    804
    """
    values = np.ascontiguousarray(pixels, dtype=np.dtype(array.dtype).newbyteorder("<"))
    if profile == "fast":
        data = values.tobytes()
    else:
        import imagecodecs

        # Numbers, not bytes, whose bits imagecodecs would shuffle one by one whatever typesize says. One thread: blosc
        # lays out blocks in the order in which threads finish, and bytes must not depend on that.
        data = bytes(
            imagecodecs.blosc_encode(
                values,  # type: ignore[arg-type]  # its types know of bytes alone
                level=5,
                compressor="lz4",
                shuffle="bitshuffle",
                typesize=array.itemsize,
                numthreads=1,
            )
        )
    return data + crc32c(data)


def decode_patch(chunk: bytes, array: PixelArray, profile: Profile, *, where: str) -> NDArray[Any]:
    """Decode one patch.

    Returns
    -------
    numpy.ndarray
        Shape and dtype of `array`; read-only.

    Raises
    ------
    ChecksumError
        If the bytes are damaged.

    Examples
    --------
    >>> from bigearth_xr.store.schema import pixel_arrays
    >>> array, = pixel_arrays(["B01"], reference_map=False)
    >>> chunk = encode_patch(np.full((1, 20, 20), 7), array, "compact")
    >>> decode_patch(chunk, array, "compact", where="here")[0, 0, :3]
    array([7, 7, 7], dtype=uint16)
    """
    data = checked(chunk, where=where)
    if profile == "compact":
        import imagecodecs

        data = bytes(imagecodecs.blosc_decode(data, numthreads=1))
    if len(data) != array.patch_bytes:
        raise ChecksumError(
            f"{where}: {len(data)} bytes, expected {array.patch_bytes} for {array.patch_shape} {array.dtype}"
        )
    return np.frombuffer(data, dtype=np.dtype(array.dtype).newbyteorder("<")).reshape(array.patch_shape)
