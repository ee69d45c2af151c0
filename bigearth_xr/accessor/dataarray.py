"""``.ben`` on DataArrays, and what Datasets share with them: names the operations, and holds none of their logic."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Generic, Literal, NoReturn, TypeVar, Unpack, overload

import xarray as xr

from bigearth_xr.spelling import check_known, did_you_mean, takes_known

if TYPE_CHECKING:
    from torch import Tensor

    from bigearth_xr.ops.augmentation import AugmentationOptions, AugmentParameters
    from bigearth_xr.picture import Shades, Stretch
    from bigearth_xr.scaling import Method, Statistics
    from bigearth_xr.units import Units

__all__ = ["DataArrayAccessor"]

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
        from bigearth_xr.backend.origin import as_opened

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


@xr.register_dataarray_accessor("ben")
class DataArrayAccessor(PixelMethods[xr.DataArray]):
    """Operations on an array of bands, ``ds.ben.image(…)``, ``ds.s2`` or ``ds.s1``, whole or of one patch or band.

    Each gives a new array with the same name, dims, coordinates, attributes and encoding as far as they still hold;
    lazy where the array is a Dask array, and on the GPU where the array is.

    Examples
    --------
    >>> import bigearth_xr as bex
    >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
    >>> image = ds.ben.image(["B04", "B8A", "VV"]).ben.normalize().ben.augment(seed=0)
    >>> image.dims, image.dtype
    (('patch', 'band', 'y', 'x'), dtype('float32'))
    """

    _elsewhere = dict.fromkeys(("image", "patch", "select"), "Datasets have it: ds.ben")

    def __init__(self, array: xr.DataArray) -> None:
        self._given = array

    @property
    def _array(self) -> xr.DataArray:
        return self._pixels

    @takes_known
    def normalize(
        self,
        method: "Method" = "standardize",
        stats: "Statistics | None" = None,
        *,
        units: "Units | Iterable[Units] | None" = None,
    ) -> xr.DataArray:
        """Bring all bands to one scale.

        Parameters
        ----------
        method
            ``"standardize"`` centres a band and divides it by its standard deviation. ``"minmax"`` maps its limits to
            0 and 1, not clipped: 0 and 10 000 for Sentinel-2, those published with v1 for Sentinel-1. ``"reflectance"``
            divides Sentinel-2 by 10 000.
        stats
            None takes the published statistics that belong to the release and the resampling of the pixels. A
            `BandStatistics` has to match both, as far as the array says. A mapping is yours: band name to
            ``(mean, std)``, or to ``(low, high)`` with ``"minmax"``, in the unit of the pixels.
        units
            What the pixels are where they were computed with, ``"digital number"`` or ``"reflectance"`` and ``"dB"``:
            one, or one of each sensor. By default pixels of a store are what it holds, and of others the values are
            looked at, when they are computed: what is not digital numbers and dB for certain is refused.

        Returns
        -------
        xarray.DataArray
            float32 without unit; the attribute ``bigearth_normalized`` records as JSON what was done.

        Raises
        ------
        NormalizationError
            If statistics do not match or do not exist, as for bands brought to 10 m by bilinear or bicubic, if the
            array was normalised before, or its values may be in other units.
        BandError
            If the array does not name its bands, or the reflectance of a Sentinel-1 band is asked for.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> ds.ben.image(["B04", "VV"]).ben.normalize().attrs["history"]
        'standardised: (value - mean) / std, by band'
        >>> ds.s1.ben.normalize(stats={"VV": (-12, 5), "VH": (-19, 5)}).dims
        ('patch', 'polarization', 'y', 'x')
        >>> (ds.s2 / 10_000).ben.normalize(units="reflectance").dtype
        dtype('float32')
        """
        from bigearth_xr.scaling import normalize

        return normalize(self._array, method, stats, units=units)

    @overload
    def augment(
        self,
        seed: int | None = None,
        *,
        epoch: int = 0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: Literal[False] = False,
        **ways: "Unpack[AugmentationOptions]",
    ) -> xr.DataArray: ...

    @overload
    def augment(
        self,
        seed: int | None = None,
        *,
        epoch: int = 0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: Literal[True],
        **ways: "Unpack[AugmentationOptions]",
    ) -> "tuple[xr.DataArray, AugmentParameters]": ...

    def augment(
        self,
        seed: int | None = None,
        *,
        epoch: int = 0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: bool = False,
        **ways: "Unpack[AugmentationOptions]",
    ) -> "xr.DataArray | tuple[xr.DataArray, AugmentParameters]":
        """Vary each patch at random: crop, flip and turn it, scale it, add noise, drop bands, and mix it with another.

        What happens to a patch depends on seed, epoch and its ``row``, and what happens to a band on its name: any
        order, selection or chunking of the same patches gives the same; only partners in mixing are drawn among all
        patches of the array. An array without bands, as ``ds.reference_map``, is cropped, flipped, turned and pasted,
        as its image is with the same seed and epoch, and nothing else.

        Parameters
        ----------
        seed, epoch
            Another of either varies the patches differently.
        parameters
            Those that an earlier call returned, to do the same again to some or all of its patches, instead of a seed.
        return_parameters
            Whether to give the parameters too.
        **ways
            In which ways patches vary: the fields of `bigearth_xr.torch.Augmentation`, which loaders take and which
            documents them, as ``flips=False``, ``gain=(0.9, 1.1)`` or ``crop=(0.5, 1)``. ``bias`` and ``noise_std`` are
            in the unit of the pixels of this array: standard deviations after ``normalize``, else digital numbers (100
            is 0.01 of reflectance) and dB. Crops are brought to a patch's size by the resampling that the array was
            opened with. Labels are mixed as patches are by
            ``bigearth_xr.ops.mixing.mix_labels(labels, drawn.partner, drawn.weight, drawn.box)``.

        Returns
        -------
        xarray.DataArray, or a tuple of it and AugmentParameters
            Same shape. Integers become float32 with gain, bias, noise, mixup or interpolated crops, and else keep their
            type.

        Raises
        ------
        AugmentationError
            If the array has no coordinate ``row``, its patches are not squares, a range is none, or the codes of a map
            are to be blended.

        Examples
        --------
        >>> import bigearth_xr as bex
        >>> ds = bex.open(bex.testing.write_store(getfixture("tmp_path") / "ben.zarr", pairs=3))
        >>> image, drawn = ds.s2.ben.augment(seed=0, gain=(0.9, 1.1), return_parameters=True)
        >>> image.dtype, drawn.gain.shape
        (dtype('float32'), (3,))
        >>> ds.reference_map.ben.augment(parameters=drawn).dtype
        dtype('uint16')
        """
        from bigearth_xr.array_augmentation import augment, choose_parameters
        from bigearth_xr.ops.augmentation import Augmentation, AugmentationOptions

        options = ("seed", "epoch", *AugmentationOptions.__annotations__, "parameters", "return_parameters")
        check_known("augment", ways, options)
        drawn = choose_parameters(self._array, Augmentation(**ways), seed=seed, epoch=epoch, parameters=parameters)
        augmented = augment(self._array, drawn)
        return (augmented, drawn) if return_parameters else augmented

    @property
    def on_gpu(self) -> bool:
        """Whether the values are on a GPU, or will be once they are computed.

        Examples
        --------
        >>> xr.DataArray([1, 2]).ben.on_gpu
        False
        """
        from bigearth_xr.device import on_gpu

        return on_gpu(self._array.variable._data)

    def to_gpu(self) -> xr.DataArray:
        """Copy the values to the current GPU, as CuPy arrays; coordinates stay on the host.

        Returns
        -------
        xarray.DataArray
            Lazy where it was Dask, else read and copied at once; on a GPU already, as it is.

        Raises
        ------
        DeviceError
            If CuPy is not installed or finds no GPU.

        Examples
        --------
        >>> from bigearth_xr.device import gpu_available
        >>> xr.DataArray([1, 2]).ben.to_gpu().ben.on_gpu if gpu_available() else True
        True
        """
        from bigearth_xr.device import move, to_gpu

        return move(self._array, to_gpu)

    def to_cpu(self) -> xr.DataArray:
        """Copy the values from their GPU to the host, as NumPy arrays.

        Returns
        -------
        xarray.DataArray
            Lazy where it was Dask; on the host already, as it is.

        Examples
        --------
        >>> xr.DataArray([1, 2]).ben.to_cpu().values
        array([1, 2])
        """
        from bigearth_xr.device import move, to_cpu

        return move(self._array, to_cpu)

    def to_torch(self) -> "Tensor":
        """View the values as a tensor of the same memory; see `bigearth_xr.torch.to_tensor`.

        Returns
        -------
        torch.Tensor
            CPU tensor of NumPy values, CUDA tensor of CuPy values; a Dask array has to be computed first.

        Raises
        ------
        TensorError
            If the memory cannot be shared, or there is none yet.
        DependencyError
            If torch is not installed.

        Examples
        --------
        >>> xr.DataArray([1.0, 2.0]).ben.to_torch()
        tensor([1., 2.], dtype=torch.float64)
        """
        from bigearth_xr.torch import to_tensor

        return to_tensor(self._array)
