"""Models and training; needs torch (extra ``torch``)."""

from bigearth_xr.learn.fit import fit
from bigearth_xr.learn.scnn import SCNN

__all__ = ["SCNN", "fit"]
