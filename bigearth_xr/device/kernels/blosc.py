"""Decode patches that Blosc packed: LZ4 over planes of bits, all of a patch in one block.

The format is that of Blosc 1 (README_CHUNK_FORMAT of the library): 16 bytes of header, the place of the block, and for
each byte of a number the planes of its bits, behind their length. Planes that LZ4 makes no smaller lie as they are, and
are read from there.

LZ4 is decompressed here, by its library's Block Format Description, as a call into Python would need the
interpreter's lock: sequences of literal bytes and a match, which repeats what came before. On planes of bits it is as
fast as the library.

Plane ``p`` holds bit ``p`` of all numbers, the first number's in the lowest bit of the first byte; numbers are made of
them in a fifth of the time that Blosc takes. (K. Masui et al., A compression scheme for radio data in high performance
computing, Astronomy and Computing 12, 2015.)
"""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.memory import (
    advance,
    bytes_at,
    copy_bytes,
    copy_chunk,
    copy_word,
    get,
    get_half,
    get_word,
    kernel,
    put,
    put_word,
    words_of_8_at,
)

_FORMAT, _LZ4_OF_BITS = 2, 0x24
_HEADER = 16
_FIRST = _HEADER + 4
"""Where the planes begin, behind the place of the only block."""

_STRIDE = 512
"""Bytes of a plane that are worked on at once: their numbers stay in the fastest cache."""

ROOM = 32 * _STRIDE
"""Bytes to work in, of numbers of up to 4 bytes."""

# Of LZ4.
_LONG = 15
"""A length that goes on in the bytes that follow."""

_LEAST_MATCH = 4
_WORD = 8
_STEPS = 0x7658_6880
_SHORT_INPUT, _SHORT_OUTPUT = 18, 48
"""What is read and written, at the most, by a sequence that is short."""


@kernel
def unpack_patches(sources: Any, lengths: Any, targets: Any, size: Any, width: Any, unpacked: Any) -> None:
    """Decode patches of one array.

    Parameters
    ----------
    sources, targets
        Addresses of the packed patches, and of where their pixels are to be written, arrays of uint64.
    lengths
        Bytes of the packed ones, array of int64.
    size
        Bytes of a patch: a multiple of ``8 * width``.
    width
        Bytes of a pixel: 2 or 4.
    unpacked
        Array of bool, to be written: which are what a patch is packed to. What is written of others means nothing.
    """
    room = np.empty(size + ROOM, np.uint8)
    planes = np.empty(width, np.uint64)
    for patch in range(len(sources)):
        source, target, spare = sources[patch], targets[patch], np.uint64(room.ctypes.data)
        unpacked[patch] = unpack_patch(source, lengths[patch], target, size, width, spare, planes)


@kernel
def unpack_patch(source: Any, length: Any, target: Any, size: Any, width: Any, room: Any, planes: Any) -> Any:
    """Decode a patch of one array.

    Parameters
    ----------
    source, length, target, size, width
        As `unpack_patches` takes them, of one patch.
    room
        Address of ``size + ROOM`` bytes to work in.
    planes
        Array of ``width`` uint64, to work in.

    Returns
    -------
    bool
        Whether that is what a patch is packed to.
    """
    found = _find(source, length, size, width, room, planes)
    if found:
        gather(planes, width, size // (8 * width), target, room + np.uint64(size))
    return found


@kernel
def _find(source: Any, length: Any, size: Any, width: Any, room: Any, planes: Any) -> Any:
    """Find the planes of each byte of the pixels, or decompress them; and tell whether they are there."""
    packed, each = bytes_at(source), size // width
    if not _is_known(packed, length, size, width):
        return False
    at = _FIRST
    for byte in range(width):
        if at + 4 > length:
            return False
        taken = _number(packed, at)
        at += 4
        if taken > length - at:
            return False
        planes[byte] = source + np.uint64(at)
        if taken != each:
            planes[byte] = room + np.uint64(byte * each)
            if not decompress(advance(packed, at), taken, bytes_at(planes[byte]), each):
                return False
        at += taken
    return at == length


@kernel
def _is_known(packed: Any, length: Any, size: Any, width: Any) -> Any:
    """Whether a header is that of a patch in one block."""
    return (
        length >= _FIRST
        and get(packed, 0) == _FORMAT
        and get(packed, 2) == _LZ4_OF_BITS
        and get(packed, 3) == width
        and _number(packed, 4) == size
        and _number(packed, 8) == size
        and _number(packed, 12) == length
        and _number(packed, _HEADER) == _FIRST
    )


@kernel
def _number(packed: Any, at: Any) -> Any:
    """The uint32 at a place."""
    low = np.int64(get(packed, at)) | np.int64(get(packed, at + 1)) << 8
    return low | np.int64(get(packed, at + 2)) << 16 | np.int64(get(packed, at + 3)) << 24


class PackedArrays(NamedTuple):
    """`bigearth_xr.device.host.Packed` as arrays; of pixels that lie as they are, with no patches."""

    starts: Any
    """Addresses, shape ``(source, patch)``, uint64."""

    lengths: Any
    """Bytes of each, int64."""

    sizes: Any
    """Bytes of a patch and of a pixel, shape ``(source, 2)``, int64."""

    unpacked: Any
    """Which patches were unpacked, shape ``(patch,)``, bool; to be written."""


@kernel
def pixel_room(packed: Any) -> Any:
    """Make room for the pixels of a patch, and to unpack its largest source in."""
    together, largest = 0, 0
    for source in range(len(packed.sizes)):
        together += packed.sizes[source, 0]
        largest = max(largest, packed.sizes[source, 0])
    return np.empty(together + largest + ROOM, np.uint8)


@kernel
def unpack_sources(packed: Any, patch: Any, addresses: Any, room: Any) -> Any:
    """Unpack the sources of a patch, if they are packed as we pack them.

    Parameters
    ----------
    packed, patch
        What, and which of its patches.
    addresses
        Shape ``(source, patch)``, uint64; those of the patch are to be written: where its pixels are now.
    room
        By `pixel_room`; the next patch takes the place of this one.

    Returns
    -------
    bool
        Whether they were.
    """
    target = np.uint64(room.ctypes.data)
    spare = target + np.uint64(packed.sizes[:, 0].sum())
    planes = np.empty(4, np.uint64)
    for source in range(len(packed.sizes)):
        size, width = packed.sizes[source, 0], packed.sizes[source, 1]
        start, length = packed.starts[source, patch], packed.lengths[source, patch]
        if not unpack_patch(start, length, target, size, width, spare, planes):
            return False
        addresses[source, patch] = target
        target += np.uint64(size)
    return True


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
def gather(planes: Any, width: Any, size: Any, target: Any, room: Any) -> None:
    """Make numbers.

    Parameters
    ----------
    planes
        Addresses of the planes of each byte of a number, the lowest byte first, array of ``width`` uint64: 8 planes
        each, one after the other.
    width
        Bytes of a number: 2 or 4.
    size
        Bytes of a plane: an eighth of the numbers.
    target
        Address of the numbers, to be written.
    room
        Address of `ROOM` bytes.

    Examples
    --------
    >>> low, high = np.uint8([1, 0, 0, 0, 0, 0, 0, 0]), np.uint8([2, 0, 0, 0, 0, 0, 0, 3])
    >>> planes, numbers, room = np.uint64([low.ctypes.data, high.ctypes.data]), np.zeros(8, "<u2"), np.zeros(ROOM, "u1")
    >>> gather(planes, 2, 1, np.uint64(numbers.ctypes.data), np.uint64(room.ctypes.data))
    >>> [hex(number) for number in numbers[:3]]
    ['0x8001', '0x8100', '0x0']
    """
    lines = bytes_at(room)
    for start in range(0, size, _STRIDE):
        count = min(_STRIDE, size - start)
        for byte in range(width):
            _turn(advance(bytes_at(planes[byte]), start), size, count, advance(lines, 8 * byte * _STRIDE))
        numbers = words_of_8_at(target + np.uint64(8 * width * start))
        if width == 2:
            _join_2(lines, count, numbers)
        else:
            _join_4(lines, count, numbers)


@kernel
def _turn(planes: Any, size: Any, count: Any, lines: Any) -> None:
    """Turn eight bytes of eight planes into those of eight numbers, as a square of bits is transposed: in halves.

    Byte ``i`` of line ``n`` is number ``8 * i + n``.
    """
    for i in range(count):
        a, b, c, d = get(planes, i), get(planes, size + i), get(planes, 2 * size + i), get(planes, 3 * size + i)
        e, f = get(planes, 4 * size + i), get(planes, 5 * size + i)
        g, h = get(planes, 6 * size + i), get(planes, 7 * size + i)
        (a, e), (b, f), (c, g), (d, h) = _swap_4(a, e), _swap_4(b, f), _swap_4(c, g), _swap_4(d, h)
        (a, c), (b, d), (e, g), (f, h) = _swap_2(a, c), _swap_2(b, d), _swap_2(e, g), _swap_2(f, h)
        (a, b), (c, d), (e, f), (g, h) = _swap_1(a, b), _swap_1(c, d), _swap_1(e, f), _swap_1(g, h)
        put(lines, i, a)
        put(lines, _STRIDE + i, b)
        put(lines, 2 * _STRIDE + i, c)
        put(lines, 3 * _STRIDE + i, d)
        put(lines, 4 * _STRIDE + i, e)
        put(lines, 5 * _STRIDE + i, f)
        put(lines, 6 * _STRIDE + i, g)
        put(lines, 7 * _STRIDE + i, h)


@kernel
def _swap_4(one: Any, other: Any) -> Any:
    """The high half of one byte and the low half of another change places."""
    differing = ((one >> np.uint8(4)) ^ other) & np.uint8(0x0F)
    return np.uint8(one ^ np.uint8(differing << np.uint8(4))), np.uint8(other ^ differing)


@kernel
def _swap_2(one: Any, other: Any) -> Any:
    """So do two bits of each half."""
    differing = ((one >> np.uint8(2)) ^ other) & np.uint8(0x33)
    return np.uint8(one ^ np.uint8(differing << np.uint8(2))), np.uint8(other ^ differing)


@kernel
def _swap_1(one: Any, other: Any) -> Any:
    """So does every second bit."""
    differing = ((one >> np.uint8(1)) ^ other) & np.uint8(0x55)
    return np.uint8(one ^ np.uint8(differing << np.uint8(1))), np.uint8(other ^ differing)


@kernel
def _join_2(lines: Any, count: Any, numbers: Any) -> None:
    """Write numbers of two bytes, four at once."""
    for i in range(count):
        put(numbers, 2 * i, _four(lines, i, 0))
        put(numbers, 2 * i + 1, _four(lines, i, 4))


@kernel
def _join_4(lines: Any, count: Any, numbers: Any) -> None:
    """Write numbers of four bytes, two at once."""
    for i in range(count):
        put(numbers, 4 * i, _two(lines, i, 0))
        put(numbers, 4 * i + 1, _two(lines, i, 2))
        put(numbers, 4 * i + 2, _two(lines, i, 4))
        put(numbers, 4 * i + 3, _two(lines, i, 6))


@kernel
def _four(lines: Any, i: Any, first: Any) -> Any:
    """Four numbers of two bytes, in 64 bits."""
    low = _byte(lines, i, first, 0) | _byte(lines, i, 8 + first, 8)
    low |= _byte(lines, i, first + 1, 16) | _byte(lines, i, 9 + first, 24)
    high = _byte(lines, i, first + 2, 32) | _byte(lines, i, 10 + first, 40)
    high |= _byte(lines, i, first + 3, 48) | _byte(lines, i, 11 + first, 56)
    return low | high


@kernel
def _two(lines: Any, i: Any, first: Any) -> Any:
    """Two numbers of four bytes, in 64 bits."""
    low = _byte(lines, i, first, 0) | _byte(lines, i, 8 + first, 8)
    low |= _byte(lines, i, 16 + first, 16) | _byte(lines, i, 24 + first, 24)
    high = _byte(lines, i, first + 1, 32) | _byte(lines, i, 9 + first, 40)
    high |= _byte(lines, i, 17 + first, 48) | _byte(lines, i, 25 + first, 56)
    return low | high


@kernel
def _byte(lines: Any, i: Any, line: Any, shift: Any) -> Any:
    return np.uint64(get(lines, line * _STRIDE + i)) << np.uint64(shift)


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
