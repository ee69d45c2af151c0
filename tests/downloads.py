"""A file to download, and downloads of it."""

import random
from hashlib import md5
from pathlib import Path

from faulty_server import Site

from bigearth_xr.download import RetryPolicy, download
from bigearth_xr.releases import PublishedFile

MIB = 1024**2
RETRY = RetryPolicy(retries=4, first_wait_s=0.001, timeout_s=5)
CONTENT = random.Random(4).randbytes(5 * MIB + 77)


def published(site: Site, name: str = "a.tar", content: bytes = CONTENT, **changes: str) -> PublishedFile:
    sum_ = changes.get("md5", md5(content, usedforsecurity=False).hexdigest())
    return PublishedFile(name=name, part="s2", address=changes.get("address", site.of(name)), md5=sum_)


def fetch(site: Site, folder: Path, *files: PublishedFile, retry: RetryPolicy = RETRY) -> str:
    """Download, strictly; the summary."""
    return str(download("v2", folder, files=files or [published(site)], retry=retry, strict=True))


def names(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir()}
