"""The Druid task of a file with no catalog: staged into a directory that is removed, then measured.

The files in the spec are those that the dataset will have after its first attempt, at their place in the store.
"""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from metricfoundry_dagster.cli.stage_alone import StagedAlone, stage_alone
from metricfoundry_dagster.domain.datasets import Mode, dataset_id_of, slug_of
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.products import Root, Stage
from metricfoundry_dagster.domain.served import served_name
from metricfoundry_dagster.pipeline.serving.druid_spec import DruidRequest, DruidTask, druid_spec
from metricfoundry_dagster.pipeline.serving.measure_times import measure_parquet
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster.wiring import build_sources, build_store

_FIRST_ATTEMPT = 1


@dataclass(frozen=True, slots=True)
class SpecWishes:
    """How the file is to be ingested; `time_column` None means that one is looked for."""

    datasource: str
    mode: Mode
    time_column: str | None


def druid_spec_alone(path: str, wishes: SpecWishes, settings: Settings, overrides: Mapping[str, Any]) -> list[DruidTask]:
    """One task for each table of the file.

    Raises:
        UserError: `name.invalid` for the datasource, `request.invalid` for a time column that cannot be one, or as
            staging does.
    """
    slug = slug_of(wishes.datasource)
    source = build_sources(settings, only_source_roots=False).stat(path)
    dataset_id = dataset_id_of(slug, source.uri, source.etag)
    with tempfile.TemporaryDirectory() as folder:
        staged = stage_alone(path, folder, "", settings, overrides)
        return [_task(name, slug, dataset_id, staged, wishes, settings) for name in staged.parts()]


def _task(name: str, slug: str, dataset_id: str, staged: StagedAlone, wishes: SpecWishes, settings: Settings) -> DruidTask:
    prefix = attempt_prefix(Stage.VALIDATED_FRAME, dataset_id, _FIRST_ATTEMPT)
    store = build_store(settings)
    request = DruidRequest(
        datasource=served_name(slug, name, len(staged.parts())),
        uris=tuple(store.uri(Root.ARTIFACTS, prefix + key) for key in staged.keys("part", name)),
        table=measure_parquet(staged.parts()[name]),
        mode=wishes.mode,
        dataset_id=dataset_id,
        attempt=_FIRST_ATTEMPT,
        time_column=wishes.time_column,
        agreed_time_column=staged.recipe.time_column,
    )
    return druid_spec(request)
