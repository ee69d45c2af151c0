"""Shards read by their specification alone: slow, and nobody else's code."""

from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

HOLE = 2**64 - 1
"""Offset and length of a patch that is absent."""

INDEX_BYTES = 1024 * 16 + 4


def crc32c(data: bytes) -> int:
    """CRC-32C by its definition, bit by bit in a table: slow, and nobody else's code."""
    crc = 0xFFFFFFFF
    for byte in data:
        crc = crc >> 8 ^ _crc_of_byte(crc & 0xFF ^ byte)
    return crc ^ 0xFFFFFFFF


@cache
def _crc_of_byte(value: int) -> int:
    for _ in range(8):
        value = value >> 1 ^ (0x82F63B78 if value & 1 else 0)
    return value


def index_of(path: Path) -> tuple[npt.NDArray[np.uint64], int]:
    """Offsets and lengths at the end of a shard file, shape ``(1024, 2)``, and their checksum."""
    tail = path.read_bytes()[-INDEX_BYTES:]
    return np.frombuffer(tail[:-4], "<u8").reshape(1024, 2), int.from_bytes(tail[-4:], "little")
