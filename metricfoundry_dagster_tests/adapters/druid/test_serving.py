"""What is special to serving in Druid: types, times, chunks, tables that vanish, and tasks that must not get through."""

import datetime as dt
import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
from pydantic import SecretStr

from metricfoundry_dagster.adapters.druid_task_runs import await_tasks
from metricfoundry_dagster.cli.druid_spec_alone import SpecWishes, druid_spec_alone
from metricfoundry_dagster.cli.stage_alone import stage_alone
from metricfoundry_dagster.domain.announcements import AnnouncedTask
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster.pipeline.serving.druid_spec import DruidRequest, druid_spec
from metricfoundry_dagster.pipeline.serving.measure_times import measure_parquet
from metricfoundry_dagster.settings import Settings
from metricfoundry_dagster_tests.adapters.druid.conftest import OnDruid
from metricfoundry_dagster_tests.servers.minio import Minio

pytestmark = pytest.mark.servers

MOMENT = dt.datetime(2020, 1, 2, 3, 4, 5, 678_000, tzinfo=dt.UTC)
MOMENT_MS = 1_577_934_245_678
#: By column: two values, their type, and what Druid's SQL says of them.
TYPES: dict[str, tuple[list[object], pa.DataType, list[object]]] = {
    "int8": ([-1, 1], pa.int8(), [-1, 1]),
    "int64": ([-(2**63), 2**63 - 1], pa.int64(), [-(2**63), 2**63 - 1]),
    "uint32": ([2**32 - 1, 5], pa.uint32(), [2**32 - 1, 5]),
    "uint64": ([2**64 - 1, 2**63 + 7], pa.uint64(), [str(2**64 - 1), str(2**63 + 7)]),
    "float": ([1.5, None], pa.float32(), [1.5, None]),
    "decimal": ([1, 2], pa.decimal128(30, 2), [1.0, 2.0]),
    "bool": ([True, None], pa.bool_(), ["true", None]),
    "text": (["a b — ü 'q' \"d\"", ""], pa.string(), ["a b — ü 'q' \"d\"", ""]),
    "binary": ([b"x", None], pa.binary(), ["eA==", None]),
    "date": ([dt.date(2020, 1, 2), None], pa.date32(), [1_577_923_200_000, None]),
    "millis": ([MOMENT, None], pa.timestamp("ms", "UTC"), [MOMENT_MS, None]),
    "micros": ([MOMENT, None], pa.timestamp("us"), [MOMENT_MS, None]),
    "nanos": ([MOMENT, None], pa.timestamp("ns"), [MOMENT_MS * 1_000_000, None]),
    "list": ([[1, 2], None], pa.list_(pa.int64()), [[1, 2], None]),
    "nothing": ([None, None], pa.null(), [None, None]),
    'a name — ü "q"': ([1, 2], pa.int64(), [1, 2]),
    "__time": (["mine", None], pa.string(), ["mine", None]),
    "_dataset_id": (["mine too", None], pa.string(), ["mine too", None]),
}


def test_every_type_keeps_what_druid_can_keep_of_it(on_druid: OnDruid) -> None:
    table = pa.table({name: pa.array(values, type_) for name, (values, type_, _) in TYPES.items()})
    servable = on_druid.of_tables(1, {"t": table})
    on_druid.engine.serve(servable)
    shown = {"__time": "__time_1", "_dataset_id": "_dataset_id_1"}
    names = ['"' + shown.get(name, name).replace('"', '""') + '"' for name in TYPES]
    rows = on_druid.engine.query(f"SELECT {', '.join(names)} FROM {on_druid.name}", 10).rows
    wanted = list(zip(*(told for _, _, told in TYPES.values()), strict=True))
    assert sorted(rows, key=str) == sorted(wanted, key=str)
    assert on_druid.rows() == {servable.dataset_id: 2}


def days(*moments: dt.datetime, each: int = 1) -> dict[str, pa.Table]:
    """Rows with a time, `each` of them at each moment."""
    times = pa.array([moment for moment in moments for _ in range(each)], pa.timestamp("us", "UTC"))
    return {"t": pa.table({"n": pa.array(range(len(times)), pa.int64()), "happened_at_time": times})}


def intervals(on: OnDruid) -> set[str]:
    """The time chunks of all segments that readers see rows of."""
    seen = {segment_id for segment_id, rows in on.parts.segments.seen(on.name).items() if rows.rows}
    return {segment_id.removeprefix(f"{on.name}_").split("_")[0] for segment_id in seen}


def test_the_two_ends_of_the_calendar_and_thousands_of_days_are_harmless(on_druid: OnDruid) -> None:
    """By day this were millions of chunks, each of which Druid would mark as empty."""
    first = dt.datetime(1, 1, 1, tzinfo=dt.UTC)
    on_druid.engine.serve(
        on_druid.of_tables(1, days(*(first + dt.timedelta(days=n) for n in range(0, 30_000, 10))), rows_per_file=3_000)
    )
    bomb = on_druid.of_tables(2, days(first, dt.datetime(9999, 12, 31, tzinfo=dt.UTC)))
    on_druid.engine.serve(bomb)
    assert on_druid.rows() == {bomb.dataset_id: 2}
    assert len(on_druid.parts.segments.used(on_druid.name)) == 1


def test_chunks_change_with_the_data_and_nothing_of_the_old_ones_stays(on_druid: OnDruid) -> None:
    """From one chunk of all time to years, since the rows that were there before lie in another one, and back."""
    second = [dt.datetime(2020, 1, day, 1, tzinfo=dt.UTC) for day in (1, 2)]
    on_druid.engine.serve(on_druid.of_tables(1, days(dt.datetime(2019, 5, 5, tzinfo=dt.UTC), *second)))
    many = pa.table(
        {"n": pa.array(range(240_000)), "happened_at_time": pa.array([second[0]] * 240_000, pa.timestamp("us", "UTC"))}
    )
    big = on_druid.of_tables(2, {"t": many}, rows_per_file=240_000)
    on_druid.engine.serve(big)
    assert intervals(on_druid) == {"2020-01-01T00:00:00.000Z"}
    assert on_druid.rows() == {big.dataset_id: 240_000}
    last = on_druid.of_tables(3, days(dt.datetime(2021, 7, 7, tzinfo=dt.UTC)))
    on_druid.engine.serve(last)
    assert on_druid.rows() == {last.dataset_id: 1}
    assert len(on_druid.parts.segments.used(on_druid.name)) == 1


def test_a_table_that_a_newer_dataset_does_not_have_vanishes(on_druid: OnDruid) -> None:
    number = pa.table({"n": [1]})
    on_druid.engine.serve(on_druid.of_tables(1, {"a": number, "b": number}))
    assert (len(on_druid.rows(f"{on_druid.name}__a")), len(on_druid.rows(f"{on_druid.name}__b"))) == (1, 1)
    on_druid.engine.serve(on_druid.of_tables(2, {"a": number, "c": number}))
    assert on_druid.rows(f"{on_druid.name}__b") == {}
    with pytest.raises(UserError, match="not found") as caught:
        on_druid.engine.query(f"SELECT * FROM {on_druid.name}__b", 1)
    assert caught.value.record.hint == f"What is served: {on_druid.name}__a, {on_druid.name}__c."
    on_druid.engine.rollback(on_druid.name)
    assert len(on_druid.rows(f"{on_druid.name}__b")) == 1
    assert on_druid.rows(f"{on_druid.name}__c") == {}


def test_a_dataset_without_rows_replaces_what_was_there_by_nothing(on_druid: OnDruid) -> None:
    """Druid has no tables without rows: there is none then, and it counts as none."""
    on_druid.engine.serve(on_druid.servable(1, 1, 2))
    serving = on_druid.engine.serve(on_druid.servable(2))
    assert serving.current
    assert on_druid.rows() == {}
    assert on_druid.engine.count_rows(serving) == {on_druid.name: 0}
    on_druid.engine.rollback(on_druid.name)
    assert on_druid.numbers() == [1, 2]


def test_columns_whose_types_do_not_agree_go_by_tasks_of_their_own(on_druid: OnDruid) -> None:
    tables = [pa.table({"n": [1], "x": [1]}), pa.table({"n": [2], "x": ["two"]}), pa.table({"n": [3], "y": [3.5]})]
    datasets = [on_druid.of_tables(n, {"t": table}, mode=Mode.APPEND) for n, table in enumerate(tables, start=1)]
    on_druid.engine.serve_all(datasets)
    rows = on_druid.engine.query(f"SELECT n, x, y FROM {on_druid.name}", 10).rows
    assert sorted((n, str(x), y) for n, x, y in rows) == [(1, "1", None), (2, "two", None), (3, "None", 3.5)]


def test_a_time_column_that_cannot_be_one_is_that_datasets_own_fault(on_druid: OnDruid) -> None:
    good, bad = on_druid.servable(1, 1, mode=Mode.APPEND), on_druid.servable(2, 2, mode=Mode.APPEND, time_column="n")
    outcomes = on_druid.engine.serve_all([good, bad])
    assert isinstance(outcomes[1], UserError)
    assert "cannot be the time" in str(outcomes[1])
    assert on_druid.numbers() == [1]


def test_a_file_that_holds_other_rows_than_it_should_is_not_shown(on_druid: OnDruid) -> None:
    on_druid.engine.serve(on_druid.servable(1, 1))
    with pytest.raises(MetricFoundryError, match=r"serving\.count_mismatch"):
        on_druid.engine.serve(on_druid.servable(2, 2, claimed_rows=5))
    assert on_druid.numbers() == [1]


def test_rows_that_cannot_be_read_fail_the_task_before_anything_is_replaced(on_druid: OnDruid, tmp_path: Path) -> None:
    """By default Druid would drop them all, succeed, and show an empty table."""
    on_druid.engine.serve(on_druid.servable(1, 1, 2))
    bad = on_druid.of_tables(2, {"t": pa.table({"n": [3], "when": ["not a time"]})})
    [table] = bad.tables
    with on_druid.parts.store.local(Root.ARTIFACTS, table.files[0].key) as path:
        measured = measure_parquet([path])
    uris = tuple(on_druid.parts.store.uri(file.root, file.key) for file in table.files)
    task: Any = druid_spec(DruidRequest(on_druid.name, uris, measured)).task
    task["spec"]["dataSchema"]["timestampSpec"] = {"column": "when", "format": "iso"}
    announced = on_druid.parts.catalog.announce(
        [bad], on_druid.parts.clock.now(), on_druid.parts.clock.now() + dt.timedelta(days=1)
    ).own
    assert announced is not None
    on_druid.parts.overlord.submit(task)
    with pytest.raises(MetricFoundryError, match=r"a1 failed: Max parse exceptions"):
        await_tasks(on_druid.parts, announced, [AnnouncedTask(task["id"], "put in", 1)])
    assert on_druid.numbers() == [1, 2]


def test_druid_takes_the_task_that_the_command_prints(
    on_druid: OnDruid, minio: Minio, few_flights_csv: Path, tmp_path: Path
) -> None:
    bucket = minio.create_bucket()
    settings = Settings(
        home=tmp_path,
        artifacts_root=f"s3://{bucket}/artifacts",
        s3_endpoint_url=minio.endpoint_url,
        s3_access_key_id=minio.access_key,
        s3_secret_access_key=SecretStr(minio.secret_key),
    )
    [made] = druid_spec_alone(str(few_flights_csv), SpecWishes(on_druid.name, Mode.REPLACE, None), settings, {})
    task = json.loads(json.dumps(made.task))
    staged = stage_alone(str(few_flights_csv), str(tmp_path), "", settings, {})
    client = minio.client()
    for source, path in zip(task["spec"]["ioConfig"]["inputSource"]["objects"], *staged.parts().values(), strict=True):
        client.upload_file(str(path), source["bucket"], source["path"])
    client.close()
    on_druid.parts.overlord.submit(task)
    announced = on_druid.parts.catalog.announce(
        [on_druid.servable(1, 1)], on_druid.parts.clock.now(), on_druid.parts.clock.now() + dt.timedelta(days=1)
    ).own
    assert announced is not None
    await_tasks(on_druid.parts, announced, [AnnouncedTask(task["id"], "put in", 2_000)])
