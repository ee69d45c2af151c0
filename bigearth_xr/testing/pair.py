"""Which patches a synthetic archive holds: names, places and days as in the real one."""

import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from bigearth_xr.bands import BANDS, PATCH_SIDE_M, Sensor, band
from bigearth_xr.grid import split_by_position, tile_origin
from bigearth_xr.labels import CLASSES_19, CLASSES_43, UNLABELLED_CLC, group_labels
from bigearth_xr.products import PRODUCTS, Product
from bigearth_xr.releases import Release

_BLOCK_SIDE = 2

_BLOCKS_PER_SIDE = 45

_BLOCKS = _BLOCKS_PER_SIDE**2

# No common factor with the number of blocks: all of them are visited before one comes again.
_BLOCK_STEP = 1327

_COUNTRY_BY_TILE = {
    "29S": "Portugal",
    "29U": "Ireland",
    "31U": "Belgium",
    "31UGR": "Luxembourg",
    "32T": "Switzerland",
    "33T": "Austria",
    "33U": "Austria",
    "34T": "Serbia",
    "34TEN": "Kosovo",
    "34U": "Lithuania",
    "35U": "Lithuania",
    "35VLC": "Lithuania",
}
"""The rest is Finland; a longer name wins."""

_RANK_BY_PRODUCT = {product.name: rank for rank, product in enumerate(PRODUCTS)}

# Primes: the counts of two bands, or of two patches, run in step nowhere.
_CYCLE = 9973

_BAND_STEP = 1009

_DARKEST_DB = -30

_STEPS_PER_DB = 256

_MAP_SIDE = PATCH_SIDE_M // 10


class Pair(Protocol):
    """What must be known of a patch pair to write its files and its rows in the lists."""

    @property
    def patch(self) -> str:
        """Patch id in its release."""

    @property
    def v1_name(self) -> str:
        """Patch id in v1."""

    @property
    def s1_name(self) -> str:
        """Name of the Sentinel-1 partner."""

    @property
    def product(self) -> Product:
        """Sentinel-2 product that it is cut from."""

    @property
    def epsg(self) -> int:
        """UTM zone of the tile."""

    @property
    def corner(self) -> tuple[int, int]:
        """Easting and northing of the upper left corner, metres."""

    @property
    def labels_43(self) -> tuple[str, ...]:
        """Classes of the 43, in paper order."""

    @property
    def labels_19(self) -> tuple[str, ...]:
        """Classes of the 19, sorted by name."""

    @property
    def split(self) -> str:
        """Split that the lists put it in, unless they leave it out."""

    @property
    def country(self) -> str:
        """Country as the lists name it."""

    @property
    def has_snow(self) -> bool:
        """Whether the lists call it snowy."""

    @property
    def has_cloud(self) -> bool:
        """Whether the lists call it cloudy."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SyntheticPair:
    """One patch pair of a synthetic archive, as its metadata has it."""

    index: int
    """Place in the sequence of all synthetic pairs."""

    release: Release
    """Release whose names and labels it has."""

    product: Product
    """Real Sentinel-2 product that it pretends to be cut from."""

    column: int
    """Patches from the western border of the tile."""

    row: int
    """Patches from the northern border of the tile."""

    labels_43: tuple[str, ...]
    """Classes of the 43, in paper order."""

    @property
    def patch(self) -> str:
        """Patch id in its release."""
        return self.v1_name if self.release == "v1" else self.v2_name

    @property
    def v1_name(self) -> str:
        """Patch id in v1, with the shifted time that keeps two tiles of one data take apart."""
        head = f"{self.product.platform}_MSIL2A_{_stamp(self.product)}"
        return f"{head}_{self.column}_{self.row}"

    @property
    def v2_name(self) -> str:
        """Patch id in v2."""
        product = self.product
        head = f"{product.platform}_MSIL2A_{_compact(product.sensing_time)}_N9999"
        return f"{head}_R{product.orbit:03}_T{product.tile}_{self.column:02}_{self.row:02}"

    @property
    def s1_name(self) -> str:
        """Name of the Sentinel-1 partner, taken on the same day or the day before."""
        rank = _RANK_BY_PRODUCT[self.product.name]
        days, hours = (
            np.timedelta64(rank % 2, "D"),
            np.timedelta64(16 - 12 * (rank % 3 == 0), "h"),
        )
        time = self.product.date - days + hours + np.timedelta64(2580 + rank, "s")
        place = f"{self.product.tile}_{self.column}_{self.row}"
        return f"S1{'AB'[rank % 5 % 2]}_IW_GRDH_1SDV_{_compact(time)}_{place}"

    @property
    def labels_19(self) -> tuple[str, ...]:
        """Classes of the 19, sorted by name."""
        return tuple(sorted(group_labels(self.labels_43)))

    @property
    def split(self) -> str:
        """Split by the rule of v2."""
        return str(split_by_position(self.column, self.row))

    @property
    def country(self) -> str:
        """Country of the tile."""
        tile = self.product.tile
        return _COUNTRY_BY_TILE.get(tile) or _COUNTRY_BY_TILE.get(tile[:3], "Finland")

    @property
    def has_snow(self) -> bool:
        """Whether the lists call it snowy: every tenth."""
        return self.index % 10 == 7

    @property
    def has_cloud(self) -> bool:
        """Whether the lists call it cloudy: every twenty-fifth."""
        return self.index % 25 == 12

    @property
    def epsg(self) -> int:
        """UTM zone of the tile."""
        return tile_origin(self.product.tile).epsg

    @property
    def corner(self) -> tuple[int, int]:
        """Easting and northing of the upper left corner, metres."""
        return corner_of(self.product.tile, self.column, self.row)


def corner_of(tile: str, column: int, row: int) -> tuple[int, int]:
    """Compute easting and northing of the upper left corner of a patch, metres.

    Examples
    --------
    >>> corner_of("33UUP", 26, 57)
    (331200, 5331600)
    """
    origin = tile_origin(tile)
    return origin.ulx + PATCH_SIDE_M * column, origin.uly - PATCH_SIDE_M * row


def synthetic_pair(index: int, *, release: Release = "v2", seed: int = 0) -> SyntheticPair:
    """Name the pair at a place of the endless sequence that archives are cut from.

    Four pairs that touch come from each product in turn, and two products that show one tile
    on two days follow each other, so that a small archive has neighbours, series and
    countries. v1 has labels that the 19 classes drop; at every fortieth pair there are no others.

    Parameters
    ----------
    index
        Place in the sequence; the first 1,012,500 differ.
    release
        Decides the names; the places are the same.
    seed
        Another seed has other places and labels.

    Examples
    --------
    >>> synthetic_pair(0).patch
    'S2A_MSIL2A_20170613T101031_N9999_R022_T33UUP_68_76'
    >>> synthetic_pair(0, release="v1").country
    'Austria'
    """
    block, within = divmod(index, _BLOCK_SIDE**2)
    lap, turn = divmod(block, len(PRODUCTS))
    product = _products_in_turn()[turn]
    # The place depends on the tile, not on the day: one place is seen on all days of its tile.
    start = sum(product.tile.encode()) * 97 + seed * 389
    below, right = divmod((start + lap * _BLOCK_STEP) % _BLOCKS, _BLOCKS_PER_SIDE)
    return SyntheticPair(
        index=index,
        release=release,
        product=product,
        column=_BLOCK_SIDE * right + within % _BLOCK_SIDE,
        row=_BLOCK_SIDE * below + within // _BLOCK_SIDE,
        labels_43=draw_labels(
            index, seed, adds_dropped=release == "v1" and index % 5 == 4, drops_all=release == "v1" and index % 40 == 39
        ),
    )


def draw_labels(index: int, seed: int, *, adds_dropped: bool = False, drops_all: bool = False) -> tuple[str, ...]:
    """Draw one to five classes of the 43.

    Parameters
    ----------
    index, seed
        What the draw depends on.
    adds_dropped
        Whether one of them is a class that the 19 drop.
    drops_all
        Whether there is no other class than that one.

    Returns
    -------
    tuple of str
        Names in paper order.
    """
    kept, dropped = _classes_by_fate()
    random = np.random.default_rng((seed, index))
    places = random.choice(kept, random.integers(1, 5), replace=False).tolist()
    if adds_dropped or drops_all:
        places.append(random.choice(dropped))
    if drops_all:
        places = places[-1:]
    return tuple(CLASSES_43[place].name for place in sorted(places))


def formula_pixels(patch: str, band_name: str) -> NDArray[np.generic]:
    """Compute the pixels that `write_archive` gives a band of a patch.

    With ``n = (crc32(patch) + 1009 × index of the band + size × row + column) mod 9973``,
    a Sentinel-2 pixel is ``1 + n`` and a Sentinel-1 pixel ``n / 256 − 30`` dB, exact in
    float32.

    Parameters
    ----------
    patch
        Patch id, for Sentinel-1 bands too.
    band_name
        Name of the band; its index is that in `bigearth_xr.bands.BANDS`.

    Returns
    -------
    NDArray
        Shape ``(y, x)``: uint16 digital numbers in [1, 9973], or float32 dB in [-30, 9).

    Examples
    --------
    >>> formula_pixels("S2A_MSIL2A_20170613T101031_87_48", "B01")[0, :3]
    array([618, 619, 620], dtype=uint16)
    """
    sensor, size, step = _facts(band_name)
    start = (zlib.crc32(patch.encode()) + step) % _CYCLE
    # Cut from the cycle written out: computing each pixel anew takes fifty times as long.
    return _cycle(sensor)[start : start + size**2].reshape(size, size).copy()


def formula_reference_map(labels: Sequence[str]) -> NDArray[np.uint16]:
    """Compute the reference map that `write_archive` gives a patch with these labels.

    One vertical stripe per label, from west to east in the given order, of the first
    CORINE code that the label covers; the 10 × 30 pixels of the upper left corner are
    unlabelled.

    Parameters
    ----------
    labels
        Names of the 19 classes, at least one.

    Returns
    -------
    NDArray
        Shape ``(120, 120)``, uint16, CORINE codes.

    Examples
    --------
    >>> formula_reference_map(["Pastures", "Marine waters"])[60, [0, 59, 60, 119]]
    array([231, 231, 521, 521], dtype=uint16)
    """
    stripes = np.array([_first_codes()[label] for label in labels], np.uint16)
    pixels = np.tile(stripes[np.arange(_MAP_SIDE) * len(labels) // _MAP_SIDE], (_MAP_SIDE, 1))
    pixels[:10, :30] = UNLABELLED_CLC
    return pixels


@cache
def _classes_by_fate() -> tuple[list[int], list[int]]:
    """Places in the 43 of the classes that the 19 keep, and of those that they drop."""
    places = range(len(CLASSES_43))
    return [at for at in places if CLASSES_43[at].group], [at for at in places if not CLASSES_43[at].group]


@cache
def _products_in_turn() -> tuple[Product, ...]:
    """Order the products: two days of a tile, two of the next tile, and at last the other days."""
    days: dict[str, list[Product]] = {}
    for product in PRODUCTS:
        days.setdefault(product.tile, []).append(product)
    laps = range(0, max(map(len, days.values())), 2)
    return tuple(one for lap in laps for tile in days.values() for one in tile[lap : lap + 2])


@cache
def _stamp(product: Product) -> str:
    """Write the time in a v1 name: an integer counted up, leading zero lost."""
    take = [one for one in PRODUCTS if (one.platform, one.sensing_time) == (product.platform, product.sensing_time)]
    day, clock = _compact(product.sensing_time).split("T")
    shift = take.index(product)
    return f"{day}T{int(clock) + shift if shift else clock}"


def _compact(time: np.datetime64) -> str:
    """Write a time as names do, e.g. ``20170613T101031``."""
    return str(time.astype("datetime64[s]")).replace("-", "").replace(":", "")


@cache
def _facts(band_name: str) -> tuple[Sensor, int, int]:
    """Sensor, pixels along a side, and the step that tells the band from the others."""
    wanted = band(band_name)
    return wanted.sensor, wanted.size, _BAND_STEP * BANDS.index(wanted)


@cache
def _cycle(sensor: Sensor) -> NDArray[np.generic]:
    """Write out the values of a sensor, as many as a patch needs that starts with the last one."""
    steps = np.arange(_CYCLE + _MAP_SIDE**2) % _CYCLE
    if sensor == "s2":
        return (steps + 1).astype(np.uint16)
    return (steps / _STEPS_PER_DB + _DARKEST_DB).astype(np.float32)


@cache
def _first_codes() -> dict[str, int]:
    """First CORINE code of each of the 19 classes."""
    return {label.name: int(label.clc_codes[0]) for label in CLASSES_19}
