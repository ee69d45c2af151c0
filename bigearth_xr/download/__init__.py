"""The published files, over HTTP: fetched into a folder, or read as a stream while they come.

What can go wrong on the way does, with files of 60 GB: connections drop, servers are overloaded, processes are killed.
"""

from bigearth_xr.download.connection import RefusedError
from bigearth_xr.download.patience import Patience
from bigearth_xr.download.report import DownloadReport, FileOutcome
from bigearth_xr.download.run import download, published_files
from bigearth_xr.download.stream import UrlStream, open_url

__all__ = [
    "DownloadReport",
    "FileOutcome",
    "Patience",
    "RefusedError",
    "UrlStream",
    "download",
    "open_url",
    "published_files",
]
