"""Labels as names and as marks: 43 classes, 19 classes, and the way between.

A mark is one bool per class ("multi-hot"). The order of the classes is that of the
papers unless asked otherwise; the official v2 models use the lexicographic one.

Sources: the 43 names in the order of the official models, their CORINE codes and
their counts over all 590,326 patches of v1 (Sumbul et al., IGARSS 2019, table 2); the
groups of label_indices.json of the official 19-class models (git.tu-berlin.de/rsim),
equal to clc_metadata.json of kai-tub/bigearthnet-pipeline, which also has the colours
of CORINE Land Cover; the counts of the 19 over the 480,038 rows of v2's
metadata.parquet. Class 335 of CORINE, glaciers, lies in no patch.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol, TypeVar, cast, get_args

import numpy as np
from numpy.typing import ArrayLike, NDArray

from bigearth_xr.errors import LabelError
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


UNLABELLED_CLC = 999
"""Code of a pixel without CORINE class in the reference maps of v2."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Label:
    """One land-cover class of either nomenclature."""

    name: str
    """Name as the release spells it."""

    clc_codes: tuple[str, ...]
    """CORINE level-3 codes that it covers, ascending; one in the 43 classes."""

    color: tuple[int, int, int]
    """Red, green, blue, 0 to 255; for a group that of its most frequent member."""

    group: str | None
    """The 19-class name it counts as; None where the 19 classes drop it."""

    published_count: int
    """Patches that bear it: all of v1 for the 43 classes, recommended v2 for the 19."""


# Recommended patches of v2, name.
_TABLE_19 = """\
 63_758 Urban fabric
 11_142 Industrial or commercial units
188_025 Arable land
 29_588 Permanent crops
 95_605 Pastures
 99_598 Complex cultivation patterns
122_709 Land principally occupied by agriculture, with significant areas of natural vegetation
 33_181 Agro-forestry areas
135_928 Broad-leaved forest
154_941 Coniferous forest
165_780 Mixed forest
 11_882 Natural grassland and sparsely vegetated areas
 13_894 Moors, heathland and sclerophyllous vegetation
141_150 Transitional woodland, shrub
  1_316 Beaches, dunes, sands
 20_919 Inland wetlands
  1_397 Coastal wetlands
 63_212 Inland waters
 61_832 Marine waters
"""

# CORINE code, index of the group among the 19 (- where they drop the class), colour,
# patches of v1, name (= where it is that of the group).
_TABLE_43 = """\
111  0 e6004d  10_784 Continuous urban fabric
112  0 ff0000  69_872 Discontinuous urban fabric
121  1 cc4df2  12_895 =
122  - cc0000   3_384 Road and rail networks and associated land
123  - e6cccc     509 Port areas
124  - e6cce6     979 Airports
131  - a600cc   4_618 Mineral extraction sites
132  - a64d00     959 Dump sites
133  - ff4dff   1_174 Construction sites
141  - ffa6ff   1_786 Green urban areas
142  - ffe6ff   5_353 Sport and leisure facilities
211  2 ffffa8 196_695 Non-irrigated arable land
212  2 ffff00  13_589 Permanently irrigated land
213  2 e6e600   3_793 Rice fields
221  3 e68000   9_567 Vineyards
222  3 f2a64d   4_754 Fruit trees and berry plantations
223  3 e6a600  12_538 Olive groves
231  4 e6e64d 103_554 =
241  3 ffe6a6   7_022 Annual crops associated with permanent crops
242  5 ffe64d 107_786 =
243  6 e6cc4d 147_095 =
244  7 f2cca6  30_674 =
311  8 80ff00 150_944 =
312  9 00a600 211_703 =
313 10 4dff00 217_119 =
321 11 ccf24d  12_835 Natural grassland
322 12 a6ff80   5_890 Moors and heathland
323 12 a6e64d  11_241 Sclerophyllous vegetation
324 13 a6f200 173_506 Transitional woodland/shrub
331 14 e6e6e6   1_578 =
332  - cccccc   3_277 Bare rock
333 11 ccffcc   1_563 Sparsely vegetated areas
334  - 000000     328 Burnt areas
411 15 a6a6ff   6_236 Inland marshes
412 15 4d4dff  23_207 Peatbogs
421 16 ccccff   1_562 Salt marshes
422 16 e6e6ff     424 Salines
423  - a6a6e6   1_003 Intertidal flats
511 17 00ccf2  10_572 Water courses
512 17 80f2e6  83_811 Water bodies
521 18 00ffa6   1_498 Coastal lagoons
522 18 a6ffe6   1_086 Estuaries
523 18 e6f2ff  81_612 Sea and ocean
"""


def _label_43(line: str) -> Label:
    """Read a line of the 43-class table."""
    code, index, color, count, name = line.split(maxsplit=4)
    group = None if index == "-" else _NAMES_19[int(index)]
    red, green, blue = bytes.fromhex(color)
    return Label(
        name=group if group and name == "=" else name,
        clc_codes=(code,),
        color=(red, green, blue),
        group=group,
        published_count=int(count),
    )


def _label_19(line: str) -> Label:
    """Read a line of the 19-class table; the rest follows from the members."""
    count, name = line.split(maxsplit=1)
    members = [label for label in CLASSES_43 if label.group == name]
    return Label(
        name=name,
        clc_codes=tuple(code for label in members for code in label.clc_codes),
        color=max(members, key=lambda label: label.published_count).color,
        group=name,
        published_count=int(count),
    )


_NAMES_19 = [line.split(maxsplit=1)[1] for line in _TABLE_19.splitlines()]

CLASSES_43: tuple[Label, ...] = tuple(map(_label_43, _TABLE_43.splitlines()))
"""The 43 classes of v1, in the order of the papers: ascending CORINE code."""

CLASSES_19: tuple[Label, ...] = tuple(map(_label_19, _TABLE_19.splitlines()))
"""The 19 classes of both releases, in the order of the papers."""


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
