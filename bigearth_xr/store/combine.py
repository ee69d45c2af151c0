"""The CRC-32C of bytes laid end to end, from those of the parts: what arrives in any order is summed only once."""

from functools import cache

import numpy as np
from numpy.typing import NDArray

__all__ = ["combine_crc32c"]

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
    """What each value of each of the four bytes of a checksum becomes after so many zero bytes, shape ``(4, 256)``."""
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
