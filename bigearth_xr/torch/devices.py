"""Which device batches are made on, and which of several processes this is."""

import torch

from bigearth_xr.batches.making import Maker
from bigearth_xr.device import gpu_available
from bigearth_xr.errors import DeviceError, LoaderError
from bigearth_xr.spelling import did_you_mean
from bigearth_xr.torch.host_batches import Engine, HostEngine

__all__ = ["choose_device", "choose_rank", "make_engine", "named_device"]


def choose_device(device: str) -> torch.device:
    """Choose a device by name: ``"auto"`` is the current GPU where torch and CuPy both find one, else the CPU.

    Raises
    ------
    DeviceError
        If there is no such device, or nothing to make batches on it with.

    Examples
    --------
    >>> choose_device("cpu")
    device(type='cpu')
    """
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() and gpu_available() else "cpu"
    chosen = named_device(device)
    if chosen.type == "cpu":
        return chosen
    if chosen.type != "cuda":
        raise DeviceError(f"batches are made on 'cpu' or 'cuda', not on {device!r}; move them there: batch.image.to(…)")
    if not torch.cuda.is_available():
        raise DeviceError("torch finds no GPU; use device='cpu', or a build of torch with CUDA")
    if not gpu_available():
        raise DeviceError("CuPy, which makes batches on a GPU, is not there: pip install 'bigearth-xr[cuda12]'")
    return torch.device("cuda", torch.cuda.current_device() if chosen.index is None else chosen.index)


def named_device(device: str) -> torch.device:
    """Find a device of torch by its name, whether it is there or not.

    Raises
    ------
    DeviceError
        If it is no name of a device.

    Examples
    --------
    >>> named_device("cuda:1")
    device(type='cuda', index=1)
    """
    try:
        return torch.device(device)
    except (RuntimeError, TypeError):
        near = did_you_mean(device, ("auto", "cpu", "cuda")) if isinstance(device, str) else ""
        raise DeviceError(f"device is {device!r}, expected 'auto', 'cpu', 'cuda' or e.g. 'cuda:1'{near}") from None


def choose_rank(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Which of how many processes this is: as given, as ``torch.distributed`` says, or the only one.

    Raises
    ------
    LoaderError
        If only one of the two is given.

    Examples
    --------
    >>> choose_rank(None, None), choose_rank(2, 4)
    ((0, 1), (2, 4))
    """
    if (rank is None) != (world_size is None):
        raise LoaderError(f"rank is {rank} and world_size is {world_size}; give both, or neither")
    if rank is not None and world_size is not None:
        return rank, world_size
    if torch.distributed.is_available() and torch.distributed.is_initialized():
        return torch.distributed.get_rank(), torch.distributed.get_world_size()
    return 0, 1


def make_engine(maker: Maker, device: torch.device, batch_size: int, *, keep: int) -> Engine:
    """Choose what makes batches on a device.

    Examples
    --------
    >>> make_engine(None, torch.device("cuda", 0), 256, keep=2)  # doctest: +SKIP
    """
    if device.type == "cpu":
        return HostEngine(maker, batch_size=batch_size, keep=keep)
    from bigearth_xr.torch.gpu_batches import GpuEngine

    return GpuEngine(maker, device)
