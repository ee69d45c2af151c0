"""Find the patches most like a patch, and say how well that works."""

from bigearth_xr.retrieval.index import Index, Metric, Neighbours
from bigearth_xr.retrieval.scores import RandomFloor, RetrievalProtocol, RetrievalScores, evaluate, random_floor

__all__ = [
    "Index",
    "Metric",
    "Neighbours",
    "RandomFloor",
    "RetrievalProtocol",
    "RetrievalScores",
    "evaluate",
    "random_floor",
]
