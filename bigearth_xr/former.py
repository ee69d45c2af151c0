"""Where the classes are now that pickles of earlier versions name, so that these still load.

A pickle names a class by its module and name. Of each module that is no more there is one here that knows where its
classes went; a module that is still there, but lost a class, asks `find_moved` itself.
"""

import sys
from importlib import import_module
from types import ModuleType

__all__ = ["find_moved"]

_MOVED = {
    "backend.embeddings": {
        "StoredFlags": "backend.columns:StoredFlags",
        "StoredVectors": "backend.columns:StoredVectors",
    },
    "backend.patches": {
        "PatchArray": "backend.patch_array:PatchArray",
        "_Orthogonal": "backend.patch_array:_Orthogonal",
        "patch_array": "backend.patch_array:patch_array",
    },
    "backend.resaved": {"_Converted": "backend.origin:_Converted"},
    "batches.build": {"BufferPool": "batches.build:OutputPool"},
    "batches.cache": {"Memory": "batches.cache:HostMemory"},
    "batches.computed": {
        "ComputedArray": "batches.patches:_ComputedArray",
        "ComputedReader": "batches.patches:_ComputedReader",
    },
    "batches.cutmix": {"MapReader": "batches.build:MapReader"},
    "batches.cutting": {"MapReader": "batches.build:MapReader"},
    "batches.held": {"HeldReader": "batches.prefetch:PrefetchReader"},
    "batches.making": {"Maker": "batches.build:BatchBuilder"},
    "batches.reading_ahead": {"ReadingAhead": "batches.prefetch:Prefetcher"},
    "batches.recycling": {"Recycler": "batches.build:OutputPool"},
    "nomenclature": {"Label": "labels:Label"},
    "ops.parameters": {"AugmentParameters": "ops.augmentation:AugmentParameters"},
    "retrieval.named": {"Named": "retrieval.inputs:NamedRows"},
    "sampling.epoch": {"Epoch": "sampling:Epoch"},
    "sampling.rules": {"Sampling": "sampling:Sampling"},
    "store.objects": {"ObjectPlace": "store.location:ObjectLocation"},
    "store.place": {"LocalPlace": "store.location:LocalLocation"},
    "torch.batch": {"PatchBatch": "torch.engine:PatchBatch", "PatchItem": "torch.dataset:PatchItem"},
    "torch.gpu_batches": {"GpuEngine": "torch.engine:GpuEngine"},
    "torch.host_batches": {"HostEngine": "torch.engine:HostEngine"},
    "torch.orders": {
        "ShuffledOrder": "torch.position:ShuffledSampler",
        "StoredOrder": "torch.position:StoredSampler",
    },
    "torch.resuming": {"Position": "torch.position:Position"},
}
"""By module of version 0.1: what was in it, and where that is."""

_PRESENT = ("batches.build", "batches.cache", "store.objects")
"""Modules that are still there."""


def find_moved(module: str, name: str) -> object:
    """Find what a module held once, as its ``__getattr__``.

    Raises
    ------
    AttributeError
        If it never did.

    Examples
    --------
    >>> find_moved("bigearth_xr.store.place", "LocalPlace").__name__
    'LocalLocation'
    """
    target = _MOVED[module.removeprefix("bigearth_xr.")].get(name)
    if target is None:
        raise AttributeError(f"module {module!r} has no attribute {name!r}")
    home, now = target.split(":")
    found: object = getattr(import_module(f"bigearth_xr.{home}"), now)
    return found


class _Former(ModuleType):
    """A module that is no more."""

    def __getattr__(self, name: str) -> object:
        return find_moved(self.__name__, name)


# Not by a finder: the parent of some is a package no longer, and below such a one none is asked.
for _name in set(_MOVED).difference(_PRESENT):
    sys.modules[f"bigearth_xr.{_name}"] = _Former(f"bigearth_xr.{_name}")
