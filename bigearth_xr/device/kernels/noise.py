"""Normal noise from counters, with the counters of `ops.random`, and functions that become vectors.

Logarithm, sine and cosine are those of the Cephes library (Moshier), single precision: as near to the truth as those
of C, within a unit or two in the last place, and without a branch.
"""

from typing import Any

import numpy as np

from bigearth_xr.device.kernels.memory import advance, bits_of, float_of, get, kernel, longs_at, put

__all__ = ["NOISE_LINES", "add_noise"]

NOISE_LINES = 16
"""Lines that are worked on at once: few fit into the fastest cache, and many make long vectors."""

_ROUNDS = 10
_MULTIPLIER_0, _MULTIPLIER_1 = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_STEP_0, _STEP_1 = np.uint32(0x9E3779B9), np.uint32(0xBB67AE85)
_HALF = np.uint64(32)
_UNIT = np.float32(2.0**-24)
_TURN = np.float32(2 * np.pi)

_SQRT_HALF = np.float32(0.707106781186547524)
_LOG = tuple(
    np.float32(coefficient)
    for coefficient in (
        *(7.0376836292e-2, -1.1514610310e-1, 1.1676998740e-1, -1.2420140846e-1, 1.4249322787e-1),
        *(-1.6668057665e-1, 2.0000714765e-1, -2.4999993993e-1, 3.3333331174e-1),
    )
)
_LN2_LOW, _LN2_HIGH = np.float32(-2.12194440e-4), np.float32(0.693359375)
_TO_QUARTERS = np.float32(2 / np.pi)
# A quarter of a turn, in three parts of few bits, of which small multiples are exact.
_QUARTER = tuple(np.float32(part) for part in (1.5703125, 4.837512969970703125e-4, 7.54978995489188216e-8))
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
        Array of room for words, shape ``(4, NOISE_LINES * quads)``, uint32: a quad is four pixels along x.

    Examples
    --------
    >>> from bigearth_xr.device.kernels.memory import floats_at
    >>> @kernel
    ... def noise(address, lines):
    ...     zero = np.uint64(0)
    ...     add_noise(floats_at(address), 2, np.float32(1), zero, zero, zero, zero, lines)
    >>> plane = np.zeros((2, 2), np.float32)
    >>> noise(np.uint64(plane.ctypes.data), np.zeros((4, NOISE_LINES), np.uint32))
    >>> bool(plane.all())
    True
    """
    quads, whole = (size + 3) // 4, size // 4
    words = (_words(lines[0]), _words(lines[1]), _words(lines[2]), _words(lines[3]))
    for top in range(0, size, NOISE_LINES):
        height = min(NOISE_LINES, size - top)
        for y in range(height):
            for quad in range(quads):
                put(words[0], y * quads + quad, (top + y) << 16 | quad)
        # Step by step, each a loop that becomes vectors: all at once would not.
        _philox(word, row, epoch, seed, words, height * quads)
        _to_normal(words[0], words[1], height * quads)
        _to_normal(words[2], words[3], height * quads)
        for y in range(height):
            target, first = advance(plane, (top + y) * size), y * quads
            for quad in range(whole):
                for part in range(4):
                    at = 4 * quad + part
                    put(target, at, get(target, at) + std * float_of(get(words[part], first + quad)))
            for at in range(4 * whole, size):
                put(target, at, get(target, at) + std * float_of(get(words[at % 4], first + whole)))


@kernel
def _philox(word: Any, row: Any, epoch: Any, seed: Any, words: Any, count: Any) -> None:
    """Philox4x32-10 of many counters, whose first words become the first random words, and so on."""
    for at in range(count):
        a, b, c, d = get(words[0], at), np.uint32(word), np.uint32(row), np.uint32(epoch)
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
        even = np.float32(1) - np.float32(get(lengths, at) >> np.uint32(8)) * _UNIT
        radius = np.sqrt(np.float32(-2) * _log(even))
        cosine, sine = _circle(_TURN * (np.float32(get(angles, at) >> np.uint32(8)) * _UNIT))
        put(lengths, at, bits_of(radius * cosine))
        put(angles, at, bits_of(radius * sine))


@kernel
def _log(x: Any) -> Any:
    """Natural logarithm of a normal number."""
    bits = bits_of(x)
    exponent = np.float32(np.int32(bits >> np.uint32(23)) - np.int32(126))
    half = float_of((bits & np.uint32(0x7FFFFF)) | np.uint32(0x3F000000))  # in [0.5, 1)
    low = half < _SQRT_HALF
    exponent = exponent - np.float32(1) if low else exponent
    z = half + half - np.float32(1) if low else half - np.float32(1)
    series = ((((_LOG[0] * z + _LOG[1]) * z + _LOG[2]) * z + _LOG[3]) * z + _LOG[4]) * z + _LOG[5]
    series = ((series * z + _LOG[6]) * z + _LOG[7]) * z + _LOG[8]
    square = z * z
    rest = series * z * square + exponent * _LN2_LOW - np.float32(0.5) * square
    return z + rest + exponent * _LN2_HIGH


@kernel
def _circle(turn: Any) -> Any:
    """Cosine and sine of an angle from 0 to 2 π."""
    quarter = np.int32(turn * _TO_QUARTERS + np.float32(0.5))
    count = np.float32(quarter)
    angle = ((turn - count * _QUARTER[0]) - count * _QUARTER[1]) - count * _QUARTER[2]
    square = angle * angle
    sine = ((_SIN[0] * square + _SIN[1]) * square + _SIN[2]) * square * angle + angle
    cosine = ((_COS[0] * square + _COS[1]) * square + _COS[2]) * square * square - np.float32(0.5) * square
    cosine = cosine + np.float32(1)
    swapped = quarter & np.int32(1)
    a, b = (sine if swapped else cosine), (cosine if swapped else sine)
    return (-a if (quarter + np.int32(1)) & np.int32(2) else a), (-b if quarter & np.int32(2) else b)
