"""A Dataset as one HTML page: where its patches lie, how they look, what they show."""

from bigearth_xr.report.learned import Catalogue, Learned, Neighbourhood
from bigearth_xr.report.page import write_report

__all__ = ["Catalogue", "Learned", "Neighbourhood", "write_report"]
