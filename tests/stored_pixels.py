"""Patches as a store holds them, in memory, for tests of transforms."""

from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import GROUPS
from bigearth_xr.ops.transform import Transform, transform_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Stored:
    """What a transform has to know of a pixel array."""

    name: str
    bands: tuple[str, ...]
    size: int
    dtype: Literal["uint16", "float32"]


STORED = tuple(
    Stored(
        name=group.array,
        bands=tuple(band.name for band in group.bands),
        size=group.size,
        dtype="float32" if group.array == "s1" else "uint16",
    )
    for group in GROUPS
)


def stored_pixels(patches: int, seed: int = 0) -> dict[str, NDArray[Any]]:
    """Random pixels of every array, shape ``(patch, band, y, x)``; a few of the radar's are NaN or −inf."""
    rng = np.random.default_rng(seed)
    pixels: dict[str, NDArray[Any]] = {}
    for array in STORED:
        shape = patches, len(array.bands), array.size, array.size
        if array.dtype == "uint16":
            pixels[array.name] = rng.integers(0, 12_000, shape).astype(np.uint16)
        else:
            pixels[array.name] = rng.normal(-15, 5, shape).astype(np.float32)
            pixels[array.name][..., 3, 5:8] = np.nan
            pixels[array.name][..., -1, :2] = -np.inf
    return pixels


def transform_to_test(bands: tuple[str, ...], **choices: Any) -> Transform:
    """A transform of some bands, each with a scale of its own."""
    scale = {band: (7.3 * place - 20, 11.7 + place) for place, band in enumerate(bands)}
    return transform_of(STORED, bands, scale, **choices)


def widened(batch: NDArray[Any]) -> NDArray[np.float32]:
    """A batch as float32, bits of bfloat16 too."""
    if batch.dtype == np.uint16:
        return (batch.astype(np.uint32) << 16).view(np.float32)
    return batch.astype(np.float32)
