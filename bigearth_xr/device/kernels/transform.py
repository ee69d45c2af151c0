"""Transform a batch on the host: patch by patch, band by band, in the processor's cache but for input and output."""

from typing import Any, NamedTuple

import numpy as np

from bigearth_xr.device.kernels.blosc import pixel_room, unpack_sources
from bigearth_xr.device.kernels.lanes import LANES
from bigearth_xr.device.kernels.memory import advance, fence, floats_at, get, integers_at, kernel, put, words_at
from bigearth_xr.device.kernels.noise import add_noise, room_for_noise
from bigearth_xr.device.kernels.planes import (
    KEPT,
    Lines,
    Scale,
    copy_line,
    count_nonfinite,
    repeat_pixels,
    round_to_bfloat16,
    round_to_float16,
    stream,
)
from bigearth_xr.device.kernels.resampling import ROOM, Table, fill_taps, resample
from bigearth_xr.ops.transform import SYMMETRIES

COPIED = -1
"""In place of a table: the stored pixels are repeated, or taken as they are."""

_LARGE = 1 << 25
"""Bytes of a batch that goes past the cache; what is smaller may still be there for its consumer."""

_ROUNDED = 1024
"""Values that are rounded at once on their way past the cache."""

_SOURCE, _OFFSET, _SIDE, _IS_FLOAT, _TABLE = range(5)
_SYMMETRIES = tuple(tuple(int(part) for part in symmetry) for symmetry in SYMMETRIES)


class TransformArrays(NamedTuple):
    """A `Transform` as arrays."""

    planes: Any
    """Source, offset, side, whether pixels are float32, and which of the tables, shape ``(band, 5)``, int64."""

    scale: Any
    """What is subtracted, and what multiplies then, shape ``(band, 2)``, float32."""

    sides: Any
    """Stored pixels along a side, of each table, int64."""

    taps: Any
    """Stored pixels that a new one is made of, along a side."""

    size: Any
    """Pixels along a side of the batch."""

    bits: Any
    """Of which kind a value of the batch is: 32 for float32, 16 for float16, 8 for bfloat16 (of its exponent)."""


class ParameterArrays(NamedTuple):
    """`AugmentParameters` as arrays; of what does not vary, what leaves it as it is."""

    d4: Any
    """Symmetry, shape ``(patch,)``, uint8."""

    varies: Any
    """Whether patches have gains and biases."""

    gain: Any
    """Shape ``(patch,)``, float32."""

    bias: Any
    """Shape ``(patch,)``, float32."""

    dropped: Any
    """Shape ``(patch, band)``, bool."""

    noise_std: Any
    """Float32; 0 for no noise."""

    rows: Any
    """Shape ``(patch,)``, uint64."""

    noise_words: Any
    """Shape ``(band,)``, uint64."""

    epoch: Any
    """Uint64."""

    seed: Any
    """Uint64."""

    crop: Any
    """Shape ``(patch, 4)``, float64; or ``(1, 4)``, for all patches."""

    partner: Any
    """Shape ``(patch,)``, int64."""

    weight: Any
    """Shape ``(patch,)``, float32."""

    box: Any
    """First row and column, and those after the last, shape ``(patch, 4)``, int64."""


class Room(NamedTuple):
    """Memory to work in, small enough for the cache, for a patch or for its partner."""

    first: Any
    """Tables of the stored pixels that new ones begin with, shape ``(table, 2, pixel)``, int32."""

    weight: Any
    """Their weights, shape ``(table, 2, tap, pixel)``, float32."""

    plane: Any
    """Values of a band, or a strip of them on their way past the cache, float32."""

    resampled: Any
    """Its pixels, resampled and not turned yet, float32."""

    stored: Any
    """Two planes of stored or new pixels, float32."""

    words: Any
    """Random words of some lines; see `room_for_noise`."""


@kernel
def transform_patches(transform: Any, parameters: Any, packed: Any, addresses: Any, nonfinite: Any, out: Any) -> None:
    """Write a batch.

    Parameters
    ----------
    transform, parameters
        `TransformArrays` and `ParameterArrays`.
    packed
        A `PackedArrays`; with patches, they are unpacked first, and no patch has a partner.
    addresses
        Of the first stored pixel, shape ``(source, patch)``, uint64; of packed patches they are written.
    nonfinite
        To be written: how many stored pixels of each patch, in the bands of the batch, are not finite, int64; with no
        patches, they are not counted.
    out
        Address of the batch, uint64.
    """
    bands, area = len(transform.planes), transform.size * transform.size
    alike, bytes_each = len(parameters.crop) == 1, 4 if transform.bits == 32 else 2
    room, other_room = _room(transform), _room(transform)
    if alike:
        _fill_tables(transform, parameters.crop[0], room)
        _fill_tables(transform, parameters.crop[0], other_room)
    streamed = addresses.shape[1] * bands * area * bytes_each >= _LARGE
    pixels = pixel_room(packed)
    for patch in range(addresses.shape[1]):
        if packed.unpacked.size:
            packed.unpacked[patch] = unpack_sources(packed, patch, addresses, pixels)
            if not packed.unpacked[patch]:
                continue
        _count_nonfinite(transform, addresses, patch, nonfinite)
        partner = parameters.partner[patch]
        if not alike:
            _fill_tables(transform, parameters.crop[patch], room)
            if partner != patch:
                _fill_tables(transform, parameters.crop[partner], other_room)
        # What has come this far is not touched again.
        at_once = streamed and transform.bits == 32 and partner == patch and not parameters.noise_std
        in_place = transform.bits == 32 and (at_once or not streamed)
        for band in range(bands):
            target = out + np.uint64((patch * bands + band) * area * bytes_each)
            plane = floats_at(target) if in_place else _floats(room.plane)
            lines = Lines(plane, _floats(room.plane), at_once, area)
            _fill_plane(transform, parameters, addresses, patch, band, lines, room)
            if partner != patch:
                other = _floats(other_room.plane)
                lines = Lines(other, other, False, area)
                _fill_plane(transform, parameters, addresses, partner, band, lines, other_room)
                _mix(plane, other, transform.size, parameters.weight[patch], parameters.box[patch])
            if not in_place:
                _cast_plane(plane, area, transform.bits, target, streamed, room)
    fence()


@kernel
def _cast_plane(plane: Any, area: Any, bits: Any, target: Any, streamed: Any, room: Any) -> None:
    """Cast a plane to the data type of the batch, and write it there."""
    if bits == 32:
        stream(plane, area, floats_at(target), 4)
    elif bits == 16:
        # Its rounding takes longer than memory.
        round_to_float16(plane, area, words_at(target))
    elif streamed:
        words = words_at(np.uint64(room.stored.ctypes.data))
        for at in range(0, area, _ROUNDED):
            count = min(_ROUNDED, area - at)
            round_to_bfloat16(advance(plane, at), count, words)
            stream(words, count, advance(words_at(target), at), 2)
    else:
        round_to_bfloat16(plane, area, words_at(target))


@kernel
def _fill_plane(transform: Any, parameters: Any, addresses: Any, patch: Any, band: Any, lines: Any, room: Any) -> None:
    """Write the float32 values of a band of a patch, before it is mixed with others."""
    size = transform.size
    if parameters.dropped[patch, band]:
        for at in range(size * size):
            put(lines.plane, at, np.float32(0))
        return
    spec = transform.planes[band]
    pixels = addresses[spec[_SOURCE], patch] + np.uint64(spec[_OFFSET])
    subtract, factor = transform.scale[band, 0], transform.scale[band, 1]
    scale = Scale(subtract, factor, parameters.varies, parameters.gain[patch], parameters.bias[patch])
    if spec[_IS_FLOAT]:
        _write_band(floats_at(pixels), spec, transform, parameters.d4[patch], scale, lines, room)
    else:
        _write_band(words_at(pixels), spec, transform, parameters.d4[patch], scale, lines, room)
    if parameters.noise_std:
        word, row = parameters.noise_words[band], parameters.rows[patch]
        add_noise(lines.plane, size, parameters.noise_std, word, row, parameters.epoch, parameters.seed, room.words)


@kernel
def _write_band(stored: Any, spec: Any, transform: Any, symmetry: Any, scale: Any, lines: Any, room: Any) -> None:
    side, table, size, spare = spec[_SIDE], spec[_TABLE], transform.size, _floats(room.stored)
    if table == COPIED:
        repeat_pixels(stored, side, _SYMMETRIES[symmetry], scale, lines, size, spare)
        return
    first, weight = integers_at(np.uint64(room.first[table].ctypes.data)), _floats(room.weight[table])
    taps = Table(transform.taps, first, weight, room.first.shape[2], spec[_IS_FLOAT] != 0)
    resample(stored, side, taps, _SYMMETRIES[symmetry], scale, lines, size, _floats(room.resampled), spare)


@kernel
def _count_nonfinite(transform: Any, addresses: Any, patch: Any, nonfinite: Any) -> None:
    """Count the stored pixels of a patch that are not finite, of the bands of the batch, if they are to be counted."""
    if not nonfinite.size:
        return
    nonfinite[patch] = 0
    for spec in transform.planes:
        if spec[_IS_FLOAT]:
            pixels = floats_at(addresses[spec[_SOURCE], patch] + np.uint64(spec[_OFFSET]))
            nonfinite[patch] += count_nonfinite(pixels, spec[_SIDE] * spec[_SIDE])


@kernel
def _fill_tables(transform: Any, crop: Any, room: Any) -> None:
    """Make the tables of a patch."""
    for table in range(len(transform.sides)):
        for axis in range(2):
            first, weight = room.first[table, axis, : transform.size], room.weight[table, axis, :, : transform.size]
            fill_taps(crop[axis], crop[2 + axis], transform.sides[table], transform.taps, first, weight)


@kernel
def _mix(plane: Any, other: Any, size: Any, weight: Any, box: Any) -> None:
    if weight == 0:
        copy_line(other, size * size, plane)
    elif weight != 1:
        rest = np.float32(1) - weight
        for at in range(size * size):
            put(plane, at, get(plane, at) * weight + get(other, at) * rest)
    for y in range(box[0], box[2]):
        target, source = advance(plane, y * size), advance(other, y * size)
        for x in range(box[1], box[3]):
            put(target, x, get(source, x))


@kernel
def _room(transform: Any) -> Any:
    size, tables, taps = transform.size, len(transform.sides), transform.taps
    width = max(size, LANES)
    longest = size
    for side in transform.planes[:, _SIDE]:
        longest = max(longest, side)
    return Room(
        np.zeros((tables, 2, width), np.int32),
        np.zeros((tables, 2, taps, width), np.float32),
        np.zeros(size * size + 2 * KEPT, np.float32),
        np.empty(size * size, np.float32),
        np.zeros(max(2 * longest * (longest + 4) + ROOM, _ROUNDED), np.float32),
        room_for_noise(size),
    )


@kernel
def _floats(array: Any) -> Any:
    """Point into an array, which the caller keeps."""
    return floats_at(np.uint64(array.ctypes.data))
