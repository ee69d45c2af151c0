"""Six real pairs of v1 and the lists of the whole release, from ``bigearthnet-common`` (extra ``sample``)."""

import tarfile
from importlib.util import find_spec
from os import PathLike
from os.path import expanduser
from pathlib import Path

from bigearth_xr.errors import ArchiveNotFoundError

__all__ = ["sample_lists", "unpack_sample"]

_TARS = ("BigEarthNet-S1-Example.tar.bz2", "BigEarthNet-S2-Example.tar.bz2")


def sample_lists() -> Path:
    """Find the folder of the v1 lists: names, country, splits, flags of all 590,326 pairs.

    Raises
    ------
    ArchiveNotFoundError
        If the extra is not installed.
    """
    # Found, not imported: its modules want packages that its data do not.
    spec = find_spec("bigearthnet_common")
    if spec is None or spec.origin is None:
        raise ArchiveNotFoundError(
            "the sample patches are not installed; run: pip install 'bigearth-xr[sample]', or give an archive"
        )
    return Path(spec.origin).parent


def unpack_sample(folder: str | PathLike[str]) -> Path:
    """Unpack the six pairs, both sensors, as an archive in the layout of v1.

    Parameters
    ----------
    folder
        Where to; made if it is not there.

    Returns
    -------
    Path
        The folder, ready for `bigearth_xr.ingest`.
    """
    target = Path(expanduser(folder))
    target.mkdir(parents=True, exist_ok=True)
    for name in _TARS:
        with tarfile.open(sample_lists() / name) as tar:
            tar.extractall(target, filter="data")
    return target
