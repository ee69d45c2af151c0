"""Verify a store against itself, what was published of its release, and its archive; repair it, upgrade it."""

from bigearth_xr.verification.api import upgrade, verify
from bigearth_xr.verification.findings import Finding, VerifyReport

__all__ = ["Finding", "VerifyReport", "upgrade", "verify"]
