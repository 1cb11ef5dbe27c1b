"""A listener of progress that keeps what it was told."""

from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.products import Stage


class RecordingProgress:
    """Implements `ports.progress.Progress`. With `cancel_after` the report after so many says that the job was canceled."""

    def __init__(self, cancel_after: int | None = None) -> None:
        self.reports: list[tuple[Stage, float, str]] = []
        self._cancel_after = cancel_after

    def report(self, stage: Stage, share: float, note: str = "") -> None:
        if self._cancel_after is not None and len(self.reports) >= self._cancel_after:
            raise UserError("job.canceled", "the job was canceled")
        assert 0 <= share <= 1, f"{share} is no share of a stage"
        self.reports.append((stage, share, note))
