"""The flow: five stages in order, each run, published and judged. The only module that knows all stages.

    run_stage(stage, attempt, ports, progress)   refuses after a failed gate upstream; runs the pure stage
    publish(product, ports)                      fence, manifest, catalog; may be called again after a crash
    take_through(attempt, ports, progress)       the two for each stage, until the end or a failed gate
    run_stages, publish_all                      the same for batches: products wait for each other to be published

A run of one dataset calls the first two from five assets; what a batch does is in `batch_flow`. A stage never
knows who called it. What Dagster makes of a product is decided in `orchestration/`.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import nullcontext
from datetime import timedelta
from itertools import dropwhile, islice, takewhile

from metricfoundry_dagster.domain.errors import (
    ConflictError,
    ErrorRecord,
    FencedError,
    InternalError,
    MetricFoundryError,
    Place,
    UserError,
)
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.products import Gate, Stage, StageProduct
from metricfoundry_dagster.pipeline.intake.take_in import take_in
from metricfoundry_dagster.pipeline.manifests import (
    read_product,
    show_published_manifest,
    show_published_manifests,
    write_attempt_manifest,
)
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.profiling.profile_dataset import profile_dataset
from metricfoundry_dagster.pipeline.serving.serve_dataset import serve_dataset
from metricfoundry_dagster.pipeline.staging.stage_dataset import stage_dataset
from metricfoundry_dagster.pipeline.validation.validate_dataset import validate_dataset
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Ending, GivenBack
from metricfoundry_dagster.ports.progress import Progress

_StageWithUpstream = Callable[[Attempt, Ports, Progress, ProductHandle], StageProduct]
_AFTER_INTAKE: dict[Stage, _StageWithUpstream] = {
    Stage.STAGED_PARQUET: stage_dataset,
    Stage.VALIDATED_FRAME: validate_dataset,
    Stage.PROFILE_REPORT: profile_dataset,
    Stage.DRUID_DATASOURCE: serve_dataset,
}
#: Errors that say that this job must stop, not that the data is bad: they never become a gate's verdict.
_STOPS = {"job.canceled", "stage.upstream_failed", "stage.upstream_missing"}
#: Errors that say that a server is away, whatever the dataset is.
SERVERS_AWAY = {
    "catalog.unreachable",
    "dagster.unreachable",
    "druid.busy",
    "druid.not_loaded",
    "druid.task_failed",
    "druid.unreachable",
    "serving.engine_failed",
    "store.unreachable",
}
#: A dataset that found a server away so often in a row is left to a person: after an hour and a half, with the waits between.
MAX_WORLD_FAILURES = 10
_FIRST_HOLD = timedelta(seconds=15)
_LONGEST_HOLD = timedelta(minutes=30)


def run_stage(
    stage: Stage, attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle | None = None
) -> StageProduct:
    """Run one stage and give its product, whose files lie in the store but do not count yet.

    A stage that this job has published already is not run again. A user's error inside the stage becomes a
    product with a failed gate. `upstream` saves reading the manifest of the stage before.

    Raises:
        UserError: `stage.upstream_failed` or `stage.upstream_missing`; `job.canceled`.
        WorldError: something outside does not answer; the stage may be run again.
        InternalError: rows are unaccounted for.
    """
    published = read_product(attempt.dataset.dataset_id, stage, ports)
    if published is not None and published.attempt == attempt.number:
        return published
    return _judged(stage, attempt, ports, progress, upstream)


def run_stages(
    attempt: Attempt, ports: Ports, progress: Progress, made: Sequence[StageProduct], *, until: Stage
) -> Iterator[StageProduct]:
    """Run the stages after those that were made, as far as `until` or a failed gate; nothing is published.

    Raises:
        As `run_stage`. What was given before stays good: begin again with it.
    """
    last = made[-1] if made else None
    for stage in list(Stage)[len(made) : list(Stage).index(until) + 1]:
        if last is not None and not last.gate.passed:
            return
        with nullcontext() if last is None else ProductHandle(last, ports.store) as upstream:
            last = _judged(stage, attempt, ports, progress, upstream)
        yield last


def publish(product: StageProduct, ports: Ports) -> None:
    """Let the product count: fence, catalog, manifest, and the job's state. Idempotent.

    Raises:
        FencedError: `attempt.fenced` when a newer attempt has begun or the job has ended; nothing was published.
    """
    job = next((j for j in ports.catalog.jobs_of(product.dataset_id) if j.attempt == product.attempt), None)
    if job is None:
        raise FencedError("attempt.fenced", f"attempt {product.attempt} of {product.dataset_id} has no job")
    record = ports.catalog.stage(product.dataset_id, product.stage)
    if record is None or record.attempt != product.attempt:
        write_attempt_manifest(product, ports)
        ports.catalog.publish(product, job.job_id, ports.clock.now())
    show_published_manifest(product, ports)
    if not product.gate.passed:
        ports.catalog.close_job(job.job_id, JobState.FAILED, product.gate.error, ports.clock.now())
    elif product.stage is list(Stage)[-1]:
        ports.catalog.close_job(job.job_id, JobState.COMPLETED, None, ports.clock.now())


def publish_all(products: Sequence[tuple[Attempt, StageProduct]], ports: Ports) -> dict[str, MetricFoundryError]:
    """Let products of many datasets count; by dataset, what forbade it. Of one dataset all count, or none. Idempotent.

    The jobs go on: whoever carries them ends them.
    """
    for _, product in products:
        write_attempt_manifest(product, ports)
    outcomes = ports.catalog.publish_all([(product, attempt.job.job_id) for attempt, product in products], ports.clock.now())
    refused = {product.dataset_id: outcome for (_, product), outcome in zip(products, outcomes, strict=True) if outcome}
    show_published_manifests([product for _, product in products if product.dataset_id not in refused], ports)
    return refused


def ending_after(job_id: str, error: ErrorRecord) -> Ending:
    """How an error that is no verdict on the data ends a job."""
    return Ending(job_id, JobState.CANCELED if error.code == "job.canceled" else JobState.FAILED, error)


def take_through(attempt: Attempt, ports: Ports, progress: Progress) -> list[StageProduct]:
    """Run and publish every stage until the end or a failed gate; give the products, the last one deciding."""
    products: list[StageProduct] = []
    for stage in Stage:
        product = run_stage(stage, attempt, ports, progress)
        publish(product, ports)
        products.append(product)
        if not product.gate.passed:
            break
    return products


def give_up(run_id: str, dataset_id: str, error: ErrorRecord, ports: Ports) -> None:
    """Close the job that the run carries for a dataset, after an error that is no verdict on the data.

    When a server is away, a new job takes the dataset up later, until that was tried often enough. Without effect when
    the run carries none, or it has ended.
    """
    for job in ports.catalog.jobs_of_run(run_id):
        if job.dataset_id == dataset_id and not job.state.ended:
            give_up_job(run_id, job, error, ports, batch_limit=job.batch_limit)


def give_up_job(run_id: str, job: Job, error: ErrorRecord, ports: Ports, *, batch_limit: int | None) -> None:
    """Close one job as `give_up` does; what takes it up later goes in batches of `batch_limit` at the most."""
    outcome = after_failure(job, error, ports, batch_limit=batch_limit)
    if isinstance(outcome, GivenBack):
        ports.catalog.give_back([outcome], run_id, ports.clock.now())
    else:
        ports.catalog.close_job(outcome.job_id, outcome.state, outcome.error, ports.clock.now())


def after_failure(
    job: Job, error: ErrorRecord, ports: Ports, *, batch_limit: int | None, first_hold: timedelta = _FIRST_HOLD
) -> GivenBack | Ending:
    """What is to become of a job after an error that is no verdict on the data, as `give_up` decides it.

    `first_hold` is how long it is held back after the first failure in a row; each further one doubles it.
    """
    failures = _failures_before(job, ports)
    if error.code not in SERVERS_AWAY or failures + 1 >= MAX_WORLD_FAILURES:
        return ending_after(job.job_id, error)
    hold = min(max(_LONGEST_HOLD, first_hold), first_hold * 2**failures)
    return GivenBack(job.job_id, error, batch_limit=batch_limit, held_until=ports.clock.now() + hold)


def _failures_before(job: Job, ports: Ports) -> int:
    """How many jobs of the dataset in a row, up to this one, ended because a server was away.

    Those whose batch ended for the sake of another dataset neither count nor break the row.
    """
    earlier = islice(dropwhile(lambda other: other.job_id != job.job_id, ports.catalog.jobs_of(job.dataset_id)), 1, None)
    codes = (other.error.code if other.error else "" for other in earlier)
    return sum(1 for _ in takewhile(lambda code: code in SERVERS_AWAY, (code for code in codes if code != "batch.interrupted")))


def _judged(stage: Stage, attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle | None) -> StageProduct:
    """Run one stage; a user's error inside it becomes a product with a failed gate."""
    progress.report(stage, 0.0)
    try:
        product = _run(stage, attempt, ports, progress, upstream)
    except UserError as error:
        if error.code in _STOPS:
            raise
        product = refused(stage, attempt, error.record)
    return _require_balance(product)


def _run(stage: Stage, attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle | None) -> StageProduct:
    if stage.upstream is None:
        return take_in(attempt, ports, progress)
    if upstream is not None:
        _require_passed(upstream.product)
        return _AFTER_INTAKE[stage](attempt, ports, progress, upstream)
    with ProductHandle(_upstream_product(stage.upstream, attempt, ports), ports.store) as handle:
        return _AFTER_INTAKE[stage](attempt, ports, progress, handle)


def _upstream_product(stage: Stage, attempt: Attempt, ports: Ports) -> StageProduct:
    product = read_product(attempt.dataset.dataset_id, stage, ports)
    if product is None:
        message = f"{stage} of {attempt.dataset.dataset_id} has not been made yet"
        raise ConflictError("stage.upstream_missing", message)
    _require_passed(product)
    return product


def _require_passed(product: StageProduct) -> None:
    if not product.gate.passed:
        message = f"{product.stage} of {product.dataset_id} did not pass its gate: {product.gate.summary}"
        raise ConflictError("stage.upstream_failed", message)


def refused(stage: Stage, attempt: Attempt, error: ErrorRecord) -> StageProduct:
    """The product of a stage that could not be made because of the file or the request: no file, and a failed gate."""
    finding = Finding(error.code, Severity.ERROR, error.message, table=error.place.table, column=error.place.column)
    return StageProduct(
        stage=stage,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=(),
        tables=(),
        findings=(finding,),
        gate=Gate(passed=False, summary=error.message, error=error),
    )


def _require_balance(product: StageProduct) -> StageProduct:
    for table in product.tables:
        if not table.balances and table.error is None:
            raise InternalError(
                "staging.out_of_balance" if product.stage is Stage.STAGED_PARQUET else "validation.out_of_balance",
                f"{product.stage}: {table.rows_in} rows in, {table.rows_out} out, {table.rows_rejected} rejected",
                place=Place(table=table.name),
            )
    return product
