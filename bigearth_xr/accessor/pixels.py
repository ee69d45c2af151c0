"""What ``.ben`` offers on Datasets and on images alike: pictures and indices; names the operations, no logic."""

from typing import TYPE_CHECKING, Generic, NoReturn, TypeVar

import xarray as xr

from bigearth_xr.spelling import did_you_mean, takes_known

if TYPE_CHECKING:
    from bigearth_xr.picture import Shades, Stretch
    from bigearth_xr.units import Units

__all__ = ["PixelMethods"]

Given = TypeVar("Given", xr.Dataset, xr.DataArray)


class PixelMethods(Generic[Given]):
    """Operations that take the bands that they need by name, from a Dataset or from an array of bands.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> ds.ben.ndvi().equals(ds.s2.ben.ndvi())
    True
    """

    _given: Given

    _elsewhere: dict[str, str]
    """Names of the other accessor, and how they are reached."""

    @property
    def _pixels(self) -> Given:
        from bigearth_xr.backend.resaved import as_opened

        return as_opened(self._given)

    if not TYPE_CHECKING:  # else a type checker would take any name for one of ours

        def __getattr__(self, name: str) -> NoReturn:
            if name.startswith("_"):
                raise AttributeError(name)
            own = [known for known in dir(type(self)) if not known.startswith("_")]
            there = self._elsewhere.get(name, "")
            meant = f"; {there}" if there else did_you_mean(name, own)
            raise AttributeError(f".ben has no {name!r} here; it has {', '.join(own)}{meant}")

    @takes_known
    def rgb(
        self,
        composite: str = "rgb",
        *,
        stretch: "Stretch" = "patch",
        gamma: float = 0.75,
        dtype: "Shades" = "uint8",
        units: "Units | None" = None,
    ) -> xr.DataArray:
        """Draw three bands of every patch as red, green and blue, ready for a screen.

        ``picture.plot.imshow(rgb="band")`` shows one patch, with ``col="patch", col_wrap=4`` several; matplotlib takes
        ``picture.transpose(..., "band")``.

        Parameters
        ----------
        composite
            ``"rgb"``: B04, B03, B02, as the eye would see it; ``"infrared"``: B08, B04, B03; ``"agriculture"``: B11,
            B08, B02; ``"shortwave"``: B12, B8A, B04; ``"urban"``: B12, B11, B04.
        stretch
            What is black and what is white. ``"patch"``: percentiles 1 and 99 of the three bands of each patch
            together, so that hues stay true, and at least 0.06 of reflectance apart, so that calm water is not all
            noise. Or two reflectances for all patches, as ``(0, 0.3)``, so that they can be compared.
        gamma
            Exponent of what is then 0 to 1: below 1 lifts what is dark, 1 leaves it.
        dtype
            ``"uint8"``, 0 to 255, or ``"float32"``, 0 to 1.
        units
            What the pixels are where they were computed with, as in ``DataArray.ben.normalize``.

        Returns
        -------
        xarray.DataArray
            Dims ``(patch, band, y, x)``; how it was stretched is in ``attrs["history"]``. Lazy where the pixels are.

        Raises
        ------
        BandError
            If there is no such composite, or a band of it is not there.
        NormalizationError
            If a stretch is none, or the array was standardised.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> picture = ds.ben.rgb()
        >>> picture.dims, picture.dtype, picture.band.values.tolist()
        (('patch', 'band', 'y', 'x'), dtype('uint8'), ['B04', 'B03', 'B02'])
        >>> ds.ben.image("infrared").ben.rgb("infrared", stretch=(0, 0.4)).attrs["history"]
        'red, green, blue = B08, B04, B03; reflectance, black to white: 0 to 0.4; gamma 0.75'
        """
        from bigearth_xr.picture import picture

        return picture(self._pixels, composite, stretch=stretch, gamma=gamma, dtype=dtype, units=units)

    @takes_known
    def index(self, name: str) -> xr.DataArray:
        """Compute an index: a number of each pixel that two bands give together.

        Parameters
        ----------
        name
            =================  ==========================  ==================================
            ``"ndvi"``         (B08 - B04) / (B08 + B04)   green vegetation
            ``"ndre"``         (B8A - B05) / (B8A + B05)   chlorophyll, by the red edge
            ``"ndwi"``         (B03 - B08) / (B03 + B08)   open water
            ``"mndwi"``        (B03 - B11) / (B03 + B11)   open water, and snow
            ``"ndmi"``         (B8A - B11) / (B8A + B11)   water in leaves
            ``"nbr"``          (B8A - B12) / (B8A + B12)   burnt ground, where it is low
            ``"radar_ratio"``  VV - VH, dB                 low where plants scatter the wave to and fro
            =================  ==========================  ==================================

        Returns
        -------
        xarray.DataArray
            Dims ``(patch, y, x)``, float32; contrasts in [-1, 1], NaN where both bands are empty. Lazy where the
            pixels are, at 10 m as the Dataset was opened. Each name is a method too: ``ds.ben.ndvi()``.

        Raises
        ------
        BandError
            If there is no such index, or a band of it is not there.
        NormalizationError
            If the array was standardised: an index is of pixels as stored, or of reflectances.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.index("nbr").attrs["history"]
        '(B8A - B12) / (B8A + B12)'
        """
        from bigearth_xr.indices import index

        return index(self._pixels, name)

    def ndvi(self) -> xr.DataArray:
        """Contrast near infrared with red: green vegetation; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.ndvi().attrs["units"]
        '1'
        """
        return self.index("ndvi")

    def ndre(self) -> xr.DataArray:
        """Contrast near infrared with the red edge: chlorophyll; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.ndre().attrs["units"]
        '1'
        """
        return self.index("ndre")

    def ndwi(self) -> xr.DataArray:
        """Contrast green with near infrared: open water; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.ndwi().attrs["units"]
        '1'
        """
        return self.index("ndwi")

    def mndwi(self) -> xr.DataArray:
        """Contrast green with shortwave infrared: open water, and snow; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.mndwi().attrs["units"]
        '1'
        """
        return self.index("mndwi")

    def ndmi(self) -> xr.DataArray:
        """Contrast near infrared with shortwave infrared: water in leaves; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.ndmi().attrs["units"]
        '1'
        """
        return self.index("ndmi")

    def nbr(self) -> xr.DataArray:
        """Contrast near infrared with far shortwave infrared: burnt ground is low; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.nbr().attrs["units"]
        '1'
        """
        return self.index("nbr")

    def radar_ratio(self) -> xr.DataArray:
        """Divide VV by VH, which in dB is a difference: structure of plants; see `index`.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.radar_ratio().attrs["units"]
        'dB'
        """
        return self.index("radar_ratio")
