"""The embedded default in a folder of a test: real catalog, real store, real DuckDB.

Put here what several folders of tests do with it; assertions belong to the tests.
"""

import uuid
from pathlib import Path

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Attempt, Job
from metricfoundry_dagster.domain.products import StageProduct
from metricfoundry_dagster.pipeline.flow import take_through
from metricfoundry_dagster.pipeline.job_progress import JobProgress
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_ports

GOOD_CSV = "id,name,amount\n1,Ann,2.5\n2,Bob,3.5\n3,Cid,4.5\n"


def embedded_settings(folder: Path) -> Settings:
    """Settings of an instance whose state and contracts lie in `folder`."""
    # Tests look at the drop zone twice in a row.
    return Settings(home=folder / "home", contracts_dir=folder / "contracts", source_roots=(str(folder),), quiet_seconds=0.0)


def embedded_ports(folder: Path) -> Ports:
    """Real ports on that instance."""
    return build_ports(embedded_settings(folder))


def write_source(folder: Path, name: str = "people.csv", content: str | bytes = GOOD_CSV) -> Path:
    """A source file in `folder`."""
    path = folder / "sources" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def register(ports: Ports, path: Path, *, datasource: str | None = None, mode: Mode | None = None) -> Job:
    """Register a file and give its waiting job."""
    return register_source(ports, str(path), Wishes(datasource=datasource, mode=mode)).job


def open_job(ports: Ports, job: Job) -> Attempt:
    """Begin the job as a run of its own would."""
    return ports.catalog.open_job(job.dataset_id, str(uuid.uuid4()), job.job_id, None, ports.clock.now())


def progress_of(ports: Ports, attempt: Attempt) -> JobProgress:
    """Progress as runs report it."""
    return JobProgress(attempt.job.job_id, ports.catalog, ports.clock)


def carry(ports: Ports, job: Job) -> list[StageProduct]:
    """Take the job's dataset through the whole flow."""
    attempt = open_job(ports, job)
    return take_through(attempt, ports, progress_of(ports, attempt))


def ingest(ports: Ports, path: Path, *, datasource: str | None = None, mode: Mode | None = None) -> list[StageProduct]:
    """Register a file and take it through the whole flow."""
    return carry(ports, register(ports, path, datasource=datasource, mode=mode))
