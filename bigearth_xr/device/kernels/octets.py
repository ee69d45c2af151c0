"""Read and write bytes wherever they lie, some at once: an address need be a multiple of nothing."""

from typing import Any

from llvmlite import ir
from numba import types

from bigearth_xr.device.kernels.memory import advance, get, instruction, kernel, pointer_to, put

__all__ = [
    "CHUNK",
    "bytes_at",
    "copy_bytes",
    "copy_chunk",
    "copy_word",
    "get_half",
    "get_word",
    "put_word",
    "words_of_8_at",
]

CHUNK = 16
"""Bytes that `copy_bytes` moves at once: what every 64-bit processor has registers for."""

bytes_at = pointer_to(types.uint8)
"""Pointer to the uint8 at an address."""

words_of_8_at = pointer_to(types.uint64)
"""Pointer to the uint64 at an address."""


def _load(kind: types.Type) -> Any:
    """An intrinsic that reads a number from where a pointer to bytes points to."""

    def load(typing: Any, source: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.bitcast(arguments[0], context.get_value_type(kind).as_pointer())
            return builder.load(place, align=1)

        return kind(source), generate

    return instruction(load)


get_half = _load(types.uint16)
"""The uint16 that a pointer to bytes points to."""

get_word = _load(types.uint64)
"""The uint64 that a pointer to bytes points to."""


@instruction
def put_word(typing: Any, target: Any, word: Any) -> Any:
    """Write a uint64 where a pointer to bytes points to.

    Examples
    --------
    >>> import numpy as np
    >>> numbers = np.zeros(9, np.uint8)
    >>> kernel(lambda address: put_word(bytes_at(address), np.uint64(7)))(np.uint64(numbers.ctypes.data + 1))
    >>> numbers
    array([0, 7, 0, 0, 0, 0, 0, 0, 0], dtype=uint8)
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.bitcast(arguments[0], ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(target, types.uint64), generate


@instruction
def copy_chunk(typing: Any, source: Any, target: Any) -> Any:
    """Copy `CHUNK` bytes, all of which are read before any is written.

    Examples
    --------
    >>> import numpy as np
    >>> numbers = np.arange(17, dtype=np.uint8)
    >>> copy = kernel(lambda source, target: copy_chunk(bytes_at(source), bytes_at(target)))
    >>> copy(np.uint64(numbers.ctypes.data), np.uint64(numbers.ctypes.data + 1))
    >>> numbers[-3:]
    array([13, 14, 15], dtype=uint8)
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        chunk = ir.VectorType(ir.IntType(8), CHUNK).as_pointer()
        bits = builder.load(builder.bitcast(arguments[0], chunk), align=1)
        builder.store(bits, builder.bitcast(arguments[1], chunk), align=1)
        return context.get_dummy_value()

    return types.void(source, target), generate


@kernel
def copy_word(source: Any, target: Any) -> None:
    """Copy 8 bytes.

    Examples
    --------
    >>> import numpy as np
    >>> numbers = np.arange(16, dtype=np.uint8)
    >>> copy = kernel(lambda source, target: copy_word(bytes_at(source), bytes_at(target)))
    >>> copy(np.uint64(numbers.ctypes.data + 8), np.uint64(numbers.ctypes.data))
    >>> numbers[:9]
    array([ 8,  9, 10, 11, 12, 13, 14, 15,  8], dtype=uint8)
    """
    put_word(target, get_word(source))


@kernel
def copy_bytes(source: Any, target: Any, count: Any, room: Any) -> None:
    """Copy bytes, in chunks, of which the last may go past the end.

    Parameters
    ----------
    source, target
        Pointers to bytes; the first that is copied may be the target's, but none between.
    count
        How many.
    room
        How many may be read, and as many written to: no fewer. What is copied past `count` means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> @kernel
    ... def copy(source, target):
    ...     copy_bytes(bytes_at(source), bytes_at(target), 3, 4)
    >>> numbers = np.arange(8, dtype=np.uint8)
    >>> copy(np.uint64(numbers.ctypes.data), np.uint64(numbers.ctypes.data + 4))
    >>> numbers
    array([0, 1, 2, 3, 0, 1, 2, 7], dtype=uint8)
    """
    at = 0
    end = count if count + CHUNK <= room else count - CHUNK + 1
    while at < end:
        copy_chunk(advance(source, at), advance(target, at))
        at += CHUNK
    while at < count:
        put(target, at, get(source, at))
        at += 1
