"""Read and write memory by its address, as C does: no bounds, no negative index, nothing that keeps a loop scalar.

An index of a NumPy array may be negative, and the test for it keeps LLVM from using vectors: that is a factor of 4.
Bytes are read and written wherever they lie, some at once: an address need not be a multiple of anything.
"""

from collections.abc import Callable
from typing import Any, TypeVar

import numba
from llvmlite import ir
from numba import types
from numba.extending import intrinsic

PIECE = 32
"""Bytes that `put_piece` writes."""

Function = TypeVar("Function", bound=Callable[..., Any])

CHUNK = 16
"""Bytes that `copy_bytes` moves at once: what every 64-bit processor has registers for."""


def kernel(function: Function) -> Function:
    """Compile a function when it is first called; no fused multiply-add, no fast math, no lock of the interpreter.

    Examples
    --------
    >>> kernel(lambda number: number + 1)(2)
    3
    """
    compiled: Function = numba.njit(function, nogil=True, error_model="numpy")
    return compiled


def instruction(function: Callable[..., Any]) -> Any:
    """Make an intrinsic of it: called in a kernel without the first argument, which holds numba's types."""
    return intrinsic(function)


def pointer_to(kind: types.Type) -> Any:
    """An intrinsic that takes an address, uint64, for a pointer to numbers of a kind.

    Examples
    --------
    >>> import numpy as np
    >>> bytes_at, numbers = pointer_to(types.uint8), np.uint8([1, 2])
    >>> kernel(lambda address: get(bytes_at(address), 1))(np.uint64(numbers.ctypes.data))
    2
    """

    def pointer(typing: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.inttoptr(arguments[0], context.get_value_type(signature.return_type))

        target: Any = types.CPointer(kind)  # type: ignore[no-untyped-call]  # numba types it in part
        return target(types.uint64), generate

    return instruction(pointer)


floats_at = pointer_to(types.float32)
"""Pointer to the float32 at an address."""


integers_at = pointer_to(types.int32)
"""Pointer to the int32 at an address."""


bytes_at = pointer_to(types.uint8)
"""Pointer to the uint8 at an address."""

words_of_8_at = pointer_to(types.uint64)
"""Pointer to the uint64 at an address."""

longs_at = pointer_to(types.uint32)
"""Pointer to the uint32 at an address."""


words_at = pointer_to(types.uint16)
"""Pointer to the uint16 at an address."""


@instruction
def get(typing: Any, pointer: Any, index: Any) -> Any:
    """Read the number at an index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.load(builder.gep(arguments[0], [arguments[1]], inbounds=True))

    return pointer.dtype(pointer, types.intp), generate


@instruction
def put(typing: Any, pointer: Any, index: Any, value: Any) -> Any:
    """Write a number at an index."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[2], builder.gep(arguments[0], [arguments[1]], inbounds=True))
        return context.get_dummy_value()

    return types.void(pointer, types.intp, pointer.dtype), generate


@instruction
def advance(typing: Any, pointer: Any, steps: Any) -> Any:
    """Point to the number that is `steps` numbers further."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.gep(arguments[0], [arguments[1]], inbounds=True)

    return pointer(pointer, types.intp), generate


@instruction
def address_of(typing: Any, pointer: Any) -> Any:
    """Tell where a pointer points to, uint64."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return builder.ptrtoint(arguments[0], ir.IntType(64))

    return types.uint64(pointer), generate


@instruction
def put_piece(typing: Any, source: Any, target: Any) -> Any:
    """Copy a piece past the cache, to an address that is a multiple of its bytes."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        piece = ir.VectorType(ir.IntType(8), PIECE).as_pointer()
        # Of numbers that were written one by one, the alignment is theirs.
        bits = builder.load(builder.bitcast(arguments[0], piece), align=source.dtype.bitwidth // 8)
        store = builder.store(bits, builder.bitcast(arguments[1], piece), align=PIECE)
        store.set_metadata("nontemporal", builder.module.add_metadata([ir.Constant(ir.IntType(32), 1)]))
        return context.get_dummy_value()

    return types.void(source, target), generate


@instruction
def fence(typing: Any) -> Any:
    """Let everything that was written be seen by all threads, pieces too, before anything that is written later."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.fence("seq_cst")
        return context.get_dummy_value()

    return types.void(), generate


@instruction
def transpose_square(typing: Any, source: Any, source_step: Any, target: Any, target_step: Any) -> Any:
    """Turn four lines of four float32 into four columns; a step is from one line to the next.

    LLVM makes no such shuffles of a loop, and moves number by number.
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        source, source_step, target, target_step = arguments

        def line(pointer: Any, step: Any, number: int) -> Any:
            place = builder.gep(pointer, [builder.mul(step, ir.Constant(step.type, number))])
            return builder.bitcast(place, ir.VectorType(ir.FloatType(), 4).as_pointer())

        def shuffle(a: Any, b: Any, *places: int) -> Any:
            return builder.shuffle_vector(a, b, ir.Constant(ir.VectorType(ir.IntType(32), 4), list(places)))

        a, b, c, d = (builder.load(line(source, source_step, number), align=4) for number in range(4))
        left = shuffle(a, b, 0, 4, 1, 5), shuffle(c, d, 0, 4, 1, 5)
        right = shuffle(a, b, 2, 6, 3, 7), shuffle(c, d, 2, 6, 3, 7)
        columns = (shuffle(*half, *places) for half in (left, right) for places in ((0, 1, 4, 5), (2, 3, 6, 7)))
        for number, column in enumerate(columns):
            builder.store(column, line(target, target_step, number), align=4)
        return context.get_dummy_value()

    return types.void(source, types.intp, target, types.intp), generate


def _reinterpret(kind: types.Type, given: types.Type) -> Any:
    """An intrinsic that takes the bits of a number for another."""

    def reinterpreted(typing: Any, number: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return builder.bitcast(arguments[0], context.get_value_type(kind))

        return kind(given), generate

    return instruction(reinterpreted)


bits_of = _reinterpret(types.uint32, types.float32)
"""Bits of a float32, uint32."""


float_of = _reinterpret(types.float32, types.uint32)
"""The float32 of some bits."""


def _load(kind: types.Type) -> Any:
    """An intrinsic that reads a number from where a pointer to bytes points to."""

    def load(typing: Any, source: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            place = builder.bitcast(arguments[0], context.get_value_type(kind).as_pointer())
            return builder.load(place, align=1)

        return kind(source), generate

    return instruction(load)


get_half = _load(types.uint16)
"""The uint16 that a pointer to bytes points to."""


get_word = _load(types.uint64)
"""The uint64 that a pointer to bytes points to."""


@instruction
def put_word(typing: Any, target: Any, word: Any) -> Any:
    """Write a uint64 where a pointer to bytes points to."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        builder.store(arguments[1], builder.bitcast(arguments[0], ir.IntType(64).as_pointer()), align=1)
        return context.get_dummy_value()

    return types.void(target, types.uint64), generate


@instruction
def copy_chunk(typing: Any, source: Any, target: Any) -> Any:
    """Copy `CHUNK` bytes, all of which are read before any is written."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        chunk = ir.VectorType(ir.IntType(8), CHUNK).as_pointer()
        bits = builder.load(builder.bitcast(arguments[0], chunk), align=1)
        builder.store(bits, builder.bitcast(arguments[1], chunk), align=1)
        return context.get_dummy_value()

    return types.void(source, target), generate


@kernel
def copy_word(source: Any, target: Any) -> None:
    """Copy 8 bytes."""
    put_word(target, get_word(source))


@kernel
def copy_bytes(source: Any, target: Any, count: Any, room: Any) -> None:
    """Copy bytes, in chunks, of which the last may go past the end.

    Parameters
    ----------
    source, target
        Pointers to bytes; the first that is copied may be the target's, but none between.
    count
        How many.
    room
        How many may be read, and as many written to: no fewer. What is copied past `count` means nothing.

    Examples
    --------
    >>> import numpy as np
    >>> @kernel
    ... def copy(source, target):
    ...     copy_bytes(bytes_at(source), bytes_at(target), 3, 4)
    >>> numbers = np.arange(8, dtype=np.uint8)
    >>> copy(np.uint64(numbers.ctypes.data), np.uint64(numbers.ctypes.data + 4))
    >>> numbers
    array([0, 1, 2, 3, 0, 1, 2, 7], dtype=uint8)
    """
    at = 0
    end = count if count + CHUNK <= room else count - CHUNK + 1
    while at < end:
        copy_chunk(advance(source, at), advance(target, at))
        at += CHUNK
    while at < count:
        put(target, at, get(source, at))
        at += 1
