"""The land-cover classes as tables: 43 of CORINE, and the 19 that group them.

Sources: the 43 names in the order of the official models, their CORINE codes and
their counts over all 590,326 patches of v1 (Sumbul et al., IGARSS 2019, table 2); the
groups of label_indices.json of the official 19-class models (git.tu-berlin.de/rsim),
equal to clc_metadata.json of kai-tub/bigearthnet-pipeline, which also has the colours
of CORINE Land Cover; the counts of the 19 over the 480,038 rows of v2's
metadata.parquet. Class 335 of CORINE, glaciers, lies in no patch.
"""

from dataclasses import dataclass

__all__ = ["CLASSES_19", "CLASSES_43", "UNLABELLED_CLC", "Label"]

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
