"""Normal noise from counters, with the counters of `ops.random`, and functions that become vectors.

Logarithm, sine and cosine are those of the Cephes library (Moshier), single precision: as near to the truth as those
of C, within a unit or two in the last place, and without a branch.
"""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.lanes import LANES, get_lanes, in_all_lanes, interleaved, put_lanes
from bigearth_xr.device.kernels.memory import (
    address_of,
    advance,
    bits_of,
    float_of,
    floats_at,
    get,
    kernel,
    longs_at,
    put,
)

_LINES = 16
"""Lines that are worked on at once: few fit into the fastest cache, and many make long vectors."""

_ROUNDS = 10
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEP_0, _STEP_1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF = np.uint64(32)
_SPARE_BITS = np.uint32(8)
_UNIT = np.float32(2.0**-24)
_EIGHTH, _TO_ANGLE = np.uint32(2**21), np.float32(2 * np.pi / 2**24)

_SQRT_HALF = np.float32(0.707106781186547524).view(np.uint32)
_MANTISSA = np.uint32(0x7FFFFF)
_LOG = tuple(
    np.float32(coefficient)
    for coefficient in (
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
)
_LN2_LOW, _LN2_HIGH = np.float32(-2.12194440e-4), np.float32(0.693359375)
_SIN = tuple(np.float32(coefficient) for coefficient in (-1.9515295891e-4, 8.3321608736e-3, -1.6666654611e-1))
_COS = tuple(
    np.float32(coefficient) for coefficient in (2.443315711809948e-5, -1.388731625493765e-3, 4.166664568298827e-2)
)


@kernel
def add_noise(plane: Any, size: Any, std: Any, word: Any, row: Any, epoch: Any, seed: Any, lines: Any) -> None:
    """Add noise to a band of a patch.

    Parameters
    ----------
    plane
        Pointer to ``size * size`` float32.
    std
        Standard deviation, float32.
    word, row, epoch
        The last three words of the counter, uint64.
    seed
        The key, uint64.
    lines
        Room for words as `room_for_noise` makes it.
    """
    quads = (size + 3) // 4
    words = (_words(lines[0]), _words(lines[1]), _words(lines[2]), _words(lines[3]))
    for top in range(0, size, _LINES):
        height = min(_LINES, size - top)
        # Step by step, each a loop that becomes vectors: all at once would not.
        _philox(_words(lines[4]), np.uint32(top << 16), word, row, epoch, seed, words, height * quads)
        _to_normal(words[0], words[1], height * quads)
        _to_normal(words[2], words[3], height * quads)
        if size % 4 == 0:
            _add(advance(plane, top * size), std, words, height * quads)
            continue
        for y in range(height):
            target, first = advance(plane, (top + y) * size), y * quads
            for x in range(size):
                put(target, x, get(target, x) + std * float_of(get(words[x % 4], first + x // 4)))


@kernel
def room_for_noise(size: Any) -> Any:
    """Make room for the random words of some lines of `size` pixels, and number their quads: four pixels along x.

    Returns
    -------
    ndarray
        Shape ``(5, _LINES * quads)``, uint32: four for words, and the first word of each counter.

    Examples
    --------
    >>> room_for_noise(8)[4, :4]
    array([    0,     1, 65536, 65537], dtype=uint32)
    """
    quads = (size + 3) // 4
    room = np.zeros((5, _LINES * quads), np.uint32)
    for y in range(_LINES):
        for quad in range(quads):
            room[4, y * quads + quad] = y << 16 | quad
    return room


@kernel
def _add(plane: Any, std: Any, words: Any, quads: Any) -> None:
    """Add the numbers of quads that follow each other."""
    numbers = (_as_floats(words[0]), _as_floats(words[1]), _as_floats(words[2]), _as_floats(words[3]))
    whole, of_each = quads // LANES * LANES, in_all_lanes(std)
    for at in range(0, whole, LANES):
        a, b, c, d = (
            get_lanes(numbers[0], at),
            get_lanes(numbers[1], at),
            get_lanes(numbers[2], at),
            get_lanes(numbers[3], at),
        )
        four = interleaved(a, b, c, d)
        for part in range(4):
            place = 4 * at + part * LANES
            put_lanes(plane, place, get_lanes(plane, place) + of_each * four[part])
    for at in range(4 * whole, 4 * quads):
        put(plane, at, get(plane, at) + std * get(numbers[at % 4], at // 4))


@kernel
def _as_floats(pointer: Any) -> Any:
    return floats_at(address_of(pointer))


@kernel
def _philox(places: Any, line: Any, word: Any, row: Any, epoch: Any, seed: Any, words: Any, count: Any) -> None:
    """Philox4x32-10 of many counters, which differ in their first words: those of the first lines, and a line."""
    for at in range(count):
        a, b, c, d = np.uint32(get(places, at) + line), np.uint32(word), np.uint32(row), np.uint32(epoch)
        key_0, key_1 = np.uint32(seed), np.uint32(seed >> _HALF)
        for _ in range(_ROUNDS):
            first, third = np.uint64(a) * _MULTIPLIER_0, np.uint64(c) * _MULTIPLIER_1
            a, c = np.uint32(np.uint32(third >> _HALF) ^ b ^ key_0), np.uint32(np.uint32(first >> _HALF) ^ d ^ key_1)
            b, d = np.uint32(third), np.uint32(first)
            key_0, key_1 = np.uint32(key_0 + _STEP_0), np.uint32(key_1 + _STEP_1)
        put(words[0], at, a)
        put(words[1], at, b)
        put(words[2], at, c)
        put(words[3], at, d)


@kernel
def _words(array: Any) -> Any:
    """Point into an array, which the caller keeps."""
    return longs_at(np.uint64(array.ctypes.data))


@kernel
def _to_normal(lengths: Any, angles: Any, count: Any) -> None:
    """Box–Muller, as in `ops.random`: random words become the bits of normal numbers."""
    for at in range(count):
        even = np.float32(1) - np.float32(np.int32(get(lengths, at) >> _SPARE_BITS)) * _UNIT
        radius = np.sqrt(np.float32(-2) * _log(even))
        cosine, sine = _circle(get(angles, at) >> _SPARE_BITS)
        put(lengths, at, bits_of(radius * cosine))
        put(angles, at, bits_of(radius * sine))


@kernel
def _log(x: Any) -> Any:
    """Natural logarithm of a normal number, as that of a number from √½ to √2 and a multiple of that of 2."""
    # Integers of 32 bits all along: Python's sums have 64, of which half as many make a vector.
    above = np.uint32(bits_of(x) - _SQRT_HALF)
    exponent = np.float32(np.int32(above) >> np.int32(23))
    z = float_of(np.uint32((above & _MANTISSA) + _SQRT_HALF)) - np.float32(1)
    series = ((((_LOG[0] * z + _LOG[1]) * z + _LOG[2]) * z + _LOG[3]) * z + _LOG[4]) * z + _LOG[5]
    series = ((series * z + _LOG[6]) * z + _LOG[7]) * z + _LOG[8]
    square = z * z
    rest = series * z * square + exponent * _LN2_LOW - np.float32(0.5) * square
    return z + rest + exponent * _LN2_HIGH


@kernel
def _circle(turn: Any) -> Any:
    """Cosine and sine of a turn's part, in 2²⁴ths: as CUDA's sincospi, exact up to the angle from the nearest axis."""
    quarter = np.uint32(turn + _EIGHTH) >> np.uint32(22)
    angle = np.float32(np.int32(turn - (quarter << np.uint32(22)))) * _TO_ANGLE
    square = angle * angle
    sine = ((_SIN[0] * square + _SIN[1]) * square + _SIN[2]) * square * angle + angle
    cosine = ((_COS[0] * square + _COS[1]) * square + _COS[2]) * square * square - np.float32(0.5) * square
    cosine = cosine + np.float32(1)
    swapped = quarter & np.uint32(1)
    a, b = (sine if swapped else cosine), (cosine if swapped else sine)
    # The second of their bits says whether they are negative.
    return _negated(a, np.uint32(quarter + np.uint32(1))), _negated(b, quarter)


@kernel
def _negated(number: Any, quarter: Any) -> Any:
    return float_of(bits_of(number) ^ np.uint32((quarter & np.uint32(2)) << np.uint32(30)))
