"""Embed patches: a model × a Dataset → vectors in the store, beside the pixels that they were made of."""

import json
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, Literal, get_args

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.backend.columns import embedding_variables
from bigearth_xr.backend.origin import as_opened, own_pixels
from bigearth_xr.backend.pixels import StoredPixels, row_numbers
from bigearth_xr.batches.recipe import Nonfinite
from bigearth_xr.errors import EmbeddingError, LoaderError
from bigearth_xr.image import image
from bigearth_xr.ops.scale import standardize
from bigearth_xr.ops.spectral import spectral_features
from bigearth_xr.scaling import Method, Statistics, scale_of
from bigearth_xr.spelling import check_choice, takes_known
from bigearth_xr.store.embeddings import (
    CHUNK_ROWS,
    Embedding,
    Provenance,
    check_name,
    create_embedding,
    embedding_names,
    open_embedding,
    read_computed,
    remove_embedding,
    write_vectors,
)
from bigearth_xr.store.open import Store
from bigearth_xr.store.read import read_column
from bigearth_xr.units import UnitCheck, Units

if TYPE_CHECKING:
    import torch

    from bigearth_xr.torch.encoder import Encode

__all__ = ["embed"]


@takes_known
def embed(
    ds: xr.Dataset,
    model: "torch.nn.Module | Literal['spectral']",
    *,
    name: str,
    bands: Iterable[str] | None = None,
    batch_size: int = 128,
    normalize: Method | None = "standardize",
    stats: Statistics | None = None,
    units: Units | Iterable[Units] | None = None,
    device: str = "auto",
    nonfinite: Nonfinite = "keep",
    overwrite: bool = False,
) -> xr.DataArray:
    """Compute a vector for every patch, and keep it in the store's group ``embeddings/<name>``.

    Rows computed before, in this call or one that was killed, are not computed again; other rows of the store stay as
    they are, so that a Dataset may be embedded part by part.

    Parameters
    ----------
    ds
        Dataset of one store, selected in any way. Where pixels are not a store's own, as they are saved again, loaded
        or computed with, their vectors are given back and kept nowhere, with a warning.
    model
        Module called on float32 images, shape ``(patch, band, y, x)``, in evaluation mode and without gradients, that
        gives ``(patch, feature)`` or ``(patch, feature, 1, 1)``. Or ``"spectral"``, which needs no torch: mean,
        standard deviation and quantiles 0.1, 0.5, 0.9 of each band, of the NDVI and of VV less VH.
    name
        Name of the embedding in the store.
    bands
        Bands and polarizations in the order of the model's input, or a composite, as ``"rgb"``; by default all of the
        Dataset.
    batch_size
        Patches a call of the model; the spectral baseline is fastest with 8 to 32, which stay in a cache.
    normalize, stats
        How the images are normalised, as in ``DataArray.ben.normalize``; ``None`` gives them as stored.
    units
        What pixels are that were computed with, as in ``DataArray.ben.normalize``.
    device
        Where a torch model works: ``"auto"`` is a GPU where torch has one, else the CPU. It is moved back afterwards.
    nonfinite
        What becomes of NaN and ±inf, as −inf dB where radar had no echo, as `PatchLoader` has it: ``"keep"``;
        ``"count"`` and see the attribute ``nonfinite_pixels`` of what comes back, of the patches of this call; or
        ``"zero"``, which also gives the model 0 in their place, the mean of a standardised band.
    overwrite
        Replace an embedding of this name, all its rows, rather than add to it.

    Returns
    -------
    xarray.DataArray
        ``(patch, feature)`` float32 of the Dataset's patches in their order, read when used; how it was made is in
        ``attrs["bigearth"]``, JSON: model, digest of its parameters, bands, resampling, normalisation, what became of
        NaN and ±inf, store.

    Raises
    ------
    EmbeddingError
        If the name is taken by an embedding made otherwise, the model does not take these bands, or gives no finite
        vector for a patch.
    LoaderError, DeviceError
        If `nonfinite` or `device` is none that there is.
    NormalizationError
        If no statistics belong to the pixels, or their values may be in other units.
    NotStoredError
        If a patch has no pixels.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> bex.embed(ds, "spectral", name="spectral", bands=["B04", "B08"]).shape
    (3, 15)
    """
    if isinstance(batch_size, bool) or not isinstance(batch_size, int | np.integer) or batch_size < 1:
        raise EmbeddingError(f"batch_size is {batch_size!r}, expected an integer of at least 1")
    check_choice("nonfinite", nonfinite, get_args(Nonfinite), LoaderError)
    check_name(name)
    images = _images(as_opened(ds), bands)
    pixels, scale = own_pixels(images), _scale(images, normalize, stats, units)
    look = _Look(policy=nonfinite, scale=scale)
    with _encoder(model, tuple(images["band"].values), scale, device) as encoder:
        if pixels is None:
            return _of_values(images, encoder, look, batch_size, name)
        made = {**encoder.identity, **_circumstances(pixels, scale), "nonfinite": nonfinite}
        embedding = None if overwrite else _resumed(pixels.store, name, made)
        rows = _missing_rows(pixels, embedding)
        for part, vectors in _encoded(pixels, rows, encoder.encode, look, batch_size, step=f"embedding {name}"):
            if embedding is None:
                remove_embedding(pixels.store, name)  # only now, as the new one works
                embedding = create_embedding(pixels.store, name, features=vectors.shape[1], provenance=made)
            write_vectors(embedding, part, vectors)
    return _opened(ds, open_embedding(pixels.store, name), pixels, look)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Scale:
    """How images are normalised: less an offset, over a divisor."""

    record: Mapping[str, Any] | None
    """What `normalize` notes of it in a DataArray; None where images are as stored."""

    offset: NDArray[np.float32]
    """Per band, shape ``(band,)``."""

    divisor: NDArray[np.float32]
    """Per band, shape ``(band,)``."""

    check: UnitCheck | None = None
    """What the values are to be asked first."""


@dataclass(slots=True, kw_only=True)
class _Look:
    """Looks at pixels as they are read, and does with those that are not finite what is asked for."""

    policy: Nonfinite
    """What is asked for."""

    scale: _Scale
    """What images are normalised with afterwards."""

    found: int = 0
    """How many there were so far."""

    def __call__(self, pixels: NDArray[Any]) -> NDArray[Any]:
        """Give back pixels as stored, shape ``(patch, band, y, x)``; where 0 is wanted, what is normalised to 0."""
        if self.policy == "keep" or pixels.dtype.kind != "f":
            return pixels
        odd = ~np.isfinite(pixels)
        self.found += int(odd.sum())
        if self.policy == "count" or not odd.any():
            return pixels
        return np.where(odd, self.scale.offset[:, None, None], pixels)

    @property
    def account(self) -> dict[str, int]:
        """Attributes that say how many there were, where they were counted."""
        return {} if self.policy == "keep" else {"nonfinite_pixels": self.found}


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoder:
    """A model ready for stored pixels, with what identifies it."""

    identity: Mapping[str, str]
    """Name of the model and digest of its parameters."""

    encode: "Encode"
    """From pixels as stored to vectors."""


def _images(ds: xr.Dataset, bands: Iterable[str] | None) -> xr.DataArray:
    if not ds.sizes.get("patch"):
        raise EmbeddingError(
            "the Dataset has no patches along 'patch'; select at least one, a single one as isel(patch=[0])"
        )
    every = [str(name) for dim in ("band", "polarization") if dim in ds.dims for name in ds[dim].values]
    return image(ds, every if bands is None else bands)


def _of_values(images: xr.DataArray, encoder: "_Encoder", look: _Look, batch_size: int, name: str) -> xr.DataArray:
    """Vectors of pixels that no store holds, in memory: filed under rows of a store they would be those of others."""
    warnings.warn(
        "the pixels of this Dataset are not as a store holds them: saved again, computed with, loaded or joined. Their "
        f"vectors are given back and kept nowhere; keep them yourself, as vectors.to_netcdf({name + '.nc'!r}), or "
        "embed the Dataset as bex.open gives it",
        stacklevel=3,
    )
    starts = range(0, images.sizes["patch"], batch_size)
    parts = [_vectors_of(images.isel(patch=slice(start, start + batch_size)), encoder, look) for start in starts]
    identity = json.loads(images.attrs.get("bigearth", "{}"))
    given = {"bands": images["band"].values.tolist(), "normalization": look.scale.record, "nonfinite": look.policy}
    made = {**encoder.identity, **given, **{key: identity[key] for key in ("resampling", "release") if key in identity}}
    known = {key: one for key, one in images.coords.items() if one.dims == ("patch",)}
    attributes = {"long_name": f"embedding {name}", "units": "1", "bigearth": json.dumps(made)} | look.account
    return xr.DataArray(np.concatenate(parts), known, ("patch", "feature"), name, attributes)


def _vectors_of(images: xr.DataArray, encoder: "_Encoder", look: _Look) -> NDArray[np.float32]:
    """Vectors of a few images, after a look at the values."""
    pixels = images.transpose("patch", "band", "y", "x").values
    if look.scale.check is not None:
        look.scale.check(np.moveaxis(pixels, 1, -1))
    with np.errstate(invalid="ignore"):  # of vectors that are not finite the check tells more
        vectors = encoder.encode(look(pixels if pixels.dtype == np.uint16 else pixels.astype(np.float32)))
    named = [str(name) for name in images["patch"].values] if "patch" in images.coords else range(len(vectors))
    _check_finite(vectors, pixels, lambda place: f"{named[place]}")
    return vectors


def _scale(
    images: xr.DataArray, method: Method | None, stats: Statistics | None, units: Units | Iterable[Units] | None
) -> _Scale:
    """What `normalize` would do to the images."""
    if method is None:
        size = images.sizes["band"]
        return _Scale(record=None, offset=np.zeros(size, np.float32), divisor=np.ones(size, np.float32))
    how = scale_of(images, method, stats, units)
    record = json.loads(how.record)
    first, second = np.array(list(record["numbers"].values()), np.float32).T
    divisor = second if method == "standardize" else second - first
    return _Scale(record=record, offset=first, divisor=divisor, check=how.check)


@contextmanager
def _encoder(
    model: "torch.nn.Module | Literal['spectral']", bands: tuple[str, ...], scale: _Scale, device: str
) -> Iterator[_Encoder]:
    """The model as a function of stored pixels."""
    if isinstance(model, str):
        check_choice("model", model, ("spectral", "a torch.nn.Module"), EmbeddingError)
        identity = {"model": "spectral", "model_digest": ""}
        yield _Encoder(
            identity=identity,
            encode=lambda p: np.asarray(spectral_features(p, bands, scale.offset, scale.divisor)),
        )
        return
    if not hasattr(model, "state_dict"):
        raise EmbeddingError(
            f"the model is a {type(model).__name__}, expected a torch.nn.Module or 'spectral'; wrap a function in a "
            "module whose forward calls it"
        )
    from bigearth_xr.torch.encoder import digest, evaluating

    with evaluating(model, device, bands) as encode:
        identity = {"model": f"{type(model).__module__}.{type(model).__qualname__}", "model_digest": digest(model)}
        yield _Encoder(
            identity=identity, encode=lambda p: encode(np.asarray(standardize(p, scale.offset, scale.divisor)))
        )


def _circumstances(pixels: StoredPixels, scale: _Scale) -> Provenance:
    """All but the model that the vectors depend on, as JSON values; neither time nor host."""
    return {
        "bands": list(pixels.bands),
        "resampling": pixels.resampling,
        "normalization": scale.record,
        "release": pixels.store.release,
        "uuid": pixels.store.uuid,
    }


def _resumed(store: Store, name: str, made: Provenance) -> Embedding | None:
    """The embedding of this name, if there is one; made as this one would be, or refused."""
    if name not in embedding_names(store):
        return None
    embedding = open_embedding(store, name)
    # A table that says more of the same patches gives a store another identity, but no other pixels.
    kept = _compared(embedding.provenance)
    differing = [key for key, value in _compared(made).items() if key != "uuid" and kept.get(key) != value]
    if differing:
        raise EmbeddingError(
            f"{store.location}: embedding {name!r} was made with another {', '.join(differing)}; choose another name, "
            "or replace it with overwrite=True"
        )
    return embedding


def _compared(made: Provenance) -> Provenance:
    """What vectors depend on: they are the same whether what is not finite was counted or not."""
    zeroed = made.get("nonfinite") == "zero"  # older embeddings do not say it: they kept all
    return {**made, "nonfinite": "zero" if zeroed else "keep"}


def _missing_rows(pixels: StoredPixels, embedding: Embedding | None) -> NDArray[np.intp]:
    """Rows still to compute, in stored order, each once."""
    rows = np.unique(row_numbers(pixels.rows))
    return rows if embedding is None else rows[~read_computed(embedding)[rows]]


def _encoded(
    pixels: StoredPixels, rows: NDArray[np.intp], encode: "Encode", look: _Look, batch_size: int, *, step: str
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float32]]]:
    """Rows and their vectors, a chunk of the store at a time, with a bar on the terminal."""
    from bigearth_xr.progress import Progress

    with Progress() as progress:
        advance = progress.steps(step, rows.size)
        for chunk in np.split(rows, np.flatnonzero(np.diff(rows // CHUNK_ROWS)) + 1):
            vectors = []
            for start in range(0, chunk.size, batch_size):
                batch = chunk[start : start + batch_size]
                stored = replace(pixels, rows=batch).read((slice(None),) * 4)
                with np.errstate(invalid="ignore"):  # of vectors that are not finite the check tells more
                    vectors.append(encode(look(stored)))
                _check_finite(vectors[-1], stored, partial(_stored_name, pixels.store, batch))
                advance(batch.size)
            if vectors:
                yield chunk, np.concatenate(vectors)


def _stored_name(store: Store, rows: NDArray[np.intp], place: int) -> str:
    return f"{read_column(store, 'patch')[rows[place]]} (row {rows[place]})"


def _check_finite(vectors: NDArray[np.float32], pixels: NDArray[Any], name_of: Callable[[int], str]) -> None:
    """Refuse NaN, which in the store means "not computed", and what no distance can be taken from."""
    bad = np.flatnonzero(~np.isfinite(vectors).all(axis=1))
    if bad.size:
        odd = int((~np.isfinite(pixels[bad[0]])).sum())
        zero = f"{odd:,} of its pixels are NaN or ±inf: nonfinite='zero' puts 0 in their place; else " if odd else ""
        raise EmbeddingError(
            f"the model gives no finite vector for {bad.size} patches of a batch, the first of them "
            f"{name_of(int(bad[0]))}; {zero}check its weights, and the scale of its input (normalize)"
        )


def _opened(ds: xr.Dataset, embedding: Embedding, pixels: StoredPixels, look: _Look) -> xr.DataArray:
    """The vectors of a Dataset's patches, lazily, with what is known of these."""
    coordinates: dict[Any, Any] = {name: known for name, known in ds.coords.items() if set(known.dims) == {"patch"}}
    vectors = embedding_variables(embedding, pixels.rows)["embedding"]
    vectors.attrs |= look.account
    return xr.DataArray(vectors, coords=coordinates, name=embedding.name)
