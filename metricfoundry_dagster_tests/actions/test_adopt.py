"""A program registers a source under an id of its own."""

from pathlib import Path

import pytest

from metricfoundry_dagster.actions.adopt import adopt
from metricfoundry_dagster.domain.datasets import Mode, random_dataset_id
from metricfoundry_dagster.domain.errors import MetricFoundryError
from metricfoundry_dagster.ports.bundle import Ports
from metricfoundry_dagster_tests.embedded import embedded_ports, write_source


@pytest.fixture
def ports(tmp_path: Path) -> Ports:
    """Real ports in a folder of this test, which is the only folder that may be read."""
    return embedded_ports(tmp_path)


def test_the_dataset_has_the_chosen_id(ports: Ports, tmp_path: Path) -> None:
    """And a job that waits."""
    key = random_dataset_id("people")
    dataset = adopt(ports, key, str(write_source(tmp_path)), "People", "append", None)
    assert (dataset.dataset_id, dataset.datasource, dataset.mode) == (key, "people", Mode.APPEND)
    assert len(ports.catalog.jobs_of(key)) == 1


def test_adopting_again_gives_the_same_dataset(ports: Ports, tmp_path: Path) -> None:
    """A run that is retried asks again; by then the source may be gone."""
    key, source = random_dataset_id("people"), write_source(tmp_path)
    first = adopt(ports, key, str(source), None, "replace", None)
    source.unlink()
    assert adopt(ports, key, str(source), None, "replace", None) == first


def test_the_same_file_under_two_ids_is_two_datasets(ports: Ports, tmp_path: Path) -> None:
    """A program that wants one says so by the id."""
    source = str(write_source(tmp_path))
    first, second = (adopt(ports, random_dataset_id("people"), source, None, "append", None) for _ in range(2))
    assert first.dataset_id != second.dataset_id
    assert (first.sequence, second.sequence) == (1, 2)


@pytest.mark.parametrize(
    ("key", "uri", "datasource", "mode", "contract", "code"),
    [
        ("../../etc", "people.csv", None, "replace", None, "name.invalid"),
        (random_dataset_id("people"), "nowhere.csv", None, "replace", None, "source.not_found"),
        (random_dataset_id("people"), "/etc/hostname", None, "replace", None, "source.not_allowed"),
        (random_dataset_id("people"), "people.csv", "Others", "replace", None, "request.invalid"),
        (random_dataset_id("people"), "people.csv", None, "merge", None, "request.invalid"),
        (random_dataset_id("people"), "people.csv", None, "replace", "no_such", "contract.not_found"),
    ],
)
def test_a_bad_request_is_refused_before_anything_is_registered(
    ports: Ports,
    tmp_path: Path,
    key: str,
    uri: str,
    datasource: str | None,
    mode: str,
    contract: str | None,
    code: str,
) -> None:
    """Each with its own code."""
    source = write_source(tmp_path)
    with pytest.raises(MetricFoundryError) as caught:
        adopt(ports, key, str(source.parent / uri), datasource, mode, contract)
    assert caught.value.code == code
