"""Published means and standard deviations of the bands, to standardise pixels with.

Sources: v1, BAND_STATS of the official models (git.tu-berlin.de/rsim/
bigearthnet-models-tf, BigEarthNet.py), which standardise each band at its own size;
v2, BENv2_utils.py of configilm 0.7.1, over the official train split, one table per
size and way of resampling. Sentinel-2 in digital numbers, Sentinel-1 in dB.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import bands
from bigearth_xr.errors import SelectionError
from bigearth_xr.releases import Release

__all__ = ["BandStatistics", "band_statistics"]

StatsResampling = Literal["none", "nearest", "bilinear_align_corners", "bicubic_align_corners"]
"""How the bands were brought to one size before their statistics were taken.

The published bilinear and bicubic tables were computed with torch's
``align_corners=True``, which this package does not resample with: hence the names.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class BandStatistics:
    """Mean and standard deviation of every band, as one publication gives them."""

    release: Release
    """Release whose pixels they describe."""

    resampling: StatsResampling
    """How the bands were brought to one size."""

    size: int | None
    """Pixels along one side of a patch; None where each band keeps its own."""

    mean: Mapping[str, float]
    """Mean by band name, digital numbers or dB."""

    std: Mapping[str, float]
    """Standard deviation by band name, digital numbers or dB."""

    minimum: Mapping[str, float]
    """Least value by band name, where published (v1: VV and VH)."""

    maximum: Mapping[str, float]
    """Greatest value by band name, where published (v1: VV and VH)."""

    source: str
    """Where they were published."""

    population: str
    """Which pixels they were taken over."""

    def as_arrays(self, names: Iterable[str]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Give mean and standard deviation in the order of some bands.

        Parameters
        ----------
        names
            Names of the bands.

        Returns
        -------
        mean, std : NDArray[np.float32]
            Shape ``(band,)``, digital numbers or dB.

        Examples
        --------
        >>> band_statistics("v2", "nearest").as_arrays(["B04", "VV"])[0]
        array([588.4096  , -12.643864], dtype=float32)
        """
        chosen = [band.name for band in bands(names)]
        mean = np.array([self.mean[name] for name in chosen], np.float32)
        std = np.array([self.std[name] for name in chosen], np.float32)
        return mean, std


def band_statistics(release: Release, resampling: StatsResampling, size: int = 120) -> BandStatistics:
    """Look up published band statistics.

    Parameters
    ----------
    release
        ``"v1"`` or ``"v2"``.
    resampling
        How the bands were brought to one size; v1 has ``"none"``, which also holds
        for ``"nearest"``, because repeating pixels changes neither mean nor deviation.
    size
        Pixels along one side: 120, and for v2 also 60 and 128; ``"none"`` ignores it.

    Raises
    ------
    SelectionError
        Nothing was published for this choice; the message names what was.

    Examples
    --------
    >>> band_statistics("v2", "bilinear_align_corners").std["B05"]
    727.5784
    """
    rows = _rows(release, resampling, size)
    if rows is None:
        raise SelectionError(
            f"no statistics of release {release!r} were published for resampling "
            f"{resampling!r} at {size} pixels a side; {_known()}. To have your own, "
            f"compute them over the train split"
        )
    return BandStatistics(
        release=release,
        resampling=resampling,
        size=None if resampling == "none" else size,
        mean={name: mean for name, (mean, _) in rows.items()},
        std={name: std for name, (_, std) in rows.items()},
        minimum={"VV": -74.33214569091797, "VH": -75.11137390136719} if release == "v1" else {},
        maximum={"VV": 34.60696029663086, "VH": 33.59768295288086} if release == "v1" else {},
        source=_SOURCE[release],
        population=_POPULATION[release],
    )


Rows = dict[str, tuple[float, float]]


def _rows(release: str, resampling: str, size: int) -> Rows | None:
    """Assemble a table; None where nothing was published."""
    native = _NATIVE.get(release)
    if native is None or resampling == "none":
        return native
    resampled = _V2_RESAMPLED.get((size, resampling)) if release == "v2" else None
    if resampled is None and not (resampling == "nearest" and size == 120):
        return None
    # A band that is at the size already, or whose pixels were only repeated, keeps
    # its statistics: the publication agrees to the last digit.
    return native | (resampled or {})


def _known() -> str:
    """Say what was published."""
    methods = ", ".join(get_args(StatsResampling))
    return f"known are v1: none, nearest at 120; v2: {methods} at 60, 120 or 128"


def _read_table(text: str, columns: int) -> list[Rows]:
    """Read a text table: a band, then mean and deviation per column; - is as native."""
    tables: list[Rows] = [{} for _ in range(columns)]
    for line in text.splitlines():
        name, *cells = line.split()
        for table, mean, std in zip(tables, cells[::2], cells[1::2], strict=True):
            if mean != "-":
                table[name] = float(mean), float(std)
    return tables


_SOURCE: dict[Release, str] = {
    "v1": "git.tu-berlin.de/rsim/bigearthnet-models-tf, BigEarthNet.py, BAND_STATS",
    "v2": "configilm 0.7.1, configilm/extra/BENv2_utils.py",
}

_POPULATION: dict[Release, str] = {
    "v1": "not stated by the source",
    "v2": "the official train split of v2",
}

_V1 = """\
B01        340.76769064       554.81258967
B02         429.9430203       572.41639287
B03        614.21682446       582.87945694
B04        590.23569706       675.88746967
B05        950.68368468       729.89827633
B06       1792.46290469      1096.01480586
B07       2075.46795189      1273.45393088
B08       2218.94553375      1365.45589904
B8A       2266.46036911      1356.13789355
B09        2246.0605464       1302.3292881
B11       1594.42694882      1079.19066363
B12       1009.32729131       818.86747235
VV  -12.619993741972035  5.115911777546365
VH   -19.29044597721542  5.464428464912864
"""

_V2 = """\
B01  361.07678  575.0687
B02  438.37207 607.02686
B03  614.05566  603.2968
B04   588.4096 684.56885
B05   942.8433  738.4327
B06  1769.9316  1100.456
B07  2049.5515 1275.8054
B08   2193.292 1369.3717
B8A  2235.5566 1356.5441
B09  2241.4553 1316.3933
B11  1568.2268 1070.1613
B12   997.7325 813.52765
VV  -12.643864  5.133494
VH  -19.352558 5.5905056
"""

# Columns: nearest, bilinear, bicubic.
_V2_AT_60 = """\
B01          -         -   360.73538 563.86273   360.72556   572.985
B02  438.37854  607.0214   438.47604 602.11914   438.46463  607.8173
B03    614.062 603.28546   614.15344 597.85187    614.1426  604.0227
B04  588.41113   684.556     588.508   678.498    588.4971 685.44006
B05          -         -           -         -           -         -
B06          -         -           -         -           -         -
B07          -         -           -         -           -         -
B08  2193.3318 1369.3582   2193.3694 1359.0668   2193.3596 1370.1174
B8A          -         -           -         -           -         -
B09          -         -    2241.178 1294.6436   2241.1633  1313.858
B11          -         -           -         -           -         -
B12          -         -           -         -           -         -
VV  -12.643914  5.133487  -12.643947  5.045091  -12.643938 5.1350226
VH  -19.352587   5.59049  -19.352697  5.482285  -19.352686  5.585089
"""

_V2_AT_120 = """\
B01          -         -    360.6468  563.1734   360.63745  572.3437
B02          -         -           -         -           -         -
B03          -         -           -         -           -         -
B04          -         -           -         -           -         -
B05          -         -    942.7477  727.5784   942.74725  738.3038
B06          -         -   1769.8486 1087.4288   1769.8485 1100.4614
B07          -         -   2049.4758 1261.4303   2049.4758 1275.8435
B08          -         -           -         -           -         -
B8A          -         -   2235.4868 1342.4905   2235.4868 1356.7542
B09          -         -    2241.106 1294.3555    2241.091 1313.6488
B11          -         -   1568.2115 1063.9198   1568.2118 1070.8011
B12          -         -    997.7151 806.88464    997.7151  814.0936
VV           -         -           -         -           -         -
VH           -         -           -         -           -         -
"""

_V2_AT_128 = """\
B01  361.06607 575.04193   360.64117  563.1305     360.632   572.304
B02    438.385 607.09845   438.36646  601.3347   438.36667 607.21155
B03  614.06903   603.359    614.0504 597.17316   614.05066  603.5127
B04  588.41986  684.6244   588.40424   677.865    588.4045  684.9767
B05  942.85425  738.4649    942.7413 727.52277    942.7389 738.26666
B06  1769.9519  1100.479   1769.8433 1087.3964   1769.8412 1100.4418
B07   2049.575  1275.831   2049.4707 1261.4038    2049.469 1275.8289
B08  2193.3206  1369.403   2193.2883  1358.791   2193.2883 1369.9762
B8A  2235.5808 1356.5684   2235.4822 1342.4675   2235.4807 1356.7421
B09  2241.4675 1316.4038   2241.1016 1294.3376   2241.0867 1313.6362
B11  1568.2297 1070.1702   1568.2103 1063.9159   1568.2102 1070.8002
B12  997.73517 813.54114    997.7137  806.8798    997.7135 814.09216
VV   -12.64389 5.1334395  -12.643858  5.044348   -12.64386 5.1350455
VH  -19.352604  5.590465   -19.35255 5.4813075  -19.352552 5.5849853
"""

_NATIVE: dict[str, Rows] = {"v1": _read_table(_V1, 1)[0], "v2": _read_table(_V2, 1)[0]}

_V2_RESAMPLED: dict[tuple[int, str], Rows] = {
    (size, method): rows
    for size, text in ((60, _V2_AT_60), (120, _V2_AT_120), (128, _V2_AT_128))
    for method, rows in zip(get_args(StatsResampling)[1:], _read_table(text, 3), strict=True)
}
