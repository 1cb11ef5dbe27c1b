"""The stage: report in the store, gate from the contract, ledger from the manifests before it."""

import json
from collections.abc import Mapping
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any, cast

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from metricfoundry_dagster.domain.datasets import Dataset, Mode
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.jobs import Attempt, Job, JobState
from metricfoundry_dagster.domain.layout import attempt_manifest_key, attempt_prefix
from metricfoundry_dagster.domain.limits import Limits
from metricfoundry_dagster.domain.products import Column, Gate, ProductFile, Root, Stage, StageProduct, TableProduct
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.profiling.profile_dataset import profile_dataset
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import Catalog, StageRecord
from metricfoundry_dagster.ports.serving_engine import ServingEngine
from metricfoundry_dagster_tests.fakes.fixed_clock import FixedClock
from metricfoundry_dagster_tests.fakes.memory_contracts import MemoryContracts
from metricfoundry_dagster_tests.fakes.memory_sources import MemorySources
from metricfoundry_dagster_tests.fakes.memory_store import MemoryStore
from metricfoundry_dagster_tests.fakes.recording_progress import RecordingProgress

ID = "shop--abcdefghijklmnop"
AT = datetime(2026, 1, 1, tzinfo=UTC)
ROWS = {"id": [1, 2, 3, 4], "note": ["a", None, "", "b"]}


class History:
    """As much of a catalog as the stage reads: the staged attempt that is published, and rows of earlier datasets."""

    def __init__(self, rows: list[int]) -> None:
        self._rows = rows

    def stage(self, dataset_id: str, stage: Stage) -> StageRecord | None:
        staged = stage is Stage.STAGED_PARQUET
        return StageRecord(dataset_id, stage, 2, "job", True, 4, 1, AT) if staged else None

    def row_history(self, dataset: Dataset, limit: int) -> list[int]:
        return self._rows[:limit]


@pytest.fixture
def store() -> MemoryStore:
    """A store with the manifest of the staged product: five rows read, one rejected."""
    store = MemoryStore()
    staged = StageProduct(Stage.STAGED_PARQUET, ID, 2, (), (_table(5, 4, 1),), (), Gate(True, "ok"))
    store.write_bytes(Root.ARTIFACTS, attempt_manifest_key(ID, Stage.STAGED_PARQUET, 2), json.dumps(staged.to_json()).encode())
    return store


def ports_of(store: MemoryStore, history: list[int] | None = None) -> Ports:
    """Ports of which the stage uses store, catalog and clock."""
    catalog = cast(Catalog, History(history or []))
    return Ports(store, MemorySources(store), catalog, cast(ServingEngine, None), MemoryContracts(), FixedClock(AT), Limits())


def profiled(
    store: MemoryStore, *, columns: Mapping[str, Any] = ROWS, contract: str | None = None, history: list[int] | None = None
) -> StageProduct:
    """Run the stage on a validated table."""
    product = _validated(store, columns, contract)
    with ProductHandle(product, store) as upstream:
        return profile_dataset(_attempt(), ports_of(store, history), RecordingProgress(), upstream)


def test_the_report_lies_under_the_attempt_and_rows_pass_through(store: MemoryStore) -> None:
    product = profiled(store)
    prefix = attempt_prefix(Stage.PROFILE_REPORT, ID, 2)
    assert [(f.root, f.key, f.role) for f in product.files] == [
        (Root.REPORTS, f"{prefix}report.json", "report"),
        (Root.REPORTS, f"{prefix}report.html", "report"),
    ]
    assert (product.tables[0].rows_in, product.tables[0].rows_out, product.tables[0].rows_rejected) == (4, 4, 0)
    assert product.gate.passed
    assert product.details["report"] == {"shop": {"rows": 4, "columns": 2, "duplicate_rows": 0, "missing_share": 0.25}}
    assert StageProduct.from_json(json.loads(json.dumps(product.to_json()))) == product


def test_the_ledger_tells_the_rows_of_every_stage(store: MemoryStore) -> None:
    profiled(store)
    document = json.loads(store.read_bytes(Root.REPORTS, attempt_prefix(Stage.PROFILE_REPORT, ID, 2) + "report.json"))
    assert document["ledger"] == [
        {"table": "shop", "read": 5, "rejected": 1, "staged": 4, "quarantined": 0, "valid": 4, "reported": 4}
    ]
    assert document["dataset"]["dataset_id"] == ID
    assert document["created_at"] == "2026-01-01T00:00:00+00:00"


def test_a_broken_threshold_closes_the_gate_and_the_report_is_there(store: MemoryStore) -> None:
    text = "name: shop\nversion: 1\nmax_duplicate_share: 0\ncolumns:\n  - name: note\n    max_null_share: 0.25\n"
    product = profiled(store, contract=text)
    assert not product.gate.passed
    assert product.gate.error is not None
    assert product.gate.error.code == "contract.threshold_broken"
    assert product.gate.error.place.column == "note"
    assert product.findings[0].code == "contract.threshold_broken"
    html = store.read_bytes(Root.REPORTS, product.files[1].key).decode()
    assert "50.00% of shop.note is missing" in html


def test_an_unusual_volume_is_a_warning_only(store: MemoryStore) -> None:
    product = profiled(store, history=[100, 200, 100])
    assert product.gate.passed
    assert product.findings[0].code == "volume.unusual"


def test_progress_names_the_column_and_can_cancel(store: MemoryStore) -> None:
    progress = RecordingProgress()
    product = _validated(store, ROWS, None)
    with ProductHandle(product, store) as upstream:
        profile_dataset(_attempt(), ports_of(store), progress, upstream)
        assert progress.reports == [(Stage.PROFILE_REPORT, 0.0, "id"), (Stage.PROFILE_REPORT, 0.5, "note")]
        with pytest.raises(UserError, match=r"job\.canceled"):
            profile_dataset(_attempt(), ports_of(store), RecordingProgress(cancel_after=1), upstream)


def test_a_table_that_failed_before_is_named_and_not_read(store: MemoryStore) -> None:
    product = _validated(store, ROWS, None)
    failed = replace(_table(0, 0, 0), name="broken", error=UserError("parquet.corrupt", "bad").record)
    with ProductHandle(replace(product, tables=(*product.tables, failed)), store) as upstream:
        profile = profile_dataset(_attempt(), ports_of(store), RecordingProgress(), upstream)
    assert list(profile.details["report"]) == ["shop"]
    assert profile.tables[1].error == failed.error


def _validated(store: MemoryStore, columns: Mapping[str, Any], contract: str | None) -> StageProduct:
    key = attempt_prefix(Stage.VALIDATED_FRAME, ID, 2) + "shop/part-00000.parquet"
    with store.create(Root.ARTIFACTS, key) as path:
        pq.write_table(pa.table(dict(columns)), path)
        size_bytes = path.stat().st_size
    part = ProductFile(Root.ARTIFACTS, key, "part", "shop", 4, size_bytes)
    details = {"contract": contract and {"name": "shop", "version": 1, "text": contract}}
    return StageProduct(Stage.VALIDATED_FRAME, ID, 2, (part,), (_table(4, 4, 0),), (), Gate(True, "ok"), details)


def _table(rows_in: int, rows_out: int, rejected: int) -> TableProduct:
    return TableProduct("shop", (Column("id", "id", "int64", nullable=True),), rows_in, rows_out, rejected)


def _attempt() -> Attempt:
    dataset = Dataset(ID, "shop", 1, Mode.REPLACE, "file:///shop.csv", "e", "shop.csv", 1, None, {}, AT)
    return Attempt(dataset, Job("job", ID, 2, JobState.PROCESSING, 60, None, None, None, AT, None))
