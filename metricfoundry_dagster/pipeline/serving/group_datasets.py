"""Which datasets go into Druid by one task: those whose columns agree and whose rows get their time from the same one.

Where they do not agree there are several tasks; Druid holds columns of different types in different segments.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field, replace

from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.serving.choose_time_column import choose_time_column
from metricfoundry_dagster.pipeline.serving.druid_spec import same_kind
from metricfoundry_dagster.pipeline.serving.measure_times import MeasuredTable, TimeColumn

#: Files that one task reads; more would make a task that no Overlord likes to keep.
MAX_FILES = 2_000
_UNTYPED = "null"


@dataclass(frozen=True, slots=True)
class MeasuredDataset:
    """The files of one dataset for one served table. `agreed_time_column` as in `ServedTable.time_column`."""

    dataset_id: str
    uris: tuple[str, ...]
    table: MeasuredTable
    agreed_time_column: str | None


@dataclass(frozen=True, slots=True)
class DatasetGroup:
    """Datasets that one task takes in. `table` unites theirs, with the time column alone among its times."""

    datasets: tuple[MeasuredDataset, ...]
    table: MeasuredTable
    time_column: str | None

    @property
    def uris(self) -> tuple[str, ...]:
        """The files of all."""
        return tuple(uri for dataset in self.datasets for uri in dataset.uris)


def group_datasets(datasets: Iterable[MeasuredDataset]) -> list[DatasetGroup]:
    """Put datasets into as few groups as they need, in the order in which they stand. Those without rows are left out.

    Raises:
        UserError: `request.invalid` for an agreed time column that cannot be one.
    """
    growing: list[_Growing] = []
    last_of: dict[object, _Growing] = {}
    for dataset in datasets:
        if not dataset.table.rows:
            continue
        time = _time_of(dataset)
        alike = (time.name if time else None, _type_of(time, dataset.table), dataset.table.columns)
        group = last_of.get(alike)
        if group is None or not group.has_room_for(dataset):
            group = next((g for g in growing if g.takes(alike[:2], dataset)), None) or _Growing(alike[:2])
            last_of[alike] = group
            if not group.datasets:
                growing.append(group)
        group.add(dataset, time)
    return [group.finished() for group in growing]


@dataclass(slots=True)
class _Growing:
    time_key: tuple[str | None, str | None]
    datasets: list[MeasuredDataset] = field(default_factory=list)
    columns: dict[str, Column] = field(default_factory=dict)
    times: list[TimeColumn] = field(default_factory=list)
    files: int = 0

    def has_room_for(self, dataset: MeasuredDataset) -> bool:
        return self.files + len(dataset.uris) <= MAX_FILES

    def takes(self, time_key: object, dataset: MeasuredDataset) -> bool:
        here = [(self.columns[column.name], column) for column in dataset.table.columns if column.name in self.columns]
        agree = all(_UNTYPED in {known.type, new.type} or same_kind(known.type, new.type) for known, new in here)
        return self.time_key == time_key and agree and self.has_room_for(dataset)

    def add(self, dataset: MeasuredDataset, time: TimeColumn | None) -> None:
        self.datasets.append(dataset)
        self.files += len(dataset.uris)
        self.times += [time] if time else []
        for column in dataset.table.columns:
            known = self.columns.get(column.name)
            if known is None or known.type == _UNTYPED:
                self.columns[column.name] = column

    def finished(self) -> DatasetGroup:
        rows = sum(dataset.table.rows for dataset in self.datasets)
        table = MeasuredTable(tuple(self.columns.values()), rows, tuple(_joined(self.times)))
        return DatasetGroup(tuple(self.datasets), table, self.time_key[0])


def _time_of(dataset: MeasuredDataset) -> TimeColumn | None:
    choice = choose_time_column(dataset.table, asked=None, agreed=dataset.agreed_time_column)
    return next((time for time in dataset.table.times if time.name == choice.column), None)


def _type_of(time: TimeColumn | None, table: MeasuredTable) -> str | None:
    return next((column.type for column in table.columns if time and column.name == time.name), None)


def _joined(times: Sequence[TimeColumn]) -> list[TimeColumn]:
    """One column with the span of all; its values are never missing, or it would not have been chosen."""
    if not times:
        return []
    span = times[0].span
    for time in times:
        span = time.span.joined(span) if time.span else span
    return [replace(times[0], span=span)]
