"""Labels of patches into which boxes of others were pasted: only the reference maps know what came and went."""

from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.errors import LoaderError
from bigearth_xr.labels import UNLABELLED_CLASS, Order, clc_to_class, reorder_labels
from bigearth_xr.ops.augmentation import AugmentParameters
from bigearth_xr.ops.mixing import mix_labels, pixel_boxes
from bigearth_xr.ops.reference import move
from bigearth_xr.ops.resample import SIDE
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.open import Store
from bigearth_xr.store.schema import REFERENCE_MAP

_CLASSES = 19


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

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.store.open import open_store
    >>> store = open_store(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> MapReader(store).read(np.array([2, 0])).shape
    (2, 120, 120)
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


def targets_of_maps(
    targets: NDArray[np.float32], drawn: AugmentParameters, maps: NDArray[np.uint8], order: Order
) -> tuple[NDArray[np.float32], AugmentParameters]:
    """Find the labels of patches after cropping, turning and pasting.

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
    >>> labels, _ = targets_of_maps(np.zeros((2, 19), np.float32), drawn, maps, "paper")
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
    moved = move(maps, drawn)
    top, left, bottom, right = pixel_boxes(drawn.box, SIDE).T[:, :, None]
    side = np.arange(SIDE)
    inside = ((side >= top) & (side < bottom))[:, :, None] & ((side >= left) & (side < right))[:, None, :]
    pasted = np.where(inside, moved[drawn.partner], moved).reshape(len(maps), -1)
    return np.stack([(pasted == number).any(axis=1) for number in range(_CLASSES)], axis=1)
