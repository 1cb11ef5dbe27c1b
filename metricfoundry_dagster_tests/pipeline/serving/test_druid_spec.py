"""The Druid task: a whole one as it is posted, and each choice in it with its reason."""

import datetime as dt
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.pipeline.serving.druid_spec import DruidRequest, DruidTask, druid_spec
from metricfoundry_dagster.pipeline.serving.measure_times import measure_parquet
from metricfoundry_dagster.pipeline.serving.time_chunks import ETERNITY, TimeRange

DAY_MS = 86_400_000
DATASET_ID = "sales--aaaaaaaaaaaaaaaa"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return tmp_path


def task_of(folder: Path, table: pa.Table, *, uris: tuple[str, ...] = ("s3://bucket/t.parquet",), **wishes: Any) -> DruidTask:
    pq.write_table(table, folder / "t.parquet")
    return druid_spec(DruidRequest("sales", uris, measure_parquet([folder / "t.parquet"]), **wishes))


def schema_of(task: DruidTask) -> Any:
    return task.task["spec"]["dataSchema"]


def dates(*days: dt.date | None) -> pa.Array:
    return pa.array(days, pa.date32())


def test_a_whole_task_reads_so(folder: Path) -> None:
    moments = pa.array(
        [dt.datetime(2013, 1, 1, 5, tzinfo=dt.UTC), dt.datetime(2013, 12, 31, 23, 59, tzinfo=dt.UTC)], pa.timestamp("us", "UTC")
    )
    table = pa.table(
        {
            "id": [1, 2],
            "amount": [1.5, None],
            "city name": ["a", "b"],
            "ordered_at_time": moments,
            "paid": [True, False],
        }
    )
    uris = ("s3://bucket/datasets/x/a b — ü.parquet", "s3://bucket/datasets/x/2.parquet")
    made = task_of(folder, table, uris=uris, dataset_id=DATASET_ID, attempt=3)
    assert made.task == {
        "type": "index_parallel",
        "id": "mf-sales--aaaaaaaaaaaaaaaa-76f5c616d3a4-a3",
        "spec": {
            "dataSchema": {
                "dataSource": "sales",
                "timestampSpec": {"column": "ordered_at_time", "format": "millis"},
                "dimensionsSpec": {
                    "dimensions": [
                        {"type": "long", "name": "id"},
                        {"type": "double", "name": "amount"},
                        {"type": "string", "name": "city name"},
                        {"type": "long", "name": "ordered_at_time"},
                        {"type": "string", "name": "paid"},
                        {"type": "string", "name": "_dataset_id"},
                    ]
                },
                "metricsSpec": [],
                "granularitySpec": {
                    "type": "uniform",
                    "segmentGranularity": "ALL",
                    "queryGranularity": "NONE",
                    "rollup": False,
                    "intervals": [ETERNITY],
                },
                "transformSpec": {
                    "transforms": [{"type": "expression", "name": "_dataset_id", "expression": "'sales--aaaaaaaaaaaaaaaa'"}]
                },
            },
            "ioConfig": {
                "type": "index_parallel",
                "inputSource": {
                    "type": "s3",
                    "objects": [
                        {"bucket": "bucket", "path": "datasets/x/a b — ü.parquet"},
                        {"bucket": "bucket", "path": "datasets/x/2.parquet"},
                    ],
                },
                "inputFormat": {"type": "parquet", "binaryAsString": False},
                "appendToExisting": False,
                "dropExisting": True,
            },
            "tuningConfig": {
                "type": "index_parallel",
                "partitionsSpec": {"type": "dynamic", "maxRowsPerSegment": 5_000_000},
                "maxNumConcurrentSubTasks": 1,
                "maxParseExceptions": 0,
            },
        },
    }
    assert made.reasons == (
        "'ordered_at_time' is the time: the first whose name speaks of time among 1 columns of times without missing values",
        "time chunks are ALL: at most 2,000 smaller ones with 100,000 rows each cannot be filled (rows: 2)",
        "mode replace: what the datasource held is replaced",
    )


def test_files_on_a_disk_are_named_by_path(folder: Path) -> None:
    task = task_of(folder, pa.table({"a": [1]}), uris=("file:///data/a%20b/%C3%BC.parquet",))
    assert task.task["spec"]["ioConfig"]["inputSource"] == {"type": "local", "files": ["/data/a b/ü.parquet"]}


@pytest.mark.parametrize("uris", [(), ("http://x/y",), ("s3://b/k", "file:///x"), ("file://host/x",)])
def test_files_that_druid_cannot_reach_are_refused(folder: Path, uris: tuple[str, ...]) -> None:
    with pytest.raises(UserError, match=r"request\.invalid"):
        task_of(folder, pa.table({"a": [1]}), uris=uris)


def test_without_a_time_column_every_row_gets_one_moment(folder: Path) -> None:
    task = task_of(folder, pa.table({"no_time_column": [1], "b": ["2020-01-01"]}))
    assert schema_of(task)["timestampSpec"] == {
        "column": "no_time_column_",
        "format": "auto",
        "missingValue": "2000-01-01T00:00:00.000Z",
    }
    chunks = schema_of(task)["granularitySpec"]
    assert (chunks["segmentGranularity"], chunks["intervals"]) == ("ALL", [ETERNITY])
    assert task.reasons[0].startswith("there is no time")


def test_a_column_whose_name_speaks_of_time_goes_before_the_first(folder: Path) -> None:
    table = pa.table(
        {"born": dates(dt.date(1970, 1, 1)), "order_date": dates(dt.date(2020, 1, 1)), "end_time": dates(dt.date(2021, 1, 1))}
    )
    assert schema_of(task_of(folder, table))["timestampSpec"]["column"] == "order_date"
    assert schema_of(task_of(folder, table.drop_columns(["order_date", "end_time"])))["timestampSpec"]["column"] == "born"


def test_a_column_with_missing_values_is_passed_over_with_the_reason(folder: Path) -> None:
    table = pa.table(
        {
            "ship_date": dates(dt.date(2020, 1, 1), None, None),
            "noted": dates(*[dt.date(2020, 1, 2)] * 3),
            "never": dates(None, None, None),
        }
    )
    task = task_of(folder, table)
    assert schema_of(task)["timestampSpec"]["column"] == "noted"
    assert task.reasons[1:3] == (
        "'ship_date' was passed over: 2 of 3 values are missing",
        "'never' was passed over: 3 of 3 values are missing",
    )


def test_what_a_person_asks_for_goes_before_what_the_contract_says(folder: Path) -> None:
    table = pa.table({"a": dates(dt.date(2020, 1, 1)), "b": dates(dt.date(2021, 1, 1)), "c_time": dates(dt.date(2022, 1, 1))})
    asked = task_of(folder, table, time_column="a", agreed_time_column="b")
    assert schema_of(asked)["timestampSpec"]["column"] == "a"
    assert asked.reasons[0] == "'a' is the time: it was asked for"
    agreed = task_of(folder, table, agreed_time_column="b")
    assert agreed.reasons[0] == "'b' is the time: the contract or recipe names it"


@pytest.mark.parametrize(
    ("column", "reason"),
    [("nix", "there is no such column"), ("s", "its type is string"), ("d", "1 of 2 values are missing")],
)
def test_a_time_column_that_cannot_be_one_is_refused_with_the_reason(folder: Path, column: str, reason: str) -> None:
    table = pa.table({"d": dates(dt.date(2020, 1, 1), None), "s": ["x", "y"], "good": dates(*[dt.date(2020, 1, 1)] * 2)})
    wishes: list[dict[str, Any]] = [{"time_column": column}, {"agreed_time_column": column}]
    for wish in wishes:
        with pytest.raises(UserError, match=reason) as caught:
            task_of(folder, table, **wish)
        assert (caught.value.code, caught.value.record.place.column) == ("request.invalid", column)


def test_a_table_without_rows_has_no_time(folder: Path) -> None:
    task = task_of(folder, pa.table({"d": dates()}))
    assert "missingValue" in schema_of(task)["timestampSpec"]
    assert task.reasons[1] == "'d' was passed over: the table has no rows"


def test_the_two_ends_of_the_calendar_fill_one_chunk(folder: Path) -> None:
    task = task_of(folder, pa.table({"d": dates(dt.date(1, 1, 1), dt.date(9999, 12, 31))}))
    chunks = schema_of(task)["granularitySpec"]
    assert chunks["segmentGranularity"] == "ALL"
    assert chunks["intervals"] == [ETERNITY]


def test_append_adds_and_drops_nothing(folder: Path) -> None:
    replaced = TimeRange(0, DAY_MS)
    table = pa.table({"d": dates(*[dt.date(2020, 1, 1)] * 100_000)})
    task = task_of(folder, table, mode=Mode.APPEND, replaced=replaced)
    io = task.task["spec"]["ioConfig"]
    assert (io["appendToExisting"], io["dropExisting"]) == (True, False)
    assert schema_of(task)["granularitySpec"]["intervals"] == ["2020-01-01T00:00:00.000Z/2020-01-01T01:00:00.000Z"]


def test_chunks_are_as_coarse_as_those_that_are_there(folder: Path) -> None:
    """Druid adds no row to a chunk that is coarser than those that the task locks."""
    table = pa.table({"d": dates(*[dt.date(2020, 1, 15)] * 100_000)})
    month = task_of(folder, table, mode=Mode.APPEND, at_least="MONTH")
    assert schema_of(month)["granularitySpec"]["intervals"] == ["2020-01-01T00:00:00.000Z/2020-02-01T00:00:00.000Z"]
    assert "time chunks are MONTH: the datasource has chunks as coarse as that" in month.reasons
    everything = task_of(folder, table, mode=Mode.APPEND, at_least="ALL")
    assert schema_of(everything)["granularitySpec"]["intervals"] == [ETERNITY]


def test_replace_covers_what_the_datasource_held_before(folder: Path) -> None:
    table = pa.table({"d": dates(*[dt.date(1970, 1, 2)] * 1_000_000)})
    task = task_of(folder, table, replaced=TimeRange(0, 9 * DAY_MS))
    assert schema_of(task)["granularitySpec"]["intervals"] == ["1970-01-01T00:00:00.000Z/1970-01-11T00:00:00.000Z"]


def test_rows_of_many_datasets_get_the_id_in_the_path_of_their_file(folder: Path) -> None:
    task = task_of(folder, pa.table({"a": [1]}), ids_from_paths=True)
    [transform] = schema_of(task)["transformSpec"]["transforms"]
    assert transform["name"] == "_dataset_id"
    assert transform["expression"].startswith('regexp_extract("__file_path", ')
    assert task.task["spec"]["ioConfig"]["inputSource"].get("systemFields") == ["__file_path"]
    assert schema_of(task)["dimensionsSpec"]["dimensions"][-1] == {"type": "string", "name": "_dataset_id"}


def test_unsigned_numbers_are_mended_since_druid_reads_their_bits_as_signed(folder: Path) -> None:
    task = task_of(folder, pa.table({'big "one"': pa.array([2**63], pa.uint64()), "small": pa.array([1], pa.uint32())}))
    big, small = schema_of(task)["transformSpec"]["transforms"]
    assert (big["name"], small["name"]) == ('big "one"', "small")
    assert small["expression"] == 'if("small" < 0, "small" + 4294967296, "small")'
    assert big["expression"].startswith('if("big \\"one\\"" < 0, concat(')


def test_columns_called_like_druids_or_ours_are_kept_under_other_names(folder: Path) -> None:
    table = pa.table({"__time": ["text"], "_dataset_id": ["mine"], "_dataset_id_1": [1]})
    task = task_of(folder, table, dataset_id=DATASET_ID)
    names = [dimension["name"] for dimension in schema_of(task)["dimensionsSpec"]["dimensions"]]
    assert names == ["__time_1", "_dataset_id_2", "_dataset_id_1", "_dataset_id"]
    assert task.task["spec"]["ioConfig"]["inputFormat"]["flattenSpec"]["fields"] == [
        {"type": "path", "name": "__time_1", "expr": "$.__time"},
        {"type": "path", "name": "_dataset_id_2", "expr": "$._dataset_id"},
    ]


def test_a_time_column_called_as_in_druid_is_no_dimension(folder: Path) -> None:
    task = task_of(folder, pa.table({"__time": dates(dt.date(2020, 1, 1)), "a": [1]}))
    assert schema_of(task)["timestampSpec"]["column"] == "__time"
    assert schema_of(task)["dimensionsSpec"]["dimensions"] == [{"type": "long", "name": "a"}]


def test_nanoseconds_are_read_as_such(folder: Path) -> None:
    table = pa.table({"t": pa.array([10**18], pa.timestamp("ns"))})
    assert schema_of(task_of(folder, table))["timestampSpec"] == {"column": "t", "format": "nano"}


TYPES = [
    (pa.int8(), "long"),
    (pa.uint32(), "long"),
    (pa.uint64(), "string"),
    (pa.float32(), "double"),
    (pa.decimal128(10, 2), "double"),
    (pa.bool_(), "string"),
    (pa.string(), "string"),
    (pa.binary(), "string"),
    (pa.time64("us"), "long"),
    (pa.timestamp("ms"), "long"),
    (pa.struct([("a", pa.int64())]), "json"),
    (pa.list_(pa.int64()), "auto"),
]


@pytest.mark.parametrize(("type_", "expected"), TYPES, ids=[str(type_) for type_, _ in TYPES])
def test_every_type_becomes_the_one_that_keeps_it(folder: Path, type_: pa.DataType, expected: str) -> None:
    task = task_of(folder, pa.table({"x": pa.array([None], type_)}))
    assert schema_of(task)["dimensionsSpec"]["dimensions"] == [{"type": expected, "name": "x"}]


def test_the_id_of_a_task_follows_the_request_and_fits(folder: Path) -> None:
    table = pa.table({"a": [1]})
    longest = "d" * 100 + "--" + "a" * 16
    first, again = task_of(folder, table, dataset_id=longest), task_of(folder, table, dataset_id=longest)
    assert first == again
    others = [
        task_of(folder, table, dataset_id=longest, attempt=2),
        task_of(folder, table, dataset_id=longest, mode=Mode.APPEND),
        task_of(folder, table, dataset_id=longest, uris=("s3://bucket/other",)),
        task_of(folder, table, dataset_id=longest, announcement_id="0123456789abcdef"),
    ]
    ids = {task.task["id"] for task in (first, *others)}
    assert len(ids) == 5
    assert all(len(id_) <= 128 and id_.startswith("mf-ddd") for id_ in ids)
