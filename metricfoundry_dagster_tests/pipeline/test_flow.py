"""The flow over real parts: order, gates, fences and crashes."""

import json
from datetime import timedelta
from pathlib import Path

import pytest

from metricfoundry_dagster.domain.datasets import Mode
from metricfoundry_dagster.domain.errors import ConflictError, FencedError, WorldError
from metricfoundry_dagster.domain.jobs import JobState
from metricfoundry_dagster.domain.layout import manifest_key
from metricfoundry_dagster.domain.products import Root, Stage, StageProduct
from metricfoundry_dagster.pipeline.flow import MAX_WORLD_FAILURES, give_up, publish, run_stage
from metricfoundry_dagster.pipeline.manifests import read_product
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import (
    carry,
    embedded_ports,
    ingest,
    open_job,
    progress_of,
    register,
    write_source,
)

_HOLDS = (15, 30, 60, 120, 240, 480, 960, 1_800)


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


def served_rows(ports: Ports, table: str) -> int:
    """Rows of a served table, by a query."""
    count = ports.engine.query(f'SELECT count(*) FROM "{table}"', 1).rows[0][0]
    assert isinstance(count, int)
    return count


def test_a_good_file_passes_all_stages_and_is_queryable(ports: Ports, tmp_path: Path) -> None:
    """Five products, each with a passed gate, and a completed job at 100 percent."""
    products = ingest(ports, write_source(tmp_path))
    assert [product.stage for product in products] == list(Stage)
    assert all(product.gate.passed for product in products)
    job = ports.catalog.jobs_of(products[0].dataset_id)[0]
    assert (job.state, job.progress_percent) == (JobState.COMPLETED, 100)
    assert served_rows(ports, "people") == 3


def test_rows_reconcile_from_the_file_to_the_query(ports: Ports, tmp_path: Path) -> None:
    """What staging read is what is served plus what was put aside."""
    rows = "".join(f"{n},x,{n}.5\n" for n in range(100))
    products = ingest(ports, write_source(tmp_path, content=f"id,name,amount\n{rows}7,too,many,fields\n"))
    staged = products[1].tables[0]
    assert (staged.rows_in, staged.rows_out, staged.rows_rejected) == (101, 100, 1)
    assert served_rows(ports, "people") == 100


def test_a_failed_gate_stops_the_flow_and_fails_the_job(ports: Ports, tmp_path: Path) -> None:
    """A header alone stages no row; nothing after it is made, and the job says why."""
    products = ingest(ports, write_source(tmp_path, content="id,name\n"))
    assert [product.gate.passed for product in products] == [True, False]
    job = ports.catalog.jobs_of(products[0].dataset_id)[0]
    assert job.state is JobState.FAILED
    assert job.error is not None
    assert job.error.code == "staging.too_few_rows"


def test_a_stage_refuses_after_a_failed_gate(ports: Ports, tmp_path: Path) -> None:
    """Somebody who materialises a later asset by hand gets no product."""
    [raw, _] = ingest(ports, write_source(tmp_path, content="id,name\n"))
    ports.catalog.request_job(raw.dataset_id, ports.clock.now())
    attempt = open_job(ports, ports.catalog.jobs_of(raw.dataset_id)[0])
    with pytest.raises(ConflictError, match=r"stage\.upstream_failed"):
        run_stage(Stage.VALIDATED_FRAME, attempt, ports, progress_of(ports, attempt))


def test_a_stage_refuses_when_the_one_before_was_never_made(ports: Ports, tmp_path: Path) -> None:
    """There is no product to read."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    with pytest.raises(ConflictError, match=r"stage\.upstream_missing"):
        run_stage(Stage.STAGED_PARQUET, attempt, ports, progress_of(ports, attempt))


def test_a_published_stage_is_not_run_again_by_its_job(ports: Ports, tmp_path: Path) -> None:
    """The source may be gone: the product comes out of the store."""
    source = write_source(tmp_path)
    attempt = open_job(ports, register(ports, source))
    product = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    publish(product, ports)
    source.unlink()
    assert run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt)) == product


def test_publishing_twice_is_publishing_once(ports: Ports, tmp_path: Path) -> None:
    """The second time finds everything as it is."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    product = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    publish(product, ports)
    publish(product, ports)
    assert read_product(product.dataset_id, Stage.RAW_OBJECT, ports) == product


def test_publishing_the_last_product_again_after_its_job_ended_changes_nothing(ports: Ports, tmp_path: Path) -> None:
    """A step is run again when the store was away while its product was described."""
    *_, last = ingest(ports, write_source(tmp_path))
    publish(last, ports)
    assert ports.catalog.jobs_of(last.dataset_id)[0].state is JobState.COMPLETED


def test_an_old_attempt_that_wakes_up_is_fenced(ports: Ports, tmp_path: Path) -> None:
    """A newer attempt has published: the old one's product does not count, and the manifest keeps the newer one."""
    job = register(ports, write_source(tmp_path))
    old = open_job(ports, job)
    publish(run_stage(Stage.RAW_OBJECT, old, ports, progress_of(ports, old)), ports)
    asleep = run_stage(Stage.STAGED_PARQUET, old, ports, progress_of(ports, old))
    new = ports.catalog.open_job(job.dataset_id, "another run", None, None, ports.clock.now())
    newer = [run_stage(Stage.RAW_OBJECT, new, ports, progress_of(ports, new))]
    publish(newer[0], ports)
    newer.append(run_stage(Stage.STAGED_PARQUET, new, ports, progress_of(ports, new)))
    publish(newer[1], ports)
    with pytest.raises(FencedError, match=r"attempt\.fenced"):
        publish(asleep, ports)
    assert read_product(job.dataset_id, Stage.STAGED_PARQUET, ports) == newer[1]
    shown = json.loads(ports.store.read_bytes(Root.ARTIFACTS, manifest_key(job.dataset_id, Stage.STAGED_PARQUET)))
    assert StageProduct.from_json(shown).attempt == new.number


def test_a_crash_before_the_public_manifest_is_finished_by_the_next_try(ports: Ports, tmp_path: Path) -> None:
    """The catalog names the attempt, the public manifest is missing: publishing again writes it."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    product = run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    publish(product, ports)
    key = manifest_key(product.dataset_id, Stage.RAW_OBJECT)
    ports.store.delete(Root.ARTIFACTS, key)
    publish(run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt)), ports)
    assert ports.store.stat(Root.ARTIFACTS, key) is not None


def test_a_retried_dataset_is_served_once(ports: Ports, tmp_path: Path) -> None:
    """Append mode, the same dataset through the flow twice: its rows are there once."""
    [raw, *_] = ingest(ports, write_source(tmp_path), mode=Mode.APPEND)
    products = carry(ports, ports.catalog.request_job(raw.dataset_id, ports.clock.now()))
    assert products[-1].gate.passed
    assert served_rows(ports, "people") == 3


def test_a_retry_works_when_the_source_is_gone(ports: Ports, tmp_path: Path) -> None:
    """The first attempt's copy is taken, checked against its checksum."""
    source = write_source(tmp_path)
    [raw, *_] = ingest(ports, source)
    source.unlink()
    products = carry(ports, ports.catalog.request_job(raw.dataset_id, ports.clock.now()))
    assert products[-1].gate.passed
    assert products[0].files == raw.files


def test_giving_up_closes_the_job_once(ports: Ports, tmp_path: Path) -> None:
    """The first reason stays."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    run_id, dataset_id = str(attempt.job.run_id), attempt.dataset.dataset_id
    give_up(run_id, "people--aaaaaaaaaaaaaaaa", ConflictError("request.invalid", "another").record, ports)
    give_up(run_id, dataset_id, ConflictError("job.canceled", "asked for").record, ports)
    give_up(run_id, dataset_id, ConflictError("request.invalid", "later").record, ports)
    job = ports.catalog.job(attempt.job.job_id)
    assert (job.state, job.error and job.error.code) == (JobState.CANCELED, "job.canceled")


def test_a_dataset_that_found_a_server_away_is_taken_up_later_until_that_was_tried_often(ports: Ports, tmp_path: Path) -> None:
    """Each time after a longer wait; a person may begin the one that waits at once."""
    job = register(ports, write_source(tmp_path))
    away = WorldError("store.unreachable", "no answer").record
    waits = []
    for _ in range(MAX_WORLD_FAILURES):
        attempt = open_job(ports, job)
        give_up(str(attempt.job.run_id), job.dataset_id, away, ports)
        given_up, newest = ports.catalog.job(attempt.job.job_id), ports.catalog.jobs_of(job.dataset_id)[0]
        assert (given_up.state, given_up.error) == (JobState.FAILED, away)
        if newest.job_id != given_up.job_id:
            assert (newest.state, ports.catalog.waiting_jobs(1, ports.clock.now())) == (JobState.CREATED, [])
            waits.append(_held_seconds(ports))
        job = newest
    assert job.state is JobState.FAILED
    assert waits == [15, 30, 60, 120, 240, 480, 960, 1_800, 1_800]


def _held_seconds(ports: Ports) -> int:
    now = ports.clock.now()
    return next(seconds for seconds in _HOLDS if ports.catalog.waiting_jobs(1, now + timedelta(seconds=seconds)))


def test_an_error_that_is_the_datasets_own_is_not_tried_again(ports: Ports, tmp_path: Path) -> None:
    """Neither a user's nor one of ours, nor an object that is missing."""
    for number, code in enumerate(["request.invalid", "unexpected", "store.object_missing"]):
        attempt = open_job(ports, register(ports, write_source(tmp_path, f"{number}.csv")))
        give_up(str(attempt.job.run_id), attempt.dataset.dataset_id, WorldError(code, "no").record, ports)
        [job] = ports.catalog.jobs_of(attempt.dataset.dataset_id)
        assert job.state is JobState.FAILED


def test_a_canceled_job_stops_inside_a_stage(ports: Ports, tmp_path: Path) -> None:
    """The stage hears of it when it reports progress, and nothing is published."""
    attempt = open_job(ports, register(ports, write_source(tmp_path)))
    ports.catalog.close_job(attempt.job.job_id, JobState.CANCELED, None, ports.clock.now())
    with pytest.raises(ConflictError, match=r"job\.canceled"):
        run_stage(Stage.RAW_OBJECT, attempt, ports, progress_of(ports, attempt))
    assert read_product(attempt.dataset.dataset_id, Stage.RAW_OBJECT, ports) is None
