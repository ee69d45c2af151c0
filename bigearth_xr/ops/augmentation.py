"""The ways in which patches may vary at random."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.taps import SIDE

__all__ = ["Augmentation", "draw_crops"]

_LARGEST = float(np.finfo(np.float32).max)
_LEAST = float(np.nextafter(0, 1))
_NUMBER = (int, float, np.integer, np.floating)


class _Range(NamedTuple):
    """What a way to vary may be given as: a number or two of them, from the lowest to the highest, and in words."""

    numbers: int
    low: float
    high: float
    words: str

    def has(self, given: object) -> bool:
        """Whether that many numbers are given, in order, each of them and their difference in range."""
        numbers = (given,) if self.numbers == 1 else given
        if not isinstance(numbers, tuple) or len(numbers) != self.numbers:
            return False
        if any(isinstance(number, bool) or not isinstance(number, _NUMBER) for number in numbers):
            return False
        low, high = numbers[0], numbers[-1]
        return bool(self.low <= low <= high <= self.high and float(high) - float(low) <= _LARGEST)


_ANY_PAIR = "two numbers (low, high) with low <= high, both finite in float32, e.g. "
_SHAPE = "a finite number of at least 0, e.g. 0.4"
_RANGES = {
    "gain": _Range(2, -_LARGEST, _LARGEST, f"{_ANY_PAIR}(0.9, 1.1)"),
    "bias": _Range(2, -_LARGEST, _LARGEST, f"{_ANY_PAIR}(-50, 50)"),
    "noise_std": _Range(1, 0, _LARGEST, "a number of at least 0, finite in float32, e.g. 20"),
    "drop": _Range(1, 0, 1, "a probability, 0 to 1, e.g. 0.1"),
    "crop": _Range(2, _LEAST, 1, "two numbers (low, high) with 0 < low <= high <= 1, e.g. (0.5, 1)"),
    "aspect": _Range(
        2, _LEAST, _LARGEST, "two numbers (low, high) with 0 < low <= high, both finite, e.g. (0.75, 1.5)"
    ),
    "mixup": _Range(1, 0, _LARGEST, _SHAPE),
    "cutmix": _Range(1, 0, _LARGEST, _SHAPE),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """In which ways patches may vary; by default they are only flipped and turned.

    Raises
    ------
    AugmentationError
        If a range is upside down or no range, or a probability or a deviation is none.

    Examples
    --------
    >>> Augmentation(gain=(0.9, 1.1)).changes_values
    True
    """

    flips: bool = True
    """Whether a patch takes one of the 8 symmetries of the square, each as likely."""

    gain: tuple[float, float] = (1.0, 1.0)
    """Range of the factor of a patch, without unit: 1 leaves pixels as they are."""

    bias: tuple[float, float] = (0.0, 0.0)
    """Range of what is then added to a patch, in the unit that its pixels have by then: standard deviations of the band
    where a loader standardises (its default) or after ``normalize``, shares of the range with ``method="minmax"``, else
    digital numbers and dB."""

    noise_std: float = 0.0
    """Standard deviation of the noise added to each pixel, in the same unit as `bias`."""

    drop: float = 0.0
    """Probability that a band of a patch becomes 0; each is dropped independently of the others."""

    crop: tuple[float, float] = (1.0, 1.0)
    """Range of the share of its area that is cut out of a patch; (1, 1) cuts nothing."""

    aspect: tuple[float, float] = (3 / 4, 4 / 3)
    """Range of width / height of what is cut out, even on a logarithmic scale; a side ends where the patch ends."""

    mixup: float = 0.0
    """Both parameters of the Beta distribution of a patch's weight in a blend with another; 0 blends none."""

    cutmix: float = 0.0
    """The same for the share that a patch keeps when a box of another is pasted in; with mixup, one of the two."""

    def __post_init__(self) -> None:
        if not isinstance(self.flips, bool):
            raise AugmentationError(f"flips is {self.flips!r}, expected True or False")
        for name, allowed in _RANGES.items():
            given = getattr(self, name)
            if isinstance(given, list):  # as JSON and YAML have pairs
                given = tuple(given)
                object.__setattr__(self, name, given)
            if not allowed.has(given):
                raise AugmentationError(f"{name} is {given!r}, expected {allowed.words}")

    def __repr__(self) -> str:
        """Name what is not the default."""
        given = {field.name: getattr(self, field.name) for field in fields(self)}
        odd = [f"{field.name}={given[field.name]!r}" for field in fields(self) if given[field.name] != field.default]
        return f"Augmentation({', '.join(odd)})"

    @property
    def changes_values(self) -> bool:
        """Whether pixels get values that they did not have, so that integers have to become float32."""
        return self.gain != (1.0, 1.0) or self.bias != (0.0, 0.0) or self.noise_std > 0

    @property
    def crops(self) -> bool:
        """Whether patches lose what is outside of a box, so that all their pixels are resampled."""
        return self.crop != (1.0, 1.0)

    @property
    def mixes(self) -> bool:
        """Whether patches get pixels of others of their batch."""
        return self.mixup > 0 or self.cutmix > 0


def draw_crops(chance: Sequence[Any], augmentation: Augmentation) -> NDArray[np.float32]:
    """Turn chances into boxes of an even share of the area and an even logarithm of the aspect.

    Parameters
    ----------
    chance
        Four even numbers in [0, 1), each of shape ``(patch,)``: of the share, the aspect, and the place along y and x.
    augmentation
        The ranges of share and aspect.

    Returns
    -------
    NDArray
        Top, left, height and width in pixels of 10 m, shape ``(patch, 4)``, float32.

    Examples
    --------
    >>> draw_crops([np.float32([0.5])] * 4, Augmentation(crop=(0.25, 0.25), aspect=(1, 1)))
    array([[30., 30., 60., 60.]], dtype=float32)
    """
    share, aspect, top, left = (number.astype(np.float64) for number in chance)
    if not augmentation.crops:
        return np.tile(np.array([0, 0, SIDE, SIDE], np.float32), (share.size, 1))
    low, high = augmentation.crop
    flattest, tallest = np.log(augmentation.aspect)
    area, ratio = low + (high - low) * share, np.exp(flattest + (tallest - flattest) * aspect)
    # Rounded to whole 1/256 of a pixel, which a sum of two keeps: no box ends beyond its patch, on any machine.
    height = np.round(256 * SIDE * np.sqrt(area / ratio).clip(max=1)) / 256
    width = np.round(256 * SIDE * np.sqrt(area * ratio).clip(max=1)) / 256
    start = [np.floor(256 * (SIDE - extent) * place) / 256 for extent, place in ((height, top), (width, left))]
    return np.stack([*start, height, width], axis=-1).astype(np.float32)
