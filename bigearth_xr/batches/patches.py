"""The patches of one or more Datasets as something to build batches of: where their pixels are, and their targets."""

import hashlib
import warnings
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.backend.origin import as_opened, own_pixels
from bigearth_xr.backend.pixels import StoredPixels, row_numbers
from bigearth_xr.bands import band
from bigearth_xr.batches.recipe import Recipe
from bigearth_xr.errors import LabelError, LoaderError
from bigearth_xr.image import image
from bigearth_xr.labels import Nomenclature, Order, group_multi_hot, label_names, reorder_labels
from bigearth_xr.ops.resample import SIDE
from bigearth_xr.ops.transform import StoredArray, Transform, transform_of
from bigearth_xr.scaling import Scale, scale_of
from bigearth_xr.store.batch import BatchReader
from bigearth_xr.store.buffers import Located
from bigearth_xr.store.open import Store, reading
from bigearth_xr.store.read import read_column
from bigearth_xr.store.rows import Checks
from bigearth_xr.units import UnitCheck

__all__ = ["Patches", "datasets_of", "patches_of"]


class NativeArray(StoredArray, Protocol):
    """A pixel array as it is read."""

    @property
    def patch_bytes(self) -> int:
        """Bytes of one patch."""
        ...


class Reader(Protocol):
    """What batches are read with: from a store, through xarray, or from memory.

    Numbers of patches are rows of a store, and places in an array that was computed.
    """

    @property
    def sources(self) -> Sequence[NativeArray]:
        """The pixel arrays that are read, in the order of addresses."""
        ...

    def locate(self, numbers: NDArray[np.integer], /) -> Located:
        """Find native pixels in this process's memory."""
        ...

    def read(
        self, numbers: NDArray[np.integer], /, out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Copy native pixels, by the name of their array."""
        ...

    def prefetch(self, numbers: NDArray[np.integer], /) -> None:
        """Have patches read from disk that are wanted soon."""
        ...

    @property
    def keeps(self) -> bool:
        """Whether what is prefetched is kept in this process's memory until it is released."""
        ...

    def release(self, numbers: NDArray[np.integer], /) -> None:
        """Let patches go that were prefetched, each as often as it was asked for."""
        ...

    def close(self) -> None:
        """Give up files and threads."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Part:
    """Patches that are read and transformed alike: those of one Dataset."""

    reader: Reader
    """Reads their pixels."""

    transform: Transform
    """What becomes of these."""

    store: Store | None
    """Where they lie; None where pixels were computed."""

    identity: str
    """What their rows are rows of: the store's uuid, or a digest of the patches whose pixels were computed."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Patches:
    """The patches of all Datasets, one Dataset after the other."""

    parts: tuple[Part, ...]
    """One of each Dataset."""

    part: NDArray[np.intp]
    """Which part each patch is of, shape ``(patch,)``."""

    store: NDArray[np.intp]
    """Number of its store: Datasets of one store share it."""

    row: NDArray[np.int64]
    """Row in its store."""

    number: NDArray[np.int64]
    """What its reader knows it by: the row, or the place in a Dataset that was computed."""

    key: NDArray[np.int64]
    """What random numbers know it by: the row, after the rows of the stores before."""

    keys: int
    """Rows of all stores together: keys are less."""

    targets: NDArray[np.float32]
    """Labels, shape ``(patch, label)``; NaN where unknown."""

    labels: tuple[str, ...]
    """Names of the labels."""

    country: NDArray[Any]
    """Names of countries, empty where unknown; shape ``(patch,)``."""

    def __len__(self) -> int:
        """How many there are."""
        return self.row.size

    @property
    def digest(self) -> str:
        """Identify them and their order: the same in every process."""
        sha = hashlib.sha256()
        for part in self.parts:
            sha.update(part.identity.encode())
        for numbers in (self.part, self.row):
            sha.update(numbers.astype("<i8").tobytes())
        return sha.hexdigest()[:16]


def patches_of(datasets: xr.Dataset | Sequence[xr.Dataset], recipe: Recipe, *, checks: Checks = "first") -> Patches:
    """Find where the pixels of Datasets are, and what is to become of them.

    Parameters
    ----------
    datasets
        One or several, each of one store, selected in any way. Pixels that were computed with are read through xarray,
        with a warning.
    recipe
        What batches are to be.
    checks
        When checksums are verified, as in `BatchReader`.

    Raises
    ------
    LoaderError
        If there is no patch, or Datasets differ in their labels.
    BandError, NormalizationError, LabelError, StoreError
        If a Dataset lacks what is asked for.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> patches_of([ds.isel(patch=[2, 0])], Recipe()).row
    array([2, 0])
    """
    return _joined([_found(ds, recipe, checks) for ds in datasets_of(datasets)])


@dataclass(frozen=True, slots=True, kw_only=True)
class _ComputedArray:
    """All bands of an image, as if a store held them in one pixel array."""

    bands: tuple[str, ...]
    """Their order."""

    dtype: Literal["uint16", "float32"]
    """Data type of a pixel."""

    name: str = "computed"
    """What to call it."""

    size: int = SIDE
    """Pixels along a side."""

    @property
    def patch_bytes(self) -> int:
        """Bytes of one patch."""
        return len(self.bands) * self.size**2 * np.dtype(self.dtype).itemsize


class _ComputedReader:
    """Reads patches of a DataArray, of whole patches at 10 m, as `BatchReader` reads those of a store.

    The check sees values before they are scaled: those in memory once, others whenever they are computed.
    """

    keeps = False

    def __init__(self, image: xr.DataArray, check: UnitCheck | None = None) -> None:
        if image.dims != ("patch", "band", "y", "x") or image.shape[2:] != (SIDE, SIDE):
            sizes = ", ".join(f"{name}: {size}" for name, size in image.sizes.items())
            raise LoaderError(
                f"pixels are ({sizes}), expected (patch, band, y: {SIDE}, x: {SIDE}); load whole patches, and crop "
                "them with Augmentation(crop=…)"
            )
        is_here = isinstance(image.variable._data, np.ndarray)
        if check is not None and is_here:
            check(np.moveaxis(image.values, 1, -1))
        self._image, self._check = image, None if is_here else check
        self._type = "uint16" if image.dtype == np.uint16 else "float32"
        bands = tuple(map(str, image["band"].values))
        self.sources: tuple[_ComputedArray, ...] = (
            _ComputedArray(bands=bands, dtype="uint16" if self._type == "uint16" else "float32"),
        )

    def locate(self, numbers: Sequence[int] | NDArray[np.integer]) -> Located:
        """Compute patches by their place in the array, into memory of their own."""
        values = self._values(numbers)
        pixels = np.ascontiguousarray(values, self._type)
        (array,) = self.sources
        starts = pixels.ctypes.data + np.arange(len(pixels), dtype=np.uint64) * np.uint64(array.patch_bytes)
        return Located(starts[None], pixels)

    def read(
        self, numbers: Sequence[int] | NDArray[np.integer], out: Mapping[str, NDArray[Any]] | None = None
    ) -> dict[str, NDArray[Any]]:
        """Compute patches by their place in the array."""
        (array,) = self.sources
        values = self._values(numbers)
        if out is None:
            return {array.name: np.ascontiguousarray(values, self._type)}
        out[array.name][...] = values
        return dict(out)

    def _values(self, numbers: Sequence[int] | NDArray[np.integer]) -> NDArray[Any]:
        values: NDArray[Any] = self._image.isel(patch=np.asarray(numbers)).values
        if self._check is not None:
            self._check(np.moveaxis(values, 1, -1))
        return values

    def prefetch(self, numbers: Sequence[int] | NDArray[np.integer]) -> None:
        """Do nothing: what is computed is not on a disk."""

    def release(self, numbers: NDArray[np.integer]) -> None:
        """Do nothing: nothing was kept."""

    def close(self) -> None:
        """Do nothing."""


def datasets_of(ds: xr.Dataset | Sequence[xr.Dataset]) -> list[xr.Dataset]:
    """List one Dataset or several, those that were saved and opened again as a store's own.

    Raises
    ------
    LoaderError
        If they are none, or have no patch.
    """
    datasets = [ds] if isinstance(ds, xr.Dataset) else list(ds) if isinstance(ds, Iterable) else []
    if not datasets or not all(isinstance(one, xr.Dataset) and one.sizes.get("patch") for one in datasets):
        raise LoaderError(
            "expected Datasets with at least one patch along 'patch' each, as bex.open gives them; a single patch is "
            "ds.isel(patch=[0])"
        )
    return [as_opened(one) for one in datasets]


def _targets(
    ds: xr.Dataset, nomenclature: Nomenclature | None, order: Order, store: Store | None, rows: NDArray[np.integer]
) -> tuple[NDArray[np.float32], tuple[str, ...]]:
    """Labels of patches as numbers to train on, shape ``(patch, label)``, and their names.

    A label is 1 or 0, and NaN for every label of a patch of which none is known. `store` and `rows` say where to look
    up the 43 classes of a Dataset of 19.
    """
    if "labels" not in ds:
        raise LabelError("the Dataset has no variable 'labels'; keep it: ds[['s2', 's1', 'labels']]")
    targets, known = _in_paper_order(ds)
    wanted: Nomenclature = known if nomenclature is None else nomenclature
    if known == 43 and wanted == 19:
        targets = group_multi_hot(targets)
    elif known == 19 and wanted == 43:
        targets = _all_classes(store, rows)
    targets = reorder_labels(targets, wanted, from_order="paper", to_order=order)
    numbers = targets.astype(np.float32)
    if "has_labels" in ds.coords:
        numbers[~ds["has_labels"].values.astype(bool)] = np.nan
    return numbers, label_names(wanted, order)


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class _Found:
    """What is known of the patches of one Dataset."""

    part: Part
    row: NDArray[np.int64]
    number: NDArray[np.int64]
    targets: NDArray[np.float32]
    labels: tuple[str, ...]
    country: NDArray[Any]

    @property
    def home(self) -> str:
        """The store's identity; a Dataset that was computed has one of its own."""
        return self.part.store.uuid if self.part.store else str(id(self))

    @property
    def keys(self) -> int:
        """Rows of the store; of a computed Dataset one more than its largest row, so that repeats get other keys."""
        return self.part.store.rows if self.part.store else int(self.row.max()) + 1


def _found(ds: xr.Dataset, recipe: Recipe, checks: Checks) -> _Found:
    every = [str(name) for dim in ("band", "polarization") if dim in ds.dims for name in ds[dim].values]
    names = every if recipe.bands is None else [*recipe.bands]
    images = image(ds, names, _resampling(ds, names, recipe))
    own = own_pixels(images)
    part = _computed(ds, images, recipe) if own is None else _stored(images, own, recipe, checks)
    places = np.arange(ds.sizes["patch"])
    row = ds["row"].values if "row" in ds.coords else places if own is None else row_numbers(own.rows)
    number = places if own is None else row_numbers(own.rows)
    targets, labels = _targets(ds, recipe.nomenclature, recipe.label_order, part.store, number)
    country = ds["country"].values if "country" in ds.coords else np.full(places.size, "", object)
    return _Found(
        part=part,
        row=np.asarray(row, np.int64),
        number=np.asarray(number, np.int64),
        targets=targets,
        labels=labels,
        country=country,
    )


def _resampling(ds: xr.Dataset, names: Sequence[str], recipe: Recipe) -> Any:
    """What to ask an image for: it refuses to resample computed pixels, but those of 10 m never were."""
    facts = [band(name) for name in names]
    own = all(own_pixels(ds[sensor]) is not None for sensor in {one.sensor for one in facts} if sensor in ds)
    return recipe.resampling if own or any(one.size != SIDE for one in facts) else None


def _stored(images: xr.DataArray, own: StoredPixels, recipe: Recipe, checks: Checks) -> Part:
    reader = BatchReader(own.store, own.bands, checks=checks)
    resampling = own.resampling or "nearest"
    transform = transform_of(
        reader.sources,
        own.bands,
        _spreads(_scale(images, recipe)),
        resampling=resampling,
        size=recipe.size,
        dtype=recipe.dtype,
    )
    return Part(reader=reader, transform=transform, store=own.store, identity=own.store.uuid)


def _computed(ds: xr.Dataset, images: xr.DataArray, recipe: Recipe) -> Part:
    scale = _scale(images, recipe)
    reader = _ComputedReader(images, None if scale is None else scale.check)
    names = [name for name in ("s2", "s1") if name in ds and own_pixels(ds[name]) is None]
    warnings.warn(
        f"{' and '.join(names) or 'the image'} of this Dataset is not as a store holds it: computed with, joined, "
        "loaded, cropped or saved again. It is read through xarray, many times as slowly; give the Dataset as bex.open "
        "and select make it, several as a list, and let the loader compute",
        stacklevel=5,
    )
    transform = transform_of(
        reader.sources,
        reader.sources[0].bands,
        _spreads(scale),
        resampling=recipe.resampling or "nearest",
        size=recipe.size,
        dtype=recipe.dtype,
    )
    ids = "\n".join(map(str, ds["patch"].values)) if "patch" in ds.coords else ""
    return Part(reader=reader, transform=transform, store=None, identity=hashlib.sha256(ids.encode()).hexdigest())


def _scale(images: xr.DataArray, recipe: Recipe) -> Scale | None:
    """What `normalize` would do to the images."""
    if recipe.method is None:
        return None
    stats = None if isinstance(recipe.stats, str) else recipe.stats
    return scale_of(images, recipe.method, stats, recipe.units)


def _spreads(scale: Scale | None) -> dict[str, tuple[float, float]] | None:
    """What to subtract from each band, and to divide it by."""
    if scale is None or scale.method == "standardize":
        return None if scale is None else {**scale.numbers}
    return {name: (low, high - low) for name, (low, high) in scale.numbers.items()}


def _joined(found: Sequence[_Found]) -> Patches:
    """One Dataset after the other, all labels alike."""
    first = found[0]
    for other in found[1:]:
        if other.labels != first.labels:
            raise LabelError(
                f"the Datasets have {len(first.labels)} and {len(other.labels)} labels; ask for those that both have: "
                "nomenclature=19"
            )
        if other.part.transform.bands != first.part.transform.bands:
            raise LoaderError(
                f"the Datasets have bands {', '.join(first.part.transform.bands)} and "
                f"{', '.join(other.part.transform.bands)}; ask for those that both have: bands=[…]"
            )
    sizes = {one.home: one.keys for one in found}
    starts = dict(zip(sizes, np.cumsum([0, *sizes.values()]).tolist(), strict=False))
    homes = list(sizes)
    counts = [one.row.size for one in found]
    return Patches(
        parts=tuple(one.part for one in found),
        part=np.repeat(np.arange(len(found)), counts),
        store=np.repeat([homes.index(one.home) for one in found], counts),
        row=np.concatenate([one.row for one in found]),
        number=np.concatenate([one.number for one in found]),
        key=np.concatenate([one.row + starts[one.home] for one in found]),
        keys=sum(sizes.values()),
        targets=np.concatenate([one.targets for one in found]),
        labels=first.labels,
        country=np.concatenate([one.country for one in found]),
    )


def _in_paper_order(ds: xr.Dataset) -> tuple[NDArray[np.bool_], Nomenclature]:
    there = [str(name) for name in ds["label"].values]
    sizes: tuple[Nomenclature, ...] = (19, 43)
    known = next((size for size in sizes if sorted(there) == sorted(label_names(size))), None)
    if known is None:
        raise LabelError(
            f"the Dataset has {len(there)} labels, and they are neither the 19 classes nor the 43; leave out classes "
            "of what the model gives, not of the Dataset"
        )
    places = [there.index(name) for name in label_names(known)]
    return np.asarray(ds["labels"].transpose("patch", "label").values, np.bool_)[:, places], known


def _all_classes(store: Store | None, rows: NDArray[np.integer]) -> NDArray[np.bool_]:
    if store is None or "labels_43" not in store.columns:
        raise LabelError(
            "the Dataset has 19 classes, and 43 are asked for; open the store with nomenclature=43, which v1 has and "
            "v2 has not"
        )
    with reading(store):
        targets: NDArray[np.bool_] = read_column(store, "labels_43")[rows].astype(np.bool_)
    return targets
