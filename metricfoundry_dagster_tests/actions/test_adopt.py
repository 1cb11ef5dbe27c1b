"""A program registers a source under an id of its own."""

import os
from dataclasses import replace
from pathlib import Path

import pytest

from metricfoundry_dagster.actions.adopt import RemoteSource, adopt
from metricfoundry_dagster.domain.datasets import Mode, random_dataset_id
from metricfoundry_dagster.domain.errors import MetricFoundryError, UserError
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster.ports.catalog import DatasetFilter
from metricfoundry_dagster.ports.sources import Sources
from metricfoundry_dagster.wiring import build_sources
from metricfoundry_dagster_tests.embedded import embedded_ports, embedded_settings, write_source


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test."""
    return embedded_ports(tmp_path)


@pytest.fixture
def allowed(tmp_path: Path) -> Sources:
    """Only that folder may be read."""
    return build_sources(embedded_settings(tmp_path), only_source_roots=True)


def test_the_dataset_has_the_chosen_id(ports: Ports, allowed: Sources, tmp_path: Path) -> None:
    """And a job that waits."""
    key = random_dataset_id("people")
    dataset = adopt(ports, allowed, key, RemoteSource(str(write_source(tmp_path)), "People", "append"), run_id="run-1")
    assert (dataset.dataset_id, dataset.datasource, dataset.mode) == (key, "people", Mode.APPEND)
    assert len(ports.catalog.jobs_of(key)) == 1


def test_the_job_waits_for_the_run_that_brought_the_source(ports: Ports, allowed: Sources, tmp_path: Path) -> None:
    """No sensor claims it in between."""
    key = random_dataset_id("people")
    adopt(ports, allowed, key, RemoteSource(str(write_source(tmp_path))), run_id="run-1")
    assert ports.catalog.waiting_jobs(9, ports.clock.now()) == []
    assert ports.catalog.open_job(key, "run-1", None, None, ports.clock.now()).job.attempt == 1


def test_an_id_that_another_source_has_is_refused(ports: Ports, allowed: Sources, tmp_path: Path) -> None:
    """Else the bytes of the first would go through as if they were the second's."""
    key, first, second = random_dataset_id("people"), write_source(tmp_path), write_source(tmp_path, "others.csv")
    adopt(ports, allowed, key, RemoteSource(str(first)), run_id="run-1")
    with pytest.raises(UserError, match=r"people\.csv', not of .*others\.csv' \[request\.invalid\]"):
        adopt(ports, allowed, key, RemoteSource(str(second)), run_id="run-2")
    with pytest.raises(UserError, match=r"source\.not_found"):
        adopt(ports, allowed, key, RemoteSource("/nul\x00/people.csv"), run_id="run-2")


@pytest.mark.parametrize("spelling", ["file://{}", "{}", "{}/../{}"])
def test_another_spelling_of_the_same_address_is_the_same_source(
    ports: Ports, allowed: Sources, tmp_path: Path, spelling: str
) -> None:
    """A path, its URI, and a path with a detour."""
    key, source = random_dataset_id("people"), write_source(tmp_path)
    first = adopt(ports, allowed, key, RemoteSource(str(source)), run_id="run-1")
    again = spelling.format(source) if spelling.count("{}") == 1 else spelling.format(source.parent, f"sources{os.sep}people.csv")
    assert adopt(ports, allowed, key, RemoteSource(again), run_id="run-2") == first


def test_adopting_again_gives_the_same_dataset(ports: Ports, allowed: Sources, tmp_path: Path) -> None:
    """A run that is retried asks again; by then the source may be gone."""
    key, source = random_dataset_id("people"), write_source(tmp_path)
    first = adopt(ports, allowed, key, RemoteSource(str(source)), run_id="run-1")
    source.unlink()
    assert adopt(ports, allowed, key, RemoteSource(str(source)), run_id="run-1") == first


def test_the_same_file_under_two_ids_is_two_datasets(ports: Ports, allowed: Sources, tmp_path: Path) -> None:
    """A program that wants one says so by the id."""
    source = str(write_source(tmp_path))
    first, second = (
        adopt(ports, allowed, random_dataset_id("people"), RemoteSource(source, mode="append"), run_id="run-1") for _ in range(2)
    )
    assert first.dataset_id != second.dataset_id
    assert (first.sequence, second.sequence) == (1, 2)


@pytest.mark.parametrize(
    ("key", "source", "code"),
    [
        ("../../etc", RemoteSource("people.csv"), "name.invalid"),
        (random_dataset_id("people"), RemoteSource("nowhere.csv"), "source.not_found"),
        (random_dataset_id("people"), RemoteSource("/etc/hostname"), "source.not_allowed"),
        (random_dataset_id("people"), RemoteSource("people.csv", datasource="Others"), "request.invalid"),
        (random_dataset_id("people"), RemoteSource("people.csv", mode="merge"), "request.invalid"),
        (random_dataset_id("people"), RemoteSource("people.csv", contract="no_such"), "contract.not_found"),
        (random_dataset_id("people"), RemoteSource("people.csv", contract="os:environ"), "request.invalid"),
        (random_dataset_id("people"), RemoteSource("people.csv", contract="/tmp/x.yaml"), "request.invalid"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_registered(
    ports: Ports, allowed: Sources, tmp_path: Path, key: str, source: RemoteSource, code: str
) -> None:
    """Each with its own code."""
    folder = write_source(tmp_path).parent
    with pytest.raises(MetricFoundryError) as caught:
        adopt(ports, allowed, key, replace(source, source_uri=str(folder / source.source_uri)), run_id="run-1")
    assert caught.value.code == code
    assert ports.catalog.datasets(DatasetFilter()) == []
