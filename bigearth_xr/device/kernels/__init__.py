"""Compiled code for the host: imported only where a batch is transformed, as importing numba takes a second."""
