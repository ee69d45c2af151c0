"""Find the patches most like a patch, and say how well that works."""

from bigearth_xr.retrieval.floor import RandomFloor, random_floor
from bigearth_xr.retrieval.index import Index, Metric, Neighbours
from bigearth_xr.retrieval.scores import Protocol, RetrievalScores, evaluate

__all__ = [
    "Index",
    "Metric",
    "Neighbours",
    "Protocol",
    "RandomFloor",
    "RetrievalScores",
    "evaluate",
    "random_floor",
]
