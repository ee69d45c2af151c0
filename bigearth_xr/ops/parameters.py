"""How patches vary at random: which ways are allowed, and what was drawn of them.

A draw depends on seed, epoch and row alone. Where a patch stands in a batch, and what else is in it, never matters:
each number comes from a counter ``(place, purpose and band, row, epoch)`` of its own, with the seed as the key.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, bands
from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.random import MAX_WORD, uniform

__all__ = ["OF_NOISE", "AugmentParameters", "Augmentation", "band_words", "draw_parameters"]

_SYMMETRIES = 8
_MAX_SEED = 2**64 - 1
_NOWHERE = np.uint64(0)
# What a random number is for: the upper half of the counter's second word; the band is the lower half.
_OF_PATCH, _OF_DROP, OF_NOISE = (np.uint64(purpose << 16) for purpose in range(3))


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """In which ways patches may vary; by default they are only flipped and turned.

    Raises
    ------
    AugmentationError
        If a range is upside down, or a probability or a deviation is none.

    Examples
    --------
    >>> Augmentation(gain=(0.9, 1.1)).changes_values
    True
    """

    flips: bool = True
    """Whether a patch takes one of the 8 symmetries of the square, each as likely."""

    gain: tuple[float, float] = (1.0, 1.0)
    """Range of the factor of a patch."""

    bias: tuple[float, float] = (0.0, 0.0)
    """Range of what is added to a patch, in the unit of its pixels."""

    noise_std: float = 0.0
    """Standard deviation of the noise added to each pixel, in the unit of the pixels."""

    drop: float = 0.0
    """Probability that a band of a patch becomes 0; each is dropped independently of the others."""

    def __post_init__(self) -> None:
        for name, (low, high) in (("gain", self.gain), ("bias", self.bias)):
            if not -np.inf < low <= high < np.inf:
                raise AugmentationError(f"{name} is {(low, high)}, expected (low, high) with low <= high, both finite")
        if not 0 <= self.noise_std < np.inf:
            raise AugmentationError(f"noise_std is {self.noise_std}, expected a finite number of at least 0")
        if not 0 <= self.drop <= 1:
            raise AugmentationError(f"drop is {self.drop}, expected a probability, 0 to 1")

    @property
    def changes_values(self) -> bool:
        """Whether pixels get values that they did not have, so that integers have to become float32."""
        return self.gain != (1.0, 1.0) or self.bias != (0.0, 0.0) or self.noise_std > 0


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AugmentParameters:
    """How each of some patches varies: what was drawn, and what its noise is drawn with."""

    augmentation: Augmentation
    """The ways that were allowed."""

    seed: int
    """Key of the random numbers."""

    epoch: int
    """Part of their counter."""

    bands: tuple[str, ...]
    """Name of each band."""

    rows: NDArray[np.int64]
    """Row in the store of each patch, shape ``(patch,)``."""

    d4: NDArray[np.uint8]
    """Symmetry, shape ``(patch,)``: ``d4 % 4`` quarter turns counter-clockwise, then for 4 and more a flip along x."""

    gain: NDArray[np.float32]
    """Factor, shape ``(patch,)``."""

    bias: NDArray[np.float32]
    """What is added, shape ``(patch,)``, in the unit of the pixels."""

    dropped: NDArray[np.bool_]
    """Whether a band becomes 0, shape ``(patch, band)``."""

    def take(self, rows: NDArray[np.integer], bands: Sequence[str]) -> "AugmentParameters":
        """Pick the parameters of some of the patches and bands, in another order.

        Raises
        ------
        AugmentationError
            If some were not drawn.
        """
        at, missing_rows = _find(rows, self.rows)
        band_at, missing_bands = _find(np.array(bands, str), np.array(self.bands, str))
        missing = [f"row {row}" for row in missing_rows[:5]] + [f"band {name}" for name in missing_bands]
        if missing:
            raise AugmentationError(
                f"nothing was drawn for {', '.join(missing)}{' and others' * (len(missing_rows) > 5)}; draw parameters "
                "for all patches and bands together, or give the same seed and epoch, which draws the same again"
            )
        return replace(
            self,
            bands=tuple(bands),
            rows=self.rows[at],
            d4=self.d4[at],
            gain=self.gain[at],
            bias=self.bias[at],
            dropped=self.dropped[at][:, band_at],
        )


def draw_parameters(
    rows: NDArray[np.integer], augmentation: Augmentation, *, bands: Iterable[str], seed: int, epoch: int = 0
) -> AugmentParameters:
    """Draw how each patch varies.

    Parameters
    ----------
    rows
        Row in the store of each patch, shape ``(patch,)``: what the patch is known by.
    augmentation
        The ways in which patches may vary.
    bands
        Names of their bands; which are dropped depends on the name, not on the place.
    seed, epoch
        Another seed, in [0, 2⁶⁴), or another epoch, in [0, 2³²), gives other parameters.

    Returns
    -------
    AugmentParameters
        On the host, whatever the pixels are on.

    Raises
    ------
    AugmentationError
        If rows, seed or epoch are out of range.
    BandError
        If a band is unknown.

    Examples
    --------
    >>> drawn = draw_parameters(np.array([7, 8, 9]), Augmentation(), bands=["B04"], seed=0)
    >>> drawn.d4
    array([6, 1, 7], dtype=uint8)
    >>> draw_parameters(np.array([9, 7]), Augmentation(), bands=["B04"], seed=0).d4
    array([7, 6], dtype=uint8)
    """
    names = tuple(bands)
    _check_key(rows, seed, epoch)
    seed, epoch = int(seed), int(epoch)  # NumPy's have no room for 64 bits of seed
    row, now = rows.astype(np.uint64), np.uint64(epoch)
    of_patch: list[Any] = uniform([_NOWHERE, _OF_PATCH, row, now], seed=seed)
    of_band: list[Any] = uniform([_NOWHERE, _OF_DROP | band_words(names), row[:, None], now], seed=seed)
    return AugmentParameters(
        augmentation=augmentation,
        seed=seed,
        epoch=epoch,
        bands=names,
        rows=rows.astype(np.int64),
        d4=(_SYMMETRIES * augmentation.flips * of_patch[0]).astype(np.uint8),
        gain=_in_range(of_patch[1], augmentation.gain),
        bias=_in_range(of_patch[2], augmentation.bias),
        dropped=of_band[0] < augmentation.drop,
    )


def band_words(names: Sequence[str]) -> NDArray[np.uint64]:
    """Number bands by what they are, so that neither their order nor the choice of others matters.

    Examples
    --------
    >>> band_words(["VV", "B01"])
    array([12,  0], dtype=uint64)
    """
    return np.array([BANDS.index(band) for band in bands(names)], np.uint64)


def _in_range(chance: Any, limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    drawn: NDArray[np.float32] = np.float32(low) + np.float32(high - low) * chance
    return drawn


def _find(wanted: NDArray[Any], among: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Where each of some values is, and those that are nowhere."""
    if not among.size:
        return np.empty(0, np.intp), wanted
    order = np.argsort(among, kind="stable")
    at = order[np.searchsorted(among, wanted, sorter=order).clip(max=among.size - 1)]
    return at, wanted[among[at] != wanted]


def _check_key(rows: NDArray[np.integer], seed: int, epoch: int) -> None:
    """Refuse what does not fit the random numbers' counter and key."""
    for name, given, greatest in (("seed", seed, _MAX_SEED), ("epoch", epoch, MAX_WORD)):
        if not isinstance(given, int | np.integer) or not 0 <= given <= greatest:
            raise AugmentationError(f"{name} is {given!r}, expected an integer from 0 to {greatest}")
    if rows.size and not 0 <= rows.min() <= rows.max() <= MAX_WORD:
        raise AugmentationError(
            f"rows are {rows.min()} to {rows.max()}, expected rows of a store; take the coordinate 'row' of its Dataset"
        )
