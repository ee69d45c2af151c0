"""``.ben`` on Datasets: names the operations, and holds none of their logic."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal

import xarray as xr

from bigearth_xr.accessor.dataarray import PixelMethods
from bigearth_xr.spelling import takes_known

if TYPE_CHECKING:
    from bigearth_xr.criteria import Bbox, Datetime, Texts
    from bigearth_xr.geo import PixelSize
    from bigearth_xr.ops.resample import Resampling

__all__ = ["DatasetAccessor"]


@xr.register_dataset_accessor("ben")
class DatasetAccessor(PixelMethods[xr.Dataset]):
    """Operations on a Dataset of patches; shown by itself, what the Dataset holds.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> ds.ben  # doctest: +ELLIPSIS
    reBEN (v2), 3 patches...
    """

    _elsewhere = dict.fromkeys(("augment", "normalize", "to_torch"), "images have it: ds.ben.image(…).ben")

    def __init__(self, dataset: xr.Dataset) -> None:
        self._given = dataset

    @property
    def _dataset(self) -> xr.Dataset:
        return self._pixels

    @takes_known
    def patch(
        self,
        id: str | None = None,
        bands: Iterable[str] | None = None,
        *,
        res_m: "PixelSize" = 10,
        resampling: "Resampling | None" = None,
    ) -> xr.DataArray:
        """Take one patch with its place on the ground.

        With rioxarray imported, ``.rio.crs`` and ``.rio.transform()`` are those of the patch's files, and
        ``.rio.to_raster("patch.tif")`` writes a GeoTIFF whose bands are described by their names (``long_name``, which
        goes by place: choose bands here, not afterwards).

        Parameters
        ----------
        id
            Name of the patch, of either half: its Sentinel-2 or its Sentinel-1 name. May be left out where there is
            one patch.
        bands
            Bands and polarizations in their order, or a composite, as ``"rgb"``; by default all. ``"reference_map"``
            is the map of v2.
        res_m
            10, to which coarser bands are brought, or 20 or 60 for the bands of that pixel size, as they are stored
            and lie in the archive's files.
        resampling
            How coarser bands are brought to 10 m; by default as the Dataset was opened.

        Returns
        -------
        xarray.DataArray
            Dims ``(band, y, x)``, digital numbers and dB as in ``image``; ``x`` and ``y`` are the centres of pixels,
            metres of the UTM zone that ``spatial_ref`` holds. Lazy where the Dataset is.

        Raises
        ------
        SelectionError
            If there is no such patch, or the Dataset does not say where it is; the message names the nearest ids.
        BandError
            If a band is not there, or not of this pixel size.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> one = ds.ben.patch(ds.patch.values[0], ["B04", "B08"])
        >>> one.dims, one.x.values[:2].tolist(), one.attrs["long_name"]
        (('band', 'y', 'x'), [381605.0, 381615.0], ('B04', 'B08'))
        >>> ds.ben.patch(ds.s1_name.values[0], res_m=60).shape
        (2, 20, 20)
        """
        from bigearth_xr.geo import patch

        return patch(self._dataset, id, bands, res_m=res_m, resampling=resampling)

    @takes_known
    def select(
        self,
        *,
        split: "Texts | None" = None,
        country: "Texts | None" = None,
        season: "Texts | None" = None,
        tile: "Texts | None" = None,
        any_label: "Texts | None" = None,
        all_labels: "Texts | None" = None,
        bbox: "Bbox | None" = None,
        datetime: "Datetime | None" = None,
        seasonal_snow: bool | None = None,
        cloud_or_shadow: bool | None = None,
        recommended: bool | Literal["any"] | None = None,
    ) -> xr.Dataset:
        """Keep the patches that meet every criterion given.

        Parameters
        ----------
        split
            ``"train"``, ``"validation"`` (or ``"val"``) or ``"test"``, or several of them; implies
            ``recommended=True``, as the published splits of v2 also name patches that are not.
        country, season, tile
            One name or several, of which a patch has one.
        any_label, all_labels
            Names of the Dataset's nomenclature, of which a patch has at least one, or every one.
        bbox
            ``(west, south, east, north)``, degrees WGS 84; the patch's footprint intersects it.
        datetime
            When Sentinel-2 saw the patch, UTC: a time as exact as wanted (``"2017-06"``, a ``date``, a
            ``datetime64`` by its unit; a ``datetime`` or ``Timestamp`` at midnight is that day), or an interval with
            both ends included, as ``"2017-06-13/2017-08"``, slice, or two times; ``".."`` or None leaves an end open.
        seasonal_snow, cloud_or_shadow
            What the published lists say; a patch that they do not name is neither.
        recommended
            True for the patches recommended for use; ``"any"`` to take a split with the others in it.

        Returns
        -------
        xarray.Dataset
            Fewer patches in the same order, still lazy; where it was Dask-backed, its pixels are Dask arrays that
            read only the patches kept.

        Raises
        ------
        SelectionError
            If nothing is left, or a name, time or flag is none.
        LabelError
            If a label is not of the Dataset's nomenclature.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=20))
        >>> ds.ben.select(split="val", recommended="any").sizes["patch"] < 20
        True
        """
        from bigearth_xr.selection import select

        return select(
            self._dataset,
            split=split,
            country=country,
            season=season,
            tile=tile,
            any_label=any_label,
            all_labels=all_labels,
            bbox=bbox,
            datetime=datetime,
            seasonal_snow=seasonal_snow,
            cloud_or_shadow=cloud_or_shadow,
            recommended=recommended,
        )

    @takes_known
    def image(self, bands: Iterable[str], resampling: "Resampling | None" = None) -> xr.DataArray:
        """Stack bands of both sensors into one image, in the order asked for.

        Parameters
        ----------
        bands
            Names of bands and polarizations, e.g. ``["B04", "B03", "B02", "VV"]``, or of a composite, as ``"rgb"``
            (see `rgb`).
        resampling
            How bands of 20 m and 60 m are brought to 10 m; by default as the Dataset was opened.

        Returns
        -------
        xarray.DataArray
            Dims ``(patch, band, y, x)``; uint16 digital numbers for Sentinel-2 bands as stored or repeated,
            float32 with Sentinel-1 (dB) or interpolation. Lazy where the Dataset is.

        Raises
        ------
        BandError
            If a band is unknown, or not in the Dataset.
        SelectionError
            If there is no such resampling.
        StoreError
            If the Dataset's pixels are of two stores, or of other rows than its coordinates.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.image(["B8A", "VV"]).dtype
        dtype('float32')
        """
        from bigearth_xr.image import image

        return image(self._dataset, bands, resampling)

    def to_gpu(self) -> xr.Dataset:
        """Copy every variable to the current GPU, as CuPy arrays; coordinates stay on the host.

        Returns
        -------
        xarray.Dataset
            Lazy where it was Dask, else read and copied at once.

        Raises
        ------
        DeviceError
            If CuPy is not installed or finds no GPU.

        Examples
        --------
        >>> from bigearth_xr.device import gpu_available
        >>> ds = xr.Dataset({"s1": ("patch", [1.0, 2.0])})
        >>> ds.ben.to_gpu().s1.ben.on_gpu if gpu_available() else True
        True
        """
        from bigearth_xr.device import move, to_gpu

        return move(self._dataset, to_gpu)

    def to_cpu(self) -> xr.Dataset:
        """Copy every variable from its GPU to the host, as NumPy arrays.

        Returns
        -------
        xarray.Dataset
            Lazy where it was Dask; on the host already, as it is.

        Examples
        --------
        >>> xr.Dataset({"s1": ("patch", [1.0, 2.0])}).ben.to_cpu().s1.values
        array([1., 2.])
        """
        from bigearth_xr.device import move, to_cpu

        return move(self._dataset, to_cpu)

    def __repr__(self) -> str:
        from bigearth_xr.summary import summarize

        return summarize(self._dataset).as_text()

    def _repr_html_(self) -> str:
        from bigearth_xr.summary import summarize

        return summarize(self._dataset).as_html()
