"""Between host and GPU: the one package that knows CuPy."""

from bigearth_xr.device.transfer import gpu_available, move, on_gpu, to_cpu, to_gpu

__all__ = ["gpu_available", "move", "on_gpu", "to_cpu", "to_gpu"]
