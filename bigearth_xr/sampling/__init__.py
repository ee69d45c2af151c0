"""In which order an epoch goes through patches, and on which rank: a function of rows, seed and epoch."""

from bigearth_xr.sampling.balance import balance_weights, even_weights
from bigearth_xr.sampling.epoch import Epoch, plan_epoch
from bigearth_xr.sampling.rules import Sampling

__all__ = ["Epoch", "Sampling", "balance_weights", "even_weights", "plan_epoch"]
