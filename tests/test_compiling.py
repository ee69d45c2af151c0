"""Machine code is made once for a machine, which is said, and kept wherever there is room."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from bigearth_xr.device import compiling

UNPACK_ONE = """
import numpy as np
from bigearth_xr.device.host import unpack
nothing = np.empty(0, np.uint64)
unpack(nothing, np.empty(0, np.int64), nothing, patch_bytes=1600, itemsize=2)
import numba
print("set" if numba.config.CACHE_DIR else "unset")
"""


def test_compiling_is_said_once_and_kept(tmp_path: Path) -> None:
    environment = os.environ | {"HOME": "/proc/nowhere", "NUMBA_CACHE_DIR": str(tmp_path)}
    command = [sys.executable, "-W", "error", "-c", UNPACK_ONE]
    first, second = (
        subprocess.run(command, check=True, env=environment, capture_output=True, text=True) for _ in range(2)
    )
    assert "compiling code for this processor, once …" in first.stderr
    assert f"kept in {tmp_path}" in first.stderr
    assert second.stderr == ""
    assert first.stdout == second.stdout == "set\n"


@pytest.fixture
def nowhere(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:
    """A package and a home that nobody can write to, not even root; what is given is for temporary files."""
    for name in ("NUMBA_CACHE_DIR", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("HOME", "/proc/nowhere")
    monkeypatch.setattr(compiling, "_KERNELS", Path("/proc/nowhere/kernels"))
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    compiling.cache_folder.cache_clear()
    yield tmp_path
    compiling.cache_folder.cache_clear()


def test_code_is_kept_among_temporary_files_where_nothing_else_may_be_written(nowhere: Path) -> None:
    folder = compiling.cache_folder()
    assert folder is not None
    assert folder.parent.parent == nowhere
    assert folder.parent.stat().st_mode & 0o077 == 0
    compiling.cache_folder.cache_clear()
    assert compiling.cache_folder() == folder


def test_a_temporary_folder_that_others_may_write_to_is_not_used(nowhere: Path) -> None:
    first = compiling.cache_folder()
    assert first is not None
    first.parent.chmod(0o777)
    compiling.cache_folder.cache_clear()
    second = compiling.cache_folder()
    assert second is not None
    assert second.parent != first.parent
    assert second.parent.stat().st_mode & 0o077 == 0


def test_folders_are_tried_in_order(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for number, name in enumerate(("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")):
        monkeypatch.setenv(name, str(nowhere / str(number)))
        compiling.cache_folder.cache_clear()
        folder = compiling.cache_folder()
        assert folder is not None
        assert folder.is_relative_to(nowhere / str(number))


def test_without_any_folder_nothing_is_kept(nowhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("tempfile.tempdir", "/proc/nowhere")
    assert compiling.cache_folder() is None
    from bigearth_xr.device.kernels.memory import kernel

    double = compiling.compile_kernel(kernel(lambda number: 2 * number), (1.0,))
    assert double(4.0) == 8
    with pytest.raises(TypeError, match="No matching definition"):
        double("a")
