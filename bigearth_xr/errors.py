"""What can go wrong, by kind: each error is also the builtin that a caller would catch.

Every message says what was wrong, where, what was expected and what to do.
"""

__all__ = [
    "ArchiveError",
    "ArchiveNotFoundError",
    "AugmentationError",
    "BandError",
    "BatchError",
    "BigEarthError",
    "ChecksumError",
    "DamagedError",
    "DependencyError",
    "DeviceError",
    "DownloadError",
    "EmbeddingError",
    "FormatError",
    "LabelError",
    "LoaderError",
    "MetadataError",
    "NormalizationError",
    "NotStoredError",
    "PatchError",
    "RetrievalError",
    "SelectionError",
    "StoreAccessError",
    "StoreChangedError",
    "StoreError",
    "StoreNotFoundError",
    "TensorError",
    "TransformError",
]


class BigEarthError(Exception):
    """Anything that this package refuses to do."""


class BandError(BigEarthError, ValueError):
    """A band or polarization has no such name, or is not there."""


class LabelError(BigEarthError, ValueError):
    """A label or nomenclature has no such name, or the release lacks it."""


class ArchiveError(BigEarthError, ValueError):
    """The archive as a whole is not laid out as its release promises."""


class ArchiveNotFoundError(ArchiveError, FileNotFoundError):
    """There is no archive at this location."""


class DamagedError(ArchiveError):
    """Compressed data do not decompress, or have another checksum: what came out before may be wrong too."""


class PatchError(ArchiveError):
    """A patch of the archive does not hold what its format promises."""


class MetadataError(ArchiveError):
    """A list, parquet or JSON of the archive does not hold what it promises."""


class StoreError(BigEarthError, ValueError):
    """The store as a whole is not what its format promises."""


class StoreAccessError(StoreError, OSError):
    """The object storage that a store lies on refuses, or does not answer."""


class StoreNotFoundError(StoreError, FileNotFoundError):
    """There is no store at this location."""


class StoreChangedError(StoreError):
    """A place holds another store than the one that was opened there: rows of the one are not those of the other."""


class FormatError(StoreError):
    """The store is of another format, or of another version of ours."""


class ChecksumError(StoreError, OSError):
    """Bytes on disk changed after they were written."""


class DownloadError(BigEarthError, OSError):
    """A file cannot be fetched, or is not the one that was published."""


class BatchError(BigEarthError, ValueError):
    """A batch cannot be asked for so, or not read into this memory."""


class NotStoredError(BigEarthError, LookupError):
    """A row was asked for whose pixels are absent or quarantined."""


class SelectionError(BigEarthError, ValueError):
    """A selection is empty, or names something that does not exist."""


class DependencyError(BigEarthError, ImportError):
    """An optional library is not installed."""


class TensorError(BigEarthError, ValueError):
    """An array cannot share its memory with a tensor, or a tensor with an array."""


class EmbeddingError(BigEarthError, ValueError):
    """A model, or the embeddings already in a store, do not fit what is asked for."""


class RetrievalError(BigEarthError, ValueError):
    """Vectors or labels cannot be searched or scored."""


class NormalizationError(BigEarthError, ValueError):
    """Pixels cannot be scaled so, or not with these statistics."""


class AugmentationError(BigEarthError, ValueError):
    """Pixels cannot be varied so, or their patches are not known."""


class DeviceError(BigEarthError, RuntimeError):
    """There is no GPU, or nothing installed to use it with."""


class TransformError(BigEarthError, ValueError):
    """A batch cannot be transformed so, or not from or into this memory."""


class LoaderError(BigEarthError, ValueError):
    """Batches cannot be loaded so, or not from these patches or this state."""
