"""What DuckDB as an engine does beyond the port: locked in, bounded, by the files and nothing else."""

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from metricfoundry_dagster.adapters.duckdb_database import EngineLimits
from metricfoundry_dagster.adapters.duckdb_engine import DuckDbEngine
from metricfoundry_dagster.adapters.fsspec_store import FsspecStore
from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError, WorldError
from metricfoundry_dagster.domain.products import Root
from metricfoundry_dagster_tests.adapters import query_across_fork
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_versions import MemoryVersions
from metricfoundry_dagster_tests.port_contracts.engines.served import Served


@pytest.fixture
def store(tmp_path: Path) -> FsspecStore:
    return FsspecStore({root: str(tmp_path / root) for root in Root})


@pytest.fixture
def served(tmp_path: Path, store: FsspecStore) -> Served:
    limits = EngineLimits(memory_bytes=200 * 1024**2, timeout_seconds=0.5)
    return Served(DuckDbEngine(MemoryVersions(), store, tmp_path / "cache", FixedClock(), limits=limits), store)


def table(**columns: pa.Array) -> dict[str, pa.Table]:
    return {"t": pa.table(columns)}


def refusal(act: Callable[[], object]) -> MetricFoundryError:
    with pytest.raises(MetricFoundryError) as caught:
        act()
    return caught.value


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM '/etc/passwd'",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM parquet_metadata('/etc/passwd')",
        "SELECT * FROM sniff_csv('/etc/passwd')",
        "SELECT * FROM read_parquet('{store}/artifacts/**/*.parquet')",
        "SELECT * FROM read_parquet('{store}/artifacts/secret.parquet')",
        "SELECT * FROM read_json('http://127.0.0.1:9/x')",
        "SELECT * FROM query('FROM read_text(''/etc/passwd'')')",
        "COPY sales TO '{store}/stolen.csv'",
        "EXPLAIN ANALYZE COPY sales TO '{store}/stolen.csv'",
        "EXPORT DATABASE '{store}/stolen'",
        "ATTACH '{store}/stolen.db'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "PRAGMA database_list",
        "SET threads = 1",
        "SET enable_external_access = true",
        "RESET lock_configuration",
        "CREATE TEMP TABLE mine (a INTEGER)",
        "CREATE VIEW sales AS SELECT 1",
        "WITH gone AS (DELETE FROM sales RETURNING *) SELECT * FROM gone",
        "CALL enable_logging()",
        "SELECT * FROM enable_logging('QueryLog')",
        "USE temp",
        "BEGIN",
        "VACUUM",
        "CHECKPOINT",
        "PREPARE p AS SELECT 1",
        "SELECT * FROM local_frame",
        "SELECT ?",
    ],
)
def test_a_statement_reaches_nothing_but_what_is_served(served: Served, store: FsspecStore, tmp_path: Path, sql: str) -> None:
    local_frame = pa.table({"secret": [1]})
    served.engine.serve(served.servable(table(n=pa.array([1]))))
    store.write_bytes(Root.ARTIFACTS, "secret.parquet", b"PAR1")
    error = refusal(lambda: served.engine.query(sql.replace("{store}", str(tmp_path)), 10))
    assert error.code == "query.invalid", local_frame
    assert not list(tmp_path.glob("stolen*"))
    assert served.column("SELECT count(*) FROM sales") == [1]


@pytest.mark.parametrize(
    "sql", ["DESCRIBE sales", "SHOW TABLES", "SUMMARIZE sales", "FROM sales", "VALUES (1)", "WITH a AS (SELECT 1) FROM a"]
)
def test_every_reading_statement_is_run(served: Served, sql: str) -> None:
    served.engine.serve(served.servable(table(n=pa.array([1]))))
    assert served.engine.query(sql, 10).rows


def test_tables_that_are_not_named_are_found_when_the_statement_asks_what_there_is(served: Served) -> None:
    for datasource in ("sales", "events"):
        served.engine.serve(served.servable(table(n=pa.array([1])), datasource=datasource))
    assert served.column("SHOW TABLES") == ["events", "sales"]
    assert served.column("SELECT table_name FROM information_schema.tables ORDER BY 1") == ["events", "sales"]


def test_an_unknown_table_is_answered_with_what_is_served(served: Served) -> None:
    served.engine.serve(served.servable(table(n=pa.array([1]))))
    error = refusal(lambda: served.engine.query("SELECT * FROM sale", 10))
    assert "sale does not exist" in error.record.message
    assert error.record.hint == "What is served: sales."


def test_a_statement_that_runs_too_long_is_stopped(served: Served) -> None:
    error = refusal(lambda: served.engine.query("SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", 10))
    assert (error.code, "stopped after 0.5 seconds" in error.record.message) == ("query.invalid", True)
    assert served.column("SELECT 1") == [1]


def test_an_endless_answer_is_refused_without_being_computed(served: Served) -> None:
    error = refusal(lambda: served.engine.query("SELECT * FROM range(100000000000)", 5))
    assert error.code == "query.too_many_rows"


def test_a_statement_longer_than_any_person_writes_is_refused(served: Served) -> None:
    assert refusal(lambda: served.engine.query("SELECT 1" + " " * 100_000, 5)).code == "query.invalid"


def test_more_memory_than_allowed_is_the_statements_fault(served: Served) -> None:
    error = refusal(lambda: served.engine.query("SELECT list(range) FROM range(100000000)", 1))
    assert error.code == "query.invalid"


def test_rows_are_counted_before_readers_see_the_version(served: Served) -> None:
    served.engine.serve(served.servable(table(n=pa.array([1]))))
    error = refusal(lambda: served.engine.serve(served.servable(table(n=pa.array([2, 3])), sequence=2, claimed_rows=3)))
    assert isinstance(error, WorldError)
    assert error.code == "serving.count_mismatch"
    assert served.column("SELECT n FROM sales") == [1]
    assert len(served.engine.versions("sales")) == 1


def test_a_file_that_is_gone_is_the_worlds_fault(served: Served, store: FsspecStore) -> None:
    servable = served.servable(table(n=pa.array([1])))
    served.engine.serve(servable)
    store.delete(Root.ARTIFACTS, servable.tables[0].files[0].key)
    fresh = DuckDbEngine(versions_of(served), store, Path("unused"), FixedClock())
    assert refusal(lambda: fresh.query("SELECT * FROM sales", 1)).code == "store.object_missing"


def test_a_file_that_is_no_parquet_is_not_served(served: Served, store: FsspecStore) -> None:
    servable = served.servable(table(n=pa.array([1])))
    store.write_bytes(Root.ARTIFACTS, servable.tables[0].files[0].key, b"no parquet at all")
    assert refusal(lambda: served.engine.serve(servable)).code == "serving.engine_failed"
    assert served.engine.current("sales") is None


def test_a_reader_that_began_before_a_swap_ends_with_the_rows_it_began_with(served: Served) -> None:
    served.engine.serve(served.servable(table(n=pa.array([1, 2, 3]))))
    engine = served.engine
    assert isinstance(engine, DuckDbEngine)
    before = engine._database_of(engine._catalog.pointers())
    served.engine.serve(served.servable(table(n=pa.array([9])), sequence=2))
    assert before.read("SELECT sum(n) FROM sales", 1).rows == [(6,)]
    assert served.column("SELECT n FROM sales") == [9]


APPENDED = [
    ("int and int", [pa.array([1], pa.int32()), pa.array([2], pa.int64())], [1, 2]),
    ("int and fraction", [pa.array([1]), pa.array([2.5])], [1.0, 2.5]),
    ("int and text", [pa.array([1]), pa.array(["x"])], ["1", "x"]),
    ("int and date", [pa.array([1]), pa.array([0], pa.date32())], ["1", "1970-01-01"]),
    ("bool and int", [pa.array([True]), pa.array([2])], ["2", "true"]),
    ("nothing and date", [pa.nulls(1), pa.array([0], pa.date32())], None),
    ("struct and list", [pa.array([{"a": 1}]), pa.array([[1, 2]])], ["[1, 2]", "{'a': 1}"]),
]


@pytest.mark.parametrize(("columns", "expected"), [case[1:] for case in APPENDED], ids=[case[0] for case in APPENDED])
def test_columns_whose_types_differ_between_appended_datasets_keep_every_value(
    served: Served, columns: list[pa.Array], expected: list[object] | None
) -> None:
    for sequence, column in enumerate(columns, start=1):
        served.engine.serve(served.servable(table(x=column), sequence=sequence, mode=Mode.APPEND))
    values = served.column("SELECT x FROM sales ORDER BY x")
    if expected is None:
        assert served.column("SELECT count(x) FROM sales") == [1]
    else:
        assert values == expected


def test_names_that_clash_with_ours_and_odd_names_are_served(served: Served) -> None:
    odd = {
        'say "hi"': pa.array([1]),
        "_dataset_id": pa.array(["mine"]),
        "filename": pa.array(["f"]),
        "sélect 日本": pa.array([2]),
    }
    for sequence in (1, 2, 3):
        served.engine.serve(served.servable({"t": pa.table(odd)}, sequence=sequence, mode=Mode.APPEND))
    answer = served.engine.query('SELECT DISTINCT "say ""hi""", _dataset_id_1, filename, "sélect 日本" FROM sales', 10)
    assert answer.rows == [(1, "mine", "f", 2)]
    assert served.column("SELECT count(DISTINCT _dataset_id) FROM sales") == [3]


def test_forked_children_answer_without_the_threads_of_their_parent(tmp_path: Path) -> None:
    program = [sys.executable, "-m", query_across_fork.__name__, str(tmp_path), "5"]
    assert subprocess.run(program, check=False, timeout=200).returncode == 0


def test_a_missing_table_is_not_taken_for_a_broken_engine(served: Served) -> None:
    with pytest.raises(UserError, match=r"query\.invalid"):
        served.engine.query("SELECT * FROM nothing", 1)


def versions_of(served: Served) -> MemoryVersions:
    engine = served.engine
    assert isinstance(engine, DuckDbEngine)
    assert isinstance(engine._catalog, MemoryVersions)
    return engine._catalog
