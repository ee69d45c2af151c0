"""LMDB environments are read as the C library reads them, and damage in them is an error or harmless."""

import struct
from pathlib import Path
from random import Random

import lmdb
import pytest

from bigearth_xr.archive.lmdb_file import open_mdb


def written_in_any_order(tmp_path: Path, keys: int) -> tuple[Path, dict[bytes, bytes]]:
    """An environment of several levels that grew and shrank, as the library leaves it."""
    random = Random(keys)
    expected: dict[bytes, bytes] = {}
    with lmdb.open(str(tmp_path), map_size=1 << 28) as env:
        for _ in range(3):
            with env.begin(write=True) as transaction:
                for _ in range(keys):
                    key = f"{random.random():.{random.randint(3, 60)}f}".encode()
                    if expected and random.random() < 0.3:
                        key = random.choice(list(expected))
                    if random.random() < 0.2:
                        transaction.delete(key)
                        expected.pop(key, None)
                    else:
                        expected[key] = random.randbytes(random.choice((0, 1, 10, 300, 2020, 5000, 9000)))
                        transaction.put(key, expected[key])
    return tmp_path / "data.mdb", expected


@pytest.mark.parametrize("keys", [0, 1, 30, 600])
def test_any_environment_reads_as_the_library_reads_it(tmp_path: Path, keys: int) -> None:
    path, expected = written_in_any_order(tmp_path, keys)
    with open_mdb(path) as mdb:
        assert {key: bytes(mdb.read(value)) for key, value in mdb.items()} == expected
        assert list(dict(mdb.items())) == sorted(expected)
        for key in expected:
            value = mdb.find(key)
            assert value is not None
            assert bytes(mdb.read(value)) == expected[key]
            assert (mdb.find(key + b"0") is None) == (key + b"0" not in expected)
        assert {mdb.find(b""), mdb.find(b"~")} == {None}


def test_damage_anywhere_is_an_error_or_harmless(tmp_path: Path) -> None:
    path, expected = written_in_any_order(tmp_path, 300)
    data, random = path.read_bytes(), Random(0)
    with open_mdb(path) as mdb:
        root = mdb.root
    refused = 0
    for trial in range(300):
        changed = bytearray(data)
        page = random.choice([0, 1, root, root, random.randrange(len(data) // 4096)])
        for _ in range(random.randint(1, 3)):
            at = random.choice([random.randrange(40), random.randrange(200), random.randrange(4096)])
            changed[page * 4096 + at] = random.randrange(256)
        path.write_bytes(changed[: random.randrange(len(data))] if trial % 10 == 0 else changed)
        try:
            with open_mdb(path) as mdb:
                found = {key: bytes(mdb.read(value)) for key, value in mdb.items() if value.size < 1 << 24}
                for key in list(expected)[:20]:
                    mdb.find(key)
            assert len(found) <= len(expected) + 1
        except OSError:
            refused += 1
    assert 50 < refused < 300


def test_tree_that_leads_back_to_itself_ends(tmp_path: Path) -> None:
    path, _ = written_in_any_order(tmp_path, 600)
    data = bytearray(path.read_bytes())
    with open_mdb(path) as mdb:
        root = mdb.root
    # All children of the root are made the first.
    nodes = struct.unpack_from("<2H", data, root * 4096 + 16)
    first = data[root * 4096 + nodes[0] : root * 4096 + nodes[0] + 6]
    data[root * 4096 + nodes[1] : root * 4096 + nodes[1] + 6] = first
    path.write_bytes(data)
    with open_mdb(path) as mdb, pytest.raises(OSError, match="its keys are not in order"):
        list(mdb.items())
