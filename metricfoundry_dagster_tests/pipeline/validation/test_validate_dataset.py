"""The stage: contract found, every table judged, one verdict, and drift told as a warning."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pytest

from metricfoundry_dagster.domain.errors import ErrorRecord, Place, UserError
from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.domain.jobs import Attempt
from metricfoundry_dagster.domain.layout import attempt_prefix
from metricfoundry_dagster.domain.products import Gate, Stage, StageProduct, TableProduct
from metricfoundry_dagster.pipeline.flow import publish
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.validation.validate_dataset import validate_dataset
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, open_job, register, write_source
from metricfoundry_dagster_tests.fakes.memory_contracts import MemoryContracts
from metricfoundry_dagster_tests.fakes.recording_progress import RecordingProgress
from metricfoundry_dagster_tests.pipeline.validation.staged_tables import Staged, ValidationHouse

CONTRACT = """\
name: people
version: 2
time_column: Born
max_quarantine_share: 0.5
columns:
  - {name: age, type: int64, minimum: 0, unique: true}
"""


@pytest.fixture
def ports(tmp_path: Path, house: ValidationHouse) -> Ports:
    """Real ports, with the store of the house and contracts in a dictionary."""
    return replace(embedded_ports(tmp_path / "embedded"), store=house.store, contracts=MemoryContracts({"people": CONTRACT}))


@pytest.fixture
def attempt(ports: Ports, tmp_path: Path) -> Attempt:
    """An open job of a dataset `people`."""
    return open_job(ports, register(ports, write_source(tmp_path / "embedded")))


def staged(attempt: Attempt, tables: Sequence[Staged], broken: Sequence[TableProduct] = ()) -> StageProduct:
    return StageProduct(
        stage=Stage.STAGED_PARQUET,
        dataset_id=attempt.dataset.dataset_id,
        attempt=attempt.number,
        files=tuple(part for table in tables for part in table.parts),
        tables=(*(table.table for table in tables), *broken),
        findings=(),
        gate=Gate(passed=True, summary="staged"),
    )


def run(attempt: Attempt, ports: Ports, upstream: StageProduct, progress: RecordingProgress | None = None) -> StageProduct:
    with ProductHandle(upstream, ports.store) as handle:
        return validate_dataset(attempt, ports, progress or RecordingProgress(), handle)


def test_bad_rows_are_quarantined_below_the_attempt_and_the_rest_goes_on(
    attempt: Attempt, ports: Ports, house: ValidationHouse
) -> None:
    table = house.stage(pa.table({"age": ["1", "x", "3"]}))
    product = run(attempt, ports, staged(attempt, [table]))
    prefix = attempt_prefix(Stage.VALIDATED_FRAME, attempt.dataset.dataset_id, attempt.number)
    assert [(file.key, file.role, file.rows) for file in product.files] == [
        (f"{prefix}t/part-00000.parquet", "part", 2),
        (f"{prefix}quarantine/t.parquet", "quarantine", 1),
    ]
    assert product.gate == Gate(passed=True, summary="2 rows hold the contract people v2, 1 quarantined")
    assert house.read(product.files[1]).to_pylist()[0]["source"] == "people.csv"
    assert product.details == {"contract": {"name": "people", "version": 2, "text": CONTRACT}, "time_column": "Born"}


def test_without_a_contract_the_staged_files_go_on_unread(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    table = house.stage(pa.table({"age": ["1", "x"]}))
    house.store.delete(table.parts[0].root, table.parts[0].key)
    product = run(attempt, replace(ports, contracts=MemoryContracts()), staged(attempt, [table]))
    assert product.files == table.parts
    assert product.gate.passed
    assert product.details == {"contract": None, "time_column": None}
    assert (product.tables[0].rows_in, product.tables[0].rows_out, product.tables[0].balances) == (2, 2, True)


def test_without_a_contract_the_recipe_names_the_time(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    product = replace(staged(attempt, [house.stage(pa.table({"at": ["1"]}))]), details={"recipe": {"time_column": "at"}})
    assert run(attempt, replace(ports, contracts=MemoryContracts()), product).details["time_column"] == "at"


def test_the_first_table_that_does_not_hold_closes_the_gate(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    tables = [house.stage(pa.table({"age": [1]}), name="a"), house.stage(pa.table({"age": [-1]}), name="b")]
    product = run(attempt, ports, staged(attempt, tables))
    assert not product.gate.passed
    assert product.gate.error is not None
    assert (product.gate.error.code, product.gate.error.place.table) == ("contract.too_many_bad_rows", "b")
    assert (product.rows_out, product.rows_rejected) == (1, 1)


def test_a_table_that_could_not_be_staged_is_carried_along(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    error = ErrorRecord("csv.undecodable", "no", Place(table="lost"), "hint")
    broken = TableProduct("lost", (), 0, 0, 0, error)
    product = run(attempt, ports, staged(attempt, [house.stage(pa.table({"age": [1]}))], [broken]))
    assert product.gate.passed
    assert product.tables[1] == broken


def test_a_contract_that_cannot_be_read_is_the_users_error(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    upstream = staged(attempt, [house.stage(pa.table({"age": [1]}))])
    with pytest.raises(UserError, match=r"contract\.invalid"):
        run(attempt, replace(ports, contracts=MemoryContracts({"people": "columns: 3"})), upstream)
    wanting = replace(attempt, dataset=replace(attempt.dataset, contract="other"))
    with pytest.raises(UserError, match=r"contract\.not_found"):
        run(wanting, ports, upstream)


def test_progress_counts_each_row_once_for_keys_and_once_for_rules(
    attempt: Attempt, ports: Ports, house: ValidationHouse
) -> None:
    table = house.stage(pa.table({"age": ["1", "2", "3", "4"]}), part_rows=[2, 2])
    progress = RecordingProgress()
    run(attempt, ports, staged(attempt, [table]), progress)
    assert [(stage, share) for stage, share, _ in progress.reports] == [
        (Stage.VALIDATED_FRAME, share) for share in (0.25, 0.5, 0.75, 1.0)
    ]


def test_a_cancelled_job_stops_and_leaves_no_file(attempt: Attempt, ports: Ports, house: ValidationHouse) -> None:
    table = house.stage(pa.table({"age": ["1", "x", "3", "4"]}), part_rows=[2, 2])
    with pytest.raises(UserError, match=r"job\.canceled"):
        run(attempt, ports, staged(attempt, [table]), RecordingProgress(cancel_after=2))
    prefix = attempt_prefix(Stage.VALIDATED_FRAME, attempt.dataset.dataset_id, attempt.number)
    assert list(house.store.list(table.parts[0].root, prefix)) == []


def test_drift_against_the_last_dataset_is_a_warning(
    attempt: Attempt, ports: Ports, house: ValidationHouse, tmp_path: Path
) -> None:
    publish(staged(attempt, [house.stage(pa.table({"age": [1], "gone": ["x"]}))]), ports)
    source = write_source(tmp_path / "embedded", content="id\n1\n")
    later = open_job(ports, register(ports, source))
    assert later.dataset.sequence == 2
    product = run(later, ports, staged(later, [house.stage(pa.table({"age": ["1"], "new": [1]}), name="people")]))
    assert product.gate.passed
    assert [(finding.code, finding.column, finding.severity) for finding in product.findings] == [
        ("drift.type_changed", "age", Severity.WARN),
        ("drift.added_column", "new", Severity.WARN),
        ("drift.missing_column", "gone", Severity.WARN),
    ]
