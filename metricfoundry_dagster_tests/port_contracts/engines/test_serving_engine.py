"""What every serving engine does, fake and real alike."""

import threading

import pyarrow as pa
import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, MetricFoundryError, NotFoundError, UserError
from metricfoundry_dagster.domain.served import Serving
from metricfoundry_dagster_tests.port_contracts.engines.served import Served


def numbers(*values: int) -> dict[str, pa.Table]:
    return {"t": pa.table({"n": pa.array(values, pa.int64())})}


def test_a_served_dataset_is_counted_and_read_with_its_id_on_every_row(served: Served) -> None:
    servable = served.servable(numbers(1, 2, 3, 4, 5, 6, 7))
    serving = served.engine.serve(servable)
    assert (serving.current, serving.version_number, serving.servable) == (True, 1, servable)
    assert served.engine.count_rows(serving) == {"sales": 7}
    answer = served.engine.query("SELECT n, _dataset_id FROM sales", 100)
    assert answer.columns == ("n", "_dataset_id")
    assert len(answer.types) == 2
    assert sorted(answer.rows) == [(n, servable.dataset_id) for n in range(1, 8)]


def test_several_tables_are_served_under_names_of_their_own(served: Served) -> None:
    tables = {"first": numbers(1)["t"], "second": pa.table({"s": ["a", "b"]})}
    serving = served.engine.serve(served.servable(tables))
    assert served.engine.count_rows(serving) == {"sales__first": 1, "sales__second": 2}
    assert served.sorted_column("SELECT s FROM sales__second") == ["a", "b"]


def test_tables_of_several_datasources_are_joined_in_one_statement(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1, 2, 3)))
    served.engine.serve(served.servable(numbers(2, 3, 4), datasource="other"))
    assert served.sorted_column("SELECT a.n FROM sales a JOIN other b ON a.n = b.n") == [2, 3]


def test_replace_shows_the_newest_dataset_alone(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1, 2), sequence=1))
    served.engine.serve(served.servable(numbers(3), sequence=2))
    assert served.column("SELECT n FROM sales") == [3]
    assert [version.number for version in served.engine.versions("sales")] == [2, 1]


def test_a_late_older_dataset_is_kept_and_counted_but_does_not_become_current(served: Served) -> None:
    served.engine.serve(served.servable(numbers(2), sequence=2))
    older = served.servable(numbers(1, 1), sequence=1)
    serving = served.engine.serve(older)
    assert not serving.current
    assert served.engine.count_rows(serving) == {"sales": 2}
    assert served.column("SELECT n FROM sales") == [2]


def test_serving_the_same_attempt_again_changes_nothing(served: Served) -> None:
    servable = served.servable(numbers(1))
    first = served.engine.serve(servable)
    assert served.engine.serve(servable) == first
    assert len(served.engine.versions("sales")) == 1


def test_a_new_attempt_takes_the_place_of_the_one_before(served: Served) -> None:
    for mode, datasource in ((Mode.REPLACE, "sales"), (Mode.APPEND, "events")):
        served.engine.serve(served.servable(numbers(1), datasource=datasource, mode=mode))
        served.engine.serve(served.servable(numbers(1, 2), datasource=datasource, mode=mode, attempt=2))
        assert served.sorted_column(f"SELECT n FROM {datasource}") == [1, 2]
        with pytest.raises(FencedError, match=r"attempt\.fenced"):
            served.engine.serve(served.servable(numbers(9), datasource=datasource, mode=mode, sequence=1, attempt=0))


def test_append_holds_every_dataset_exactly_once_whatever_is_repeated(served: Served) -> None:
    first = served.servable(numbers(1, 2), sequence=1, mode=Mode.APPEND)
    second = served.servable(numbers(3), sequence=2, mode=Mode.APPEND)
    for servable in (second, first, second, first):
        served.engine.serve(servable)
    servings = [served.engine.serve(servable) for servable in (first, second)]
    assert served.sorted_column("SELECT n FROM sales") == [1, 2, 3]
    assert served.engine.count_all(servings) == [{"sales": 2}, {"sales": 1}]
    assert all(serving.current for serving in servings)
    assert len(served.engine.versions("sales")) == 2


def test_append_unites_columns_by_name_and_fills_the_missing_with_nulls(served: Served) -> None:
    served.engine.serve(served.servable({"t": pa.table({"a": [1], "b": ["x"]})}, sequence=1, mode=Mode.APPEND))
    served.engine.serve(served.servable({"t": pa.table({"b": ["y"], "c": [2.5]})}, sequence=2, mode=Mode.APPEND))
    rows = served.engine.query("SELECT a, b, c FROM sales", 10).rows
    assert sorted(rows, key=lambda row: str(row[1])) == [(1, "x", None), (None, "y", 2.5)]


def test_the_other_mode_is_refused_and_leaves_what_is_served(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1), mode=Mode.REPLACE))
    with pytest.raises(ConflictError, match=r"datasource\.mode_conflict"):
        served.engine.serve(served.servable(numbers(2), sequence=2, mode=Mode.APPEND))
    assert served.column("SELECT n FROM sales") == [1]


def test_rollback_shows_the_version_before_and_the_next_dataset_goes_on_from_there(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1), sequence=1))
    served.engine.serve(served.servable(numbers(2), sequence=2))
    assert served.engine.rollback("sales").number == 1
    assert served.column("SELECT n FROM sales") == [1]
    current = served.engine.current("sales")
    assert current is not None
    assert current.number == 1
    served.engine.serve(served.servable(numbers(3), sequence=3))
    assert served.column("SELECT n FROM sales") == [3]
    assert served.engine.rollback("sales").number == 1


def test_rollback_of_an_append_takes_the_last_dataset_out(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1), sequence=1, mode=Mode.APPEND))
    served.engine.serve(served.servable(numbers(2), sequence=2, mode=Mode.APPEND))
    served.engine.rollback("sales")
    assert served.column("SELECT n FROM sales") == [1]


def test_there_must_be_something_to_roll_back_to(served: Served) -> None:
    with pytest.raises(NotFoundError, match=r"datasource\.not_found"):
        served.engine.rollback("sales")
    served.engine.serve(served.servable(numbers(1)))
    with pytest.raises(ConflictError, match=r"datasource\.no_earlier_version"):
        served.engine.rollback("sales")
    assert served.engine.current("nothing") is None
    assert served.engine.versions("nothing") == []


WRITING = [
    "",
    "-- nothing",
    "SELEC 1",
    "SELECT * FROM nowhere",
    "SELECT nix FROM sales",
    "SELECT 1; SELECT 2",
    "DELETE FROM sales",
    "DROP TABLE sales",
    "CREATE TABLE mine (a INTEGER)",
    "INSERT INTO sales SELECT * FROM sales",
    "UPDATE sales SET n = 0",
    "ATTACH ':memory:' AS more",
    "PRAGMA user_version = 7",
    "SELECT 'a\x00b'; DROP TABLE sales",
]


def test_what_is_no_single_reading_statement_is_refused(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1)))
    for sql in WRITING:
        with pytest.raises(UserError) as caught:
            served.engine.query(sql, 10)
        assert caught.value.code == "query.invalid"
        assert caught.value.record.message
        assert served.column("SELECT n FROM sales") == [1]


def test_an_answer_may_have_as_many_rows_as_asked_for_and_no_more(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1, 2, 3)))
    assert len(served.engine.query("SELECT n FROM sales", 3).rows) == 3
    with pytest.raises(UserError, match=r"query\.too_many_rows"):
        served.engine.query("SELECT n FROM sales", 2)


def test_an_answer_without_rows_still_names_its_columns(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1)))
    answer = served.engine.query("SELECT n, n AS m FROM sales WHERE n > 5", 10)
    assert (answer.columns, answer.rows) == (("n", "m"), [])


def test_a_table_without_rows_is_served_with_its_columns(served: Served) -> None:
    servable = served.servable(numbers())
    serving = served.engine.serve(servable)
    assert served.engine.count_rows(serving) == {"sales": 0}
    if served.keeps_empty_tables:
        assert served.column("SELECT count(*) FROM sales") == [0]
    else:
        with pytest.raises(UserError, match="not found"):
            served.column("SELECT count(*) FROM sales")


def test_many_datasets_are_served_and_counted_at_once(served: Served) -> None:
    """Of several datasources, tables and columns; outcomes stand in the order of the datasets."""
    appended = [served.servable(numbers(*range(n)), datasource="events", sequence=n, mode=Mode.APPEND) for n in (3, 1, 2)]
    book = served.servable({"first": numbers(1)["t"], "second": pa.table({"s": ["a", "b"]})}, datasource="book")
    outcomes = served.engine.serve_all([*appended, book])
    servings = [outcome for outcome in outcomes if isinstance(outcome, Serving)]
    assert [serving.servable for serving in servings] == [*appended, book]
    assert all(serving.current for serving in servings)
    assert served.engine.count_all(servings) == [
        {"events": 3},
        {"events": 1},
        {"events": 2},
        {"book__first": 1, "book__second": 2},
    ]
    assert served.sorted_column("SELECT n FROM events") == [0, 0, 0, 1, 1, 2]
    assert served.engine.serve_all([*appended, book]) == outcomes
    assert served.column("SELECT count(*) FROM events") == [6]


def test_of_many_that_replace_each_other_the_newest_is_shown(served: Served) -> None:
    outcomes = served.engine.serve_all([served.servable(numbers(n), sequence=n) for n in (2, 3, 1)])
    assert [isinstance(outcome, Serving) and outcome.current for outcome in outcomes] == [False, True, False]
    assert served.column("SELECT n FROM sales") == [3]
    served.engine.rollback("sales")
    assert served.column("SELECT n FROM sales") == [2]


def test_one_that_cannot_be_served_holds_up_no_other(served: Served) -> None:
    served.engine.serve(served.servable(numbers(1), sequence=1, attempt=2, mode=Mode.APPEND))
    fenced = served.servable(numbers(1), sequence=1, attempt=1, mode=Mode.APPEND)
    replacing = served.servable(numbers(2), sequence=2)
    good = served.servable(numbers(3), sequence=3, mode=Mode.APPEND)
    outcomes = served.engine.serve_all([fenced, replacing, good])
    codes = [outcome.code if isinstance(outcome, MetricFoundryError) else "" for outcome in outcomes]
    assert codes == ["attempt.fenced", "datasource.mode_conflict", ""]
    assert served.sorted_column("SELECT n FROM sales") == [1, 3]


def test_serving_nothing_gives_nothing(served: Served) -> None:
    assert served.engine.serve_all([]) == []
    assert served.engine.count_all([]) == []


def test_readers_never_see_half_a_version_while_two_writers_serve(served: Served) -> None:
    """Every dataset holds its own sequence, as many times as that sequence says: a mixture shows at once."""
    served.engine.serve(served.servable(numbers(1), sequence=1))
    servables = {n: served.servable(numbers(*[n] * n), sequence=n) for n in range(2, 14)}
    wrong: list[object] = []
    done = threading.Event()

    def write(sequences: list[int]) -> None:
        for sequence in sequences:
            served.engine.serve(servables[sequence])

    def read() -> None:
        highest = 0
        while not done.is_set():
            [(low, high, count)] = served.engine.query("SELECT min(n), max(n), count(*) FROM sales", 1).rows
            if not (low == high == count and isinstance(high, int) and high >= highest):
                wrong.append((low, high, count, highest))
            highest = int(str(high))

    readers = [threading.Thread(target=read) for _ in range(2)]
    writers = [threading.Thread(target=write, args=(list(range(start, 14, 2)),)) for start in (2, 3)]
    for thread in [*readers, *writers]:
        thread.start()
    for writer in writers:
        writer.join()
    done.set()
    for reader in readers:
        reader.join()
    assert wrong == []
    assert served.column("SELECT max(n) FROM sales") == [13]


def test_two_writers_who_append_at_once_lose_nothing(served: Served) -> None:
    servables = [served.servable(numbers(n), sequence=n, mode=Mode.APPEND) for n in range(1, 11)]

    def write(own: list[int]) -> None:
        for index in own:
            served.engine.serve(servables[index])

    writers = [threading.Thread(target=write, args=([*range(start, 10, 2), *range(10)],)) for start in (0, 1)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert served.sorted_column("SELECT n FROM sales") == list(range(1, 11))
