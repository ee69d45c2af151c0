"""Decompress a block of LZ4 from compiled code, without a call into Python: on planes of bits as fast as the library.

The format is that of the LZ4 Block Format Description of the library: sequences of literal bytes and a match, which
repeats what came before.
"""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.memory import (
    advance,
    copy_bytes,
    copy_chunk,
    copy_word,
    get,
    get_half,
    get_word,
    kernel,
    put,
    put_word,
)

_LONG = 15
"""A length that goes on in the bytes that follow."""

_LEAST_MATCH = 4
_WORD = 8
_STEPS = 0x7658_6880
_SHORT_INPUT, _SHORT_OUTPUT = 18, 48
"""What is read and written, at the most, by a sequence that is short."""


@kernel
def decompress(source: Any, length: Any, target: Any, size: Any) -> Any:
    """Decompress a block.

    Parameters
    ----------
    source
        Pointer to its ``length`` bytes; nothing past them is read.
    target
        Pointer to ``size`` bytes, to be written; nothing past them is.

    Returns
    -------
    bool
        Whether that is what it decompresses to.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import bytes_at
    >>> @kernel
    ... def repeat(block, length, numbers, size):
    ...     return decompress(bytes_at(block), length, bytes_at(numbers), size)
    >>> block, numbers = np.uint8([0x12, 7, 1, 0, 0x10, 8]), np.zeros(8, np.uint8)
    >>> repeat(np.uint64(block.ctypes.data), 6, np.uint64(numbers.ctypes.data), 8), numbers
    (True, array([7, 7, 7, 7, 7, 7, 7, 8], dtype=uint8))
    """
    read: Any = 0
    written: Any = 0
    while read < length:
        token = np.int64(get(source, read))
        read += 1
        literals, match = token >> 4, token & _LONG
        is_short = literals < _LONG and read + _SHORT_INPUT <= length and written + _SHORT_OUTPUT <= size
        if is_short:
            copy_chunk(advance(source, read), advance(target, written))
        else:
            more, read = _rest_of(literals, source, read, length)
            literals += more
            room = min(length - read, size - written)
            if literals < 0 or literals > room:
                return False
            copy_bytes(advance(source, read), advance(target, written), literals, room)
        read += literals
        written += literals
        if read >= length - 1:
            return read == length and written == size
        offset = np.int64(get_half(advance(source, read)))
        read += 2
        if offset == 0 or offset > written:
            return False
        if is_short and match < _LONG:
            _repeat_shortly(advance(target, written), offset)
        else:
            more, read = _rest_of(match, source, read, length)
            match += more
            if match < 0 or match + _LEAST_MATCH > size - written:
                return False
            _repeat(advance(target, written), offset, match + _LEAST_MATCH, size - written)
        written += match + _LEAST_MATCH
    return False


@kernel
def _repeat_shortly(here: Any, offset: Any) -> None:
    """Write as much as a short match may have, without asking how much it has."""
    there = advance(here, -offset)
    if offset >= _WORD:
        copy_word(there, here)
        copy_word(advance(there, _WORD), advance(here, _WORD))
        copy_word(advance(there, 2 * _WORD), advance(here, 2 * _WORD))
    else:
        word, step = _repeated_word(there, offset), _step_of(offset)
        put_word(here, word)
        put_word(advance(here, step), word)
        put_word(advance(here, 2 * step), word)
        put_word(advance(here, 3 * step), word)


@kernel
def _rest_of(begun: Any, source: Any, read: Any, length: Any) -> Any:
    """How much longer a length is than it began, or far less than nothing if the block ends; and what comes next."""
    if begun != _LONG:
        return 0, read
    more: Any = 0
    while read < length:
        byte = np.int64(get(source, read))
        read += 1
        more += byte
        if byte != 255:
            return more, read
    return -_LONG - _LEAST_MATCH, read


@kernel
def _repeat(here: Any, offset: Any, count: Any, room: Any) -> None:
    """Write bytes that repeat the `offset` bytes before them."""
    if offset < _WORD:
        _repeat_word(here, offset, count, room)
        return
    there, at = advance(here, -offset), 0
    # As much as there is, then twice that: what was written a moment ago is slow to read.
    while count - at > offset:
        copy_bytes(there, advance(here, at), offset, room - at)
        at += offset
        offset += offset
    copy_bytes(there, advance(here, at), count - at, room - at)


@kernel
def _repeat_word(here: Any, offset: Any, count: Any, room: Any) -> None:
    """The same of fewer bytes than a word has: as many as go into it whole, in one word."""
    there, at = advance(here, -offset), 0
    if room >= _WORD:
        word, step = _repeated_word(there, offset), _step_of(offset)
        end = min(count, room - _WORD + 1)
        while at < end:
            put_word(advance(here, at), word)
            at += step
    while at < count:
        put(here, at, get(there, at))
        at += 1


@kernel
def _repeated_word(there: Any, offset: Any) -> Any:
    """A word of the first ``offset`` bytes, fewer than 8, over and over."""
    bits = np.uint64(8 * offset)
    word = get_word(there) & ((np.uint64(1) << bits) - np.uint64(1))
    word |= word << bits
    if offset < 4:
        word |= word << (bits + bits)
    if offset < 2:
        word |= word << np.uint64(32)
    return word


@kernel
def _step_of(offset: Any) -> Any:
    """Bytes of a repeated word before its repeat is cut: of 1, 2, … 7 bytes 8, 8, 6, 8, 5, 6 and 7."""
    return (_STEPS >> (4 * offset)) & 15
