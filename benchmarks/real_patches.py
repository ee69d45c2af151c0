"""What the real patches at hand show: exact neighbours beside the random floor, and valid STAC items at full scale.

Needs the real data that the tests look for (``BIGEARTH_SHARED``, by default ``../shared``). Retrieval searches each of
90 patches among the other 89, by the spectral baseline on the six bands that all of them have: protocol "overlap",
cosine, k = 10; and "any", L1, k = 20. So few patches say how the code works, and nothing about a model. Validation
draws 1,000 items at random from the catalogue of each release, and checks them with pystac and the schemas.
"""

import os
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
from bigearth_stac import build_catalog, validate_catalog

import bigearth_xr as bex

SHARED = Path(os.environ.get("BIGEARTH_SHARED", Path(__file__).resolve().parents[2] / "shared"))
BANDS = ["B02", "B03", "B04", "B08", "VV", "VH"]
VALIDATED = 1000


def main() -> dict[str, object]:
    """Give the scores of both protocols, and how many items were built and found valid."""
    with TemporaryDirectory() as folder:
        return {"retrieval": _retrieval(Path(folder)), "stac": _stac(Path(folder))}


def _retrieval(folder: Path) -> dict[str, object]:
    datasets = []
    for release in ("v1", "v2"):
        bex.ingest(SHARED / "data" / release, folder / f"{release}.zarr", bands=BANDS)
        datasets.append(bex.open(folder / f"{release}.zarr"))
    vectors = np.concatenate([bex.embed(ds, "spectral", name="spectral").values for ds in datasets])
    labels = np.concatenate([ds.labels.values for ds in datasets])
    first = bex.retrieval.Index(vectors).query(vectors, k=1).positions[:, 0]
    floors = [bex.retrieval.random_floor(labels[[i]], np.delete(labels, i, 0)) for i in range(len(labels))]
    return {
        "patches": len(vectors),
        "self_at_rank_1": int((first == np.arange(len(vectors))).sum()),
        "overlap": _leave_one_out(vectors, labels, "overlap", k=10),
        "any": _leave_one_out(vectors, labels, "any", k=20),
        "random_floor": {
            name: float(np.mean([getattr(one, name) for one in floors])) for name in ("precision", "recall", "any")
        },
    }


def _leave_one_out(
    vectors: np.ndarray, labels: np.ndarray, protocol: bex.retrieval.RetrievalProtocol, *, k: int
) -> dict[str, float]:
    scores = [
        bex.retrieval.evaluate(
            vectors[[i]], labels[[i]], np.delete(vectors, i, 0), np.delete(labels, i, 0), k, protocol=protocol
        )
        for i in range(len(vectors))
    ]
    return {
        name: float(np.mean([getattr(one, name) for one in scores])) for name in ("precision", "recall", "map", "ndcg")
    }


def _stac(folder: Path) -> dict[str, object]:
    lists = {"v1": SHARED / "data" / "v1" / "lists", "v2": SHARED / "data" / "v2"}
    outcome: dict[str, object] = {}
    for release, source in lists.items():
        catalog = build_catalog(source, folder / f"stac-{release}")
        report = validate_catalog(catalog.folder, schemas=SHARED / "schemas", sample=VALIDATED)
        outcome[release] = {"items": catalog.items, "validated": VALIDATED, "failures": len(report.failures)}
    return outcome
