"""Which datasets share a task: those whose columns agree and whose time is the same, in as few tasks as that takes."""

from metricfoundry_dagster.domain.products import Column
from metricfoundry_dagster.pipeline.serving.group_datasets import MAX_FILES, DatasetGroup, MeasuredDataset, group_datasets
from metricfoundry_dagster.pipeline.serving.measure_times import MeasuredTable, TimeColumn
from metricfoundry_dagster.pipeline.serving.time_chunks import TimeRange


def dataset(number: int, *, rows: int = 1, files: int = 1, span: TimeRange | None = None, **types: str) -> MeasuredDataset:
    """A dataset with columns of these types; with a span its first timestamp is its time."""
    columns = tuple(Column(name, name, type_, nullable=True) for name, type_ in types.items())
    times = tuple(TimeColumn(name, 0, span) for name, type_ in types.items() if type_.startswith("timestamp") and span)
    uris = tuple(f"s3://b/{number}/{file}" for file in range(files))
    return MeasuredDataset(f"sales--{'a' * 15}{'abcdefghijklmnop'[number]}", uris, MeasuredTable(columns, rows, times), None)


def numbers(groups: list[DatasetGroup]) -> list[list[int]]:
    """Which datasets are in which group."""
    return [["abcdefghijklmnop".index(each.dataset_id[-1]) for each in group.datasets] for group in groups]


def test_the_same_columns_go_together_with_their_rows_and_files() -> None:
    [group] = group_datasets([dataset(n, rows=n, files=2, a="int64", b="string") for n in (1, 2, 3)])
    assert (group.table.rows, len(group.uris), group.time_column) == (6, 6, None)
    assert [column.name for column in group.table.columns] == ["a", "b"]


def test_columns_that_some_do_not_have_are_united() -> None:
    [group] = group_datasets([dataset(1, a="int64"), dataset(2, b="string"), dataset(3, a="int64", c="double")])
    assert [column.name for column in group.table.columns] == ["a", "b", "c"]


def test_types_that_druid_keeps_alike_agree_and_others_do_not() -> None:
    alike = [dataset(1, a="int32"), dataset(2, a="int64"), dataset(3, a="null")]
    assert numbers(group_datasets(alike)) == [[1, 2, 3]]
    others = [dataset(1, a="int64"), dataset(2, a="string"), dataset(3, a="int64"), dataset(4, a="uint32")]
    assert numbers(group_datasets(others)) == [[1, 3], [2], [4]]


def test_a_column_without_any_type_takes_that_of_the_next() -> None:
    [group] = group_datasets([dataset(1, a="null"), dataset(2, a="string")])
    assert group.table.columns[0].type == "string"


def test_who_has_another_time_goes_by_a_task_of_its_own() -> None:
    early, late = TimeRange(0, 10), TimeRange(100, 110)
    groups = group_datasets(
        [
            dataset(1, span=early, t="timestamp[us, tz=UTC]"),
            dataset(2, span=late, t="timestamp[us, tz=UTC]"),
            dataset(3, span=late, t="timestamp[ns]"),
            dataset(4, span=late, made_at_time="timestamp[us, tz=UTC]"),
            dataset(5, a="int64"),
        ]
    )
    assert numbers(groups) == [[1, 2], [3], [4], [5]]
    assert [group.time_column for group in groups] == ["t", "t", "made_at_time", None]
    assert groups[0].table.times == (TimeColumn("t", 0, TimeRange(0, 110)),)


def test_datasets_without_rows_are_left_out() -> None:
    assert numbers(group_datasets([dataset(1, rows=0, a="int64"), dataset(2, a="int64")])) == [[2]]
    assert group_datasets([]) == []


def test_no_task_reads_too_many_files() -> None:
    half = MAX_FILES // 2
    assert numbers(group_datasets([dataset(n, files=half, a="int64") for n in (1, 2, 3)])) == [[1, 2], [3]]
