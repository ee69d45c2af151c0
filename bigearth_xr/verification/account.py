"""Put together what an examination found."""

from bigearth_xr.store.schema import ABSENT, QUARANTINED, STORED
from bigearth_xr.verification.completeness import Completeness, count_pairs
from bigearth_xr.verification.examination import Examination
from bigearth_xr.verification.layout import find_strays
from bigearth_xr.verification.report import Comparison, VerifyReport

__all__ = ["report_on"]


def report_on(found: Examination) -> VerifyReport:
    """Report an examination.

    Examples
    --------
    Called by `bigearth_xr.verification.verify`.

    >>> report_on.__name__
    'report_on'
    """
    subject = found.subject
    store, state = subject.scope.store, subject.record.state
    if subject.rows is None:
        # Told as a failure already; what a row is of cannot be counted.
        completeness = Completeness(tallies=(), lacking=(), unlisted=(), complete=False)
    else:
        completeness = count_pairs(subject.rows, state, subject.scope.listed)
    return VerifyReport(
        store=str(store.location),
        release=store.release,
        profile=store.profile,
        format_version=store.format_version,
        rows=store.rows,
        stored=int((state == STORED).sum()),
        absent=tuple(subject.names[state == ABSENT]),
        quarantined=tuple(subject.names[state == QUARANTINED]),
        checked=sum(held.checked for held in found.shards),
        findings=found.findings,
        completeness=completeness,
        comparison=_comparison(found),
        strays=find_strays(store),
    )


def _comparison(found: Examination) -> Comparison | None:
    subject = found.subject
    archive = subject.scope.archive
    if archive is None:
        return None
    stored = set(subject.names[subject.record.stored])
    held = {patch.patch for patch in archive.patches}
    return Comparison(
        archive=archive.name,
        compared=sum(shard.compared for shard in found.shards),
        sampled=len(found.chosen) < len(subject.stored_in_both),
        seed=subject.scope.seed,
        only_in_archive=tuple(sorted(held - stored)),
        only_in_store=tuple(sorted(stored - held)),
    )
