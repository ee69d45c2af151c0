"""Models and training; needs torch (extra ``torch``)."""

from bigearth_xr.learn.scnn import SCNN
from bigearth_xr.learn.training import fit

__all__ = ["SCNN", "fit"]
