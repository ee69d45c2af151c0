"""From an archive to a store: plan the rows, write the shards, account for every patch."""

from bigearth_xr.ingestion.api import ingest
from bigearth_xr.ingestion.report import IngestReport

__all__ = ["IngestReport", "ingest"]
