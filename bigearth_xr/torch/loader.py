"""Batches for training, made ahead of time by threads of this process: no workers, no copies between processes."""

import inspect
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import replace
from typing import Any, Unpack

import numpy as np
import torch
import xarray as xr
from numpy.typing import NDArray

from bigearth_xr.batches.build import BatchBuilder
from bigearth_xr.batches.cache import Cache, fill_caches
from bigearth_xr.batches.patches import Patches, patches_of
from bigearth_xr.batches.prefetch import Prefetcher, build_ahead, choose_threads, with_prefetch
from bigearth_xr.batches.recipe import Recipe, RecipeOptions
from bigearth_xr.errors import LoaderError
from bigearth_xr.sampling import WINDOW, Balance, Epoch, Sampling, balance_weights, plan_epoch
from bigearth_xr.spelling import check_known
from bigearth_xr.store.rows import Checks
from bigearth_xr.torch.engine import Built, Engine, PatchBatch, choose_device, create_engine, with_cache_on
from bigearth_xr.torch.position import Position, ShuffledSampler, StoredSampler, choose_rank

__all__ = ["PatchLoader"]


class PatchLoader:
    """Iterates over batches of patches, epoch after epoch.

    Each pass is an epoch of its own: another order, other variations, all of them a function of the seed. Threads make
    batches ahead of time; a batch's memory is used again once no tensor refers to it any more. A loader can be pickled
    and copied: its position travels, and not its files, threads and cache, which the first pass of the copy has anew.

    Values that are not finite, as −inf dB where radar had no echo, are kept as they are, counted, or replaced, as
    `nonfinite` says.

    Parameters
    ----------
    ds
        Dataset as ``bex.open`` and ``ds.ben.select`` make it, or several: of other stores, of another release. Pixels
        that were computed with are read through xarray, with a warning.
    batch_size
        Patches in a batch; the last has fewer where they do not suffice, unless `drop_last` leaves it out.
    bands
        Bands and polarizations in their order; by default all of the Dataset.
    resampling
        How 20 m and 60 m bands are brought to 10 m; by default as the Dataset was opened.
    stats, method
        How bands are brought to one scale, as in ``DataArray.ben.normalize``: ``"auto"`` takes the published statistics
        that fit. ``method=None`` gives pixels as stored.
    units
        What pixels are that were computed with, as in ``DataArray.ben.normalize``: ``"reflectance"``, or ``("digital
        number", "dB")``. Else their values are looked at, and refused where they may be in other units than a store's.
    augment
        In which ways patches vary. Mixing takes partners of the same batch and the same Dataset, and mixes labels
        alike; ``cutmix`` needs reference maps and makes labels of them.
    views
        2 gives a second variation of the same patches as ``batch.image2``; labels are mixed as the first.
    nomenclature, label_order
        19 or 43 classes, in the order of the paper or ``"lexicographic"``.
    dtype
        ``"float32"``, ``"float16"`` or ``"bfloat16"``.
    size
        Pixels along a side.
    nonfinite
        ``"keep"``; ``"count"`` and see `PatchLoader.nonfinite`; or ``"zero"``, which also puts 0 in the place of what
        is not finite in a batch.
    shuffle, window
        Whether an epoch has an order of its own, drawn from `window` patches at a time; ``window=None`` is a true
        shuffle, and small random reads (see `Sampling`). Of object storage a window is held in memory.
    balance
        Draw patches with replacement so that every class, or every country, is drawn as often.
    seed
        Key of all random numbers.
    rank, world_size
        Which of how many processes this is; by default as ``torch.distributed`` says when a pass begins, if it is
        initialised by then: a loader may be made before.
    pad
        Whether all ranks take as many steps, some patches coming twice (`PatchLoader.padding`); by default where
        patches are shuffled. Else each patch comes exactly once.
    drop_last
        Leave out what does not fill a batch; without shuffling these are always the same patches, which is warned of.
    device
        ``"auto"`` is the current GPU where torch and CuPy find one, else the CPU.
    cache, cache_bytes
        ``"device"`` or ``"host"`` keeps native pixels there, as many as fit, by default half of what is free; of
        several ranks each keeps its own share, and has the same in every epoch.
    checks
        When checksums are verified: ``"always"``, ``"first"`` or ``"never"``.
    threads, prefetch
        How many batches are made at once, and how many are ready or in the making; by default as many as there are
        cores, 4 at most, and one more. 0 threads makes batches when they are asked for. 256 patches of 14 bands in
        float32 take 206 MB.

    Raises
    ------
    LoaderError
        If there is no patch, or a choice is none.
    BandError, LabelError, NormalizationError, AugmentationError, TransformError, DeviceError, StoreError
        If something else that is asked for does not exist, or does not fit; while iterating also if patches are missing
        or damaged, which are named.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=5))
    >>> loader = PatchLoader(ds, batch_size=2, bands=["B04", "B03", "B02", "VV"], seed=0)
    >>> [tuple(batch.image.shape) for batch in loader]
    [(2, 4, 120, 120), (2, 4, 120, 120), (1, 4, 120, 120)]
    """

    _nonfinite = 0

    def __init__(
        self,
        ds: xr.Dataset | Sequence[xr.Dataset],
        *,
        batch_size: int,
        shuffle: bool = True,
        window: int | None = WINDOW,
        balance: Balance | None = None,
        seed: int = 0,
        rank: int | None = None,
        world_size: int | None = None,
        pad: bool | None = None,
        drop_last: bool = False,
        device: str = "auto",
        cache: Cache | None = None,
        cache_bytes: int | None = None,
        checks: Checks = "first",
        threads: int | None = None,
        prefetch: int | None = None,
        **recipe: Unpack[RecipeOptions],
    ) -> None:
        self._asked_rank = rank, world_size
        rank, world_size = choose_rank(rank, world_size)
        self._sampling = Sampling(
            batch_size=batch_size,
            shuffle=shuffle,
            window=window,
            seed=seed,
            rank=rank,
            world_size=world_size,
            pad=pad,
            drop_last=drop_last,
            fixed_shares=cache is not None,
        )
        here, wanted = choose_device(device), _recipe(seed, recipe)
        patches = patches_of(ds, wanted, checks=checks)
        self._balance, self._weights = balance, balance_weights(balance, patches.targets, patches.country)
        self._position = Position(*_identity(patches, self._sampling, balance))
        _warn_of_left_out(self._sampling, len(patches))
        self._uncached = patches, cache, cache_bytes
        self._threads, self._prefetch = choose_threads(threads, prefetch)
        self._create_engine(wanted, here)

    def __setstate__(self, state: dict[str, Any]) -> None:
        """Unpickle; attributes had other names once."""
        former = {"_maker": "_builder", "_told": "_asked_rank"}
        self.__dict__.update({former.get(name, name): value for name, value in state.items()})

    def __repr__(self) -> str:
        """Say what is gone through; also why no trainer can change the order of a loader that shuffles."""
        rules, (_, cache, _) = self._sampling, self._uncached
        own = ": an order of its own, which no other sampler replaces; take shuffle=False to have the stored one"
        ranks = [f"rank={rules.rank} of {rules.world_size}"] if rules.world_size > 1 else []
        given = {"balance": self._balance, "drop_last": rules.drop_last or None, "cache": cache}
        options = [f"{name}={value!r}" for name, value in given.items() if value is not None]
        how = [*ranks, *options, f"seed={rules.seed}", f"device={str(self.device)!r}"]
        order = f"shuffle={rules.shuffle}{own if rules.shuffle else ''}"
        return f"PatchLoader({self._builder}, batch_size={rules.batch_size}, {', '.join(how)}, {order})"

    def __len__(self) -> int:
        """Batches of this rank in an epoch."""
        self._update_rank()
        return self._sampling.batches(self._builder.patches.row.size)

    def __iter__(self) -> Iterator[PatchBatch]:
        """Go through the next epoch, or the rest of the one whose state was loaded, from the first batch asked for."""
        # Not before: trainers make an iterator, look at it and make another.
        self._update_rank()
        epoch, first, turn = self._position.begin(len(self))
        epoch_plan, engine = self._plan_epoch(epoch), self._engine
        engine.start()
        fill_caches(self._builder.patches)
        prefetcher = Prefetcher(self._builder.patches, epoch_plan, self._sampling, first)

        def build(step: int) -> Built:
            prefetcher.request(step)
            span = epoch_plan.batch(step)
            return engine.build(epoch_plan.places[span], epoch_plan.repeats[span], epoch)

        steps = range(first, len(epoch_plan))
        ahead = build_ahead(build, steps, threads=self._threads, prefetch=self._prefetch)
        with closing(prefetcher), closing(ahead):
            for step, built in zip(steps, ahead, strict=True):
                prefetcher.release(step)
                self._nonfinite += built.nonfinite
                self._position.deliver(turn, step + 1)
                yield engine.deliver(built)

    @property
    def batch_size(self) -> int:
        """Patches in a batch, the last excepted."""
        return self._sampling.batch_size

    @property
    def device(self) -> torch.device:
        """Where batches are made."""
        return self._engine.device

    @property
    def bands(self) -> tuple[str, ...]:
        """Bands of a batch, in its order."""
        return self._builder.bands

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the labels, in the order of ``batch.labels``."""
        return self._builder.patches.labels

    @property
    def padding(self) -> int:
        """How many patches of an epoch, over all ranks, come a second time so that all ranks take as many steps."""
        self._update_rank()
        return 0 if self._weights is not None else self._sampling.share(self._builder.patches.row.size)[1]

    @property
    def dataset(self) -> range:
        """Places of its patches, over all ranks: what trainers ask how many patches there are."""
        return range(len(self._builder.patches))

    @property
    def sampler(self) -> ShuffledSampler | StoredSampler:
        """Places of this rank's next pass in their order, as a sampler of torch: trainers ask whether it shuffles.

        Its ``set_epoch`` takes the epoch of a trainer: the next pass is of that epoch, or goes on with it where a state
        of it was loaded, or is of a later one if the loader is as far.
        """
        kind = ShuffledSampler if self._sampling.shuffle else StoredSampler
        return kind(len(self._builder.patches), self._next_places, self._reach)

    @property
    def batch_sampler(self) -> None:
        """None: batches are made here, of what `sampler` gives."""

    @property
    def nonfinite(self) -> int:
        """NaN and ±inf among the stored pixels, in the bands asked for, of all patches so far: each time that one came.

        Crops, views and mixing do not matter. 0 unless ``nonfinite="count"`` or ``"zero"`` looks for them.
        """
        return self._nonfinite

    @property
    def epoch(self) -> int:
        """Epoch of the pass begun last, or of the next where none was begun yet."""
        return self._position.epoch

    def set_epoch(self, epoch: int) -> None:
        """Have the next pass be of this epoch; without it, each is of the one after the last."""
        self._position.move_to(epoch)

    def state_dict(self) -> dict[str, Any]:
        """Tell epoch and step of the pass begun last, after the batch that it handed out last: plain values."""
        self._update_rank()
        return self._position.state()

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Have the next pass go on where a state was taken, with the very same batches.

        Threads and prefetching may differ; patches, batch size, order and the number of ranks may not. The state of
        one rank serves all, as they are at the same step: trainers keep that of the first alone.

        Raises
        ------
        LoaderError
            If they do, or it is not a state.
        """
        self._update_rank()
        self._position.load(state)

    def close(self) -> None:
        """Give up files; the next pass opens them again."""
        self._builder.close()

    def _update_rank(self) -> None:
        """Take this process's share, where ``torch.distributed`` was initialised or ended since the loader was made."""
        rank, world_size = choose_rank(*self._asked_rank)
        if (rank, world_size) == (self._sampling.rank, self._sampling.world_size):
            return
        self._sampling = replace(self._sampling, rank=rank, world_size=world_size)
        self._position.become(*_identity(self._builder.patches, self._sampling, self._balance))
        if self._sampling.fixed_shares:
            self._create_engine(self._builder.recipe, self.device)

    def _reach(self, epoch: int) -> None:
        self._position.reach(epoch, len(self))

    def _next_places(self) -> NDArray[np.intp]:
        steps = len(self)
        return self._plan_epoch(self._position.next_epoch(steps)).places

    def _create_engine(self, recipe: Recipe, device: torch.device) -> None:
        """Create what builds batches, with memory for those that are ready, in progress, or in the caller's hands."""
        self._builder = BatchBuilder(self._with_memory(*self._uncached, device), recipe)
        batch_size = min(self.batch_size, len(self._builder.patches))
        self._engine: Engine = create_engine(self._builder, device, batch_size, keep=self._threads + self._prefetch + 1)

    def _plan_epoch(self, epoch: int) -> Epoch:
        patches = self._builder.patches
        return plan_epoch(patches.store, patches.row, self._sampling, epoch=epoch, weights=self._weights)

    def _with_memory(
        self, patches: Patches, cache: Cache | None, cache_bytes: int | None, device: torch.device
    ) -> Patches:
        """Have this rank's patches cached, as far as they fit; without a cache, prefetched ones kept until their batch.

        Only object storage needs the latter.
        """
        if cache is None:
            if cache_bytes is not None:
                raise LoaderError(
                    f"cache_bytes is {cache_bytes!r}, and there is no cache; say where by cache='device' or "
                    "cache='host', or leave it out"
                )
            return with_prefetch(patches)
        mine = plan_epoch(patches.store, patches.row, replace(self._sampling, window=None)).places
        return with_cache_on(device, patches, np.unique(mine), cache, cache_bytes)


def loader_options() -> list[str]:
    """Name the options of a `PatchLoader`."""
    own = inspect.signature(PatchLoader).parameters.values()
    return [*RecipeOptions.__annotations__, *(one.name for one in own if one.kind == one.KEYWORD_ONLY)]


def _recipe(seed: int, options: RecipeOptions) -> Recipe:
    check_known("PatchLoader", options, loader_options())
    return Recipe(seed=seed, **options)


def _identity(patches: Patches, sampling: Sampling, balance: Balance | None) -> tuple[dict[str, object], int]:
    """What the order of batches depends on beside the epoch, and how many these are at most; the same on all ranks."""
    names = ("batch_size", "shuffle", "window", "seed", "world_size", "pads", "drop_last", "fixed_shares")
    identity = {
        "patches": len(patches),
        "patches_digest": patches.digest,
        "balance": balance,
        **{name: getattr(sampling, name) for name in names},
    }
    return identity, sampling.most_batches(len(patches))


def _warn_of_left_out(sampling: Sampling, patches: int) -> None:
    """Say that patches never come, where it is always the same ones."""
    if sampling.shuffle or not sampling.drop_last:
        return
    left = patches - sampling.batches(patches) * sampling.batch_size * sampling.world_size
    if left:
        warnings.warn(
            f"drop_last=True leaves out {left} of {patches} patches, and without shuffling they are the same ones in "
            "every pass, also where a trainer predicts; take drop_last=False to see all",
            stacklevel=3,
        )
