"""Random numbers that are a function of where they are used, not of when.

Philox4x32-10 (Salmon, Moraes, Dror and Shaw, *Parallel random numbers: as easy as 1, 2, 3*, 2011) turns a counter of
four words and a key into four random words. It has no state, so that any order, chunking or device gives the same.
"""

from collections.abc import Sequence
from itertools import starmap
from typing import Any

import numpy as np

from bigearth_xr.ops.namespace import Array, array_namespace

__all__ = ["MAX_WORD", "random_words", "uniform"]

MAX_WORD = 2**32 - 1
"""The greatest word; counters and random words alike are in [0, MAX_WORD]."""

Counter = Sequence[Array | np.uint64]
"""Four words, each an array or the same everywhere: uint64, as the product of two words needs the room."""

_ROUNDS = 10
_MULTIPLIERS = np.uint64(0xD2511F53), np.uint64(0xCD9E8D57)
_KEY_STEPS = 0x9E3779B9, 0xBB67AE85
_WORD_BITS = np.uint64(32)
_WORD_MASK = np.uint64(MAX_WORD)
# float32 holds 24 bits: the upper ones of a word are used, and none of the sums is rounded.
_SPARE_BITS = np.uint64(8)
_UNIT = 2.0**-24


def random_words(counter: Counter, *, seed: int) -> list[Array]:
    """Draw four random words for every counter.

    Parameters
    ----------
    counter
        Four words, uint64 arrays of NumPy or CuPy whose shapes broadcast, or scalars. Never use one twice with a seed.
    seed
        The key, in [0, 2⁶⁴).

    Returns
    -------
    list of Array
        Four uint64 arrays of words, in the shape that the counter broadcasts to, same device.

    Examples
    --------
    >>> [f"{word[0]:08x}" for word in random_words([np.uint64([0])] * 4, seed=0)]
    ['6627e8d5', 'e169c58d', 'bc57ac4c', '9b00dbd8']
    """
    words: list[Any] = list(counter)
    key = [seed & MAX_WORD, seed >> 32]
    for _ in range(_ROUNDS):
        # Words that do not depend on a dimension yet are still short along it: the first rounds cost little.
        first, third = words[0] * _MULTIPLIERS[0], words[2] * _MULTIPLIERS[1]
        words = [
            (third >> _WORD_BITS) ^ words[1] ^ np.uint64(key[0]),
            third & _WORD_MASK,
            (first >> _WORD_BITS) ^ words[3] ^ np.uint64(key[1]),
            first & _WORD_MASK,
        ]
        key = [(part + step) & MAX_WORD for part, step in zip(key, _KEY_STEPS, strict=True)]
    return words


def uniform(counter: Counter, *, seed: int) -> list[Array]:
    """Draw four numbers, evenly spread over [0, 1), for every counter.

    Parameters
    ----------
    counter, seed
        As for `random_words`.

    Returns
    -------
    list of Array
        Four float32 arrays, multiples of 2⁻²⁴: the same to the last bit on every device.
    """
    return [_as_unit(word) for word in random_words(counter, seed=seed)]


def normal(counter: Counter, *, seed: int) -> list[Array]:
    """Draw four numbers of the standard normal distribution for every counter (Box–Muller).

    Parameters
    ----------
    counter, seed
        As for `random_words`.

    Returns
    -------
    list of Array
        Four float32 arrays, in [-5.8, 5.8]. Devices differ in the last bits of a logarithm or sine, and in no others.
    """
    even, odd, more_even, more_odd = uniform(counter, seed=seed)
    pairs = starmap(_box_muller, ((even, odd), (more_even, more_odd)))
    return [number for pair in pairs for number in pair]


def _as_unit(word: Any) -> Any:
    xp = array_namespace(word)
    return (word >> _SPARE_BITS).astype(xp.float32) * np.float32(_UNIT)


def _box_muller(length: Any, angle: Any) -> tuple[Any, Any]:
    """Turn two even numbers into two normal ones: a radius, and a direction on the circle."""
    xp = array_namespace(length)
    # 1 − u is in (0, 1], which has a logarithm.
    radius = xp.sqrt(np.float32(-2) * xp.log(np.float32(1) - length))
    turn = np.float32(2 * np.pi) * angle
    return radius * xp.cos(turn), radius * xp.sin(turn)
