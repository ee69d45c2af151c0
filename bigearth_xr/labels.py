"""Labels as names and as marks: 43 classes, 19 classes, and the way between.

A mark is one bool per class ("multi-hot"). The order of the classes is that of the
papers unless asked otherwise; the official v2 models use the lexicographic one.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Literal, Protocol, TypeVar, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.errors import LabelError
from bigearth_xr.nomenclature import CLASSES_19, CLASSES_43, UNLABELLED_CLC, Label
from bigearth_xr.releases import Release
from bigearth_xr.spelling import check_choice, did_you_mean

__all__ = [
    "CLASSES_19",
    "CLASSES_43",
    "UNLABELLED_CLASS",
    "UNLABELLED_CLC",
    "Label",
    "Nomenclature",
    "Order",
    "Release",
    "clc_to_class",
    "decode_labels",
    "encode_labels",
    "group_labels",
    "group_multi_hot",
    "label_names",
    "reorder_labels",
]

Nomenclature = Literal[19, 43]
"""How many classes the labels tell apart."""

Order = Literal["paper", "lexicographic"]
"""``"paper"`` is that of the publications, ``"lexicographic"`` that of the v2 models."""

UNLABELLED_CLASS = 255
"""What ``clc_to_class`` gives for a pixel without any of the 19 classes."""


class _MultiHot(Protocol):
    """What NumPy, CuPy, Dask and torch arrays of bool have in common."""

    @property
    def shape(self) -> tuple[int, ...]: ...
    def __getitem__(self, key: Any, /) -> Any: ...
    def __or__(self, other: Any, /) -> Any: ...


MultiHot = TypeVar("MultiHot", bound=_MultiHot)


def label_names(nomenclature: Nomenclature = 19, order: Order = "paper") -> tuple[str, ...]:
    """List the classes in the order of their index.

    Raises
    ------
    LabelError
        There is no such nomenclature or order.

    Examples
    --------
    >>> label_names()[0], label_names(43)[42]
    ('Urban fabric', 'Sea and ocean')
    >>> label_names(order="lexicographic")[0]
    'Agro-forestry areas'
    """
    check_choice("nomenclature", nomenclature, _CLASSES, LabelError)
    check_choice("label order", order, get_args(Order), LabelError)
    names = tuple(label.name for label in _CLASSES[nomenclature])
    return names if order == "paper" else tuple(sorted(names))


def group_labels(names: Iterable[str]) -> list[str]:
    """Turn 43-class names into the 19-class names they count as.

    Returns
    -------
    list[str]
        In paper order, each once; classes that the 19 drop vanish.

    Raises
    ------
    LabelError
        A name is not one of the 43; the message names the nearest.

    Examples
    --------
    >>> group_labels(["Olive groves", "Vineyards", "Airports"])
    ['Permanent crops']
    """
    return decode_labels(group_multi_hot(encode_labels(names, 43)))


def encode_labels(labels: Iterable[str], nomenclature: Nomenclature = 19, order: Order = "paper") -> NDArray[np.bool_]:
    """Mark the classes of a patch.

    Returns
    -------
    NDArray[np.bool_]
        Shape ``(label,)``.

    Raises
    ------
    LabelError
        A name is not of this nomenclature; the message names the nearest.

    Examples
    --------
    >>> encode_labels(["Marine waters", "Pastures"]).nonzero()[0]
    array([ 4, 18])
    """
    names = label_names(nomenclature, order)
    multi_hot = np.zeros(len(names), np.bool_)
    for label in (labels,) if isinstance(labels, str) else labels:
        if label not in names:
            raise LabelError(f"{label!r} is not one of the {nomenclature} classes{did_you_mean(label, names)}")
        multi_hot[names.index(label)] = True
    return multi_hot


def decode_labels(multi_hot: ArrayLike, nomenclature: Nomenclature = 19, order: Order = "paper") -> list[str]:
    """Name the classes of a patch.

    Parameters
    ----------
    multi_hot
        Shape ``(label,)``, bool.
    nomenclature, order
        What the places of ``multi_hot`` mean.

    Returns
    -------
    list[str]
        In the order of ``multi_hot``.

    Raises
    ------
    LabelError
        ``multi_hot`` has another number of classes.

    Examples
    --------
    >>> decode_labels(encode_labels(["Marine waters", "Pastures"]))
    ['Pastures', 'Marine waters']
    """
    names = label_names(nomenclature, order)
    marks = np.asarray(multi_hot, np.bool_)
    _check_classes(marks, len(names))
    if marks.ndim != 1:
        raise LabelError(f"multi-hot labels are {marks.shape}, expected one patch at a time")
    return [names[index] for index in marks.nonzero()[0]]


def group_multi_hot(multi_hot: MultiHot) -> MultiHot:
    """Turn marks of the 43 classes into marks of the 19.

    Parameters
    ----------
    multi_hot
        Shape ``(..., 43)``, bool, paper order; NumPy, CuPy, Dask or torch.

    Returns
    -------
    MultiHot
        Shape ``(..., 19)``, bool, paper order; same device and laziness.

    Raises
    ------
    LabelError
        ``multi_hot`` does not have 43 classes.

    Examples
    --------
    >>> group_multi_hot(np.ones((2, 43), bool)).shape
    (2, 19)
    """
    _check_classes(multi_hot, 43)
    first, *others = _GROUP_MEMBERS
    grouped = multi_hot[..., first]
    for members in others:
        grouped = grouped | multi_hot[..., members]
    return cast(MultiHot, grouped)


def reorder_labels(
    multi_hot: MultiHot,
    nomenclature: Nomenclature = 19,
    *,
    from_order: Order,
    to_order: Order,
) -> MultiHot:
    """Move the marks of classes from one order to the other.

    Parameters
    ----------
    multi_hot
        Shape ``(..., label)``, any data type; NumPy, CuPy, Dask or torch.
    nomenclature, from_order
        What its places mean.
    to_order
        What they shall mean.

    Returns
    -------
    MultiHot
        Same shape, data type, device and laziness.

    Raises
    ------
    LabelError
        ``multi_hot`` has another number of classes.

    Examples
    --------
    >>> urban = encode_labels(["Urban fabric"])
    >>> reorder_labels(urban, from_order="paper", to_order="lexicographic").argmax()
    np.int64(18)
    """
    _check_classes(multi_hot, nomenclature)
    places = label_names(nomenclature, from_order)
    moved = [places.index(name) for name in label_names(nomenclature, to_order)]
    return cast(MultiHot, multi_hot[..., moved])


def clc_to_class(codes: ArrayLike) -> NDArray[np.uint8]:
    """Turn a reference map into an index of the 19 classes, paper order.

    Parameters
    ----------
    codes
        CORINE codes as the maps of v2 hold them, e.g. 312; any shape, uint16.

    Returns
    -------
    NDArray[np.uint8]
        Same shape; 0 to 18, and 255 for every other code: unlabelled (999), missing
        (65535) or dropped by the 19 classes.

    Examples
    --------
    >>> clc_to_class([[111, 523], [122, 999]])
    array([[  0,  18],
           [255, 255]], dtype=uint8)
    """
    return _CLASS_OF_CLC[np.minimum(np.asarray(codes, np.uint16), UNLABELLED_CLC)]


def _check_classes(multi_hot: _MultiHot, classes: int) -> None:
    """Refuse marks whose last dimension is not the classes."""
    if multi_hot.shape[-1:] != (classes,):
        raise LabelError(
            f"multi-hot labels are {tuple(multi_hot.shape)}, expected {classes} classes "
            f"in the last dimension; check the nomenclature"
        )


_CLASSES: Mapping[Nomenclature, tuple[Label, ...]] = {19: CLASSES_19, 43: CLASSES_43}


def _group_members() -> list[list[int]]:
    """Index the k-th member of every group among the 43, for every k.

    All groups get as many members as the largest: a mark counts once however often it
    is or-ed, so short groups repeat their last.
    """
    members = [[index for index, label in enumerate(CLASSES_43) if label.group == group.name] for group in CLASSES_19]
    largest = max(map(len, members))
    return [[those[min(k, len(those) - 1)] for those in members] for k in range(largest)]


def _class_of_clc() -> NDArray[np.uint8]:
    """Tabulate the 19-class index of every CORINE code up to the unlabelled one."""
    table = np.full(UNLABELLED_CLC + 1, UNLABELLED_CLASS, np.uint8)
    for index, label in enumerate(CLASSES_19):
        table[[int(code) for code in label.clc_codes]] = index
    return table


_GROUP_MEMBERS = _group_members()
_CLASS_OF_CLC = _class_of_clc()
