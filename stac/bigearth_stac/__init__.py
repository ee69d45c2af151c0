"""BigEarthNet as a STAC catalogue: one collection a release, one item a patch pair, whose id is the patch's.

``build_catalog`` writes it from the table alone, ``find_items`` searches it without a server, ``open_search`` opens
what any search found as a Dataset. Each name is loaded when it is first used.
"""

from importlib import import_module
from importlib.util import find_spec
from typing import TYPE_CHECKING

from bigearth_xr.errors import DependencyError

if TYPE_CHECKING:
    from bigearth_stac.catalog import build_catalog
    from bigearth_stac.opening import open_search
    from bigearth_stac.search import find_items
    from bigearth_stac.validation import validate_catalog

__all__ = ["build_catalog", "find_items", "open_search", "validate_catalog"]

_HOME = {
    "build_catalog": "bigearth_stac.catalog",
    "find_items": "bigearth_stac.search",
    "open_search": "bigearth_stac.opening",
    "validate_catalog": "bigearth_stac.validation",
}
_NEEDS_PYSTAC = ("validate_catalog",)

if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

    def __getattr__(name: str) -> object:
        if name in _HOME:
            if name in _NEEDS_PYSTAC and find_spec("pystac") is None:
                raise DependencyError(
                    f"bigearth_stac.{name} needs pystac, which is not installed: pip install 'bigearth-xr[stac]'"
                )
            return getattr(import_module(_HOME[name]), name)
        raise AttributeError(f"module 'bigearth_stac' has no attribute {name!r}; it has {__all__}")


def __dir__() -> list[str]:
    return __all__
