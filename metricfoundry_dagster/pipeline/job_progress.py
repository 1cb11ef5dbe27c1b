"""Progress of a job, told to the catalog. What percentage a stage is worth is decided by the milestones."""

from datetime import datetime, timedelta

from metricfoundry_dagster.domain.errors import ConflictError
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, JobState
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.catalog import Catalog
from metricfoundry_dagster.ports.clock import Clock

#: Blocks pass faster than anyone looks; the catalog is told this often at the most.
_INTERVAL = timedelta(seconds=0.5)


class JobProgress:
    """Implements `Progress` for one open job; notices when a person canceled it."""

    def __init__(self, job_id: str, catalog: Catalog, clock: Clock) -> None:
        self._job_id = job_id
        self._catalog = catalog
        self._clock = clock
        self._told_at: datetime | None = None

    def report(self, stage: Stage, share: float, note: str = "") -> None:
        """See `Progress.report`. `note` is for people who watch, the catalog keeps the percentage alone."""
        del note
        now = self._clock.now()
        if self._told_at is not None and now - self._told_at < _INTERVAL:
            return
        self._told_at = now
        if self._catalog.report_progress(self._job_id, stage, percent_of(stage, share)) is JobState.CANCELED:
            raise ConflictError("job.canceled", f"job {self._job_id} was canceled while {stage} was made")


def percent_of(stage: Stage, share: float) -> int:
    """Percent of the whole job, 0..100, when `share` (0..1, clamped) of the stage is done."""
    start = MILESTONES_PERCENT[stage.upstream] if stage.upstream else 0
    return round(start + (MILESTONES_PERCENT[stage] - start) * min(max(share, 0.0), 1.0))
