"""Exact search and its scores, against definitions written out pair by pair, and scikit-learn."""

import sys
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest
import xarray as xr
from cupy_stand_in import cupy_stand_in
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst
from numpy.typing import NDArray
from sklearn.metrics import average_precision_score, ndcg_score
from sklearn.neighbors import NearestNeighbors

import bigearth_xr as bex
from bigearth_xr.errors import RetrievalError
from bigearth_xr.ops import nearest as search
from bigearth_xr.retrieval import Index, Metric, evaluate, random_floor
from bigearth_xr.table.schema import multi_hot

METRICS: tuple[Metric, ...] = ("cosine", "l2", "l1")

Labels = NDArray[np.bool_]


@pytest.fixture(params=["numpy", "stand-in", pytest.param("gpu", marks=pytest.mark.gpu)])
def xp(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> Any:
    """NumPy, and CuPy, or where there is no GPU what behaves like it."""
    if request.param == "stand-in":
        monkeypatch.setitem(sys.modules, "cupy", cupy_stand_in())
    return import_module("numpy" if request.param == "numpy" else "cupy")


def vectors(count: int, features: int = 16, seed: int = 0) -> NDArray[np.float32]:
    return np.random.default_rng(seed).normal(size=(count, features)).astype(np.float32)


def labels(count: int, classes: int = 19, seed: int = 0) -> Labels:
    return np.random.default_rng(seed).random((count, classes)) < 0.15


def distance(a: NDArray[Any], b: NDArray[Any], metric: Metric) -> float:
    """The definition, in float64."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    if metric == "cosine":
        norms = np.linalg.norm(a) * np.linalg.norm(b)
        return float(1 - a @ b / norms) if norms else 1.0
    return float(np.abs(a - b).sum() if metric == "l1" else np.linalg.norm(a - b))


def brute_force(queries: NDArray[Any], archive: NDArray[Any], metric: Metric) -> NDArray[np.float64]:
    return np.array([[distance(query, vector, metric) for vector in archive] for query in queries])


# ---- search --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("metric", METRICS)
def test_neighbours_are_those_of_scikit_learn(metric: Metric, xp: Any) -> None:
    archive, queries = vectors(500), vectors(50, seed=1)
    found = Index(xp.asarray(archive), metric=metric).query(xp.asarray(queries), k=10)
    oracle = NearestNeighbors(n_neighbors=10, algorithm="brute", metric=metric).fit(archive.astype(np.float64))
    distances, positions = oracle.kneighbors(queries.astype(np.float64))
    np.testing.assert_array_equal(found.positions, positions)
    np.testing.assert_allclose(found.distances, distances, rtol=1e-9, atol=1e-12)


SMALL = st.integers(1, 12)
ELEMENTS = st.one_of(st.sampled_from([0.0, 1.0, -1.0]), st.floats(-(2.0**40), 2.0**40, width=32))


@pytest.mark.parametrize("metric", METRICS)
@given(data=st.data(), count=SMALL, features=st.integers(1, 5))
def test_search_is_exact_and_ordered(metric: Metric, data: st.DataObject, count: int, features: int) -> None:
    archive = data.draw(npst.arrays(np.float32, (count, features), elements=ELEMENTS))
    queries = data.draw(npst.arrays(np.float32, (2, features), elements=ELEMENTS))
    k = data.draw(st.integers(1, count))
    found = Index(archive, metric=metric).query(queries, k)
    expected = np.sort(brute_force(queries, archive, metric), axis=1)[:, :k]
    np.testing.assert_allclose(found.distances, expected, rtol=1e-12, atol=1e-12)
    for positions, distances in zip(found.positions, found.distances, strict=True):
        ranked = list(zip(distances, positions, strict=True))
        assert all(a < b for a, b in pairwise(ranked))


@pytest.mark.parametrize("metric", METRICS)
def test_equal_distances_are_in_the_order_of_the_archive(metric: Metric, xp: Any) -> None:
    archive = xp.asarray(np.tile(vectors(3, 257), (40, 1)))
    found = Index(archive, metric=metric).query(archive[:3], k=40)
    np.testing.assert_array_equal(found.positions, [range(i, 120, 3) for i in range(3)])
    assert not found.distances.any()


def test_vectors_that_float32_products_cannot_tell_apart_are_told_apart(xp: Any) -> None:
    # Far from the origin, differences drown in the rounding of a product; the order of the search must not.
    archive = 1e4 + np.arange(64, dtype=np.float64)[:, None] * np.full(8, 1e-3)
    found = Index(xp.asarray(archive), metric="l2").query(xp.asarray(archive[20:21]), k=5)
    assert found.positions[0, 0] == 20
    assert set(found.positions[0]) == {18, 19, 20, 21, 22}
    np.testing.assert_allclose(found.distances, np.sort(brute_force(archive[20:21], archive, "l2"))[:, :5])


@pytest.mark.parametrize("metric", METRICS)
def test_blocks_change_nothing(metric: Metric, monkeypatch: pytest.MonkeyPatch) -> None:
    archive, queries = vectors(60), vectors(20, seed=1)
    whole = Index(archive, metric=metric).query(queries, k=7)
    monkeypatch.setattr(search, "BLOCK_BYTES", 1000)
    parts = Index(archive, metric=metric).query(queries, k=7)
    np.testing.assert_array_equal(whole.positions, parts.positions)
    np.testing.assert_array_equal(whole.distances, parts.distances)


@pytest.mark.parametrize("metric", METRICS)
def test_every_vector_finds_itself_first(metric: Metric) -> None:
    archive = vectors(300)
    assert Index(archive, metric=metric).query(archive, k=1).positions[:, 0].tolist() == list(range(300))


def test_query_and_index_have_to_be_on_one_device(xp: Any) -> None:
    index = Index(xp.asarray(np.eye(2)))
    if xp is np:
        assert index.query(np.eye(2), k=1).positions.tolist() == [[0], [1]]
    else:
        with pytest.raises(RetrievalError, match="on two devices; bring both to one"):
            index.query(np.eye(2), k=1)


def test_cosine_from_zero_is_1() -> None:
    assert Index(np.zeros((1, 2))).query(np.eye(2), k=1).distances.tolist() == [[1], [1]]


def test_patches_of_a_dataarray_are_found() -> None:
    array = xr.DataArray(np.eye(3), coords={"patch": ["a", "b", "c"]}, dims=["patch", "feature"])
    found = Index(array).query(array.sel(patch=["b", "a"]), k=1)
    assert found.patches is not None
    assert found.patches.tolist() == [["b"], ["a"]]
    assert Index(np.eye(3)).query(np.eye(3), k=1).patches is None


def test_vectors_never_computed_are_refused_by_name() -> None:
    array = xr.DataArray([[1.0], [np.nan]], coords={"patch": ["a", "b"]}, dims=["patch", "feature"])
    with pytest.raises(RetrievalError, match=r"the index: 1 of 2 vectors are not finite.*: b; .*embed these"):
        Index(array)
    with pytest.raises(RetrievalError, match="the query: 1 of 1 vectors"):
        Index(np.eye(1)).query(np.full((1, 1), np.inf), k=1)


@pytest.mark.parametrize("k", [0, 4])
def test_k_beyond_the_archive_is_refused(k: int) -> None:
    with pytest.raises(RetrievalError, match=f"k is {k}, expected 1 to 3"):
        Index(np.eye(3)).query(np.eye(3), k=k)


def test_what_cannot_be_searched_is_refused() -> None:
    with pytest.raises(RetrievalError, match=r"shape \(3,\).*expected \(patch, feature\)"):
        Index(np.zeros(3))
    with pytest.raises(RetrievalError, match="2 features, the index's 3; embed both with one model"):
        Index(np.eye(3)).query(np.eye(2), k=1)
    with pytest.raises(RetrievalError, match="2 patches for 3 vectors"):
        Index(np.eye(3), patches=["a", "b"])
    with pytest.raises(RetrievalError, match="unknown metric 'dot'; expected one of cosine, l2, l1"):
        Index(np.eye(3), metric="dot")  # type: ignore[arg-type]


# ---- scores --------------------------------------------------------------------------------------------------------


def ranked_labels(query: NDArray[Any], archive: NDArray[Any], known: Labels, k: int, metric: Metric) -> list[Labels]:
    """Labels of the k nearest to each query, nearest first."""
    order = np.argsort(brute_force(query, archive, metric), axis=1, kind="stable")[:, :k]
    return list(known[order])


def test_overlap_protocol_is_its_definition() -> None:
    queries, archive, wanted, known = vectors(15), vectors(40, seed=1), labels(15), labels(40, seed=1)
    scores = evaluate(queries, wanted, archive, known)
    found = ranked_labels(queries, archive, known, 10, "cosine")
    pairs = [(set(np.flatnonzero(q)), set(np.flatnonzero(r))) for q, rs in zip(wanted, found, strict=True) for r in rs]
    precision = np.mean([len(q & r) / len(r) if r else 0 for q, r in pairs])
    recall = np.mean([len(q & r) / len(q) if q else 0 for q, r in pairs])
    assert (scores.k, scores.metric, scores.queries, scores.archive) == (10, "cosine", 15, 40)
    assert scores.precision == pytest.approx(precision)
    assert scores.recall == pytest.approx(recall)
    assert scores.f1 == pytest.approx(2 * precision * recall / (precision + recall))


def test_any_protocol_is_its_definition() -> None:
    queries, archive, wanted, known = vectors(15), vectors(40, seed=1), labels(15), labels(40, seed=1)
    scores = evaluate(queries, wanted, archive, known, protocol="any")
    found = ranked_labels(queries, archive, known, 20, "l1")
    hits = [[bool((q & r).any()) for r in rs] for q, rs in zip(wanted, found, strict=True)]
    relevant = [sum(bool((q & r).any()) for r in known) for q in wanted]
    assert (scores.k, scores.metric) == (20, "l1")
    assert scores.precision == pytest.approx(np.mean(hits))
    shares = [sum(h) / n if n else 0 for h, n in zip(hits, relevant, strict=True)]
    assert scores.recall == pytest.approx(np.mean(shares))


@pytest.mark.parametrize("k", [1, 5, 40])
def test_map_and_ndcg_are_those_of_scikit_learn(k: int) -> None:
    queries, archive, wanted, known = vectors(15), vectors(40, seed=1), labels(15), labels(40, seed=1)
    scores = evaluate(queries, wanted, archive, known, k=k)
    found = ranked_labels(queries, archive, known, k, "cosine")
    falling = -np.arange(k)
    hits = [(q & rs).any(axis=1) for q, rs in zip(wanted, found, strict=True)]
    precisions = [average_precision_score(hit, falling) if hit.any() else 0 for hit in hits]
    shared = wanted.astype(int) @ known.T.astype(int)
    assert scores.map == pytest.approx(np.mean(precisions))
    assert scores.ndcg == pytest.approx(ndcg_score(shared, -brute_force(queries, archive, "cosine"), k=k))


def test_perfect_and_hopeless_searches() -> None:
    eye = np.eye(4)
    perfect = evaluate(eye, eye, eye, eye, k=1, exclude_self=False)
    assert (perfect.precision, perfect.recall, perfect.f1, perfect.map, perfect.ndcg) == (1, 1, 1, 1, 1)
    hopeless = evaluate(eye, eye, eye, np.roll(eye, 1, axis=0), k=1, exclude_self=False)
    assert (hopeless.precision, hopeless.recall, hopeless.f1, hopeless.map, hopeless.ndcg) == (0, 0, 0, 0, 0)


def test_patches_without_labels_score_0_and_warn_of_nothing() -> None:
    scores = evaluate(np.eye(2), np.zeros((2, 3)), np.eye(2), np.zeros((2, 3)), k=2, exclude_self=False)
    assert (scores.precision, scores.recall, scores.ndcg, scores.map) == (0, 0, 0, 0)


def test_archive_may_be_an_index_with_its_metric() -> None:
    index = Index(vectors(30), metric="l2")
    assert evaluate(vectors(5, seed=1), labels(5), index, labels(30)).metric == "l2"
    with pytest.raises(RetrievalError, match="metric is 'l1', but the index has 'l2'"):
        evaluate(vectors(5), labels(5), index, labels(30), metric="l1")


def test_labels_that_do_not_fit_are_refused() -> None:
    eye = np.eye(3)
    with pytest.raises(RetrievalError, match="query labels: 2 for 3 vectors"):
        evaluate(eye, eye[:2], eye, eye)
    with pytest.raises(RetrievalError, match=r"archive labels: .*each 0 or 1"):
        evaluate(eye, eye, eye, 2 * eye)
    with pytest.raises(RetrievalError, match="3 classes, the archive has 2; use one nomenclature"):
        evaluate(eye, eye, eye, eye[:, :2])
    with pytest.raises(RetrievalError, match="unknown protocol 'all'; expected one of overlap, any"):
        evaluate(eye, eye, eye, eye, protocol="all")  # type: ignore[arg-type]


def test_random_floor_is_the_average_of_all_pairs() -> None:
    wanted, known = labels(30), labels(50, seed=1)
    floor = random_floor(wanted, known)
    # Whoever finds the whole archive finds every pair.
    everything = evaluate(vectors(30), wanted, vectors(50, seed=1), known, k=50)
    assert floor.precision == pytest.approx(everything.precision)
    assert floor.recall == pytest.approx(everything.recall)
    assert floor.f1 == pytest.approx(everything.f1)
    assert floor.any == pytest.approx((wanted.astype(int) @ known.T.astype(int) > 0).mean())


# ---- real data -----------------------------------------------------------------------------------------------------


def test_random_floor_of_the_second_release_is_as_computed_elsewhere(shared: Path) -> None:
    table = pq.read_table(shared / "data/v2/metadata.parquet", columns=["labels", "split"])
    table = table.filter(pc.is_in(table["split"], pa.array(["validation", "test"])))
    query, archive = (
        multi_hot(table.filter(pc.equal(table["split"], split))["labels"].combine_chunks())
        for split in ("validation", "test")
    )
    floor = random_floor(query, archive)
    # Computed before from pairs drawn at random.
    assert (floor.precision, floor.recall, floor.any) == pytest.approx((0.264, 0.261, 0.543), abs=2e-3)


REAL = {
    "v1": ("data/v1", None, 26),
    "v2": ("data/v2/reconstructed", None, 24),
    "v2 of few bands": ("data/v2/partial_bands", "data/v2/metadata.parquet", 40),
}
COMMON_BANDS = ["B02", "B03", "B04", "B08", "VV", "VH"]


@pytest.fixture(scope="module")
def real(shared: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[NDArray[np.float32], Labels]:
    """Spectral vectors of 90 real pairs of both releases, from the bands that all of them have; and their labels."""
    folder = tmp_path_factory.mktemp("real")
    stores = []
    for name, (archive, metadata, pairs) in REAL.items():
        lists = None if metadata is None else shared / metadata
        bex.ingest(shared / archive, folder / f"{name}.zarr", lists, bands=COMMON_BANDS, workers=1)
        stores.append(bex.open(folder / f"{name}.zarr"))
        assert stores[-1].sizes["patch"] == pairs
    embedded = [bex.embed(ds, "spectral", name="spectral", bands=COMMON_BANDS).values for ds in stores]
    return np.concatenate(embedded), np.concatenate([ds.labels.values for ds in stores])


def test_every_real_patch_finds_itself_first(real: tuple[NDArray[np.float32], Labels]) -> None:
    found, _ = real
    assert Index(found).query(found, k=1).positions[:, 0].tolist() == list(range(90))


def test_real_patches_are_found_better_than_by_chance(real: tuple[NDArray[np.float32], Labels]) -> None:
    found, known = real
    others = ~np.eye(90, dtype=bool)
    scores = [evaluate(found[[i]], known[[i]], found[others[i]], known[others[i]]) for i in range(90)]
    floors = [random_floor(known[[i]], known[others[i]]) for i in range(90)]
    precision, recall = (np.mean([getattr(score, name) for score in scores]) for name in ("precision", "recall"))
    # 0.47 and 0.50, where chance reaches 0.31: of 90 patches, that proves no more than that the parts fit together.
    assert precision > 1.3 * np.mean([floor.precision for floor in floors])
    assert recall > 1.3 * np.mean([floor.recall for floor in floors])


def test_labels_of_other_patches_or_in_another_order_are_refused(store: Path) -> None:
    ds = bex.open(store)
    vectors, labels = bex.embed(ds, "spectral", name="order", bands=["B02"]), ds.labels
    halves = slice(0, 12), slice(12, 24)
    query, archive = (vectors[half] for half in halves)
    asked, known = (labels[half] for half in halves)
    evaluate(query, asked, archive, known, k=3)
    with pytest.raises(RetrievalError, match="name other classes, or in another order"):
        evaluate(query, asked, archive, known[:, ::-1], k=3)
    with pytest.raises(RetrievalError, match="archive labels are of other patches"):
        evaluate(query, asked, archive, known[::-1], k=3)
    with pytest.raises(RetrievalError, match="archive labels are of other patches"):
        evaluate(query, asked, Index(archive), known[::-1], k=3)
    untold = asked.assign_coords(has_labels=("patch", np.arange(12) > 0))
    with pytest.raises(RetrievalError, match="query labels: 1 of 12 patches have labels that nobody told"):
        evaluate(query, untold, archive, known, k=3)
