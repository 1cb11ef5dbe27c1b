"""From datasets to the tasks that put them into Druid: one for as many datasets of a table as can share it."""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from metricfoundry_dagster.adapters.druid_measuring import Measured
from metricfoundry_dagster.adapters.druid_names import require_name
from metricfoundry_dagster.adapters.druid_parts import DruidParts
from metricfoundry_dagster.adapters.druid_segment_ids import coarsest_of
from metricfoundry_dagster.adapters.druid_task_runs import PlannedTask
from metricfoundry_dagster.domain.announcements import AnnouncedTask, Announcement
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.served import Servable, ServedTable
from metricfoundry_dagster.pipeline.serving.druid_spec import FILE_PATH, DruidRequest, druid_spec
from metricfoundry_dagster.pipeline.serving.group_datasets import DatasetGroup, MeasuredDataset, group_datasets

_ID_IN_PATH = re.compile(r"datasets/([a-z][a-z0-9_]*--[a-z2-7]{16})/")


def plan_to_replace(
    parts: DruidParts, announcement: Announcement, servable: Servable, measured: Measured, before: Mapping[str, Iterable[str]]
) -> list[PlannedTask]:
    """A task for each table with rows, which takes the place of all that readers see of that table now."""
    planned: list[PlannedTask] = []
    for table in servable.tables:
        for group in group_datasets([_dataset(parts, servable, table, measured)]):
            span = parts.segments.span(table.name) if list(before.get(table.name, ())) else None
            request = _request(table.name, Mode.REPLACE, group, [servable], announcement)
            planned.append(_planned(replace(request, replaced=span), group))
    return planned


def plan_to_append(
    parts: DruidParts,
    announcement: Announcement,
    servables: Sequence[tuple[Servable, Measured]],
    before: Mapping[str, Iterable[str]],
) -> list[PlannedTask]:
    """Tasks that add the rows of many datasets to what their tables hold."""
    by_name: dict[str, list[MeasuredDataset]] = {}
    for servable, measured in servables:
        for table in servable.tables:
            by_name.setdefault(table.name, []).append(_dataset(parts, servable, table, measured))
    alone = [servable for servable, _ in servables]
    planned: list[PlannedTask] = []
    for name, datasets in sorted(by_name.items()):
        coarsest = coarsest_of(name, before.get(name, ()))
        for group in _groups(datasets):
            request = _request(name, Mode.APPEND, group, alone, announcement)
            planned.append(_planned(replace(request, at_least=coarsest), group))
    return planned


def _dataset(parts: DruidParts, servable: Servable, table: ServedTable, measured: Measured) -> MeasuredDataset:
    uris = tuple(parts.store.uri(file.root, file.key) for file in table.files if file.rows != 0)
    return MeasuredDataset(servable.dataset_id, uris, measured[table.name], table.time_column)


def _groups(datasets: Sequence[MeasuredDataset]) -> list[DatasetGroup]:
    """Those whose files tell in their paths whose they are go together, all others each alone."""
    telling = [dataset for dataset in datasets if _tells(dataset)]
    others = [dataset for dataset in datasets if dataset not in telling]
    return [*group_datasets(telling), *(group for other in others for group in group_datasets([other]))]


def _tells(dataset: MeasuredDataset) -> bool:
    if any(column.name == FILE_PATH for column in dataset.table.columns):
        return False  # Druid would put the path into this column
    found = [_ID_IN_PATH.search(uri) for uri in dataset.uris]
    return all(match is not None and match.group(1) == dataset.dataset_id for match in found)


def _request(
    name: str, mode: Mode, group: DatasetGroup, servables: Sequence[Servable], announcement: Announcement
) -> DruidRequest:
    """All of a request that does not depend on what the datasource held before."""
    ids = {dataset.dataset_id for dataset in group.datasets}
    return DruidRequest(
        datasource=require_name(name),
        uris=group.uris,
        table=group.table,
        mode=mode,
        dataset_id=next(iter(ids)) if len(ids) == 1 else None,
        ids_from_paths=len(ids) > 1,
        attempt=max(servable.attempt for servable in servables if servable.dataset_id in ids),
        agreed_time_column=group.time_column,
        announcement_id=announcement.announcement_id,
    )


def _planned(request: DruidRequest, group: DatasetGroup) -> PlannedTask:
    task = druid_spec(request).task
    return PlannedTask(task, AnnouncedTask(task["id"], "put in", group.table.rows))
