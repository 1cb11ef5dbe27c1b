"""The stage in the flow: what it takes from the catalog, and when its gate holds."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from metricfoundry_dagster.actions.register import Wishes, register_source
from metricfoundry_dagster.domain.errors import UserError
from metricfoundry_dagster.domain.findings import Severity
from metricfoundry_dagster.domain.products import Root, Stage, StageProduct
from metricfoundry_dagster.pipeline.flow import publish, run_stage
from metricfoundry_dagster.pipeline.product_handle import ProductHandle
from metricfoundry_dagster.pipeline.staging.stage_dataset import stage_dataset
from metricfoundry_dagster.pipeline.staging.stage_file import table_name_of
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, open_job, progress_of, write_source
from metricfoundry_dagster_tests.fakes.recording_progress import RecordingProgress


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def staged(ports: Ports, source: Path, datasource: str = "shop", **recipe: Any) -> StageProduct:
    """Take a file in and stage it, as the flow does."""
    job = register_source(ports, str(source), Wishes(datasource=datasource, recipe=recipe)).job
    attempt = open_job(ports, job)
    progress = progress_of(ports, attempt)
    publish(run_stage(Stage.RAW_OBJECT, attempt, ports, progress), ports)
    return run_stage(Stage.STAGED_PARQUET, attempt, ports, progress)


def test_the_table_is_named_like_the_datasource_and_lies_under_the_attempt(ports: Ports, tmp_path: Path) -> None:
    product = staged(ports, write_source(tmp_path, "Any Näme.csv"))
    (part,) = product.files_of("part", "shop")
    assert part.key == f"datasets/{product.dataset_id}/staged/1/shop/part-00000.parquet"
    assert (part.root, part.rows, product.tables[0].name) == (Root.ARTIFACTS, 3, "shop")
    with ProductHandle(product, ports.store) as handle:
        assert handle.path(part).stat().st_size == part.size_bytes
    assert product.gate.passed
    assert product.gate.summary == "3 rows read = 3 staged + 0 rejected"
    assert product.details["recipe"]["delimiter"] == ","
    assert product.details["format"] == "csv"
    assert product.findings == ()


def test_rejects_are_a_finding_with_examples(ports: Ports, tmp_path: Path) -> None:
    product = staged(ports, write_source(tmp_path, content="a,b\n" + "1,2\n" * 99 + "3\n"))
    (finding,) = product.findings
    assert (finding.code, finding.severity, finding.table, finding.count) == ("staging.rejects", Severity.WARN, "shop", 1)
    assert finding.examples[0]["line"] == 101
    assert finding.examples[0]["raw"] == "3"
    assert product.gate.passed


def test_too_many_rejects_close_the_gate_but_the_product_shows_them(ports: Ports, tmp_path: Path) -> None:
    product = staged(ports, write_source(tmp_path, content="a,b\n1,2\n3\n"))
    assert not product.gate.passed
    assert product.gate.error is not None
    assert product.gate.error.code == "staging.too_many_rejects"
    assert product.gate.error.message == "1 of 2 rows were rejected, 50.0%; at most 10.0% may be"
    assert product.rows_rejected == 1
    assert len(product.files_of("rejects")) == 1


def test_a_header_alone_closes_the_gate_and_still_tells_its_recipe(ports: Ports, tmp_path: Path) -> None:
    product = staged(ports, write_source(tmp_path, content="a,b\n"))
    assert product.gate.error is not None
    assert product.gate.error.code == "staging.too_few_rows"
    assert product.details["recipe"]["has_header"] is True


def test_the_contract_sets_the_bounds(ports: Ports, tmp_path: Path) -> None:
    ports.catalog.keep_contract("shop", "name: shop\nmax_reject_share: 0.5\nmin_rows: 2\n", ports.clock.now())
    assert staged(ports, write_source(tmp_path, "half.csv", "a,b\n1,2\n1,2\n3\n4\n")).gate.passed
    one_row = staged(ports, write_source(tmp_path, "one.csv", "a,b\n1,2\n")).gate
    assert one_row.error is not None
    assert one_row.error.message == "1 rows were staged, at least 2 are needed"


def test_the_limits_set_the_bounds_without_a_contract(ports: Ports, tmp_path: Path) -> None:
    lax = replace(ports, limits=replace(ports.limits, max_reject_share=1.0, min_rows=0))
    assert staged(lax, write_source(tmp_path, content="a,b\n1\n2\n")).gate.passed


def test_a_kept_recipe_is_used_and_the_dataset_s_own_goes_before_it(ports: Ports, tmp_path: Path) -> None:
    ports.catalog.keep_recipe("shop", {"has_header": False, "delimiter": ";"}, ports.clock.now())
    product = staged(ports, write_source(tmp_path, content="a;b\n1;2\n"), has_header=True)
    assert product.details["recipe"]["delimiter"] == ";"
    assert [column.name for column in product.tables[0].columns] == ["a", "b"]


@pytest.mark.parametrize("content", [b"", b"\x00\x01\x02\x03" * 50, b"PAR1" + bytes(40)])
def test_a_file_that_is_no_table_does_not_reach_staging(ports: Ports, tmp_path: Path, content: bytes) -> None:
    job = register_source(ports, str(write_source(tmp_path, "t.csv", content)), Wishes(datasource="shop")).job
    attempt = open_job(ports, job)
    product = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    assert not product.gate.passed


def test_cancelling_stops_between_blocks_and_leaves_nothing(ports: Ports, tmp_path: Path) -> None:
    job = register_source(ports, str(write_source(tmp_path)), Wishes(datasource="shop")).job
    attempt = open_job(ports, job)
    raw = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    with ProductHandle(raw, ports.store) as upstream, pytest.raises(UserError) as caught:
        stage_dataset(attempt, ports, RecordingProgress(cancel_after=0), upstream)
    assert caught.value.code == "job.canceled"
    assert list(ports.store.list(Root.ARTIFACTS, f"datasets/{raw.dataset_id}/staged/")) == []


@pytest.mark.parametrize(
    ("filename", "table"),
    [
        ("Sales 2024.csv", "sales_2024"),
        ("a.b.tsv.gz", "a_b"),
        ("ÄÖ.jsonl", "ao"),
        ("2024.parquet", "d_2024"),
        (".csv", "csv"),
        ("noext", "noext"),
        ("x.CSV.GZ", "x"),
    ],
)
def test_a_table_alone_is_named_like_its_file(filename: str, table: str) -> None:
    assert table_name_of(filename) == table
