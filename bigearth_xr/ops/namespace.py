"""What an array is to us, and which library's functions fit it."""

from importlib import import_module
from types import ModuleType
from typing import Any, Protocol, TypeVar

__all__ = ["Array", "array_namespace"]


class Array(Protocol):
    """What NumPy, CuPy and Dask arrays have in common, as far as we use it."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Length of every dimension."""
        ...

    @property
    def dtype(self) -> Any:
        """Data type of an element."""
        ...

    def astype(self, dtype: Any, /) -> Any:
        """Copy to another data type."""
        ...

    def __getitem__(self, key: Any, /) -> Any: ...


ArrayT = TypeVar("ArrayT", bound=Array)
"""One kind of array, in and out; it says nothing about the data type."""

_NAMESPACES = {"cupy": "cupy", "dask": "dask.array", "numpy": "numpy", "torch": "torch"}


def array_namespace(*arrays: object) -> ModuleType:
    """Find the module whose functions work where these arrays are.

    Parameters
    ----------
    arrays
        NumPy, CuPy, Dask or torch arrays, or of a class derived from one of them; all
        of one kind.

    Returns
    -------
    ModuleType
        ``numpy``, ``cupy``, ``dask.array`` or ``torch``. It is not imported anew: an
        array of it exists.

    Raises
    ------
    TypeError
        Something is not an array, or the arrays are of several kinds.
    """
    names = {_namespace_of(type(array)) for array in arrays}
    if len(names) != 1:
        raise TypeError(
            f"arrays are of {', '.join(sorted(names)) or 'no kind'}, expected one kind; "
            f"move them to one device first (to_gpu, to_cpu)"
        )
    return import_module(names.pop())


def _namespace_of(kind: type) -> str:
    """Find the library that a class, or the nearest class it derives from, is of."""
    for ancestor in kind.__mro__:
        library = ancestor.__module__.partition(".")[0]
        if library in _NAMESPACES:
            return _NAMESPACES[library]
    raise TypeError(
        f"{kind.__module__}.{kind.__qualname__} is no array; expected one of {', '.join(_NAMESPACES.values())}"
    )
