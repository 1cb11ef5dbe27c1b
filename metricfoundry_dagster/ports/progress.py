"""Progress of a job, told while it happens."""

from typing import Protocol

from metricfoundry_dagster.domain.products import Stage


class Progress(Protocol):
    """Is told how far a stage is. Must be cheap: it is called for every block."""

    def report(self, stage: Stage, share: float, note: str = "") -> None:
        """`share` of the stage is done, in 0..1.

        Raises:
            UserError: `job.canceled` when a person canceled the job, so that the stage stops here.
        """
