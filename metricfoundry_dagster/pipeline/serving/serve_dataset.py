"""Serve the rows that hold, and reconcile: as many as are valid must be counted by the engine before the gate opens."""

from collections.abc import Sequence

from metricfoundry_dagster.domain.errors import ErrorRecord, MetricFoundryError, Place, UserError, WorldError
from metricfoundry_dagster.domain.findings import Finding, Severity
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.products import Gate, Stage, StageProduct, TableProduct
from metricfoundry_dagster.domain.served import Servable, ServedTable, Serving, served_name
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.progress import Progress

_STAGE = Stage.DRUID_DATASOURCE
_MISMATCH = "serving.count_mismatch"


def serve_dataset(attempt: Attempt, ports: Ports, progress: Progress, upstream: ProductHandle) -> StageProduct:
    """Serve the validated tables of the dataset. `upstream` is the profile that let them pass; it holds no rows.

    The gate passes when every table is counted with exactly its valid rows. A dataset that is older than the one
    that is served passes as well, with the finding `serving.superseded`.

    Raises:
        UserError: `stage.upstream_missing`; `datasource.mode_conflict`.
        WorldError: the engine or the store does not answer.
        FencedError: a newer attempt of the dataset is under way, or the job was canceled meanwhile.
    """
    validated = read_product(upstream.product.dataset_id, Stage.VALIDATED_FRAME, ports)
    if validated is None:
        raise UserError("stage.upstream_missing", f"{upstream.product.dataset_id} has no validated tables")
    # No progress after this: reporting may say that the job was canceled, but readers see the rows by then.
    progress.report(_STAGE, 0.1, f"serving {validated.rows_out:,} rows as {attempt.dataset.datasource}")
    [outcome] = serve_datasets([(attempt, validated)], ports)
    if isinstance(outcome, MetricFoundryError):
        raise outcome
    return outcome


def serve_datasets(validated: Sequence[tuple[Attempt, StageProduct]], ports: Ports) -> list[StageProduct | MetricFoundryError]:
    """Serve the validated tables of many datasets at once; products, or what is wrong with one, in the order given.

    Raises:
        WorldError: the engine, the store or the catalog does not answer; doing it again changes nothing that is done.
    """
    servables = [servable_of(attempt, product) for attempt, product in validated]
    outcomes = ports.engine.serve_all(servables)
    servings = [outcome for outcome in outcomes if isinstance(outcome, Serving)]
    counts = dict(zip((serving.servable.dataset_id for serving in servings), ports.engine.count_all(servings), strict=True))
    products: list[StageProduct | MetricFoundryError] = []
    for (attempt, product), servable, outcome in zip(validated, servables, outcomes, strict=True):
        if isinstance(outcome, Serving):
            counted = counts[servable.dataset_id]
            products.append(_product(attempt, product, outcome, counted, _difference(servable, counted)))
        elif outcome.code == _MISMATCH:
            products.append(_product(attempt, product, None, {}, outcome.record.message))
        else:
            products.append(outcome)
    return products


def servable_of(attempt: Attempt, validated: StageProduct) -> Servable:
    """The validated tables, under the names that readers will use. Tables that could not be read are left out."""
    time_column = validated.details.get("time_column")
    whole = [table for table in validated.tables if table.error is None]
    datasource = attempt.dataset.datasource
    return Servable(
        datasource=datasource,
        mode=attempt.dataset.mode,
        dataset_id=attempt.dataset.dataset_id,
        sequence=attempt.dataset.sequence,
        attempt=attempt.number,
        tables=tuple(
            ServedTable(
                name=served_name(datasource, table.name, len(whole)),
                columns=table.columns,
                files=validated.files_of("part", table.name),
                rows=table.rows_out,
                time_column=time_column if any(column.name == time_column for column in table.columns) else None,
            )
            for table in whole
        ),
    )


def _difference(servable: Servable, counted: dict[str, int]) -> str | None:
    """What the counts say that differs, in words; None when every table has its rows."""
    wrong = [
        f"{table.name} serves {counted.get(table.name, 0):,} of {table.rows:,} valid rows"
        for table in servable.tables
        if counted.get(table.name) != table.rows
    ]
    return "; ".join(wrong) or None


def _product(
    attempt: Attempt, validated: StageProduct, serving: Serving | None, counted: dict[str, int], mismatch: str | None
) -> StageProduct:
    servable = servable_of(attempt, validated)
    error = WorldError(_MISMATCH, mismatch, place=Place(table=servable.datasource)).record if mismatch else None
    whole = [table for table in validated.tables if table.error is None]
    return StageProduct(
        stage=_STAGE,
        dataset_id=servable.dataset_id,
        attempt=attempt.number,
        files=(),
        tables=tuple(_ledger(table, counted.get(served.name, 0)) for table, served in zip(whole, servable.tables, strict=True)),
        findings=_findings(servable, serving),
        gate=Gate(error is None, mismatch or _summary(servable, serving), error),
        details={
            "datasource": servable.datasource,
            "version": serving.version_number if serving else None,
            "current": serving.current if serving else False,
            "tables": [{"name": table.name, "rows": counted.get(table.name, 0)} for table in servable.tables],
        },
    )


def _ledger(table: TableProduct, rows_served: int) -> TableProduct:
    error: ErrorRecord | None = None
    if rows_served != table.rows_out:
        message = f"{rows_served:,} of {table.rows_out:,} valid rows are served"
        error = WorldError(_MISMATCH, message, place=Place(table=table.name)).record
    return TableProduct(table.name, table.columns, table.rows_out, rows_served, 0, error)


def _findings(servable: Servable, serving: Serving | None) -> tuple[Finding, ...]:
    if serving is None or serving.current:
        return ()
    message = f"a newer dataset of {servable.datasource} is served already; this one is kept as version {serving.version_number}"
    return (Finding("serving.superseded", Severity.INFO, message),)


def _summary(servable: Servable, serving: Serving | None) -> str:
    rows = sum(table.rows for table in servable.tables)
    version = serving.version_number if serving else 0
    shown = "is what readers see" if serving and serving.current else "is kept behind a newer one"
    return f"{rows:,} valid rows are served; version {version} of {servable.datasource} {shown}"
