"""The one chunk of a small array: encoded with a checksum, and decoded only if it is what was written."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import ChecksumError
from bigearth_xr.store.codec import CRC_BYTES, checked, crc32c
from bigearth_xr.store.schema import EMBEDDINGS

__all__ = ["REMEDY", "chunk_key", "decode_chunk", "encode_chunk", "is_fill", "remedy_of", "small_codecs"]

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
    """Give what compresses a small array, as zarr-python calls it, and the checksum after it.

    Examples
    --------
    >>> [codec.to_dict()["name"] for codec in small_codecs(has_checksum=True)]
    ['zstd', 'crc32c']
    """
    from zarr.codecs import Crc32cCodec, ZstdCodec

    return [ZstdCodec(level=_ZSTD_LEVEL), *([Crc32cCodec()] if has_checksum else [])]


def is_fill(values: NDArray[Any]) -> bool:
    """Tell whether values are all what readers show without a chunk.

    Examples
    --------
    >>> is_fill(np.uint8([0, 0])), is_fill(np.array(["", "a"], object))
    (True, False)
    """
    if values.dtype.kind == "f":
        return bool(np.isnan(values).all())
    return bool((values == ("" if values.dtype == object else 0)).all())


def encode_chunk(values: NDArray[Any], *, has_checksum: bool = True) -> bytes:
    """Encode a small array whole: little-endian, or UTF-8 of texts; zstd; crc32c.

    Examples
    --------
    >>> data = encode_chunk(np.uint8([7, 8]))
    >>> decode_chunk(data, {"data_type": "uint8", "shape": [2]}, where="here")
    array([7, 8], dtype=uint8)
    """
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

    Examples
    --------
    >>> chunk, member = encode_chunk(np.uint8([7, 8])), {"data_type": "uint8", "shape": [2]}
    >>> decode_chunk(chunk[1:], member, where="split/c/0")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    ...
    bigearth_xr.errors.ChecksumError: split/c/0: checksum is ...
    """
    is_sealed = has_checksum or crc32c(data[:-CRC_BYTES]) == data[-CRC_BYTES:]
    packed = checked(data, where=where, remedy=remedy) if is_sealed else data
    try:
        return _decoded(packed, member)
    except Exception as error:  # damaged bytes raise whatever their codec raises
        raise ChecksumError(f"{where}: cannot be decoded ({error}); the file was damaged: {remedy}") from None


def remedy_of(name: str) -> str:
    """Say what to do about damage of an array.

    Examples
    --------
    >>> remedy_of("embeddings/mine/computed")
    "make the embedding again with bex.embed(..., name='mine', overwrite=True)"
    """
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
