"""Random programs of ordinary xarray steps, run on an opened store and on a NumPy copy of all that it holds."""

import pickle
from collections.abc import Callable
from pathlib import Path
from random import Random
from tempfile import mkdtemp

import numpy as np
import xarray as xr
from openings import CHUNKED_OPENERS, of_patches

import bigearth_xr as bex
from bigearth_xr.errors import BigEarthError
from bigearth_xr.testing import formula_reference_map, synthetic_pair

Step = Callable[[xr.Dataset], xr.Dataset]
Maker = Callable[[Random, xr.Dataset, Path], Step]


def plain_copy(store: Path) -> xr.Dataset:
    """What a store holds, as NumPy arrays; its pixels are those of the formula, read from nowhere."""
    ds = bex.open(store)
    held = {name: (variable.dims, np.asarray(variable.values)) for name, variable in ds.coords.items()}
    pairs = {pair.patch: pair for pair in map(synthetic_pair, range(ds.sizes["patch"]))}
    maps = np.stack([formula_reference_map(pairs[patch].labels_19) for patch in ds.patch.values])
    pixels = {name: of_patches(ds.patch, [str(b) for b in ds[dim].values]) for name, dim in _BANDS.items()}
    variables = {
        "s2": (ds.s2.dims, pixels["s2"].astype("uint16")),
        "s1": (ds.s1.dims, pixels["s1"].astype("float32")),
        "labels": (ds.labels.dims, ds.labels.values),
        "reference_map": (ds.reference_map.dims, maps),
    }
    return xr.Dataset(variables, coords=held)


_BANDS = {"s2": "band", "s1": "polarization"}


def run_program(seed: int, store: Path, plain: xr.Dataset, scratch: Path, last: list[Step]) -> str:
    """Run a program: "right", or "refused: …" by an error of ours; anything else is raised."""
    rng = Random(seed)
    opening = rng.choice(list(CHUNKED_OPENERS))
    done = [f"{seed}: {opening}"]
    ours = CHUNKED_OPENERS[opening](store)
    try:
        for _ in range(rng.randint(2, 6)):
            name = rng.choice(list(MAKERS))
            step = MAKERS[name](rng, plain, scratch)
            try:
                after = step(plain)
            except BigEarthError:
                continue
            if 0 in after.sizes.values():
                continue
            done.append(name)
            ours, plain = step(ours), after
        for change in last:
            ours = change(ours)
        compare(ours, plain)
    except BigEarthError as error:
        return f"refused: {type(error).__name__}: {error}"
    except Exception as error:
        error.add_note(" → ".join(done))
        raise
    return "right"


def compare(ours: xr.Dataset, plain: xr.Dataset) -> None:
    """Demand the same values and coordinates, both of which are read here."""
    for name in plain.variables:
        assert ours[name].dims == plain[name].dims, name
        np.testing.assert_array_equal(_comparable(ours[name]), _comparable(plain[name]), err_msg=str(name))
    assert set(map(str, ours.data_vars)) == set(map(str, plain.data_vars))


def _comparable(array: xr.DataArray) -> np.ndarray:
    values = np.asarray(array.values)
    if values.dtype.kind in "OTU":
        return np.array([str(value) for value in values.ravel()]).reshape(values.shape)
    return values.astype("datetime64[s]") if values.dtype.kind == "M" else values


# Steps: each drawn from what the Dataset is by then.


def _key(rng: Random, length: int) -> object:
    some = [rng.randrange(length) for _ in range(rng.randint(1, 5))]
    mask = np.array([rng.random() < 0.6 for _ in range(length)])
    mask[rng.randrange(length)] = True
    return rng.choice([slice(rng.randrange(length), None), slice(None, None, -1), some, sorted(set(some)), mask])


def _isel(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    dims = rng.sample([d for d in ("patch", "band", "polarization", "y", "x") if d in ds.dims], 2)
    keys = {dim: _key(rng, ds.sizes[dim]) for dim in dims}
    return lambda given: given.isel(keys)


def _sel_ids(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    ids = rng.sample(list(ds.patch.values), rng.randint(1, ds.sizes["patch"]))
    return lambda given: given.sel(patch=ids) if given.indexes["patch"].is_unique else given


def _sel_bands(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    names = rng.sample(list(ds.band.values), rng.randint(1, ds.sizes["band"]))
    return lambda given: given.sel(band=names) if given.indexes["band"].is_unique else given


def _where(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    level = rng.randint(1000, 8000)
    return lambda given: given.assign(s2=given.s2.where(given.s2 > level, 0), s1=given.s1.where(given.s1 < 0))


def _concat(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    at = rng.randrange(ds.sizes["patch"] + 1)
    return lambda given: xr.concat([given.isel(patch=slice(at, None)), given.isel(patch=slice(at))], "patch")


def _align(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    at = rng.randrange(1, ds.sizes["patch"] + 1)
    return lambda given: (
        xr.align(given, given.isel(patch=slice(at)), join="inner")[0] if given.indexes["patch"].is_unique else given
    )


def _merge(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return lambda given: xr.merge([given[["s2", "labels"]], given[["reference_map", "s1"]]], compat="override")


def _sortby(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    by, up = rng.choice([["lat", "row"], ["patch"], ["s2_time", "row"]]), rng.random() < 0.5
    return lambda given: given.sortby(by, ascending=up)


def _reindex(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    ids = rng.sample(list(ds.patch.values), rng.randint(1, ds.sizes["patch"]))
    return lambda given: given.reindex(patch=ids) if given.indexes["patch"].is_unique else given


def _transpose(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    order = [d for d in ds.dims if d != "label"]
    rng.shuffle(order)
    return lambda given: given.transpose(*order, ...)


def _stack(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return lambda given: given.stack(pixel=("y", "x")).isel(pixel=slice(None)).unstack("pixel").transpose(..., "y", "x")


def _rename(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return lambda given: given.rename(s2="optical", patch="sample").rename(sample="patch", optical="s2")


def _assign(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return lambda given: given.assign(s1=given.s1 + np.float32(1)).assign_coords(again=given.row)


def _drop(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    name = rng.choice(["tile", "season", "lon"])
    return lambda given: given.drop_vars(name, errors="ignore")


def _copy(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    deep = rng.random() < 0.5
    return lambda given: given.copy(deep=deep)


def _chunk(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    chunks = {"patch": rng.randint(1, 6), "y": rng.choice([-1, 50])}
    return lambda given: given.chunk({dim: size for dim, size in chunks.items() if dim in given.dims})


def _load(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return rng.choice([lambda given: given.load(), lambda given: given.compute(), lambda given: given.persist()])


def _pickle(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    return lambda given: pickle.loads(pickle.dumps(given))


def _select(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    wanted = rng.choice(list(ds.split.values))
    return lambda given: given.ben.select(split=str(wanted), recommended="any")


def _image(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    names = [str(name) for name in (*ds.band.values, *ds.polarization.values)]
    chosen = rng.sample(sorted(set(names)), rng.randint(1, len(set(names))))

    def step(given: xr.Dataset) -> xr.Dataset:
        # Of bands that are there once: twice the same band is refused by name.
        if not (given.indexes["band"].is_unique and given.indexes["polarization"].is_unique):
            return given
        pixels = given.ben.image(chosen).drop_vars(["wavelength_nm", "native_res_m"], errors="ignore")
        return given.assign(image=pixels.rename(band="image_band"))

    return step


def _groupby(rng: Random, ds: xr.Dataset, _: Path) -> Step:
    by = rng.choice(["split", "country"])

    def step(given: xr.Dataset) -> xr.Dataset:
        groups = given.lat.groupby(given[by].compute()).count().sum()
        return given.assign_coords(counted=groups.astype("int64"))

    return step


def _save(rng: Random, ds: xr.Dataset, scratch: Path) -> Step:
    def step(given: xr.Dataset) -> xr.Dataset:
        path = Path(mkdtemp(dir=scratch)) / "saved.zarr"
        bare = given.drop_encoding().drop_attrs()
        if any(variable.chunks for variable in bare.variables.values()):
            bare = bare.chunk(dict.fromkeys(bare.dims, -1))  # xarray saves chunks of one size alone, and says so
        bare.to_zarr(path, zarr_format=2, consolidated=True)
        saved: xr.Dataset = xr.open_zarr(path, chunks=None)
        return saved

    return step


MAKERS: dict[str, Maker] = {
    "isel": _isel, "ids": _sel_ids, "bands": _sel_bands, "where": _where, "concat": _concat, "align": _align,
    "merge": _merge, "sortby": _sortby, "reindex": _reindex, "transpose": _transpose, "stack": _stack,
    "rename": _rename, "assign": _assign, "drop": _drop, "copy": _copy, "chunk": _chunk, "load": _load,
    "pickle": _pickle, "select": _select, "image": _image, "groupby": _groupby, "save": _save,
}  # fmt: skip
