"""NVIDIA's run-time compiler from PyPI, which needs no GPU, and what its machine code says of itself."""

import ctypes
import struct
import sys
from collections.abc import Iterator
from functools import lru_cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import Any

import pytest

_REGISTERS, _STACK_BYTES = 0x2F, 0x11  # EIATTR_REGCOUNT, EIATTR_FRAME_SIZE


def compile_cubin(source: str, options: tuple[str, ...]) -> bytes:
    """Compile to machine code; fails with the compiler's log, warnings included."""
    library = _library()
    program = ctypes.c_void_p()
    assert library.nvrtcCreateProgram(ctypes.byref(program), source.encode(), b"fused.cu", 0, None, None) == 0
    try:
        given = (ctypes.c_char_p * len(options))(*(option.encode() for option in options))
        result = library.nvrtcCompileProgram(program, len(options), given)
        log = _read(library.nvrtcGetProgramLogSize, library.nvrtcGetProgramLog, program).rstrip(b"\0").decode()
        assert (result, log.strip()) == (0, "")
        return _read(library.nvrtcGetCUBINSize, library.nvrtcGetCUBIN, program)
    finally:
        library.nvrtcDestroyProgram(ctypes.byref(program))


def resources(cubin: bytes) -> tuple[int, int]:
    """Registers of a thread, and bytes of local memory for what found no register."""
    found: dict[int, int] = {}
    for name, section in _sections(cubin):
        if name == ".nv.info":
            found |= dict(_attributes(section))
    return found[_REGISTERS], found[_STACK_BYTES]


@lru_cache(maxsize=1)
def _library() -> Any:
    try:
        files = distribution("nvidia-cuda-nvrtc").files or []
    except PackageNotFoundError:
        if sys.platform == "linux":
            raise
        pytest.skip("nvidia-cuda-nvrtc is of Linux and Windows alone")
    [path] = [file.locate() for file in files if file.name.startswith(("libnvrtc.so", "nvrtc64"))]
    return ctypes.CDLL(str(path))


def _read(size_of: Any, read: Any, program: ctypes.c_void_p) -> bytes:
    size = ctypes.c_size_t()
    assert size_of(program, ctypes.byref(size)) == 0
    buffer = ctypes.create_string_buffer(size.value)
    assert read(program, buffer) == 0
    return buffer.raw


def _sections(elf: bytes) -> Iterator[tuple[str, bytes]]:
    """Sections of a 64-bit ELF file."""
    [table] = struct.unpack_from("<Q", elf, 0x28)
    size, count, names = struct.unpack_from("<HHH", elf, 0x3A)
    headers = [struct.unpack_from("<IIQQQQIIQQ", elf, table + place * size) for place in range(count)]
    start_of_names = headers[names][4]
    for name, _kind, _flags, _address, offset, length, *_ in headers:
        begin = start_of_names + name
        yield elf[begin : elf.index(b"\0", begin)].decode(), elf[offset : offset + length]


def _attributes(section: bytes) -> Iterator[tuple[int, int]]:
    """Attributes that tell a number of each function; there is one function."""
    at = 0
    while at < len(section):
        form, kind, size = struct.unpack_from("<BBH", section, at)
        at += 4
        if form == 4:  # else the size is the value
            if size == 8:
                yield kind, struct.unpack_from("<II", section, at)[1]
            at += size
