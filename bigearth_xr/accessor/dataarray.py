"""``.ben`` on DataArrays: names the operations, and holds none of their logic."""

from collections.abc import Iterable
from typing import TYPE_CHECKING, Literal, overload

import xarray as xr

from bigearth_xr.accessor.pixels import PixelMethods
from bigearth_xr.spelling import takes_known

if TYPE_CHECKING:
    from torch import Tensor

    from bigearth_xr.ops.parameters import AugmentParameters
    from bigearth_xr.scaling import Method, Statistics
    from bigearth_xr.units import Units

__all__ = ["DataArrayAccessor"]


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
        flips: bool = True,
        gain: tuple[float, float] = (1.0, 1.0),
        bias: tuple[float, float] = (0.0, 0.0),
        noise_std: float = 0.0,
        drop: float = 0.0,
        crop: tuple[float, float] = (1.0, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        mixup: float = 0.0,
        cutmix: float = 0.0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: Literal[False] = False,
    ) -> xr.DataArray: ...

    @overload
    def augment(
        self,
        seed: int | None = None,
        *,
        epoch: int = 0,
        flips: bool = True,
        gain: tuple[float, float] = (1.0, 1.0),
        bias: tuple[float, float] = (0.0, 0.0),
        noise_std: float = 0.0,
        drop: float = 0.0,
        crop: tuple[float, float] = (1.0, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        mixup: float = 0.0,
        cutmix: float = 0.0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: Literal[True],
    ) -> "tuple[xr.DataArray, AugmentParameters]": ...

    @takes_known
    def augment(
        self,
        seed: int | None = None,
        *,
        epoch: int = 0,
        flips: bool = True,
        gain: tuple[float, float] = (1.0, 1.0),
        bias: tuple[float, float] = (0.0, 0.0),
        noise_std: float = 0.0,
        drop: float = 0.0,
        crop: tuple[float, float] = (1.0, 1.0),
        aspect: tuple[float, float] = (3 / 4, 4 / 3),
        mixup: float = 0.0,
        cutmix: float = 0.0,
        parameters: "AugmentParameters | None" = None,
        return_parameters: bool = False,
    ) -> "xr.DataArray | tuple[xr.DataArray, AugmentParameters]":
        """Vary each patch at random: crop, flip and turn it, scale it, add noise, drop bands, and mix it with another.

        The options are those of `bigearth_xr.torch.Augmentation`, which loaders take. What happens to a patch depends
        on seed, epoch and its ``row``, and what happens to a band on its name: any order, selection or chunking of the
        same patches gives the same; only partners in mixing are drawn among all patches of the array. An array without
        bands, as ``ds.reference_map``, is cropped, flipped, turned and pasted, as its image is with the same seed and
        epoch, and nothing else.

        Parameters
        ----------
        seed, epoch
            Another of either varies the patches differently.
        flips
            Whether a patch takes one of the 8 symmetries of the square, each as likely.
        gain
            Range of a factor of each patch, for all its bands; without unit, 1 leaves pixels as they are.
        bias
            Range of what is then added to each patch, for all its bands, in the unit of the pixels of this array:
            standard deviations after ``normalize``, else digital numbers (100 is 0.01 of reflectance) and dB.
        noise_std
            Standard deviation of the normal noise added to each pixel, in the same unit as ``bias``.
        drop
            Probability that a band becomes 0, for each band of each patch.
        crop, aspect
            Ranges of the share of its area that is cut out of a patch and brought to its size, by the resampling that
            the array was opened with, and of width / height of what is cut out.
        mixup, cutmix
            Parameters of the Beta distributions of a patch's weight in a blend with another, and of the share that it
            keeps when a box of another is pasted in; 0 for neither. Labels are blended alike by
            ``bigearth_xr.ops.mixing.mix_labels(labels, drawn.partner, drawn.weight, drawn.box)``.
        parameters
            Those that an earlier call returned, to do the same again to some or all of its patches, instead of a seed.
        return_parameters
            Whether to give the parameters too.

        Returns
        -------
        xarray.DataArray, or a tuple of it and AugmentParameters
            Same shape. Integers become float32 with gain, bias, noise, mixup or interpolated crops, and else keep their
            type.

        Raises
        ------
        AugmentationError
            If the array has no coordinate ``row``, its patches are no squares, a range is none, or the codes of a map
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
        from bigearth_xr.augmentation import augment, choose_parameters
        from bigearth_xr.ops.parameters import Augmentation

        allowed = Augmentation(
            flips=flips,
            gain=gain,
            bias=bias,
            noise_std=noise_std,
            drop=drop,
            crop=crop,
            aspect=aspect,
            mixup=mixup,
            cutmix=cutmix,
        )
        drawn = choose_parameters(self._array, allowed, seed=seed, epoch=epoch, parameters=parameters)
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
