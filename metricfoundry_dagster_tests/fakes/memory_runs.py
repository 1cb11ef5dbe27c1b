"""Runs that are noted down and do nothing, until a test says what became of them."""

from collections.abc import Callable

from metricfoundry_dagster.domain.errors import WorldError
from metricfoundry_dagster.domain.jobs import Job
from metricfoundry_dagster.ports.runs import RunState


class MemoryRuns:
    """Implements `ports.runs.Runs`. `away` makes every call fail; `on_submit` plays the run at once."""

    def __init__(self, on_submit: Callable[[Job, str], object] | None = None) -> None:
        self.submitted: list[Job] = []
        self.canceled: list[str] = []
        self.states: dict[str, RunState] = {}
        self.away = False
        self._on_submit = on_submit

    def submit(self, job: Job) -> str:
        self._require_dagster()
        self.submitted.append(job)
        run_id = f"run-{len(self.submitted)}"
        self.states[run_id] = RunState.RUNNING
        if self._on_submit:
            self._on_submit(job, run_id)
        return run_id

    def run_of(self, job: Job) -> str | None:
        self._require_dagster()
        return next((f"run-{number}" for number, each in enumerate(self.submitted, start=1) if each.job_id == job.job_id), None)

    def cancel(self, run_id: str) -> None:
        self._require_dagster()
        self.canceled.append(run_id)

    def state(self, run_id: str) -> RunState:
        self._require_dagster()
        return self.states.get(run_id, RunState.UNKNOWN)

    def _require_dagster(self) -> None:
        if self.away:
            raise WorldError("dagster.unreachable", "Dagster is away")
