"""Pixels of six real pairs, varied so that each patch is its own, and as hard to compress as a real one."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from tempfile import TemporaryDirectory
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.archive import open_archive, read_patch
from bigearth_xr.bands import BANDS, PATCH_SIDE_M, band
from bigearth_xr.errors import ArchiveNotFoundError, DependencyError
from bigearth_xr.sample import unpack_sample

Bands: TypeAlias = Mapping[str, NDArray[np.generic]]

_SOURCES = 6
# The coarsest pixel: a roll by it is one by whole pixels at all resolutions.
_STEP_M = max(one.res_m for one in BANDS)
_GAINS = 128
_GAIN_BITS = 10
_OFFSETS_PER_DB = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class Variation:
    """How the pixels of a patch come from those of a real one; the steps apply in this order."""

    source: int
    """Which of the six pairs of the extra ``sample``, sorted by patch id."""

    is_mirrored: bool
    """Whether west and east change places."""

    turns: int
    """Quarter turns, as `numpy.rot90` counts them: 0-3."""

    down_m: int
    """How far rows are rolled to the south, metres; a multiple of 60."""

    right_m: int
    """How far columns are rolled to the east, metres; a multiple of 60."""

    gain_1024: int
    """Digital numbers are multiplied by a 1024th of this, and rounded half up: 1024-1151, so that none are merged."""

    offset_db: float
    """Added to backscatter: a multiple of 1/64 dB in [-1, 1)."""


def variation_of(patch: str) -> Variation:
    """Draw the variation of a patch from its id.

    Examples
    --------
    >>> variation_of("S2A_MSIL2A_20170613T101031_87_48").turns
    2
    """
    # Not NumPy's generators: their numbers may change with its version.
    source, mirror, turns, down, right, gain, offset = blake2b(patch.encode(), digest_size=7).digest()
    steps = PATCH_SIDE_M // _STEP_M
    return Variation(
        source=source % _SOURCES,
        is_mirrored=bool(mirror % 2),
        turns=turns % 4,
        down_m=down % steps * _STEP_M,
        right_m=right % steps * _STEP_M,
        gain_1024=(1 << _GAIN_BITS) + gain % _GAINS,
        offset_db=(offset % (2 * _OFFSETS_PER_DB)) / _OFFSETS_PER_DB - 1,
    )


def real_pixels(patch: str, band_name: str) -> NDArray[np.generic]:
    """Compute the pixels that ``write_archive(..., pixels="real")`` gives a band of a patch.

    Those of one of the six real pairs of the extra ``sample``, mirrored, turned, rolled and made brighter as
    `variation_of` says: a function of the patch id and the band alone, the same on every machine.

    Parameters
    ----------
    patch
        Patch id, for Sentinel-1 bands too.
    band_name
        Name of the band.

    Returns
    -------
    NDArray
        Shape ``(y, x)``: uint16 digital numbers or float32 dB, with the entropy of real ones.

    Raises
    ------
    DependencyError
        If the extra is not installed.

    Examples
    --------
    >>> real_pixels("S2A_MSIL2A_20170613T101031_87_48", "B01").shape
    (20, 20)
    """
    varied = variation_of(patch)
    wanted = band(band_name)
    twice = _repeated(varied.source, varied.is_mirrored, varied.turns)[band_name]
    top, left = (wanted.size - metres // wanted.res_m for metres in (varied.down_m, varied.right_m))
    window = twice[top : top + wanted.size, left : left + wanted.size]
    if wanted.sensor == "s1":
        return np.add(window, varied.offset_db, dtype=np.float32)
    # In whole numbers, which round alike everywhere; the brightest of the six pairs stay far below 65,535.
    product = np.multiply(window, varied.gain_1024, dtype=np.uint32)
    product += 1 << (_GAIN_BITS - 1)
    product >>= _GAIN_BITS
    return product.astype(np.uint16)


@cache
def _repeated(source: int, is_mirrored: bool, turns: int) -> Bands:
    """Mirror and turn a pair and lay it out twice each way, so that rolling it is cutting a window."""
    return {
        name: np.tile(np.rot90(pixels[:, ::-1] if is_mirrored else pixels, turns), (2, 2))
        for name, pixels in _sources()[source].items()
    }


@cache
def _sources() -> tuple[Bands, ...]:
    """Read the six pairs, sorted by patch id."""
    with TemporaryDirectory() as folder:
        try:
            archive = open_archive(unpack_sample(folder))
        except ArchiveNotFoundError:
            raise DependencyError(
                "pixels='real' varies six real pairs, which are not installed; "
                "run: pip install 'bigearth-xr[sample]', or use pixels='formula'"
            ) from None
        patches = sorted(archive.patches, key=lambda patch: patch.patch)
        return tuple(read_patch(archive, patch).bands for patch in patches)
