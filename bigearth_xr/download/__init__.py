"""The published files, over HTTP: fetched into a folder, or read as a stream while they come.

What can go wrong on the way does, with files of 60 GB: connections drop, servers are overloaded, processes are killed.
"""

from bigearth_xr.download.connection import RefusedError, RetryPolicy
from bigearth_xr.download.fetch import DownloadReport, FileOutcome, download, published_files
from bigearth_xr.download.url_stream import UrlStream, open_url

__all__ = [
    "DownloadReport",
    "FileOutcome",
    "RefusedError",
    "RetryPolicy",
    "UrlStream",
    "download",
    "open_url",
    "published_files",
]
