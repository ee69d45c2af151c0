"""Reads safetensors, the format of the values of an LMDB: a size, a JSON header of that size, then the pixels.

https://huggingface.co/docs/safetensors. A header is believed only where its tensors fill the value without a gap; many
values bear the same one, so that it is parsed once.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from math import prod
from typing import Any

from bigearth_xr.archive.template import Data

__all__ = ["MOST_HEADER", "Tensor", "find_tensors", "is_pickle"]

MOST_HEADER = 65_536
"""Bytes of the longest header that is read, its size included; one of all bands has 824."""

_SIZE = 8
_BYTES = {"U8": 1, "I8": 1, "BOOL": 1, "U16": 2, "I16": 2, "F16": 2, "BF16": 2, "U32": 4, "I32": 4, "F32": 4}
_BYTES |= {"U64": 8, "I64": 8, "F64": 8}


@dataclass(frozen=True, slots=True, kw_only=True)
class Tensor:
    """One array of a value, not yet read."""

    dtype: str
    """Type as safetensors spells it, e.g. ``"U16"``; little-endian."""

    shape: tuple[int, ...]
    """Length of each dimension, row by row."""

    offset: int
    """Its first byte in the value."""


def find_tensors(data: Data, size: int) -> Mapping[str, Tensor]:
    """Tell which tensors a value holds.

    Parameters
    ----------
    data
        The value, or at least its header.
    size
        Bytes of the whole value, which the tensors have to fill.

    Raises
    ------
    ValueError
        If the header is damaged, or does not fit the value.

    Examples
    --------
    >>> header = b'{"VV": {"dtype": "F32", "shape": [1, 2], "data_offsets": [0, 8]}}'
    >>> data = len(header).to_bytes(8, "little") + header + bytes(8)
    >>> find_tensors(data, len(data))
    {'VV': Tensor(dtype='F32', shape=(1, 2), offset=73)}
    """
    length = int.from_bytes(data[:_SIZE], "little")
    if size < _SIZE or length > min(size, MOST_HEADER) - _SIZE:
        raise ValueError(f"its header should have {length:,} bytes, the value has {size:,}")
    if len(data) < _SIZE + length:
        raise ValueError(f"its header should have {length:,} bytes, {len(data) - _SIZE:,} of them are there")
    tensors, end = _parse(bytes(data[_SIZE : _SIZE + length]))
    if end != size:
        raise ValueError(f"its header tells of {end:,} bytes, the value has {size:,}")
    return tensors


def is_pickle(data: Data) -> bool:
    """Tell whether bytes begin as a pickle does; as safetensors, their header would be larger than any.

    Examples
    --------
    >>> import pickle
    >>> is_pickle(pickle.dumps([0] * 10)), is_pickle(bytes([128, 4, 0, 0, 0, 0, 0, 0]))
    (True, False)
    """
    return len(data) > _SIZE and data[0] == 0x80 and data[1] in range(2, 6) and any(data[3:_SIZE])


@lru_cache(maxsize=64)
def _parse(header: bytes) -> tuple[Mapping[str, Tensor], int]:
    """Parse a header; gives the end of the value too."""
    try:
        found = json.loads(header, object_pairs_hook=_once)
        if not isinstance(found, dict):
            raise ValueError(f"it is a {type(found).__name__}, expected an object")
        entries = {name: _entry(name, entry) for name, entry in found.items() if name != "__metadata__"}
    # Brackets within brackets within brackets end the parser.
    except (ValueError, RecursionError) as error:
        raise ValueError(f"its header is damaged ({error})") from error
    start = end = _SIZE + len(header)
    tensors = {}
    for name, (dtype, shape, (first, last)) in sorted(entries.items(), key=lambda item: item[1][2]):
        if start + first != end or last - first != prod(shape) * _BYTES[dtype]:
            raise ValueError(
                f"its header is damaged (tensor {name}, {dtype} {list(shape)}, should lie at {[first, last]})"
            )
        tensors[name] = Tensor(dtype=dtype, shape=shape, offset=end)
        end = start + last
    return tensors, end


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """Refuse an object that says two things of one name."""
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name comes twice")
    return found


def _entry(name: str, entry: object) -> tuple[str, tuple[int, ...], tuple[int, int]]:
    """Type, shape and offsets of one tensor."""
    if not isinstance(entry, dict):
        raise ValueError(f"tensor {name} is {entry!r}, expected an object")
    dtype, shape, offsets = (entry.get(key) for key in ("dtype", "shape", "data_offsets"))
    sizes, places = _sizes(shape), _sizes(offsets)
    if not isinstance(dtype, str) or dtype not in _BYTES or sizes is None or places is None or len(places) != 2:
        raise ValueError(f"tensor {name} is {entry!r}, expected a known dtype, a shape and two data_offsets")
    return dtype, sizes, (places[0], places[1])


def _sizes(values: object) -> tuple[int, ...] | None:
    """Whole numbers as they are; None for anything else."""
    # JSON as Python reads it has NaN and true, which is an int too.
    if not isinstance(values, list) or not all(type(value) is int and 0 <= value < 2**48 for value in values):
        return None
    return tuple(values)
