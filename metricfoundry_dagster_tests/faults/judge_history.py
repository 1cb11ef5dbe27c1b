"""What must hold of a history, whoever was killed: each thing that does not is a complaint in words.

I1 everything put in is exactly one dataset      I4 the current version has each dataset exactly once
I2 the newest job completed, and each earlier    I5 what is published balances, and is the completed attempt's
   one ended for a reason that a fault explains  I6 Dagster shows it all, and no run is left under way
I3 SQL answers exactly the rows that were put in I7 litter is bounded
"""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator, Mapping

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.jobs import Job, JobState
from metricfoundry_dagster.domain.products import Stage, StageProduct
from metricfoundry_dagster.orchestration.asset_checks import GATES
from metricfoundry_dagster_tests.faults.history import DatasetHistory, History, PutIn, ServedRows

_DRUID_AWAY = frozenset({"druid.busy", "druid.not_loaded", "druid.task_failed", "druid.unreachable", "serving.engine_failed"})
#: Why a job may have ended because one of these was killed; a run worker may die with anything.
EXCUSES: Mapping[str, frozenset[str]] = {
    "worker": frozenset({"worker.died", "batch.interrupted"}),
    # Druid keeps its segments there.
    "minio": _DRUID_AWAY | {"store.unreachable"},
    "postgresql": frozenset({"catalog.unreachable", "dagster.unreachable"}),
    "coordinator": _DRUID_AWAY,
    "indexer": _DRUID_AWAY,
}
#: Half-written files and sightings, together, that may be left for each kill. More means that something leaks.
LITTER_PER_KILL = 20
_FULL_STAGES = tuple(stage for stage in Stage if stage is not Stage.RAW_OBJECT)


def complaints_about(
    history: History, put_in: Collection[PutIn], *, excused: Collection[str] = ("worker.died",), kills: int = 0
) -> list[str]:
    """Everything that is wrong. `excused` are the error codes that the faults explain; an empty list is a good history."""
    found = _Expected(history, put_in)
    return [
        *found.complaints,
        *(complaint for each in found.known for complaint in _about_jobs(each, excused)),
        *_about_rows(history, found),
        *_about_members(history, found),
        *(complaint for each, source in found.by_history for complaint in _about_stages(each, source)),
        *_about_dagster(history, found),
        *_about_litter(history, kills),
    ]


class _Expected:
    """I1: pairs what was put in with what was registered."""

    def __init__(self, history: History, put_in: Collection[PutIn]) -> None:
        by_uri: dict[str, list[DatasetHistory]] = defaultdict(list)
        for each in history.datasets:
            by_uri[each.dataset.source_uri].append(each)
        self.by_history: list[tuple[DatasetHistory, PutIn]] = []
        self.complaints: list[str] = []
        for source in put_in:
            registered = by_uri.pop(source.uri, [])
            if len(registered) != 1:
                names = ", ".join(each.name for each in registered) or "none"
                self.complaints.append(f"I1 {source.uri} is {len(registered)} datasets: {names}")
            self.by_history += [(each, source) for each in registered]
        self.complaints += [f"I1 {each.name} was never put in" for many in by_uri.values() for each in many]
        self.known = [each for each, _ in self.by_history]
        self.shown = _shown(self.by_history)


def _shown(pairs: list[tuple[DatasetHistory, PutIn]]) -> dict[str, tuple[DatasetHistory, PutIn]]:
    """Those that readers must see, by id: all of an appended datasource, the last registered of a replaced one."""
    last: dict[str, int] = {}
    for each, source in pairs:
        if source.mode is Mode.REPLACE:
            last[source.datasource] = max(last.get(source.datasource, 0), each.dataset.sequence)
    return {
        each.name: (each, source)
        for each, source in pairs
        if source.mode is Mode.APPEND or each.dataset.sequence == last[source.datasource]
    }


def _about_jobs(each: DatasetHistory, excused: Collection[str]) -> Iterator[str]:
    """I2."""
    if not each.jobs:
        yield f"I2 {each.name} has no job"
        return
    newest, *earlier = each.jobs
    if newest.state is not JobState.COMPLETED or newest.progress_percent != 100:
        yield f"I2 {each.name}: the newest job is {newest.state} at {newest.progress_percent} % {_code_of(newest)}"
    for job in earlier:
        if not job.state.ended or job.ended_at is None:
            yield f"I2 {each.name}: an earlier job is left {job.state}"
        elif job.state is not JobState.FAILED or _code_of(job) not in excused:
            yield f"I2 {each.name}: an earlier job ended {job.state} {_code_of(job)}, which no fault explains"
    attempts = [job.attempt for job in reversed(each.jobs) if job.attempt]
    if attempts != sorted(set(attempts)):
        yield f"I2 {each.name}: attempts do not rise: {attempts}"


def _about_rows(history: History, found: _Expected) -> Iterator[str]:
    """I3."""
    answered: dict[str, list[ServedRows]] = defaultdict(list)
    for rows in history.served:
        answered[rows.dataset_id].append(rows)
    for name, (_, source) in found.shown.items():
        wanted = ServedRows(source.datasource, name, source.rows, source.checksum)
        if answered.pop(name, []) != [wanted]:
            got = [rows for rows in history.served if rows.dataset_id == name]
            yield f"I3 {name}: {wanted} must be served, it is {got or 'not there'}"
    for name, got in answered.items():
        yield f"I3 {name} is served and must not be: {got}"


def _about_members(history: History, found: _Expected) -> Iterator[str]:
    """I4."""
    times = Counter(member.dataset_id for member in history.members)
    for name in found.shown.keys() | times.keys():
        if times[name] != (name in found.shown):
            yield f"I4 {name} is {times[name]} times in the current version"
    for member in history.members:
        if member.dataset_id in found.shown:
            each, source = found.shown[member.dataset_id]
            if member.datasource != source.datasource:
                yield f"I4 {each.name} is in the version of {member.datasource}"
            if each.jobs and member.attempt != each.jobs[0].attempt:
                yield f"I4 {each.name}: attempt {member.attempt} is served, attempt {each.jobs[0].attempt} was completed"


def _about_stages(each: DatasetHistory, source: PutIn) -> Iterator[str]:
    """I5."""
    for stage in Stage:
        record, manifest = each.records.get(stage), each.manifests.get(stage)
        if record is None or manifest is None:
            yield f"I5 {each.name}: {stage} was never published"
            continue
        newest = each.jobs[0] if each.jobs else None
        if newest is None or (record.job_id, record.attempt) != (newest.job_id, newest.attempt):
            yield f"I5 {each.name}: {stage} is attempt {record.attempt}, and not the completed job's"
        if not (record.passed and manifest.gate.passed):
            yield f"I5 {each.name}: {stage} did not pass its gate"
        if (manifest.dataset_id, manifest.stage, manifest.attempt) != (each.name, stage, record.attempt):
            yield f"I5 {each.name}: the manifest of {stage} is attempt {manifest.attempt} of {manifest.dataset_id}"
        yield from _about_ledger(each.name, manifest, source)


def _about_ledger(name: str, manifest: StageProduct, source: PutIn) -> Iterator[str]:
    for table in manifest.tables:
        if not table.balances or table.error is not None:
            ledger = f"{table.rows_in} in, {table.rows_out} out, {table.rows_rejected} rejected"
            yield f"I5 {name}: {manifest.stage} does not balance: {ledger}"
    if manifest.stage in _FULL_STAGES and manifest.rows_out != source.rows:
        yield f"I5 {name}: {manifest.stage} has {manifest.rows_out} rows, {source.rows} were put in"


def _about_dagster(history: History, found: _Expected) -> Iterator[str]:
    """I6."""
    facts = history.dagster
    evaluated = {(e.run_id, e.check, e.dataset_id): e.passed for e in facts.evaluations}
    for each in found.known:
        missing = [stage for stage in Stage if each.name not in facts.materialized.get(stage, frozenset())]
        if missing:
            yield f"I6 {each.name}: Dagster has no materialization of {', '.join(missing)}"
        run_id = (each.jobs[0].run_id if each.jobs else None) or ""
        for check in GATES.values():
            if not evaluated.get((run_id, check.name, each.name), False):
                yield f"I6 {each.name}: check {check.name} did not pass in run {run_id}"
    for telling, times in facts.told.items():
        if times != 1:
            yield f"I6 {telling.dataset_id}: run {telling.run_id} tells {times} times of {telling.what}"
    yield from (f"I6 run {run} is left under way" for run in facts.unfinished_runs)


def _about_litter(history: History, kills: int) -> Iterator[str]:
    """I7."""
    lying = sum(history.litter.get(kind, 0) for kind in ("sightings", "half_written_files"))
    if lying > LITTER_PER_KILL * kills:
        yield f"I7 {dict(history.litter)} is left after {kills} kills"


def _code_of(job: Job) -> str:
    return job.error.code if job.error else ""
