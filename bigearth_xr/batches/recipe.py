"""What the batches of a loader are to be."""

from collections.abc import Iterable, Mapping
from dataclasses import KW_ONLY, dataclass
from typing import Literal, TypedDict, get_args

from bigearth_xr import bands as band_facts
from bigearth_xr.errors import LabelError, LoaderError, NormalizationError
from bigearth_xr.labels import Nomenclature, Order
from bigearth_xr.ops.augmentation import Augmentation
from bigearth_xr.ops.resample import SIDE, Resampling
from bigearth_xr.ops.transform import Precision
from bigearth_xr.scaling import Method, Statistics
from bigearth_xr.spelling import check_choice
from bigearth_xr.stats import BandStatistics
from bigearth_xr.units import Units, check_units

__all__ = ["Nonfinite", "Recipe", "RecipeOptions"]

Nonfinite = Literal["keep", "count", "zero"]
"""What becomes of values that are not finite, as the −inf dB of a radar pixel without echo."""


@dataclass(frozen=True, slots=True)
class Recipe:
    """What batches are made of, whatever the order in which they come.

    Raises
    ------
    LoaderError
        If a choice is none of those that there are.
    BandError, LabelError, NormalizationError
        If bands, an order of labels or statistics do not exist.
    """

    _: KW_ONLY

    bands: Iterable[str] | None = None
    """Bands and polarizations in their order; None for all of the Dataset."""

    resampling: Resampling | None = None
    """How coarser bands are brought to the batch's pixels; None as the Dataset was opened."""

    method: Method | None = "standardize"
    """How bands are brought to one scale; None leaves them as stored."""

    stats: Statistics | Literal["auto"] | None = "auto"
    """Numbers to do so with; ``"auto"`` takes those that were published for such pixels."""

    units: Units | Iterable[Units] | None = None
    """Units of pixels that were computed with, where their values do not say it: one, or one of each sensor."""

    augment: Augmentation | None = None
    """In which ways patches vary; None for not at all."""

    views: Literal[1, 2] = 1
    """How many variations of each patch a batch has."""

    nomenclature: Nomenclature | None = None
    """Classes of the labels, 19 or 43; None as the Dataset was opened."""

    label_order: Order = "paper"
    """Order of the classes."""

    dtype: Precision = "float32"
    """Data type of a batch."""

    size: int = SIDE
    """Pixels along a side of a batch."""

    seed: int = 0
    """Key of the random numbers that patches vary with."""

    nonfinite: Nonfinite = "keep"
    """Whether NaN and ±inf stay as they are, are counted as the store holds them, or counted and replaced in the batch
    by 0: the mean of a standardised band. To replace them costs time."""

    def __post_init__(self) -> None:
        if self.bands is not None:
            object.__setattr__(self, "bands", tuple(band.name for band in band_facts.bands(self.bands)))
        _check_statistics(self.stats)
        object.__setattr__(self, "units", check_units(self.units))
        if self.augment is not None and not isinstance(self.augment, Augmentation):
            raise LoaderError(f"augment is {self.augment!r}, expected an Augmentation, as bex.torch has it, or None")
        if isinstance(self.size, bool):
            raise LoaderError(f"size is {self.size}, expected pixels along a side")
        if self.views not in (1, 2) or isinstance(self.views, bool):
            raise LoaderError(f"views is {self.views!r}, expected 1 or 2")
        if self.views == 2 and self.augment is None:
            raise LoaderError("two views of a patch are the same without augment; say how they vary")
        check_choice("nomenclature", self.nomenclature, (19, 43, None), LoaderError)
        check_choice("nonfinite", self.nonfinite, get_args(Nonfinite), LoaderError)
        check_choice("label_order", self.label_order, get_args(Order), LabelError)


class RecipeOptions(TypedDict, total=False):
    """The fields of `Recipe` that a loader takes as keywords."""

    bands: Iterable[str] | None
    resampling: Resampling | None
    method: Method | None
    stats: Statistics | Literal["auto"] | None
    units: Units | Iterable[Units] | None
    augment: Augmentation | None
    views: Literal[1, 2]
    nomenclature: Nomenclature | None
    label_order: Order
    dtype: Precision
    size: int
    nonfinite: Nonfinite


def _check_statistics(stats: object) -> None:
    """Refuse what are not statistics; whether they fit the bands is asked with these."""
    if stats is None or isinstance(stats, BandStatistics) or (isinstance(stats, str) and stats == "auto"):
        return
    if not isinstance(stats, Mapping):
        raise NormalizationError(
            f"stats is {stats!r}, expected 'auto', BandStatistics as band_statistics('v2', 'nearest') gives them, or "
            "{'B04': (mean, std), …}"
        )
    odd = [name for name, pair in stats.items() if not _are_two_numbers(pair)]
    if odd:
        raise NormalizationError(
            f"stats of {odd[0]} are {stats[odd[0]]!r}, expected two numbers; give e.g. {{'B04': (588.4, 684.6)}}"
        )


def _are_two_numbers(pair: object) -> bool:
    if isinstance(pair, str) or not isinstance(pair, Iterable):
        return False
    try:
        return len([float(number) for number in pair]) == 2
    except (TypeError, ValueError):
        return False
