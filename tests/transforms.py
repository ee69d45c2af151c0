"""Stored pixels, transforms and parameters for the tests of the batch transform."""

from dataclasses import dataclass
from typing import Any, Literal, cast

import numpy as np
from hypothesis import strategies as st
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, GROUPS
from bigearth_xr.ops.augmentation import Augmentation, AugmentParameters, draw_parameters
from bigearth_xr.ops.resample import Resampling
from bigearth_xr.ops.transform import Precision, Transform, transform_of

NAMES = tuple(band.name for band in BANDS)
SCALE = {name: (100.0 + 7 * place, 3.0 + place) for place, name in enumerate(NAMES)}


@dataclass(frozen=True)
class Stored:
    """What a transform has to know of a pixel array."""

    name: str
    bands: tuple[str, ...]
    size: int
    dtype: Literal["uint16", "float32"]


ARRAYS = tuple(
    Stored(group.array, tuple(band.name for band in group.bands), group.size, group.dtype) for group in GROUPS
)


def some_pixels(array: Stored, patches: int, seed: int = 0, *, missing: bool = False) -> NDArray[Any]:
    """Pixels as stored, shape ``(patch, band, y, x)``; of radar a few are missing, if asked for."""
    generator = np.random.default_rng([seed, array.size, len(array.bands)])
    shape = patches, len(array.bands), array.size, array.size
    if array.dtype == "uint16":
        return generator.integers(0, 2**16, shape, np.uint16)
    pixels = generator.normal(-12, 5, shape).astype(np.float32)
    if missing:
        chance = generator.random(shape)
        pixels[chance < 0.01], pixels[chance > 0.99] = np.nan, -np.inf
    return pixels


def sources_of(transform: Transform, patches: int, seed: int = 0, *, missing: bool = False) -> dict[str, NDArray[Any]]:
    """The stored pixels of a transform's sources."""
    return {
        array.name: some_pixels(array, patches, seed, missing=missing)
        for array in ARRAYS
        if array.name in transform.sources
    }


def parameters_for(
    transform: Transform, rows: NDArray[np.integer], allowed: Augmentation, seed: int = 0
) -> AugmentParameters:
    return draw_parameters(rows, allowed, bands=transform.bands, seed=seed)


@st.composite
def transforms(draw: st.DrawFn) -> Transform:
    bands = draw(st.lists(st.sampled_from(NAMES), min_size=1, max_size=5, unique=True))
    return transform_of(
        ARRAYS,
        bands,
        draw(st.sampled_from([None, SCALE])),
        resampling=draw(st.sampled_from(cast("list[Resampling]", ["nearest", "bilinear", "bicubic"]))),
        size=draw(st.sampled_from([120, 60, 20, 128]) | st.integers(1, 40)),
        dtype=draw(st.sampled_from(cast("list[Precision]", ["float32", "float16", "bfloat16"]))),
    )


def augmentations() -> st.SearchStrategy[Augmentation]:
    """Any ways to vary but noise, which is not the same to the last bit."""
    return st.builds(
        Augmentation,
        flips=st.booleans(),
        gain=st.sampled_from([(1.0, 1.0), (0.8, 1.2)]),
        bias=st.sampled_from([(0.0, 0.0), (-5.0, 5.0)]),
        drop=st.sampled_from([0.0, 0.3]),
        crop=st.sampled_from([(1.0, 1.0), (0.1, 1.0), (0.001, 0.01)]),
        mixup=st.sampled_from([0.0, 0.4]),
        cutmix=st.sampled_from([0.0, 1.0]),
    )
