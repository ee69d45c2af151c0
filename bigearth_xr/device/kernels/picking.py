"""Read eight numbers at once that a table says the places of."""

from typing import Any

from llvmlite import ir
from numba import types
from numba.extending import models, register_model

from bigearth_xr.device.kernels.lanes import LANES, TYPE, VECTOR
from bigearth_xr.device.kernels.memory import instruction

__all__ = ["get_places", "pick_lanes"]

_INTEGER = ir.IntType(32)
_INTEGERS = ir.VectorType(_INTEGER, LANES)
_NEAR = "+avx2"
"""What a processor has that permutes eight numbers by eight others."""


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
    """Read eight indices, int32, which a table has from an index on: how far each is after the first of them.

    Examples
    --------
    `pick_lanes` takes them.

    >>> get_places.__name__
    'get_places'
    """

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        table, at = arguments
        index = _load(builder, table, at, _INTEGERS)
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
    >>> from bigearth_xr.device.kernels.lanes import put_lanes
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
                window = _load(builder, numbers, ir.Constant(_INTEGER, 0), VECTOR)
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


def _load(builder: Any, pointer: Any, at: Any, kind: Any) -> Any:
    """Numbers of 32 bits, as aligned as one is."""
    return builder.load(builder.bitcast(builder.gep(pointer, [at], inbounds=True), kind.as_pointer()), align=4)
