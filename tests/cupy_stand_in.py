"""A stand-in for CuPy where there is no GPU: host memory that, like a GPU's, refuses to meet NumPy's.

It shows that the code for GPUs runs, and never mixes arrays of the two; not that a GPU gives the same numbers, which
the tests marked ``gpu`` show.
"""

from collections.abc import Callable
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
from numpy.lib.mixins import NDArrayOperatorsMixin


class StandInArray(NDArrayOperatorsMixin):
    """An array that NumPy's functions take only among its like."""

    def __init__(self, host: Any) -> None:
        self.host = np.asarray(host)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(self.host, name)
        return _lifted(attribute) if callable(attribute) else _wrap(attribute)

    def __getitem__(self, key: Any) -> Any:
        return _wrap(self.host[_unwrap(key)])

    def __setitem__(self, key: Any, value: Any) -> None:
        self.host[_unwrap(key)] = _unwrap(value)

    def __len__(self) -> int:
        return len(self.host)

    def __array__(self, *_: Any, **__: Any) -> Any:
        raise TypeError("implicit conversion to a NumPy array is not allowed")

    def __array_ufunc__(self, ufunc: Any, method: str, *inputs: Any, **kwargs: Any) -> Any:
        return _lifted(getattr(ufunc, method))(*inputs, **kwargs)

    def __array_function__(self, function: Any, _types: Any, args: Any, kwargs: Any) -> Any:
        return _lifted(function)(*args, **kwargs)


# By which our code, Dask and xarray tell whose array it is.
StandInArray.__module__ = "cupy"


def cupy_stand_in() -> ModuleType:
    """Make a module to be found as ``cupy``."""
    module = ModuleType("cupy")
    lifted = (
        *("arange", "argpartition", "argsort", "concatenate", "cos", "empty", "log", "ones", "partition", "repeat"),
        *(
            "isfinite",
            "rint",
            "rot90",
            "sin",
            "sort",
            "sqrt",
            "stack",
            "subtract",
            "take",
            "take_along_axis",
            "tensordot",
            "where",
            "zeros",
        ),
    )
    for name in lifted:
        setattr(module, name, _lifted(getattr(np, name)))
    for name in ("bool_", "float32", "float64", "uint16", "uint64"):
        setattr(module, name, getattr(np, name))
    module.__dict__.update(
        ndarray=StandInArray,
        asarray=lambda values, dtype=None: StandInArray(np.array(getattr(values, "host", values), dtype)),
        asnumpy=lambda array: array.host.copy(),
        cuda=SimpleNamespace(is_available=lambda: True),
    )
    return module


def _lifted(function: Callable[..., Any]) -> Callable[..., Any]:
    """Turn a function of NumPy arrays into one of ours."""

    def of_ours(*args: Any, **kwargs: Any) -> Any:
        return _wrap(function(*_unwrap(args), **_unwrap(kwargs)))

    return of_ours


def _wrap(value: Any) -> Any:
    return StandInArray(value) if isinstance(value, np.ndarray) else value


def _unwrap(value: Any) -> Any:
    if isinstance(value, np.ndarray) and value.size:
        raise TypeError("Unsupported type <class 'numpy.ndarray'>")
    if isinstance(value, tuple | list):
        return type(value)(_unwrap(part) for part in value)
    if isinstance(value, dict):
        return {name: _unwrap(part) for name, part in value.items()}
    return value.host if isinstance(value, StandInArray) else value
