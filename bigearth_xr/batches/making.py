"""Make batches on the host: find the native pixels, draw how they vary, and transform them in one pass."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.batches.cache import CachedReader
from bigearth_xr.batches.cutting import MapReader, labels_of_maps
from bigearth_xr.batches.finiteness import zero_nonfinite
from bigearth_xr.batches.held import HeldReader
from bigearth_xr.batches.patches import Part, Patches
from bigearth_xr.batches.recipe import Recipe
from bigearth_xr.errors import LoaderError
from bigearth_xr.ops.mixing import mix_labels
from bigearth_xr.ops.parameters import AugmentParameters, draw_parameters
from bigearth_xr.ops.random import MAX_WORD

__all__ = ["Drawn", "Maker", "batches_of", "grouped"]


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Drawn:
    """Patches of one batch that are of one part, and how they vary."""

    part: Part
    """Where they are, and what becomes of them."""

    numbers: NDArray[np.int64]
    """What the part's reader knows them by."""

    within: slice
    """Where they stand in the batch."""

    views: tuple[AugmentParameters | None, ...]
    """How each view of them varies; None for not at all."""


def grouped(patches: Patches, places: NDArray[np.intp]) -> NDArray[np.intp]:
    """Order the patches of a batch by their part; those of one part keep their order.

    Returns
    -------
    NDArray
        Indices into `places`.

    Examples
    --------
    >>> from types import SimpleNamespace
    >>> grouped(SimpleNamespace(part=np.array([0, 0, 1, 1])), np.array([3, 0, 2, 1]))
    array([1, 3, 0, 2])
    """
    order: NDArray[np.intp] = np.argsort(patches.part[places], kind="stable")
    return order


class Maker:
    """Makes batches of patches in memory of the host; may be used by many threads at once.

    Parameters
    ----------
    patches, recipe
        Of what, and what they are to be.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> maker = Maker(patches_of([ds], Recipe()), Recipe())
    >>> [drawn] = maker.draw(np.array([2, 0]))
    >>> drawn.numbers
    array([2, 0])
    """

    def __init__(self, patches: Patches, recipe: Recipe) -> None:
        self.patches, self.recipe = patches, recipe
        self._maps = _map_readers(patches, recipe)

    def __reduce__(self) -> tuple[type["Maker"], tuple[Patches, Recipe]]:
        """Travel without the readers of maps, which are found by their part's id."""
        return Maker, (self.patches, self.recipe)

    @property
    def patch_shape(self) -> tuple[int, int, int]:
        """Shape of a patch in a batch: ``(band, y, x)``."""
        _, *shape = self.patches.parts[0].transform.out_shape(1)
        return tuple(shape)  # type: ignore[return-value]  # three of four

    @property
    def dtype(self) -> np.dtype[Any]:
        """Data type of a batch on the host, which holds bfloat16 as uint16."""
        return self.patches.parts[0].transform.out_dtype

    def draw(self, places: NDArray[np.intp], repeats: NDArray[np.int64] | None = None, epoch: int = 0) -> list[Drawn]:
        """Say what is to be read for a batch, and how its patches vary.

        Parameters
        ----------
        places
            Of `patches`, those of a part next to each other, as `grouped` orders them.
        repeats
            How many times each came before in the epoch: every time it varies otherwise.
        epoch
            So it does in every epoch.
        """
        patches = self.patches
        key = patches.key[places] if repeats is None else patches.key[places] + repeats * patches.keys
        key = key % (MAX_WORD + 1)
        part = patches.part[places]
        starts = np.flatnonzero(np.diff(part, prepend=-1)).tolist()
        parts = []
        for start, end in zip(starts, [*starts[1:], places.size], strict=True):
            one, within = patches.parts[part[start]], slice(start, end)
            numbers = patches.number[places[within]]
            views = tuple(self._vary(one, key[within], epoch, view) for view in range(self.recipe.views))
            parts.append(Drawn(part=one, numbers=numbers, within=within, views=views))
        return parts

    def labels(self, places: NDArray[np.intp], drawn: list[Drawn]) -> tuple[NDArray[np.float32], list[Drawn]]:
        """Labels of a batch, mixed as its first view is.

        Returns
        -------
        labels, drawn
            Shape ``(patch, label)``; and what was drawn, less boxes of patches whose reference map is missing.
        """
        marks = self.patches.marks[places]
        if self.recipe.augment is None or not self.recipe.augment.mixes:
            return marks, drawn
        mixed = np.empty_like(marks)
        kept = []
        for one in drawn:
            mixed[one.within], first = self._mixed(marks[one.within], one)
            kept.append(replace(one, views=(first, *one.views[1:])))
        return mixed, kept

    def fill(self, drawn: list[Drawn], view: int, out: NDArray[Any]) -> int:
        """Write one view of a batch.

        Parameters
        ----------
        drawn
            By `draw`.
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
        from bigearth_xr.device.host import apply, apply_packed

        found = np.zeros(len(out), np.int64)
        counted = self.recipe.nonfinite != "keep" and view == 0
        for one in drawn:
            transform, varied, target = one.part.transform, one.views[view], out[one.within]
            nonfinite = found[one.within] if counted else None
            with one.part.reader.locate(one.numbers) as located:
                if located.packed is None or not apply_packed(
                    transform, located.packed, varied, out=target, nonfinite=nonfinite
                ):
                    apply(transform, located.addresses, varied, out=target, nonfinite=nonfinite)
        if self.recipe.nonfinite == "zero":
            zero_nonfinite(out, self.recipe.dtype)
        return int(found.sum())

    def prefetch(self, places: NDArray[np.intp]) -> None:
        """Have the pixels of patches read that are wanted soon."""
        for part, numbers in self._by_part(places):
            part.reader.prefetch(numbers)

    @property
    def holds(self) -> bool:
        """Whether some of what is read ahead is held here, until it is forgotten, and not by the system."""
        return any(isinstance(part.reader, CachedReader | HeldReader) for part in self.patches.parts)

    def forget(self, places: NDArray[np.intp]) -> None:
        """Let the pixels of patches go that were read ahead, each as often as it was asked for."""
        for part, numbers in self._by_part(places):
            if isinstance(part.reader, CachedReader | HeldReader):
                part.reader.forget(numbers)

    def close(self) -> None:
        """Give up files and threads of the readers; the next batch opens them again."""
        for part in self.patches.parts:
            part.reader.close()

    def _by_part(self, places: NDArray[np.intp]) -> Iterator[tuple[Part, NDArray[np.int64]]]:
        """Parts of some patches, and what their readers know these by."""
        for number, part in enumerate(self.patches.parts):
            mine = places[self.patches.part[places] == number]
            if mine.size:
                yield part, self.patches.number[mine]

    def _vary(self, part: Part, key: NDArray[np.int64], epoch: int, view: int) -> AugmentParameters | None:
        if self.recipe.augment is None:
            return None
        return draw_parameters(
            key, self.recipe.augment, bands=part.transform.bands, seed=self.recipe.seed, epoch=epoch, view=view
        )

    def _mixed(self, marks: NDArray[np.float32], one: Drawn) -> tuple[NDArray[np.float32], AugmentParameters | None]:
        """Labels of patches of one part as their first view is mixed; and what it really is mixed by."""
        first = one.views[0]
        if first is None or not first.box.any():
            return (marks if first is None else _blend(marks, first)), first
        return labels_of_maps(marks, first, self._maps[id(one.part)].read(one.numbers), self.recipe.label_order)


def batches_of(maker: Maker) -> str:
    """Say what batches are made of: patches, bands, size and labels, and of the rest what is not the default.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.batches.patches import patches_of
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> recipe = Recipe(bands=("B04", "VV"))
    >>> batches_of(Maker(patches_of([ds], recipe), recipe))
    "3 patches, bands=['B04', 'VV'], size=120, 19 labels, dtype='float32', method='standardize', augment=None"
    """
    recipe, patches = maker.recipe, maker.patches
    usual = Recipe()
    size = maker.patch_shape[-1]
    names = [name for name in ("views", "resampling", "units", "label_order", "nonfinite")
             if getattr(recipe, name) != getattr(usual, name)]  # fmt: skip
    odd = "".join(f", {name}={getattr(recipe, name)!r}" for name in names)
    bands = list(patches.parts[0].transform.bands)
    return (
        f"{len(patches):,} patches, bands={bands}, size={size}, {len(patches.labels)} labels, dtype={recipe.dtype!r}, "
        f"method={recipe.method!r}, augment={recipe.augment}{odd}"
    )


def _blend(marks: NDArray[np.float32], drawn: AugmentParameters) -> NDArray[np.float32]:
    return mix_labels(marks, drawn.partner, drawn.weight, drawn.box)


def _map_readers(patches: Patches, recipe: Recipe) -> dict[int, MapReader]:
    """Readers of the reference maps, by part, if boxes are pasted."""
    if recipe.augment is None or not recipe.augment.cutmix:
        return {}
    if recipe.views > 1:
        raise LoaderError("cutmix changes the labels of one view, and there are two; use views=1, or leave cutmix out")
    if len(patches.labels) != 19:
        raise LoaderError("cutmix takes labels from reference maps, which have the 19 classes; use nomenclature=19")
    return {id(part): MapReader(part.store) for part in patches.parts}
