"""Whose vectors and labels are, whatever holds the ids; and a query's own patch left out, against scikit-learn."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from numpy.typing import NDArray
from sklearn.metrics import ndcg_score
from sklearn.neighbors import NearestNeighbors

from bigearth_xr.errors import RetrievalError
from bigearth_xr.retrieval import Index, evaluate, random_floor
from bigearth_xr.retrieval.inputs import as_ids, named_rows

COUNT = 30
IDS = [f"S2A_{i:02d}" for i in range(COUNT)]

VALUES = np.random.default_rng(0).normal(size=(COUNT, 8)).astype(np.float32)
MARKS = np.random.default_rng(1).random((COUNT, 19)) < 0.2

SPELLINGS: dict[str, Callable[[list[str]], Any]] = {
    "object": lambda ids: np.array(ids, dtype=object),
    "<U": lambda ids: np.array(ids),
    "bytes": lambda ids: np.array(ids, dtype="S"),
    "StringDType": lambda ids: np.array(ids, dtype=np.dtypes.StringDType()),
    "pandas string": lambda ids: pd.Index(ids, dtype="string"),
    "pandas categorical": lambda ids: pd.CategoricalIndex(ids),
}


def vectors_of(ids: Any = IDS, values: NDArray[Any] = VALUES) -> xr.DataArray:
    return xr.DataArray(values, coords={"patch": ids}, dims=["patch", "feature"])


def labels_of(ids: Any = IDS, marks: NDArray[Any] = MARKS) -> xr.DataArray:
    return xr.DataArray(marks, coords={"patch": ids}, dims=["patch", "label"])


def stored(array: xr.DataArray, place: Path, form: str) -> xr.DataArray:
    """The same after it was saved and opened again."""
    if form == "netCDF":
        array.to_dataset(name="kept").to_netcdf(place)
        return xr.open_dataset(place)["kept"].load()
    array.to_dataset(name="kept").to_zarr(place, consolidated=False, zarr_format=2)
    opened: xr.DataArray = xr.open_zarr(place, consolidated=False)["kept"]
    return opened


@pytest.mark.parametrize("theirs", SPELLINGS)
@pytest.mark.parametrize("ours", SPELLINGS)
def test_permuted_labels_are_refused_however_ids_are_spelled(ours: str, theirs: str) -> None:
    order = np.random.default_rng(2).permutation(COUNT)
    vectors = vectors_of(SPELLINGS[ours](IDS))
    spelled = labels_of(SPELLINGS[theirs](IDS))
    permuted = labels_of(SPELLINGS[theirs]([IDS[i] for i in order]), MARKS[order])
    expected = evaluate(VALUES, MARKS, VALUES, MARKS, exclude_self=False)
    assert evaluate(vectors, spelled, vectors, spelled, exclude_self=False) == expected
    with pytest.raises(RetrievalError, match="query labels are of other patches than its vectors, or in another order"):
        evaluate(vectors, permuted, vectors, spelled)
    with pytest.raises(RetrievalError, match="archive labels are of other patches than its vectors"):
        evaluate(vectors, spelled, Index(VALUES, patches=SPELLINGS[ours](IDS)), permuted)


@pytest.mark.parametrize("form", ["netCDF", "zarr"])
def test_permuted_labels_are_refused_after_they_were_saved(tmp_path: Path, form: str) -> None:
    vectors = stored(vectors_of(np.array(IDS, dtype=object)), tmp_path / "vectors", form)
    labels = stored(labels_of(np.array(IDS, dtype=object)), tmp_path / "labels", form)
    assert evaluate(vectors, labels, vectors, labels).left_out == COUNT
    with pytest.raises(RetrievalError, match="query labels are of other patches"):
        evaluate(vectors, labels[::-1], vectors, labels)


def test_rows_tell_patches_apart_where_ids_do_not() -> None:
    rows = np.arange(COUNT) * 7
    vectors = xr.DataArray(VALUES, coords={"row": ("patch", rows)}, dims=["patch", "feature"])
    labels = xr.DataArray(MARKS, coords={"row": ("patch", rows)}, dims=["patch", "label"])
    scores = evaluate(vectors, labels, vectors, labels, exclude_self=False)
    assert scores == evaluate(VALUES, MARKS, VALUES, MARKS, exclude_self=False)
    with pytest.raises(RetrievalError, match="archive labels are of other patches"):
        evaluate(vectors, labels, vectors, labels[::-1], exclude_self=False)
    with pytest.raises(RetrievalError, match="exclude_self needs to know the patches of the query"):
        evaluate(vectors, labels, vectors, labels, exclude_self=True)


def test_a_dataframe_is_of_what_its_index_and_columns_say() -> None:
    vectors = pd.DataFrame(VALUES, index=IDS)
    labels = pd.DataFrame(MARKS, index=IDS, columns=[f"class {i}" for i in range(19)])
    assert evaluate(vectors, labels, vectors, labels).left_out == COUNT
    with pytest.raises(RetrievalError, match="query labels are of other patches"):
        evaluate(vectors, labels.iloc[::-1], vectors, labels)
    with pytest.raises(RetrievalError, match="name other classes, or in another order"):
        evaluate(vectors, labels, vectors, labels[labels.columns[::-1]])


def test_an_array_that_lies_on_its_side_is_turned_by_its_dimensions() -> None:
    upright = evaluate(vectors_of(), labels_of(), vectors_of(), labels_of())
    assert evaluate(vectors_of().T, labels_of().T, vectors_of().T, labels_of().T) == upright


def test_missing_ids_are_nobodys() -> None:
    assert as_ids(["a", "", None, float("nan"), b"b", pd.NA]).tolist() == ["a", None, None, None, "b", None]
    some = [*IDS[:10], *[""] * 20]
    scores = evaluate(vectors_of(some), labels_of(some), vectors_of(some), labels_of(some))
    assert scores.left_out == 10


def others(query: NDArray[Any], archive: NDArray[Any], own: NDArray[np.bool_], k: int) -> NDArray[np.intp]:
    """The k nearest of those that are not a query's own, by scikit-learn, a query at a time."""
    found = []
    for vector, mine in zip(query, own, strict=True):
        places = np.flatnonzero(~mine)
        oracle = NearestNeighbors(n_neighbors=k, algorithm="brute", metric="cosine").fit(archive[places].astype(float))
        found.append(places[oracle.kneighbors(vector[None].astype(float), return_distance=False)[0]])
    return np.array(found)


@pytest.mark.parametrize("k", [1, 10, COUNT - 1])
def test_a_set_against_itself_leaves_each_query_out(k: int) -> None:
    scores = evaluate(vectors_of(), labels_of(), vectors_of(np.array(IDS)), labels_of(), k)
    own = np.eye(COUNT, dtype=bool)
    found = others(VALUES, VALUES, own, k)
    shared = MARKS.astype(int) @ MARKS.T.astype(int)
    hits = np.take_along_axis(shared, found, axis=1)
    sizes = MARKS.sum(axis=1)
    assert (scores.left_out, scores.archive, scores.k) == (COUNT, COUNT, k)
    assert "left_out=30" in repr(scores)
    assert scores.precision == pytest.approx(np.mean(hits / np.maximum(sizes[found], 1)))
    assert scores.recall == pytest.approx(np.mean(hits / np.maximum(sizes[:, None], 1)))
    distances = 1 - VALUES.astype(float) @ VALUES.T.astype(float) / np.outer(*[np.linalg.norm(VALUES, axis=1)] * 2)
    gains = [
        ndcg_score(shared[[i], :][:, ~own[i]], -distances[[i], :][:, ~own[i]], k=k) if shared[i, ~own[i]].any() else 0
        for i in range(COUNT)
    ]
    assert scores.ndcg == pytest.approx(np.mean(gains))
    relevant = [(shared[i, ~own[i]] > 0).sum() for i in range(COUNT)]
    lenient = evaluate(vectors_of(), labels_of(), vectors_of(), labels_of(), k, protocol="any", metric="cosine")
    assert lenient.recall == pytest.approx(np.mean((hits > 0).sum(axis=1) / np.maximum(relevant, 1)))


def test_all_views_of_a_query_are_left_out_and_twins_of_others_stay() -> None:
    # The archive holds every patch twice, and one vector more that equals the first but is another patch.
    ids, values = [*IDS, *IDS, "twin"], np.concatenate([VALUES, VALUES + VALUES[::-1] / 9, VALUES[:1]])
    own = np.array([[one == other for other in ids] for one in IDS])
    found = Index(vectors_of(ids, values)).query(vectors_of(), k=5, exclude_self=True)
    np.testing.assert_array_equal(found.positions, others(VALUES, values, own, 5))
    assert found.patches is not None
    assert found.patches[0, 0] == "twin"
    assert found.distances[0, 0] == 0
    everything = Index(vectors_of(ids, values)).query(vectors_of(), k=len(ids) - 2, exclude_self=True)
    assert everything.patches is not None
    assert not np.equal(everything.patches, np.array(IDS, dtype=object)[:, None]).any()
    with pytest.raises(RetrievalError, match=r"k is 60, expected 1 to 59: there are 61 .* of which 2 are"):
        Index(vectors_of(ids, values)).query(vectors_of(), k=60, exclude_self=True)


def test_sets_apart_are_scored_as_ever() -> None:
    query, archive = slice(0, 10), slice(10, COUNT)
    plain = evaluate(VALUES[query], MARKS[query], VALUES[archive], MARKS[archive])
    known = evaluate(vectors_of()[query], labels_of()[query], vectors_of()[archive], labels_of()[archive])
    assert (plain.left_out, known.left_out) == (None, 0)
    names = ("precision", "recall", "f1", "map", "ndcg")
    assert [getattr(known, name) for name in names] == [getattr(plain, name) for name in names]


def test_a_set_against_itself_without_ids_is_said() -> None:
    with pytest.warns(UserWarning, match="each of the 30 queries finds a vector at distance 0.*nothing was left out"):
        scores = evaluate(VALUES, MARKS, vectors_of(), labels_of())
    assert scores.left_out is None
    assert scores == evaluate(VALUES, MARKS, vectors_of(), labels_of(), exclude_self=False)
    with pytest.raises(RetrievalError, match="exclude_self needs to know the patches of the archive"):
        evaluate(vectors_of(), MARKS, VALUES, MARKS, exclude_self=True)
    with pytest.raises(RetrievalError, match="own patch cannot be left out: the query does not say"):
        Index(vectors_of()).query(VALUES, k=1, exclude_self=True)
    with pytest.raises(RetrievalError, match="exclude_self is 'yes', expected True, False or None"):
        evaluate(VALUES, MARKS, VALUES, MARKS, exclude_self="yes")  # type: ignore[arg-type]  # the mistake


def test_ids_that_only_count_name_no_patch() -> None:
    counted = vectors_of(np.arange(10), VALUES[:10]), labels_of(np.arange(10), MARKS[:10])
    scores = evaluate(*counted, vectors_of(np.arange(20), VALUES[10:]), labels_of(np.arange(20), MARKS[10:]))
    assert scores.left_out is None
    assert named_rows(counted[0], "vectors").patches is None


def test_random_floor_leaves_own_pairs_out() -> None:
    pairs = [(MARKS[i], MARKS[j]) for i in range(COUNT) for j in range(COUNT) if i != j]
    floor = random_floor(labels_of(), labels_of())
    assert floor.precision == pytest.approx(np.mean([(q & r).sum() / max(r.sum(), 1) for q, r in pairs]))
    assert floor.recall == pytest.approx(np.mean([(q & r).sum() / max(q.sum(), 1) for q, r in pairs]))
    assert floor.any == pytest.approx(np.mean([(q & r).any() for q, r in pairs]))
    assert random_floor(labels_of(), labels_of(), exclude_self=False) == random_floor(MARKS, MARKS)
    with pytest.raises(RetrievalError, match="a query has no other patch in the archive"):
        random_floor(labels_of()[:1], labels_of()[:1])


@pytest.mark.parametrize("marks", [MARKS, MARKS.astype(int), MARKS.astype(np.float64), MARKS.tolist()], ids=type)
def test_labels_may_be_of_any_type(marks: Any) -> None:
    scores = evaluate(VALUES[:10], marks[:10], VALUES[10:].tolist(), marks[10:])
    assert scores == evaluate(VALUES[:10], MARKS[:10], VALUES[10:], MARKS[10:])


def test_what_is_no_array_is_refused() -> None:
    with pytest.raises(RetrievalError, match=r"the query: builtins.list is not an array of numbers"):
        evaluate([[1.0, 2.0], [3.0]], MARKS[:2], VALUES, MARKS)
    with pytest.raises(RetrievalError, match=r"the index: xarray.*Dataset is not an array of numbers"):
        Index(vectors_of().to_dataset(name="vectors"))
    with pytest.raises(RetrievalError, match=r"archive labels: an array of shape .*<U8; expected \(archive, label\)"):
        evaluate(VALUES, MARKS, VALUES, [["Pastures"]] * COUNT)
    for labels in (np.where(MARKS, 1.0, np.nan), np.where(MARKS, 0.7, 0.1), np.where(MARKS, 1, -1)):
        with pytest.raises(RetrievalError, match=r"query labels: .*each 0 or 1"):
            evaluate(VALUES, labels, VALUES, MARKS)
    masked = np.ma.masked_less(VALUES, -2)
    with pytest.raises(RetrievalError, match=r"the index: .* vectors are not finite"):
        Index(masked)
    for k in (2.5, True, "3", 0, 31):
        with pytest.raises(RetrievalError, match=f"k is {k!r}, expected 1 to 30: there are 30 vectors in the index"):
            Index(VALUES).query(VALUES, k=k)  # type: ignore[arg-type]  # the mistake
