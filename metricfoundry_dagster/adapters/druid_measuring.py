"""Looks at the files of datasets before they go into Druid: their rows, columns and times."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from io import BytesIO

from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError, WorldError
from metricfoundry_dagster.domain.products import ProductFile
from metricfoundry_dagster.domain.served import Servable, ServedTable
from metricfoundry_dagster.pipeline.serving.choose_time_column import choose_time_column
from metricfoundry_dagster.pipeline.serving.measure_times import MeasuredTable, measure_parquet
from metricfoundry_dagster.ports.object_store import ObjectStore

#: A file up to this size is read whole into memory instead of being copied to a disk first.
_SMALL_BYTES = 1024**2
_FILES_AT_ONCE = 8

#: The tables of one dataset, by served name.
Measured = dict[str, MeasuredTable]


def measure_all(store: ObjectStore, servables: Sequence[Servable]) -> list[Measured | MetricFoundryError]:
    """Measure every dataset; for one whose files are not there, or do not hold its rows or its time, the error.

    Raises:
        WorldError: `store.unreachable`.
    """
    if len(servables) == 1:
        return [_measure_or_say(store, servables[0])]
    with ThreadPoolExecutor(_FILES_AT_ONCE) as pool:
        return list(pool.map(lambda servable: _measure_or_say(store, servable), servables))


def _measure_or_say(store: ObjectStore, servable: Servable) -> Measured | MetricFoundryError:
    try:
        measured = {table.name: _measure(store, table) for table in servable.tables}
    except (UserError, WorldError) as error:
        if error.code == "store.unreachable":
            raise
        return error
    counted = {name: table.rows for name, table in measured.items()}
    expected = {table.name: table.rows for table in servable.tables}
    if counted != expected:
        return WorldError("serving.count_mismatch", f"the files hold {counted} rows where {expected} are valid")
    return measured


def _measure(store: ObjectStore, table: ServedTable) -> MeasuredTable:
    if not table.files:
        return MeasuredTable((), 0, ())
    measured = _measure_files(store, table.files)
    if measured.rows:
        choose_time_column(measured, asked=None, agreed=table.time_column)  # refuses one that cannot be the time
    return measured


def _measure_files(store: ObjectStore, files: Sequence[ProductFile]) -> MeasuredTable:
    with ExitStack() as opened:
        parts = [
            BytesIO(store.read_bytes(file.root, file.key))
            if file.size_bytes <= _SMALL_BYTES
            else opened.enter_context(store.local(file.root, file.key))
            for file in files
        ]
        return measure_parquet(parts)
