"""Build batches on the host: find native pixels, draw how they vary, and transform them in one pass.

Also what this needs: targets after pasting (`cutmix`), and memory for batches that is used again.
"""

import weakref
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from queue import Empty, SimpleQueue
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from bigearth_xr import former
from bigearth_xr.batches.patches import Part, Patches
from bigearth_xr.batches.recipe import Recipe
from bigearth_xr.device.host import transform_batch, transform_packed
from bigearth_xr.errors import LoaderError
from bigearth_xr.labels import UNLABELLED_CLASS, Order, clc_to_class, reorder_labels
from bigearth_xr.ops.augmentation import AugmentParameters, draw_parameters
from bigearth_xr.ops.mixing import mix_labels, pixel_boxes
from bigearth_xr.ops.random import MAX_WORD
from bigearth_xr.ops.reference import crop_and_turn
from bigearth_xr.ops.resample import SIDE
from bigearth_xr.ops.transform import Precision
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import REFERENCE_MAP

__all__ = ["BatchBuilder", "BatchPart", "BatchPlan", "OutputPool"]

_CACHE_LINE = 64
_BFLOAT16_EXPONENT = np.uint16(0x7F80)
_CLASSES = 19


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPart:
    """Patches of one batch that are of one Dataset, and how they vary."""

    part: Part
    """Where they are, and what becomes of them."""

    numbers: NDArray[np.int64]
    """By which the part's reader knows them."""

    within: slice
    """Where they stand in the batch."""

    views: tuple[AugmentParameters | None, ...]
    """How each view of them varies; None for not at all."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class BatchPlan:
    """What a batch is to be; no pixel has been read."""

    places: NDArray[np.intp]
    """Place of each patch among `Patches`, those of one Dataset next to each other, shape ``(patch,)``."""

    row: NDArray[np.int64]
    """Row of each patch in its store."""

    targets: NDArray[np.float32]
    """Labels, mixed as the first view is, shape ``(patch, label)``."""

    parts: list[BatchPart]
    """What is read and transformed together."""


class BatchBuilder:
    """Builds batches of patches in memory of the host; may be used by many threads at once.

    Parameters
    ----------
    patches, recipe
        Of what, and what they are to be.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> recipe = Recipe(bands=("B04", "VV"))
    >>> builder = BatchBuilder(patches_of([ds], recipe), recipe)
    >>> plan = builder.plan(np.array([2, 0]))
    >>> image = np.empty((2, *builder.patch_shape), builder.dtype)
    >>> builder.fill(plan, 0, image)
    0
    >>> image.shape, plan.row, plan.targets.shape
    ((2, 2, 120, 120), array([2, 0]), (2, 19))
    >>> print(builder)
    3 patches, bands=['B04', 'VV'], size=120, 19 labels, dtype='float32', method='standardize', augment=None
    """

    def __init__(self, patches: Patches, recipe: Recipe) -> None:
        self.patches, self.recipe = patches, recipe
        self._maps = _map_readers(patches, recipe)

    def __reduce__(self) -> tuple[type["BatchBuilder"], tuple[Patches, Recipe]]:
        """Pickle without the readers of maps, which are found by their part's id."""
        return BatchBuilder, (self.patches, self.recipe)

    def __str__(self) -> str:
        """Say what batches are built of: patches, bands, size and labels, and of the rest what is not the default."""
        recipe, usual = self.recipe, Recipe()
        names = [name for name in ("views", "resampling", "units", "label_order", "nonfinite")
                 if getattr(recipe, name) != getattr(usual, name)]  # fmt: skip
        others = "".join(f", {name}={getattr(recipe, name)!r}" for name in names)
        return (
            f"{len(self.patches):,} patches, bands={list(self.bands)}, size={self.patch_shape[-1]}, "
            f"{len(self.patches.labels)} labels, dtype={recipe.dtype!r}, method={recipe.method!r}, "
            f"augment={recipe.augment}{others}"
        )

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of a batch, in its order."""
        return self.patches.parts[0].transform.bands

    @property
    def patch_shape(self) -> tuple[int, int, int]:
        """Shape of a patch in a batch: ``(band, y, x)``."""
        _, *shape = self.patches.parts[0].transform.out_shape(1)
        return tuple(shape)  # type: ignore[return-value]  # three of four

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of a batch on the host, which holds bfloat16 as uint16."""
        return self.patches.parts[0].transform.out_dtype

    def plan(self, places: NDArray[np.intp], repeats: NDArray[np.int64] | None = None, epoch: int = 0) -> BatchPlan:
        """Say what is to be read for a batch, how its patches vary, and their targets.

        Parameters
        ----------
        places
            Among `patches`; those of one Dataset are put next to each other, and keep their order.
        repeats
            How many times each came before in the epoch: every time it varies otherwise.
        epoch
            So it does in every epoch.
        """
        patches = self.patches
        order = np.argsort(patches.part[places], kind="stable")
        places = places[order]
        key = patches.key[places] if repeats is None else patches.key[places] + repeats[order] * patches.keys
        key = key % (MAX_WORD + 1)
        part = patches.part[places]
        starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
        parts = []
        for start, end in zip(starts, [*starts[1:], places.size], strict=True):
            one, within = patches.parts[part[start]], slice(start, end)
            views = tuple(self._vary(one, key[within], epoch, view) for view in range(self.recipe.views))
            parts.append(BatchPart(part=one, numbers=patches.number[places[within]], within=within, views=views))
        targets, parts = self._mixed(patches.targets[places], parts)
        return BatchPlan(places=places, row=patches.row[places], targets=targets, parts=parts)

    def fill(self, plan: BatchPlan, view: int, out: NDArray[Any]) -> int:
        """Write one view of a batch.

        Parameters
        ----------
        plan
            By `BatchBuilder.plan`.
        view
            Which.
        out
            Shape ``(patch, band, y, x)``, of `dtype`, C order; written whole.

        Returns
        -------
        int
            Where the recipe has them counted, how many stored pixels of the patches, in the bands of the batch, are
            not finite; 0 of any view but the first, as the patches are the same.
        """
        found = np.zeros(len(out), np.int64)
        counted = self.recipe.nonfinite != "keep" and view == 0
        for one in plan.parts:
            transform, parameters, target = one.part.transform, one.views[view], out[one.within]
            nonfinite = found[one.within] if counted else None
            with one.part.reader.locate(one.numbers) as located:
                if located.packed is None or not transform_packed(
                    transform, located.packed, parameters, out=target, nonfinite=nonfinite
                ):
                    transform_batch(transform, located.addresses, parameters, out=target, nonfinite=nonfinite)
        if self.recipe.nonfinite == "zero":
            zero_nonfinite(out, self.recipe.dtype)
        return int(found.sum())

    def close(self) -> None:
        """Give up files and threads of the readers; the next batch opens them again."""
        for part in self.patches.parts:
            part.reader.close()

    def _vary(self, part: Part, key: NDArray[np.int64], epoch: int, view: int) -> AugmentParameters | None:
        if self.recipe.augment is None:
            return None
        return draw_parameters(
            key, self.recipe.augment, bands=part.transform.bands, seed=self.recipe.seed, epoch=epoch, view=view
        )

    def _mixed(
        self, targets: NDArray[np.float32], parts: list[BatchPart]
    ) -> tuple[NDArray[np.float32], list[BatchPart]]:
        """Targets mixed as the first view is; and the parts, less boxes of patches whose reference map is missing."""
        if self.recipe.augment is None or not self.recipe.augment.mixes:
            return targets, parts
        mixed, kept = np.empty_like(targets), []
        for one in parts:
            first, own = one.views[0], targets[one.within]
            if first is not None and first.box.any():
                maps = self._maps[id(one.part)].read(one.numbers)
                mixed[one.within], first = _targets_of_maps(own, first, maps, self.recipe.label_order)
            else:
                mixed[one.within] = own if first is None else mix_labels(own, first.partner, first.weight, first.box)
            kept.append(replace(one, views=(first, *one.views[1:])))
        return mixed, kept


class OutputPool:
    """Lends memory for batches of one size, from any thread; it is used again, as fresh memory costs time.

    What is lent comes back by itself when the array handed out is collected, and not before. A tensor made by
    ``torch.from_numpy`` of it keeps it as long as the tensor or any view of it lives, so that a batch that is kept is
    never written over. A *view* that NumPy makes of the array does not keep it: hand on the array itself.

    Parameters
    ----------
    nbytes
        Of the largest batch.
    keep
        Buffers that wait to be used again; more go back to the system.

    Examples
    --------
    >>> pool = OutputPool(64, keep=1)
    >>> first = pool.lend((2, 8), np.float32)
    >>> address = first.ctypes.data
    >>> del first
    >>> pool.lend((1, 8), np.float32).ctypes.data == address
    True
    """

    def __init__(self, nbytes: int, *, keep: int) -> None:
        self._nbytes, self._keep = nbytes, keep
        # A finalizer may run inside any call of this very queue: it alone is made for that.
        self._idle: SimpleQueue[NDArray[np.uint8]] = SimpleQueue()

    def __reduce__(self) -> tuple[Callable[[], "OutputPool"], tuple[()]]:
        """Pickle without buffers."""
        return partial(OutputPool, self._nbytes, keep=self._keep), ()

    def lend(self, shape: tuple[int, ...], dtype: DTypeLike) -> NDArray[Any]:
        """Lend an array, not filled; waits for nothing: where no memory is idle, there is new."""
        try:
            buffer = self._idle.get_nowait()
        except Empty:
            buffer = np.empty(self._nbytes + _CACHE_LINE, np.uint8)
        start = -buffer.ctypes.data % _CACHE_LINE
        kind = np.dtype(dtype)
        size = int(np.prod(shape)) * kind.itemsize
        lent: NDArray[Any] = buffer[start : start + size].view(kind).reshape(shape)
        # NumPy's views of `lent` refer to `buffer`, past `lent`: only a reference to `lent` itself keeps it.
        weakref.finalize(lent, _take_back, self._idle, buffer, self._keep).atexit = False
        return lent


class MapReader:
    """Reads reference maps as classes.

    Parameters
    ----------
    store
        Where they are; None where pixels were computed.

    Raises
    ------
    LoaderError
        If there are none.
    """

    def __init__(self, store: Store | None) -> None:
        if store is None or all(array.name != REFERENCE_MAP for array in store.arrays):
            where = "pixels that were computed" if store is None else str(store.location)
            raise LoaderError(
                f"cutmix needs reference maps to tell which labels are left, and {where} has none: they come with v2; "
                "use mixup instead"
            )
        self._reader = BatchReader(store, (), reference_map=True)

    def read(self, rows: NDArray[np.integer]) -> NDArray[np.uint8]:
        """Read the maps of some rows, shape ``(patch, y, x)``: 0 to 18, and 255 for what is unlabelled."""
        return clc_to_class(self._reader.read(rows)[REFERENCE_MAP])


def zero_nonfinite(batch: NDArray[Any], dtype: Precision) -> None:
    """Put 0 in the place of what is not finite: −inf dB is a radar pixel without echo, NaN one that was never seen.

    Parameters
    ----------
    batch
        Any shape; uint16 that hold bits if `dtype` is bfloat16. Changed in place.
    dtype
        What its values are.
    """
    # Patch by patch, which stays in the processor's cache.
    for patch in batch.reshape(len(batch), -1):
        # Bits of NaN and infinities have every bit of the exponent set.
        nonfinite = (patch & _BFLOAT16_EXPONENT) == _BFLOAT16_EXPONENT if dtype == "bfloat16" else ~np.isfinite(patch)
        if nonfinite.any():
            patch[nonfinite] = 0


def _map_readers(patches: Patches, recipe: Recipe) -> dict[int, MapReader]:
    """Readers of the reference maps, by part, if boxes are pasted."""
    if recipe.augment is None or not recipe.augment.cutmix:
        return {}
    if recipe.views > 1:
        raise LoaderError("cutmix changes the labels of one view, and there are two; use views=1, or leave cutmix out")
    if len(patches.labels) != _CLASSES:
        raise LoaderError("cutmix takes labels from reference maps, which have the 19 classes; use nomenclature=19")
    return {id(part): MapReader(part.store) for part in patches.parts}


def _targets_of_maps(
    targets: NDArray[np.float32], drawn: AugmentParameters, maps: NDArray[np.uint8], order: Order
) -> tuple[NDArray[np.float32], AugmentParameters]:
    """Find the labels of patches after cropping, turning and pasting: only reference maps know what came and went.

    Parameters
    ----------
    targets
        Their targets before, shape ``(patch, label)``; they stay those of patches without a box, blended where these
        are.
    drawn
        How the patches vary.
    maps
        Class of each pixel, shape ``(patch, y, x)``, paper order; a map without any class is missing.
    order
        Of the labels.

    Returns
    -------
    labels, drawn
        Shape ``(patch, label)``; and what was drawn, less the boxes of patches that have no map, or whose partner has
        none.

    Examples
    --------
    >>> from bigearth_xr.ops.augmentation import Augmentation, draw_parameters
    >>> drawn = draw_parameters(np.arange(2), Augmentation(flips=False, cutmix=1), bands=["B04"], seed=0)
    >>> maps = np.repeat(np.uint8([3, 7]), 14_400).reshape(2, 120, 120)
    >>> labels, _ = _targets_of_maps(np.zeros((2, 19), np.float32), drawn, maps, "paper")
    >>> [np.flatnonzero(label).tolist() for label in labels]
    [[3, 7], [3, 7]]
    """
    there = (maps != UNLABELLED_CLASS).any(axis=(1, 2))
    usable = there & there[drawn.partner]
    drawn = replace(drawn, box=drawn.box * usable[:, None])
    boxed = drawn.box.any(axis=1)
    labels = mix_labels(targets, drawn.partner, drawn.weight, np.zeros_like(drawn.box))
    if boxed.any():
        labels[boxed] = reorder_labels(_present(maps, drawn)[boxed], 19, from_order="paper", to_order=order)
    return labels, drawn


def _present(maps: NDArray[np.uint8], drawn: AugmentParameters) -> NDArray[np.bool_]:
    """Whether each class is anywhere in a patch, as it is after pasting, shape ``(patch, class)``."""
    moved = crop_and_turn(maps, drawn)
    top, left, bottom, right = pixel_boxes(drawn.box, SIDE).T[:, :, None]
    side = np.arange(SIDE)
    inside = ((side >= top) & (side < bottom))[:, :, None] & ((side >= left) & (side < right))[:, None, :]
    pasted = np.where(inside, moved[drawn.partner], moved).reshape(len(maps), -1)
    return np.stack([(pasted == number).any(axis=1) for number in range(_CLASSES)], axis=1)


def _take_back(idle: SimpleQueue[NDArray[np.uint8]], buffer: NDArray[np.uint8], keep: int) -> None:
    if idle.qsize() < keep:
        idle.put(buffer)


def __getattr__(name: str) -> object:
    return former.find_moved(__name__, name)
