"""What a model makes of patches: views, a moment's training, vectors, neighbours. Small, and in memory."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib.util import find_spec
from typing import Any

import numpy as np
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS
from bigearth_xr.demo.release import Opened
from bigearth_xr.embedding import embed
from bigearth_xr.report import Learned, Neighbourhood
from bigearth_xr.report.measures import FEW_PATCHES
from bigearth_xr.retrieval import Index, RandomFloor, RetrievalScores, evaluate, random_floor

__all__ = ["Lesson", "learn"]

MOST_PATCHES = 256
"""Patches of a release that are used, spread evenly: all are held in memory."""

SHOWN_VIEWS = 2
SHOWN_QUERIES = 3
NEIGHBOURS = 4
EPOCHS = 10
AUGMENTATION: Mapping[str, Any] = {"gain": (0.9, 1.1), "bias": (-0.1, 0.1)}
"""A factor, and standard deviations of the normalised array, for all bands of a patch alike."""


@dataclass(frozen=True, slots=True, kw_only=True, eq=False)
class Lesson:
    """What was learned, as the page shows it and as the terminal says it."""

    learned: Learned
    """For the page."""

    steps: tuple[tuple[str, str], ...]
    """Name and text of each step."""


def learn(releases: Sequence[Opened]) -> Lesson:
    """Normalise, augment, train (with torch), embed and search, over the patches of all releases together.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> from bigearth_xr.demo.release import open_release
    >>> archive = bex.testing.write_archive(getfixture("tmp_path") / "archive", pairs=6)
    >>> lesson = learn([open_release(archive, getfixture("tmp_path") / "demo.zarr", metadata=None)])
    >>> [step for step, _ in lesson.steps][:2]
    ['prepare', 'augment']
    """
    datasets = [_spread(release.ds) for release in releases]
    bands = _common_bands(datasets)
    normalised = [ds.ben.image(bands).ben.normalize().compute() for ds in datasets]
    augmented = [images.ben.augment(seed=0, **AUGMENTATION) for images in normalised]
    labels = np.concatenate([ds.labels.values for ds in datasets])
    losses, model = _train(normalised, labels)
    vectors, kept = _embed(datasets, model, bands)
    ids = np.concatenate([ds.patch.values for ds in datasets])
    neighbourhoods = _neighbourhoods(vectors, ids)
    learned = Learned(
        images=xr.concat([ds.ben.image(bands).reset_coords(drop=True).compute() for ds in datasets], "patch"),
        labels={str(patch): _names(datasets[0], marks) for patch, marks in zip(ids, labels, strict=True)},
        normalised=normalised[0][:SHOWN_VIEWS],
        augmented=augmented[0][:SHOWN_VIEWS],
        augmentation=_describe(AUGMENTATION),
        embedding="Vectors of the spectral baseline, which learns nothing: statistics of each band; cosine distance",
        losses=tuple(losses),
        neighbourhoods=neighbourhoods,
        scores=_beside_floor(*_score(vectors, labels)),
    )
    return Lesson(learned=learned, steps=tuple(_steps(learned, normalised, kept)))


def _spread(ds: xr.Dataset) -> xr.Dataset:
    count = ds.sizes["patch"]
    return ds.isel(patch=np.unique(np.linspace(0, count - 1, min(count, MOST_PATCHES)).astype(int)))


def _common_bands(datasets: Sequence[xr.Dataset]) -> list[str]:
    """Bands that all Datasets hold: optical first as people see, then as the satellite does."""
    held = [
        {str(name) for dim in ("band", "polarization") if dim in ds.dims for name in ds[dim].values} for ds in datasets
    ]
    common = [band.name for band in BANDS if all(band.name in names for names in held)]
    seen = [name for name in ("B04", "B03", "B02") if name in common]
    return [*seen, *(name for name in common if name not in seen)]


def _train(normalised: Sequence[xr.DataArray], labels: NDArray[np.bool_]) -> tuple[list[float], Any]:
    """Train the paper's small network for a moment, on patches augmented anew every epoch; None without torch."""
    if find_spec("torch") is None or not labels.any():
        return [], None
    import torch

    from bigearth_xr.learn import SCNN, fit

    def images(epoch: int) -> torch.Tensor:
        return torch.cat([each.ben.augment(seed=0, epoch=epoch, **AUGMENTATION).ben.to_torch() for each in normalised])

    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # more would wait for each other, while the catalogue is made
    try:
        with torch.random.fork_rng():
            torch.manual_seed(0)
            model = SCNN(bands=normalised[0].sizes["band"], labels=labels.shape[1])
            losses = fit(model, images, torch.from_numpy(labels), epochs=EPOCHS)
    finally:
        torch.set_num_threads(threads)
    return losses, model.body


def _embed(datasets: Sequence[xr.Dataset], model: Any, bands: list[str]) -> tuple[NDArray[np.float32], dict[str, int]]:
    """Vectors of all patches by the baseline, and the lengths of all that are kept in the stores.

    Neighbours are those of the baseline: the model was trained on these very patches, so its own would prove nothing.
    """
    models = {"spectral": "spectral"} | ({} if model is None else {"scnn": model})
    vectors = {
        name: np.concatenate([embed(ds, one, name=name, bands=bands).values for ds in datasets])
        for name, one in models.items()
    }
    return vectors["spectral"], {name: each.shape[1] for name, each in vectors.items()}


def _neighbourhoods(vectors: NDArray[np.float32], ids: NDArray[np.object_]) -> tuple[Neighbourhood, ...]:
    """The nearest others of a few patches, spread evenly."""
    count = len(ids)
    if count < 2:
        return ()
    queries = np.unique(np.linspace(0, count - 1, min(count, SHOWN_QUERIES)).astype(int))
    found = Index(vectors, patches=ids).query(vectors[queries], k=min(count, NEIGHBOURS + 1))
    assert found.patches is not None
    neighbourhoods = []
    for query, patches, distances in zip(ids[queries], found.patches, found.distances, strict=True):
        others = [i for i, patch in enumerate(patches) if patch != query][:NEIGHBOURS]
        near = {str(patches[i]): float(distances[i]) for i in others}
        neighbourhoods.append(Neighbourhood(query=str(query), found=near))
    return tuple(neighbourhoods)


def _score(
    vectors: NDArray[np.float32], labels: NDArray[np.bool_]
) -> tuple[RetrievalScores | None, RandomFloor | None]:
    """Search every other patch among the rest: no patch can find itself. Few patches have no scores."""
    query, archive = slice(0, None, 2), slice(1, None, 2)
    if len(vectors) < FEW_PATCHES or not labels.any():
        return None, None
    k = min(10, len(vectors[archive]) // 3)
    score = evaluate(vectors[query], labels[query], vectors[archive], labels[archive], k)
    return score, random_floor(labels[query], labels[archive])


def _beside_floor(score: RetrievalScores | None, floor: RandomFloor | None) -> dict[str, tuple[float, float]]:
    if score is None or floor is None:
        return {}
    names = ("precision", "recall", "f1")
    return {f"{name} at {score.k}": (getattr(score, name), getattr(floor, name)) for name in names}


def _names(ds: xr.Dataset, marks: NDArray[np.bool_]) -> tuple[str, ...]:
    return tuple(str(name) for name in ds.label.values[marks])


def _describe(augmentation: Mapping[str, Any]) -> str:
    """Name what was done as the options are named, each in its unit."""
    (least, most), (low, high) = augmentation["gain"], augmentation["bias"]
    text = f"gain {least:g} to {most:g} (a factor), bias {low:g} to {high:g} (standard deviations)"
    return f"flipped and turned, {text.replace('-', '−')}"


def _steps(learned: Learned, normalised: Sequence[xr.DataArray], kept: Mapping[str, int]) -> Iterator[tuple[str, str]]:
    pixels = np.concatenate([images.values.reshape(images.shape[0], -1) for images in normalised])
    count = len(pixels)
    yield (
        "prepare",
        f"{normalised[0].sizes['band']} bands standardised: mean {pixels.mean():.2f}, std {pixels.std():.2f}",
    )
    yield "augment", f"{learned.augmentation}; by seed, epoch and row"
    if learned.losses:
        fell = f"loss {learned.losses[0]:.3f} → {learned.losses[-1]:.3f}"
        yield "train", f"S-CNN, {len(learned.losses)} epochs on these {count} patches: {fell}"
    lengths = ", ".join(f"{name} {count} × {length}" for name, length in kept.items())
    yield "embed", f"kept in the store: {lengths}"
    for near in learned.neighbourhoods[:1]:
        yield "retrieve", f"nearest to {near.query} by the spectral baseline: {next(iter(near.found))}"
    if not learned.scores:
        yield "", "among so few something is always nearest: no scores"
    if learned.scores:
        texts = [f"{name} {value:.2f} (random {floor:.2f})" for name, (value, floor) in learned.scores.items()]
        yield "score", f"half against half: {', '.join(texts)}"
