"""Work on eight numbers at once, explicitly: LLVM makes no vectors of short lines, nor of numbers taken by a table."""

import operator
from collections.abc import Callable
from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, overload, register_model

from bigearth_xr.device.kernels.memory import instruction

LANES = 8
"""Numbers that are worked on at once."""

VECTOR = ir.VectorType(ir.FloatType(), LANES)
"""Eight float32, as a type of LLVM's."""

_INTEGER = ir.IntType(32)
_INTEGERS = ir.VectorType(_INTEGER, LANES)
_NEAR = "+avx2"
"""What a processor has that permutes eight numbers by eight others."""


class Lanes(types.Type):
    """Eight float32, as a type of compiled code."""

    def __init__(self) -> None:
        super().__init__(name="lanes")


TYPE = Lanes()
"""The type itself."""


@register_model(Lanes)
class _LanesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, VECTOR)  # type: ignore[no-untyped-call]  # numba types it in part


@instruction
def get_lanes(typing: Any, pointer: Any, at: Any) -> Any:
    """Read eight numbers, float32 or uint16, from an index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _as_floats(builder, _load(builder, *arguments))

    return TYPE(pointer, types.intp), generate


@instruction
def put_lanes(typing: Any, pointer: Any, at: Any, lanes: Any) -> Any:
    """Write eight float32 from an index on."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _store(builder, arguments[2], arguments[0], arguments[1])
        return context.get_dummy_value()

    return types.void(pointer, types.intp, TYPE), generate


@instruction
def in_all_lanes(typing: Any, number: Any) -> Any:
    """Take a number, float32, eight times."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _splat(builder, arguments[0])

    return TYPE(types.float32), generate


@instruction
def reversed_lanes(typing: Any, lanes: Any) -> Any:
    """Take eight numbers from the last to the first."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        return _shuffled(builder, arguments[0], range(LANES - 1, -1, -1))

    return TYPE(TYPE), generate


@instruction
def interleaved(typing: Any, a: Any, b: Any, c: Any, d: Any) -> Any:
    """Take the first numbers of four times eight, then the second, and so on: again four times eight.

    Examples
    --------
    >>> import numpy as np
    >>> from bigearth_xr.device.kernels.memory import floats_at, kernel
    >>> @kernel
    ... def weave(address):
    ...     numbers = get_lanes(floats_at(address), 0)
    ...     put_lanes(floats_at(address), 0, interleaved(numbers, numbers, numbers, numbers)[1])
    >>> numbers = np.arange(8, dtype=np.float32)
    >>> weave(np.uint64(numbers.ctypes.data))
    >>> numbers
    array([2., 2., 2., 2., 3., 3., 3., 3.], dtype=float32)
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        def shuffle(left: Any, right: Any, places: tuple[int, ...]) -> Any:
            return builder.shuffle_vector(left, right, ir.Constant(_INTEGERS, list(places)))

        a, b, c, d = arguments
        parts = []
        for first in range(0, LANES, 2):
            pairs = (first, LANES + first, first + 1, LANES + first + 1) * 2
            halves = shuffle(a, b, pairs), shuffle(c, d, pairs)
            parts.append(shuffle(*halves, (0, 1, LANES, LANES + 1, 2, 3, LANES + 2, LANES + 3)))
        return context.make_tuple(builder, signature.return_type, parts)

    four: Any = types.UniTuple(TYPE, 4)  # type: ignore[no-untyped-call]  # numba types it in part
    return four(TYPE, TYPE, TYPE, TYPE), generate


def put_repeated(times: int) -> Any:
    """Make an instruction that writes eight numbers `times` times each, one after the other.

    Examples
    --------
    >>> import numpy as np
    >>> from bigearth_xr.device.kernels.memory import floats_at, kernel
    >>> put_twice = put_repeated(2)
    >>> twice = kernel(lambda address: put_twice(floats_at(address), 0, get_lanes(floats_at(address), 0)))
    >>> numbers = np.arange(16, dtype=np.float32)
    >>> twice(np.uint64(numbers.ctypes.data))
    >>> numbers[:6]
    array([0., 0., 1., 1., 2., 2.], dtype=float32)
    """

    def repeated(typing: Any, pointer: Any, at: Any, lanes: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            pointer, at, lanes = arguments
            for part in range(times):
                places = [(part * LANES + lane) // times for lane in range(LANES)]
                target = builder.add(at, ir.Constant(at.type, part * LANES))
                _store(builder, _shuffled(builder, lanes, places), pointer, target)
            return context.get_dummy_value()

        return types.void(pointer, types.intp, TYPE), generate

    return instruction(repeated)


def _operation(operation: Callable[[Any, Any], Any], name: str) -> None:
    """Let an operation of Python's be known for lanes: each is rounded by itself."""

    @instruction
    def compute(typing: Any, left: Any, right: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            return getattr(builder, name)(*arguments)

        return TYPE(TYPE, TYPE), generate

    @overload(operation)
    def of_lanes(left: Any, right: Any) -> Any:
        def implementation(left: Any, right: Any) -> Any:
            return compute(left, right)

        return implementation if isinstance(left, Lanes) and isinstance(right, Lanes) else None


_operation(operator.add, "fadd")


_operation(operator.sub, "fsub")


_operation(operator.mul, "fmul")


def _load(builder: Any, pointer: Any, at: Any) -> Any:
    """Numbers as aligned as one is."""
    place = builder.gep(pointer, [at], inbounds=True)
    kind = place.type.pointee
    bits = 32 if kind == ir.FloatType() else kind.width
    return builder.load(builder.bitcast(place, ir.VectorType(kind, LANES).as_pointer()), align=bits // 8)


def _store(builder: Any, lanes: Any, pointer: Any, at: Any) -> None:
    place = builder.gep(pointer, [at], inbounds=True)
    builder.store(lanes, builder.bitcast(place, VECTOR.as_pointer()), align=4)


def _as_floats(builder: Any, numbers: Any) -> Any:
    return numbers if numbers.type == VECTOR else builder.uitofp(numbers, VECTOR)


def _splat(builder: Any, number: Any) -> Any:
    one = builder.insert_element(ir.Constant(VECTOR, ir.Undefined), number, ir.Constant(_INTEGER, 0))
    return _shuffled(builder, one, [0] * LANES)


def _shuffled(builder: Any, lanes: Any, places: Any) -> Any:
    return builder.shuffle_vector(lanes, lanes, ir.Constant(_INTEGERS, list(places)))


class Places(types.Type):
    """Eight int32, as a type of compiled code."""

    def __init__(self) -> None:
        super().__init__(name="places")


_PLACES = Places()


@register_model(Places)
class _PlacesModel(models.PrimitiveModel):
    def __init__(self, manager: Any, kind: Any) -> None:
        super().__init__(manager, kind, _INTEGERS)  # type: ignore[no-untyped-call]  # numba types it in part


@instruction
def get_places(typing: Any, table: Any, at: Any) -> Any:
    """Read eight indices, int32, which a table has from an index on: how far each is after the first of them."""

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, at = arguments
        index = _load_as(builder, table, at, _INTEGERS)
        first = builder.extract_element(index, ir.Constant(_INTEGER, 0))
        one = builder.insert_element(ir.Constant(_INTEGERS, ir.Undefined), first, ir.Constant(_INTEGER, 0))
        return builder.sub(index, builder.shuffle_vector(one, one, ir.Constant(_INTEGERS, [0] * LANES)))

    return _PLACES(table, types.intp), generate


@instruction
def pick_lanes(typing: Any, pointer: Any, places: Any, near: Any) -> Any:
    """Read the float32 at each of eight places.

    Where the processor can, one load serves places that are near: all less than eight. Then all eight numbers have to
    be memory that may be read.

    Examples
    --------
    >>> import numpy as np
    >>> from bigearth_xr.device.kernels.memory import floats_at, integers_at, kernel
    >>> @kernel
    ... def pick(numbers, index):
    ...     lanes = pick_lanes(floats_at(numbers), get_places(integers_at(index), 0), True)
    ...     put_lanes(floats_at(numbers), 0, lanes)
    >>> numbers, index = np.arange(8, dtype=np.float32), np.int32([2, 2, 3, 4, 4, 5, 6, 8])
    >>> pick(np.uint64(numbers.ctypes.data), np.uint64(index.ctypes.data))
    >>> numbers
    array([0., 0., 1., 2., 2., 3., 4., 6.], dtype=float32)
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        numbers, places, near = arguments
        if _NEAR not in context.codegen().magic_tuple()[2].split(","):
            return _picked(builder, numbers, places)
        with builder.if_else(near, likely=True) as (then, otherwise):
            with then:
                permute = ir.FunctionType(VECTOR, [VECTOR, _INTEGERS])
                function = builder.module.declare_intrinsic("llvm.x86.avx2.permps", (), permute)
                window = _load_as(builder, numbers, ir.Constant(_INTEGER, 0), VECTOR)
                permuted, after_permuting = builder.call(function, [window, places]), builder.block
            with otherwise:
                picked, after_picking = _picked(builder, numbers, places), builder.block
        result = builder.phi(VECTOR)
        result.add_incoming(permuted, after_permuting)
        result.add_incoming(picked, after_picking)
        return result

    return TYPE(pointer, _PLACES, types.boolean), generate


def _picked(builder: Any, numbers: Any, index: Any) -> Any:
    """Load by load."""
    lanes = ir.Constant(VECTOR, ir.Undefined)
    for lane in range(LANES):
        number = ir.Constant(_INTEGER, lane)
        place = builder.gep(numbers, [builder.extract_element(index, number)], inbounds=True)
        lanes = builder.insert_element(lanes, builder.load(place), number)
    return lanes


def _load_as(builder: Any, pointer: Any, at: Any, kind: Any) -> Any:
    """Numbers of 32 bits, as aligned as one is."""
    return builder.load(builder.bitcast(builder.gep(pointer, [at], inbounds=True), kind.as_pointer()), align=4)
