"""How patches may vary at random, and how they do: `Augmentation` says the ways, `AugmentParameters` what was drawn.

A draw depends on seed, epoch, view and row alone. Where a patch stands in a batch, and what else is in it, never
matters but for its partner in mixing, which has to be of the batch: each number comes from a counter ``(place; view,
purpose and band; row; epoch)`` of its own, with the seed as the key.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from typing import Any, NamedTuple, TypedDict

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, bands
from bigearth_xr.errors import AugmentationError
from bigearth_xr.ops.mixing import draw_mixing
from bigearth_xr.ops.random import MAX_WORD, uniform
from bigearth_xr.ops.resample import SIDE

__all__ = [
    "PATCH_VALUES",
    "AugmentParameters",
    "Augmentation",
    "AugmentationOptions",
    "draw_parameters",
    "unvaried",
]

_LARGEST = float(np.finfo(np.float32).max)

_LEAST = float(np.nextafter(0, 1))

_NUMBER = (int, float, np.integer, np.floating)
_SYMMETRIES = 8
_MAX_SEED = 2**64 - 1
_NOWHERE = np.uint64(0)
_MAX_VIEW = 2**8 - 1

# What a random number is for: 8 bits of the counter's second word, below the view and above the band's 16.
_OF_PATCH, _OF_DROP, _OF_NOISE, _OF_CROP, _OF_MIXING = (np.uint64(purpose << 16) for purpose in range(5))

_OF_VIEW = np.uint64(24)
_NUMBERS = {band.name: number for number, band in enumerate(BANDS)}


def _option(default: Any, expected: str, is_allowed: Callable[[object], bool]) -> Any:
    """A field of `Augmentation`: its default, and what else it may be."""
    return field(default=default, metadata={"expected": expected, "is_allowed": is_allowed})


def _in_order(count: int, low: float, high: float) -> Callable[[object], bool]:
    """Whether that many numbers are given, in order, each of them and their difference in range."""

    def are_allowed(given: object) -> bool:
        numbers = (given,) if count == 1 else given
        if not isinstance(numbers, tuple) or len(numbers) != count:
            return False
        if any(isinstance(number, bool) or not isinstance(number, _NUMBER) for number in numbers):
            return False
        first, last = numbers[0], numbers[-1]
        return bool(low <= first <= last <= high and float(last) - float(first) <= _LARGEST)

    return are_allowed


def _flag(given: object) -> bool:
    return isinstance(given, bool)


_PAIR = "two numbers (low, high) with low <= high, both finite in float32, e.g. "
_SHAPE = "a finite number of at least 0, e.g. 0.4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Augmentation:
    """In which ways patches may vary; by default they are only flipped and turned.

    A new option comes last, as pickles hold the values in this order, and into `AugmentationOptions`.

    Raises
    ------
    AugmentationError
        If an option has a value that it may not have.

    Examples
    --------
    >>> Augmentation(gain=(0.9, 1.1)).changes_values
    True
    """

    flips: bool = _option(True, "True or False", _flag)
    """Whether a patch takes one of the 8 symmetries of the square, each as likely."""

    gain: tuple[float, float] = _option((1.0, 1.0), f"{_PAIR}(0.9, 1.1)", _in_order(2, -_LARGEST, _LARGEST))
    """Range of the factor of a patch, without unit: 1 leaves pixels as they are."""

    bias: tuple[float, float] = _option((0.0, 0.0), f"{_PAIR}(-50, 50)", _in_order(2, -_LARGEST, _LARGEST))
    """Range of what is then added to a patch, in the unit that its pixels have by then: standard deviations of the band
    where a loader standardises (its default) or after ``normalize``, shares of the range with ``method="minmax"``, else
    digital numbers and dB."""

    noise_std: float = _option(0.0, "a number of at least 0, finite in float32, e.g. 20", _in_order(1, 0, _LARGEST))
    """Standard deviation of the noise added to each pixel, in the same unit as `bias`."""

    drop: float = _option(0.0, "a probability, 0 to 1, e.g. 0.1", _in_order(1, 0, 1))
    """Probability that a band of a patch becomes 0; each is dropped independently of the others."""

    crop: tuple[float, float] = _option(
        (1.0, 1.0), "two numbers (low, high) with 0 < low <= high <= 1, e.g. (0.5, 1)", _in_order(2, _LEAST, 1)
    )
    """Range of the share of its area that is cut out of a patch; (1, 1) cuts nothing."""

    aspect: tuple[float, float] = _option(
        (3 / 4, 4 / 3),
        "two numbers (low, high) with 0 < low <= high, both finite, e.g. (0.75, 1.5)",
        _in_order(2, _LEAST, _LARGEST),
    )
    """Range of width / height of what is cut out, even on a logarithmic scale; a side ends where the patch ends."""

    mixup: float = _option(0.0, _SHAPE, _in_order(1, 0, _LARGEST))
    """Both parameters of the Beta distribution of a patch's weight in a blend with another; 0 blends none."""

    cutmix: float = _option(0.0, _SHAPE, _in_order(1, 0, _LARGEST))
    """The same for the share that a patch keeps when a box of another is pasted in; with mixup, one of the two."""

    def __post_init__(self) -> None:
        for option in fields(self):
            given = getattr(self, option.name)
            if isinstance(given, list):  # as JSON and YAML have pairs
                given = tuple(given)
                object.__setattr__(self, option.name, given)
            if not option.metadata["is_allowed"](given):
                raise AugmentationError(f"{option.name} is {given!r}, expected {option.metadata['expected']}")

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Unpickle; an option that came later has its default."""
        for number, option in enumerate(fields(self)):
            object.__setattr__(self, option.name, state[number] if number < len(state) else option.default)

    def __repr__(self) -> str:
        """Name what is not the default."""
        given = {option.name: getattr(self, option.name) for option in fields(self)}
        odd = [
            f"{option.name}={given[option.name]!r}" for option in fields(self) if given[option.name] != option.default
        ]
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


class AugmentationOptions(TypedDict, total=False):
    """The fields of `Augmentation` as keywords."""

    flips: bool
    gain: tuple[float, float]
    bias: tuple[float, float]
    noise_std: float
    drop: float
    crop: tuple[float, float]
    aspect: tuple[float, float]
    mixup: float
    cutmix: float


class PatchValue(NamedTuple):
    """What each patch has one of in `AugmentParameters`."""

    dtype: type[np.generic]
    """Of an element."""

    unvaried: Any
    """The value that leaves a patch as it is."""

    dims: tuple[str, ...]
    """Of the array: ``patch``, and then ``band``, or ``edge``, of which a box has four."""

    mixes: bool
    """Whether it is of mixing, which needs other patches of the batch."""


def _drawn(dtype: type[np.generic], unvaried: Any = 0, *dims: str, mixes: bool = False) -> dict[str, PatchValue]:
    return {"value": PatchValue(dtype, unvaried, ("patch", *dims), mixes)}


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class AugmentParameters:
    """How each of some patches varies: what was drawn, and what its noise is drawn with.

    What else is drawn for each patch comes last: it is taken, checked and cut into blocks by what its field says. The
    engines take it by name: ``ParameterArrays`` of `device.kernels.transform`, and ``PATCH`` and ``patch_records`` of
    `device.records`.
    """

    augmentation: Augmentation
    """The ways that were allowed."""

    seed: int
    """Key of the random numbers."""

    epoch: int
    """Part of their counter."""

    view: int
    """Part of their counter: which of several variations of the same patch this is."""

    bands: tuple[str, ...]
    """Name of each band."""

    rows: NDArray[np.int64] = field(metadata=_drawn(np.int64))
    """Row in the store of each patch, shape ``(patch,)``."""

    d4: NDArray[np.uint8] = field(metadata=_drawn(np.uint8))
    """Symmetry, shape ``(patch,)``: ``d4 % 4`` quarter turns counter-clockwise, then for 4 and more a flip along x."""

    gain: NDArray[np.float32] = field(metadata=_drawn(np.float32, 1))
    """Factor, shape ``(patch,)``."""

    bias: NDArray[np.float32] = field(metadata=_drawn(np.float32))
    """What is added, shape ``(patch,)``, in the unit of the pixels."""

    dropped: NDArray[np.bool_] = field(metadata=_drawn(np.bool_, False, "band"))
    """Whether a band becomes 0, shape ``(patch, band)``."""

    crop: NDArray[np.float32] = field(metadata=_drawn(np.float32, (0, 0, SIDE, SIDE), "edge"))
    """Box to cut out, shape ``(patch, 4)``: top, left, height, width, in pixels of 10 m of the patch as it is stored,
    before it is turned; ``(0, 0, 120, 120)`` is all of it."""

    partner: NDArray[np.intp] = field(metadata=_drawn(np.intp, mixes=True))
    """Place in the batch of the patch to mix with, shape ``(patch,)``; its own where there is none."""

    weight: NDArray[np.float32] = field(metadata=_drawn(np.float32, 1, mixes=True))
    """Weight of the patch itself in the blend with its partner, shape ``(patch,)``; 1 leaves it as it is."""

    box: NDArray[np.int32] = field(metadata=_drawn(np.int32, 0, "edge", mixes=True))
    """Where the partner's pixels replace its own, shape ``(patch, 4)``: top, left, height, width, in 120ths of the
    side of the result; ``(0, 0, 0, 0)`` is nowhere."""

    def __setstate__(self, state: Sequence[Any]) -> None:
        """Unpickle; what came later leaves patches as they are."""
        found = dict(zip((one.name for one in fields(self)), state, strict=False))
        for name, value in {**_unvaried_values(len(found["rows"]), found["bands"]), **found}.items():
            object.__setattr__(self, name, value)

    @property
    def noise_words(self) -> NDArray[np.uint64]:
        """Second word of the counter of the noise of each band, shape ``(band,)``."""
        return _word(_OF_NOISE, self.view) | band_words(self.bands)

    @property
    def cropping(self) -> NDArray[np.float32]:
        """Box of each patch as it applies, shape ``(patch, 4)``; where nothing is cropped, one for all: ``(1, 4)``."""
        return self.crop if self.augmentation.crops else np.array([(0, 0, SIDE, SIDE)], np.float32)

    @property
    def mixing(self) -> tuple[NDArray[np.float32], NDArray[np.int32]]:
        """Weight and box of each patch as they apply: a patch that is its own partner is not mixed."""
        own = self.partner == np.arange(len(self.partner))
        return np.where(own, np.float32(1), self.weight), np.where(own[:, None], 0, self.box)

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
        taken = {name: getattr(self, name)[at] for name in PATCH_VALUES}
        of_bands = {name: taken[name][:, band_at] for name, value in PATCH_VALUES.items() if "band" in value.dims}
        return replace(self, bands=tuple(bands), **{**taken, **of_bands, "partner": self._partners(at)})

    def for_patches(self, patches: int, **values: NDArray[Any]) -> "AugmentParameters":
        """The same draw for other patches: fields of `PATCH_VALUES` that are not given leave them as they are."""
        new: dict[str, Any] = {**_unvaried_values(patches, self.bands), **values}
        return replace(self, **new)

    def _partners(self, at: NDArray[np.intp]) -> NDArray[np.intp]:
        """Places of the partners of some of the patches, among these."""
        if not self.augmentation.mixes:
            return np.arange(at.size)
        place, missing = _find(self.partner[at], at)
        if missing.size:
            raise AugmentationError(
                f"row {self.rows[missing[0]]} is mixed into another patch and is not among those taken; take whole "
                "batches, or draw anew without mixup and cutmix"
            )
        return place


PATCH_VALUES: Mapping[str, PatchValue] = {
    one.name: one.metadata["value"] for one in fields(AugmentParameters) if "value" in one.metadata
}
"""By field of `AugmentParameters`, what each patch has one of."""


def unvaried(patches: int, bands: Sequence[str]) -> AugmentParameters:
    """Parameters with which patches stay as they are."""
    values: dict[str, Any] = _unvaried_values(patches, bands)
    return AugmentParameters(
        augmentation=Augmentation(flips=False), seed=0, epoch=0, view=0, bands=tuple(bands), **values
    )


def draw_parameters(
    rows: Sequence[int] | NDArray[np.integer],
    augmentation: Augmentation,
    *,
    bands: Iterable[str],
    seed: int,
    epoch: int = 0,
    view: int = 0,
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
    view
        So does another view, 0 to 255: two views of the same patches are pairs for self-supervised learning.

    Returns
    -------
    AugmentParameters
        On the host, whatever the pixels are on. Partners in mixing depend on all rows given, but not on their order.

    Raises
    ------
    AugmentationError
        If rows, seed, epoch or view are out of range, or no integers.
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
    _check_key(seed, epoch, view)
    numbers = _checked_rows(rows)
    seed, epoch, view = int(seed), int(epoch), int(view)  # NumPy's have no room for 64 bits of seed
    row, now = numbers.astype(np.uint64), np.uint64(epoch)
    of_patch: list[Any] = uniform([_NOWHERE, _word(_OF_PATCH, view), row, now], seed=seed)
    of_band: list[Any] = uniform([_NOWHERE, _word(_OF_DROP, view) | band_words(names), row[:, None], now], seed=seed)
    of_crop: list[Any] = uniform([_NOWHERE, _word(_OF_CROP, view), row, now], seed=seed)
    partner, weight, box = draw_mixing(
        [_NOWHERE, _word(_OF_MIXING, view), row, now], seed=seed, mixup=augmentation.mixup, cutmix=augmentation.cutmix
    )
    return AugmentParameters(
        augmentation=augmentation,
        seed=seed,
        epoch=epoch,
        view=view,
        bands=names,
        rows=numbers.astype(np.int64),
        d4=(_SYMMETRIES * augmentation.flips * of_patch[0]).astype(np.uint8),
        gain=_in_range(of_patch[1], augmentation.gain),
        bias=_in_range(of_patch[2], augmentation.bias),
        dropped=of_band[0] < augmentation.drop,
        crop=_draw_crops(of_crop, augmentation),
        partner=partner,
        weight=weight,
        box=box,
    )


def _draw_crops(chance: Sequence[Any], augmentation: Augmentation) -> NDArray[np.float32]:
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
    >>> _draw_crops([np.float32([0.5])] * 4, Augmentation(crop=(0.25, 0.25), aspect=(1, 1)))
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


def band_words(names: Sequence[str]) -> NDArray[np.uint64]:
    """Number bands by what they are, so that neither their order nor the choice of others matters."""
    return np.array([_NUMBERS[band.name] for band in bands(names)], np.uint64)


def _unvaried_values(patches: int, bands: Sequence[str]) -> dict[str, NDArray[Any]]:
    """Values of every field of `PATCH_VALUES` with which patches stay as they are."""
    sizes = {"patch": patches, "band": len(bands), "edge": 4}
    values = {
        name: np.full([sizes[dim] for dim in value.dims], value.unvaried, value.dtype)
        for name, value in PATCH_VALUES.items()
    }
    return {**values, "partner": np.arange(patches)}


def _in_range(chance: Any, limits: tuple[float, float]) -> NDArray[np.float32]:
    low, high = limits
    drawn: NDArray[np.float32] = np.float32(low) + np.float32(high - low) * chance
    return drawn


def _word(purpose: np.uint64, view: int) -> np.uint64:
    """Second word of a counter, less the band."""
    return purpose | np.uint64(view) << _OF_VIEW


def _find(wanted: NDArray[Any], among: NDArray[Any]) -> tuple[NDArray[np.intp], NDArray[Any]]:
    """Where each of some values is, and those that are nowhere."""
    if not among.size:
        return np.empty(0, np.intp), wanted
    order = np.argsort(among, kind="stable")
    at = order[np.searchsorted(among, wanted, sorter=order).clip(max=among.size - 1)]
    return at, wanted[among[at] != wanted]


def _check_key(seed: int, epoch: int, view: int) -> None:
    """Refuse what does not fit the random numbers' counter and key."""
    for name, given, greatest in (("seed", seed, _MAX_SEED), ("epoch", epoch, MAX_WORD), ("view", view, _MAX_VIEW)):
        if not isinstance(given, int | np.integer) or not 0 <= given <= greatest:
            raise AugmentationError(f"{name} is {given!r}, expected an integer from 0 to {greatest}")


def _checked_rows(rows: Sequence[int] | NDArray[np.integer]) -> NDArray[np.integer]:
    """Refuse what are not rows: a fraction would be cut off, and the random numbers' counter has 32 bits for each."""
    found = np.asarray(rows)
    if found.ndim != 1 or (found.size and found.dtype.kind not in "iu"):
        given, expected = f"{found.dtype} of shape {found.shape}", "integers of shape (patch,)"
    elif found.size and not 0 <= found.min() <= found.max() <= MAX_WORD:
        given, expected = f"{found.min()} to {found.max()}", "rows of a store"
    else:
        return found
    raise AugmentationError(f"rows are {given}, expected {expected}; take the coordinate 'row' of its Dataset")
