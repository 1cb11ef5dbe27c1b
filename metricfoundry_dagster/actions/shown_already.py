"""Which jobs have come so far that readers see what they served, though nobody has ended them yet.

Such a job is not canceled: the data would stay, and its dataset would be called canceled.
"""

from collections.abc import Sequence

from metricfoundry_dagster.domain.datasets import datasource_of
from metricfoundry_dagster.domain.jobs import MILESTONES_PERCENT, Job
from metricfoundry_dagster.domain.products import Stage
from metricfoundry_dagster.ports.bundle import Ports


def is_served(job: Job) -> bool:
    """Whether its last stage was published, so that only the end of the job is missing."""
    return job.progress_percent == MILESTONES_PERCENT[Stage.DRUID_DATASOURCE]


def shown_already(jobs: Sequence[Job], ports: Ports) -> list[Job]:
    """Those whose attempt is in the version that readers see: of a group that is being served, for minutes."""
    profiled = [job for job in jobs if job.progress_percent >= MILESTONES_PERCENT[Stage.PROFILE_REPORT]]
    if not profiled:
        return []
    versions = ports.catalog.current_versions({datasource_of(job.dataset_id) for job in profiled})
    seen = {(member.dataset_id, member.attempt) for version in versions for member in version.members}
    return [job for job in profiled if (job.dataset_id, job.attempt) in seen]
