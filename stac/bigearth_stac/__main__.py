"""``python -m bigearth_stac`` is ``bigearth-stac``."""

from bigearth_stac.cli import main

main()
