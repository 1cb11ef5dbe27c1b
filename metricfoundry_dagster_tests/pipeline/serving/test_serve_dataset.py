"""Serving as a stage: what is valid is served, counted and told; a difference closes the gate."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.adapters.catalog.open_catalog import SqlCatalog, open_catalog
from metricfoundry_dagster.adapters.duckdb_engine import DuckDbEngine
from metricfoundry_dagster.domain.datasets import Mode, NewDataset, dataset_id_of
from metricfoundry_dagster.domain.errors import ConflictError, ErrorRecord, FencedError, Place, UserError, WorldError
from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.domain.jobs import Attempt, JobState
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, Gate, ProductFile, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.pipeline.manifests import write_attempt_manifest
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.serving.serve_dataset import servable_of, serve_dataset
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_engine import MemoryEngine
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.fakes.recording_progress import RecordingProgress

_GOOD = Gate(passed=True, summary="all well")


class NoContractFiles:
    """Implements `ports.contract_files.ContractFiles` without any file."""

    def read(self, reference: str) -> str:
        raise AssertionError(f"serving needs no contract, not even {reference}")

    def find(self, datasource: str) -> str | None:
        raise AssertionError(f"serving needs no contract of {datasource}")


@dataclass
class House:
    """Everything that the stage reaches, and shortcuts to the state before it."""

    ports: Ports
    catalog: SqlCatalog
    runs: int = 0

    def register(self, name: str, *, datasource: str = "sales", mode: Mode = Mode.REPLACE) -> Attempt:
        dataset_id = dataset_id_of(datasource, name, "1")
        new = NewDataset(dataset_id, datasource, datasource, mode, f"file:///{name}", "1", name, 1)
        [dataset] = self.catalog.register([new], self.ports.clock.now())
        return self.open(dataset.dataset_id)

    def open(self, dataset_id: str) -> Attempt:
        self.runs += 1
        return self.catalog.open_job(dataset_id, f"run-{self.runs}", None, None, self.ports.clock.now())

    def validate(self, attempt: Attempt, *, claimed_rows: int | None = None, **tables: list[int]) -> None:
        """Publish a validated frame with one column `n` per table."""
        prefix = attempt_prefix(Stage.VALIDATED_FRAME, attempt.dataset.dataset_id, attempt.number)
        files, products = [], []
        for name, values in tables.items():
            with self.ports.store.create(Root.ARTIFACTS, f"{prefix}{name}/part-00000.parquet") as path:
                pq.write_table(pa.table({"n": pa.array(values, pa.int64())}), path)
                size_bytes = path.stat().st_size
            files.append(ProductFile(Root.ARTIFACTS, f"{prefix}{name}/part-00000.parquet", "part", name, len(values), size_bytes))
            rows = len(values) if claimed_rows is None else claimed_rows
            products.append(TableProduct(name, (Column("n", "n", "int64", True),), rows + 1, rows, 1))
        self.publish(attempt, Stage.VALIDATED_FRAME, tuple(files), tuple(products))

    def publish(self, attempt: Attempt, stage: Stage, files: tuple[ProductFile, ...], tables: tuple[TableProduct, ...]) -> None:
        product = StageProduct(stage, attempt.dataset.dataset_id, attempt.number, files, tables, (), _GOOD)
        write_attempt_manifest(product, self.ports)
        self.catalog.publish(product, attempt.job.job_id, self.ports.clock.now())

    def serve(self, attempt: Attempt) -> StageProduct:
        profile = StageProduct(Stage.PROFILE_REPORT, attempt.dataset.dataset_id, attempt.number, (), (), (), _GOOD)
        with ProductHandle(profile, self.ports.store) as upstream:
            return serve_dataset(attempt, self.ports, RecordingProgress(), upstream)


@pytest.fixture
def house(tmp_path: Path) -> Iterator[House]:
    catalog = open_catalog(f"sqlite:///{tmp_path / 'catalog.db'}")
    catalog.upgrade()
    store, clock = MemoryStore(), FixedClock()
    engine = DuckDbEngine(catalog, store, tmp_path / "cache", clock)
    yield House(Ports(store, MemorySources(store), catalog, engine, NoContractFiles(), clock, Limits()), catalog)
    catalog.close()


def rows(house: House, sql: str) -> list[tuple[object, ...]]:
    return house.ports.engine.query(sql, 100).rows


def test_valid_rows_are_served_counted_and_told(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1, 2, 3])
    product = house.serve(attempt)
    assert product.gate == Gate(True, "3 valid rows are served; version 1 of sales is what readers see")
    assert product.details == {"datasource": "sales", "version": 1, "current": True, "tables": [{"name": "sales", "rows": 3}]}
    assert [(t.name, t.rows_in, t.rows_out, t.rows_rejected, t.balances) for t in product.tables] == [("t", 3, 3, 0, True)]
    assert (product.stage, product.files, product.findings) == (Stage.DRUID_DATASOURCE, (), ())
    assert StageProduct.from_json(product.to_json()) == product
    assert rows(house, "SELECT n FROM sales ORDER BY n") == [(1,), (2,), (3,)]


def test_what_is_served_is_no_longer_stopped(house: House) -> None:
    """Progress tells of a cancel; once readers see the rows, the stage goes on to its end."""
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1])
    profile = StageProduct(Stage.PROFILE_REPORT, attempt.dataset.dataset_id, 1, (), (), (), _GOOD)
    progress = RecordingProgress(cancel_after=1)
    product = serve_dataset(attempt, house.ports, progress, ProductHandle(profile, house.ports.store))
    assert product.gate.passed
    assert [share for _, share, _ in progress.reports] == [0.1]


def test_a_job_that_is_canceled_while_its_rows_are_counted_is_not_shown(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1])
    house.catalog.close_job(attempt.job.job_id, JobState.CANCELED, None, house.ports.clock.now())
    with pytest.raises(FencedError, match=r"attempt\.fenced"):
        house.serve(attempt)
    assert house.ports.engine.current("sales") is None


def test_several_tables_get_names_of_their_own(house: House) -> None:
    attempt = house.register("book.xlsx")
    house.validate(attempt, first=[1], second=[2, 2])
    product = house.serve(attempt)
    assert product.details["tables"] == [{"name": "sales__first", "rows": 1}, {"name": "sales__second", "rows": 2}]


def test_the_time_column_that_was_agreed_on_goes_with_the_tables_that_have_it(house: House) -> None:
    attempt = house.register("book.xlsx")
    columns = (Column("n", "n", "int64", True), Column("sold_at", "Sold At", "timestamp[us]", True))
    tables = (TableProduct("a", columns, 0, 0, 0), TableProduct("b", columns[:1], 0, 0, 0))
    details = {"time_column": "sold_at"}
    validated = StageProduct(Stage.VALIDATED_FRAME, attempt.dataset.dataset_id, 1, (), tables, (), _GOOD, details)
    assert [table.time_column for table in servable_of(attempt, validated).tables] == ["sold_at", None]


def test_a_table_that_could_not_be_read_is_left_out(house: House) -> None:
    attempt = house.register("book.xlsx")
    house.validate(attempt, good=[1])
    validated = house.catalog.stage(attempt.dataset.dataset_id, Stage.VALIDATED_FRAME)
    assert validated is not None
    broken = TableProduct("bad", (), 0, 0, 0, ErrorRecord("parquet.corrupt", "broken", Place(), ""))
    key = f"datasets/{attempt.dataset.dataset_id}/validated/1/good/part-00000.parquet"
    info = house.ports.store.stat(Root.ARTIFACTS, key)
    assert info is not None
    good = TableProduct("good", (Column("n", "n", "int64", True),), 1, 1, 0)
    file = ProductFile(Root.ARTIFACTS, key, "part", "good", 1, info.size_bytes)
    house.publish(attempt, Stage.VALIDATED_FRAME, (file,), (good, broken))
    assert house.serve(attempt).details["tables"] == [{"name": "sales", "rows": 1}]


def test_a_late_older_dataset_passes_and_says_that_it_is_superseded(house: House) -> None:
    older, newer = house.register("old.csv"), house.register("new.csv")
    house.validate(older, t=[1])
    house.validate(newer, t=[2])
    house.serve(newer)
    product = house.serve(older)
    assert product.gate.passed
    assert [(f.code, f.severity) for f in product.findings] == [("serving.superseded", Severity.INFO)]
    assert product.details["current"] is False
    assert rows(house, "SELECT n FROM sales") == [(2,)]


def test_serving_twice_gives_the_same_product_and_serves_once(house: House) -> None:
    attempt = house.register("a.csv", mode=Mode.APPEND)
    house.validate(attempt, t=[1, 2])
    assert house.serve(attempt) == house.serve(attempt)
    assert rows(house, "SELECT count(*) FROM sales") == [(2,)]


def test_files_with_other_rows_than_the_ledger_close_the_gate_and_are_never_seen(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1, 2], claimed_rows=3)
    product = house.serve(attempt)
    assert not product.gate.passed
    assert product.gate.error is not None
    assert product.gate.error.code == "serving.count_mismatch"
    assert product.details["version"] is None
    assert house.ports.engine.current("sales") is None
    assert [table.error is not None for table in product.tables] == [True]


def test_an_engine_that_counts_fewer_rows_closes_the_gate(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1, 2])
    losing = MemoryEngine(house.catalog, house.ports.store, house.ports.clock, lost_rows=1)
    product = House(replace(house.ports, engine=losing), house.catalog).serve(attempt)
    assert product.gate.error is not None
    assert product.gate.error.message == "sales serves 1 of 2 valid rows"
    assert product.details["tables"] == [{"name": "sales", "rows": 1}]


def test_a_dataset_without_validated_tables_is_refused(house: House) -> None:
    with pytest.raises(UserError, match=r"stage\.upstream_missing"):
        house.serve(house.register("a.csv"))


def test_other_failures_of_the_world_are_not_taken_for_a_difference(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1])
    key = f"datasets/{attempt.dataset.dataset_id}/validated/1/t/part-00000.parquet"
    house.ports.store.delete(Root.ARTIFACTS, key)
    with pytest.raises(WorldError, match=r"store\.object_missing"):
        house.serve(attempt)


def test_a_datasource_in_the_other_mode_is_refused(house: House) -> None:
    attempt = house.register("a.csv")
    house.validate(attempt, t=[1])
    house.serve(attempt)
    other = replace(attempt, dataset=replace(attempt.dataset, mode=Mode.APPEND))
    with pytest.raises(ConflictError, match=r"datasource\.mode_conflict"):
        house.serve(other)
