"""What an item's assets are: the arrays of a store at its row, and a picture; each as a template without place."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from bigearth_xr.bands import BANDS, PATCH_SIDE_M, Band, band
from bigearth_xr.labels import CLASSES_43, UNLABELLED_CLC
from bigearth_xr.store.schema import REFERENCE_MAP, PixelArray, pixel_arrays

ZARR = "application/vnd.zarr"
"""Media type of Zarr; with a parameter for the version behind it, clients do not know it."""

THUMBNAIL = "thumbnail"

EXTENSIONS: Mapping[str, str] = {
    name: f"https://stac-extensions.github.io/{name}/v{version}/schema.json"
    for name, version in {
        "classification": "1.1.0",
        "datacube": "2.3.0",
        "eo": "2.0.0",
        "grid": "1.1.0",
        "projection": "2.0.0",
        "raster": "2.0.0",
        "sar": "1.3.0",
        "sat": "1.2.0",
        "scientific": "1.0.0",
        "xarray-assets": "1.0.0",
        "zarr": "1.1.0",
    }.items()
}
"""Address of the schema of every STAC extension that we use."""

_RADAR = {
    "constellation": "sentinel-1",
    "instruments": ["c-sar"],
    "sar:instrument_mode": "IW",
    "sar:frequency_band": "C",
    "sar:center_frequency": 5.405,
    "sar:product_type": "GRD",
    "sar:observation_direction": "right",
}
"""How Sentinel-1 took every patch."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Holdings:
    """What there is for assets to point to; by default nothing, as when only a table is known."""

    zarr_href: str | None = None
    """Address of the store, without a slash at its end."""

    uuid: str | None = None
    """Identity of the store; None where only a table is known."""

    rows: int = 0
    """Rows of the store, which is how many patches its arrays have room for."""

    bands: tuple[str, ...] = tuple(one.name for one in BANDS)
    """Bands and polarizations in the store, in any order."""

    has_maps: bool = False
    """Whether the store has reference maps."""

    has_thumbnails: bool = False
    """Whether there is a picture of every patch."""

    @property
    def arrays(self) -> tuple[PixelArray, ...]:
        """The pixel arrays of the store; none without a store."""
        return () if self.zarr_href is None else pixel_arrays(self.bands, reference_map=self.has_maps)

    @property
    def extensions(self) -> list[str]:
        """Addresses of the extensions that an item uses."""
        names = {array.name for array in self.arrays}
        used = {
            "projection": True,
            "grid": True,
            "raster": bool(names),
            "eo": any(name.startswith("s2") for name in names),
            "sar": "s1" in names,
            "zarr": bool(names),
        }
        return [EXTENSIONS[name] for name, is_used in used.items() if is_used]


def asset_templates(holdings: Holdings) -> dict[str, dict[str, Any]]:
    """Describe the assets that items have, as far as it is the same for all of them.

    Returns
    -------
    dict
        By asset name the fields of a STAC asset, without ``href``: one asset an array of the store, under the
        array's name, then ``thumbnail``.

    Examples
    --------
    >>> templates = asset_templates(Holdings(zarr_href="ben.zarr", bands=("B04", "VV"), has_thumbnails=True))
    >>> list(templates)
    ['s2_10m', 's1', 'thumbnail']
    >>> templates["s2_10m"]["bands"][0]["eo:common_name"]
    'red'
    """
    templates = {array.name: _array_template(array) for array in holdings.arrays}
    if holdings.has_thumbnails:
        templates[THUMBNAIL] = {"type": "image/png", "title": "Preview", "roles": ["thumbnail"]}
    return templates


def land_cover_classes() -> list[dict[str, Any]]:
    """List the codes of a reference map as classes of the STAC extension *classification*.

    Examples
    --------
    >>> land_cover_classes()[0]
    {'value': 111, 'name': 'continuous-urban-fabric', 'title': 'Continuous urban fabric', 'color_hint': 'E6004D'}
    """
    classes: list[dict[str, Any]] = [
        {
            "value": int(label.clc_codes[0]),
            "name": label.name.lower().replace(",", "").replace(" ", "-").replace("/", "-"),
            "title": label.name,
            "color_hint": bytes(label.color).hex().upper(),
        }
        for label in CLASSES_43
    ]
    return [*classes, {"value": UNLABELLED_CLC, "name": "unlabelled", "title": "No class", "nodata": True}]


def _array_template(array: PixelArray) -> dict[str, Any]:
    """What every item says of one array of the store."""
    res_m = PATCH_SIDE_M // array.size
    common = {
        "type": ZARR,
        "zarr:node_type": "array",
        "title": _title(array, res_m),
        "gsd": res_m,
        "data_type": array.dtype,
        "unit": array.units,
        "proj:shape": [array.size, array.size],
        "raster:spatial_resolution": res_m,
    }
    if array.name == REFERENCE_MAP:
        return common | {"roles": ["data", "labels"], "nodata": int(array.fill_value)}
    bands = [_band(band(name)) for name in array.bands]
    if array.name == "s1":
        return common | _RADAR | {"roles": ["data"], "bands": bands, "sar:polarizations": list(array.bands)}
    # 10 000 is a reflectance of 1.
    return common | {"roles": ["data", "reflectance"], "bands": bands, "raster:scale": 0.0001}


def _title(array: PixelArray, res_m: int) -> str:
    if array.name == REFERENCE_MAP:
        return "CORINE land cover 2018, Level 3 codes"
    sensor = "Sentinel-1 GRD backscatter" if array.name == "s1" else "Sentinel-2 L2A"
    return f"{sensor}, {res_m} m: {', '.join(array.bands)}"


def _band(one: Band) -> dict[str, Any]:
    """Describe a band; the eo extension counts in micrometres."""
    described: dict[str, Any] = {"name": one.name, "description": one.description}
    if one.sensor == "s1":
        return described
    return described | {
        "eo:common_name": one.common_name,
        "eo:center_wavelength": round(one.wavelength_nm / 1000, 6),
        "eo:full_width_half_max": round(one.bandwidth_nm / 1000, 6),
    }
