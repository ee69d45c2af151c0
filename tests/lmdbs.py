"""LMDBs as rico-hdl makes them of an archive, to be changed by a test, written through the C library."""

from pathlib import Path

import lmdb

from benchmarks import _containers
from bigearth_xr.archive import Archive

Values = dict[str, bytes]


def values_of(archive: Archive) -> Values:
    """What rico-hdl stores of an archive: keys and values are as it writes them, pixels are ours."""
    return dict(_containers.values_of(archive))


def write_lmdb(folder: Path, values: Values) -> Path:
    """Write an environment through the C library."""
    with lmdb.open(str(folder), map_size=1 << 28) as env, env.begin(write=True) as transaction:
        for key, value in values.items():
            transaction.put(key.encode(), value)
    return folder
